"""Single jobs that a command gives to the engine's workers, so that no framework loads in the command itself."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgekit.artifact import Artifact
    from edgekit.engine.events import Event
    from edgekit.graph import Graph


class Jobs:
    """A pool of workers for the length of a ``with`` block. ``listen`` is told of the jobs as a run's listener is; a
    job that takes longer than the time limit is ended."""

    def __init__(
        self, listen: Callable[[Event], None] = lambda event: None, time_limit_seconds: float | None = None
    ) -> None:
        from edgekit.engine.pool import Pool
        from edgekit.engine.settings import usable_cores

        self.threads = usable_cores()
        self._listen = listen
        self._began = time.monotonic()
        self._pool = Pool(threads=self.threads, time_limit_seconds=time_limit_seconds)

    def __enter__(self) -> Jobs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.close()

    def read_model(self, path: Path, inputs: dict[str, dict[str, Any]] | None = None, **build: Any) -> Artifact:
        """The artifact of a model file, with the tail that its sidecar tells of; ``build`` has factory, options and
        weights for a Python file.

        Raises:
            InputError: no such file, not a model, or not one of its format; or a tail that is not what it should be.
            AbsentError: its format's libraries are not installed.
        """
        from edgekit.artifact import Artifact
        from edgekit.cli.model_flags import read_sidecar
        from edgekit.formats import FORMATS, find_format
        from edgekit.formats.tail import attach_tail

        known = FORMATS.get("torch") if build.get("factory") else find_format(path)
        job = {
            "kind": "read_source",
            "file": str(path.absolute()),
            "format": known.name,
            "inputs": inputs or {},
            **build,
        }
        artifact = Artifact.from_dict(self.call(known.stack, job, label=f"reading {path}")["artifact"])
        return artifact if build.get("factory") else attach_tail(artifact, read_sidecar(path.absolute()))

    def read_named(
        self, model: str, inputs: dict[str, dict[str, Any]] | None = None, weights: Path | None = None
    ) -> Artifact:
        """The artifact of a model as the command line names it: a file, or ``file.py:NAME`` with its weights."""
        from edgekit.cli.model_flags import check_weights
        from edgekit.errors import InputError, not_a_file
        from edgekit.recipe.paths import split_factory

        file, factory = split_factory(model)
        if factory is None:
            return self.read_model(Path(file), inputs)
        what = not_a_file(Path(file), "Python file")
        if what is not None:
            raise InputError(what, where=file, remedy="write FILE.py:NAME", code="missing_file")
        if weights is not None:
            check_weights(weights)
        there = None if weights is None else str(weights.absolute())
        return self.read_model(Path(file), inputs, factory=factory, weights=there)

    def describe(self, artifact: Artifact) -> Graph:
        """The graph of an artifact."""
        from edgekit.graph import Graph

        answer = self.call(
            stack_of(artifact),
            {"kind": "describe", "artifact": artifact.to_dict()},
            label=f"describing {artifact.path}",
        )
        return Graph.from_dict(answer["graph"])

    def call(self, stack: str, job: dict[str, Any], *, label: str) -> dict[str, Any]:
        """One job, its answer; what its libraries print goes to the worker's log."""
        from edgekit.engine.events import Failed, Finished, Progress, Started
        from edgekit.errors import EdgekitError

        kind, began = str(job["kind"]), self._at()
        self._listen(Started(label, kind, began))
        try:
            answer = self._pool.call(
                stack,
                {"label": label, "threads": self.threads, **job},
                listen=lambda done, total: self._listen(Progress(label, kind, self._at(), done, total)),
            )
        except EdgekitError as error:
            self._listen(Failed(label, kind, self._at(), "failed", error.message, seconds=self._at() - began))
            raise
        self._listen(Finished(label, kind, self._at(), "done", self._at() - began))
        return answer

    def _at(self) -> float:
        return time.monotonic() - self._began


def stack_of(artifact: Artifact) -> str:
    """The stack whose worker runs and describes the artifact."""
    from edgekit.formats import FORMATS

    return FORMATS.get(artifact.format).stack
