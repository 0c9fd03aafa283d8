"""A task: one thing to be done once in a run, and what it looks things up in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgekit.artifact import Artifact
from edgekit.engine.cache import Cache
from edgekit.engine.keys import ABSENT, Inputs
from edgekit.engine.stacks import install_command
from edgekit.errors import AbsentError
from edgekit.plan import FormatTraits, Plan

Job = dict[str, Any]
Result = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A task's answer with absolute paths, and the cache folder of its files. ``status``: done | cached."""

    result: Result
    folder: Path
    key: str
    status: str
    reason: str = ""
    seconds: float = 0.0
    started: float = 0.0
    peak_rss_bytes: int | None = None

    @property
    def artifact(self) -> Artifact:
        return Artifact.from_dict(self.result["artifact"])


DoneTasks = Mapping[str, Done]


@dataclass
class Task:
    """One thing to be done once. ``late``: it gives way to those that are not (a measurement to a step).

    ``rank`` is the cost of the longest chain that begins with it. ``remember_hashes``: its files are large arrays,
    whose hashes are remembered by size and time.
    """

    id: str
    kind: str
    stack: str
    label: str
    needs: tuple[str, ...] = ()
    late: bool = False
    rank: float = 0.0
    toolchain: str | None = None
    remember_hashes: bool = False

    def inputs(self, done: DoneTasks) -> Inputs:
        """All that the answer depends on, as plain data."""
        raise NotImplementedError

    def job(self, done: DoneTasks) -> Job:
        """What the worker is told, but for ``out``, ``workdir``, ``log``, ``threads`` and ``label``."""
        raise NotImplementedError

    def settle(self, result: Result, folder: Path) -> Result:
        """The answer with absolute paths."""
        return result

    def learn(self, result: Result) -> None:
        """Take note of an answer before it is kept."""

    def check(self, inputs: Inputs) -> None:
        """Refuse to run where something is not installed (AbsentError)."""
        absent = [name for name, version in inputs.get("versions", {}).items() if version == ABSENT]
        if absent:
            raise AbsentError(
                f"{self.label} needs {', '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed",
                where=self.label,
                remedy=install_command(self.stack),
                code="package_absent",
            )


@dataclass
class Surroundings:
    """What tasks look things up in."""

    plan: Plan
    cache: Cache
    toolchain_folders: dict[str, str | None] = field(default_factory=dict)

    def format(self, name: str) -> FormatTraits:
        return self.plan.formats[name]

    def toolchain_folder(self, name: str | None) -> str | None:
        """The folder of an installed toolchain, where the versions of its distributions are looked up."""
        if name is None:
            return None
        if name not in self.toolchain_folders:
            from edgekit.toolchains import find

            folder = find(name)
            self.toolchain_folders[name] = None if folder is None else str(folder)
        return self.toolchain_folders[name]

    def hash_program(self, name: str) -> str:
        """The hash of a program on PATH, which stands for its version.

        Raises:
            AbsentError: it is not there.
        """
        found = shutil.which(name)
        if found is None:
            raise AbsentError(f"{name} is not on PATH", remedy="edgekit doctor", code="absent_program")
        return self.cache.memo.hash_file(Path(found))

    def task_inputs(self) -> Inputs | None:
        """The task, its options and the hash of its labels file."""
        use = self.plan.task
        if use is None:
            return None
        labels = None if use.labels is None else self.cache.memo.hash_file(use.labels)
        return {"name": use.name, "options": use.options, "labels": labels}

    def task_job(self) -> dict[str, Any] | None:
        return None if self.plan.task is None else plain(self.plan.task)


def plain(value: Any) -> dict[str, Any]:
    """A frozen dataclass of paths, numbers and texts as JSON knows them."""
    return {name: _plain_value(item) for name, item in asdict(value).items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain_value(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain_value(item) for item in value]
    return value
