"""What a run consists of: tasks that need one another, each with what it depends on (its cache key) and its job.

source ─┬─ step ─┬─ step ── ...        a step needs its parent, and `data` if it calibrates
        ├─ data  └─ measure ID         a measurement needs its node and `reference`
        └─ reference                   the source's own outputs; needs `data`, or synthetic samples
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgekit.artifact import Artifact, hash_value
from edgekit.engine.cache import Cache
from edgekit.engine.keys import ABSENT, Inputs, key_of, versions_of
from edgekit.engine.stacks import install_command
from edgekit.errors import AbsentError, InputError
from edgekit.plan import Data, DataSource, FormatTraits, Node, Plan, complete_data

Job = dict[str, Any]
Result = dict[str, Any]

SYNTHETIC_SAMPLES = 8

# What a task costs, very roughly, in seconds: only their order matters, to begin with the longest chain.
_STEP_COST, _CALIBRATION_COST = 3.0, 10.0


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

    def task_inputs(self) -> Inputs | None:
        """The task, its options and the hash of its labels file."""
        use = self.plan.task
        if use is None:
            return None
        labels = None if use.labels is None else self.cache.memo.hash_file(use.labels)
        return {"name": use.name, "options": use.options, "labels": labels}

    def task_job(self) -> dict[str, Any] | None:
        return None if self.plan.task is None else plain(self.plan.task)


class SourceTask(Task):
    """Reads the io of the source model, and looks for NaN in its weights."""

    def __init__(self, around: Surroundings) -> None:
        source = around.plan.source
        traits = around.format(source.format)
        super().__init__("source", "read", traits.stack, f"reading {source.file.name}")
        self._around, self._source, self._traits = around, source, traits
        self._files: list[str] | None = None

    def inputs(self, done: DoneTasks) -> Inputs:
        source, memo = self._source, self._around.cache.memo
        self._check_present()
        if self._files is None:
            self._files = self._known_files()
        return {
            "kind": "source",
            "format": source.format,
            "factory": source.factory,
            "options": source.options,
            "file": memo.hash_file(source.file) if source.file.is_file() else memo.hash_folder(source.file),
            "files": self._file_hashes(),
            "weights": None if source.weights is None else memo.hash_file(source.weights),
            "declared": source.inputs,
            "requires": versions_of(source.requires),
            "versions": versions_of(self._traits.requires),
        }

    def check(self, inputs: Inputs) -> None:
        super().check(inputs)
        absent = [name for name, version in inputs["requires"].items() if version == ABSENT]
        if absent:
            raise AbsentError(
                f"the model requires {', '.join(absent)}, not installed here",
                where=str(self._source.file),
                remedy=self._source.weights_get or f"pip install {' '.join(absent)}",
                code="package_absent",
            )

    def job(self, done: DoneTasks) -> Job:
        return {"kind": "read_source", **plain(self._source)}

    def learn(self, result: Result) -> None:
        """Which files belong to the model is known only to its format: keep the list by the hash of the main file."""
        self._files = result["files"]
        if self._files is not None and len(self._files) > 1:
            self._around.cache.put("files", self._listing_inputs(), {"files": self._files}, None)

    def settle(self, result: Result, folder: Path) -> Result:
        """An equal model may have been read elsewhere: the paths are those of this run."""
        artifact = {**result["artifact"], "path": str(self._source.file)}
        if artifact.get("build"):
            weights = None if self._source.weights is None else str(self._source.weights)
            artifact["build"] = {**artifact["build"], "weights": weights}
        return {**result, "artifact": artifact}

    def _check_present(self) -> None:
        source = self._source
        if not source.file.exists():
            raise InputError(f"no model file at {source.file}", where=str(source.file), code="missing_file")
        if source.weights is None or source.weights.exists():
            return
        if source.weights_get:
            raise AbsentError(
                f"the weights {source.weights} are not here",
                where=str(source.weights),
                remedy=source.weights_get,
                code="weights_absent",
            )
        raise InputError(f"no weights at {source.weights}", where=str(source.weights), code="missing_file")

    def _listing_inputs(self) -> Inputs:
        main = self._source.file
        return {"kind": "files", "name": main.name, "file": self._around.cache.memo.hash_path(main)}

    def _known_files(self) -> list[str]:
        entry, _ = self._around.cache.find(key_of(self._listing_inputs()))
        return [self._source.file.name] if entry is None else list(entry.result["files"])

    def _file_hashes(self) -> dict[str, str]:
        folder = self._source.file.parent
        paths = {name: folder / name for name in self._files or () if name != self._source.file.name}
        memo = self._around.cache.memo
        return {name: memo.hash_file(path) if path.is_file() else ABSENT for name, path in paths.items()}


class DataTask(Task):
    """Prepares the samples of the roles that this run needs."""

    def __init__(self, around: Surroundings, roles: tuple[str, ...]) -> None:
        super().__init__("data", "prepare", "data", "preparing the data", ("source",), remember_hashes=True)
        self._around, self._roles = around, roles

    def inputs(self, done: DoneTasks) -> Inputs:
        data = self._data(done)
        sources = {"split": data.split, "evaluate": data.evaluate, "calibrate": data.calibrate}
        return {
            "kind": "data",
            "roles": list(self._roles),
            "preprocess": list(data.preprocess),
            "sources": {
                role: self._source_inputs(source)
                for role, source in sources.items()
                if source is not None and (role == "split" or role in self._roles)
            },
            "inputs": done["source"].result["artifact"]["io"]["inputs"],
            "task": self._around.task_inputs(),
            "seed": self._around.plan.seed,
            "versions": versions_of(("numpy", "pillow")),
        }

    def check(self, inputs: Inputs) -> None:
        super().check(inputs)
        for source in inputs["sources"].values():
            absent = [name for name, version in source["requires"].items() if version == ABSENT]
            if absent:
                raise AbsentError(
                    f"the data require {', '.join(absent)}, not installed here",
                    where=source["path"],
                    remedy=f"pip install {' '.join(absent)}",
                    code="package_absent",
                )

    def job(self, done: DoneTasks) -> Job:
        io = done["source"].result["artifact"]["io"]
        return {
            "kind": "prepare_data",
            "data": plain(self._data(done)),
            "io": io,
            "task": self._around.task_job(),
            "roles": list(self._roles),
            "seed": self._around.plan.seed,
        }

    def _data(self, done: DoneTasks) -> Data:
        """The plan's data, a preset spelled out for the model's input."""
        data = self._around.plan.data
        assert data is not None
        return complete_data(data, done["source"].artifact.io)

    def _source_inputs(self, source: DataSource) -> Inputs:
        if not source.path.exists():
            raise InputError(f"there are no data at {source.path}", where=str(source.path), code="missing_data")
        memo = self._around.cache.memo
        # A COCO listing names pictures that lie beside it.
        listed = source.path.suffix.lower() == ".json"
        return {
            "path": source.path.name,
            "content": memo.hash_folder(source.path.parent) if listed else memo.hash_path(source.path),
            "factory": source.factory,
            "options": source.options,
            "requires": versions_of(source.requires),
            "samples": source.samples,
            "seed": source.seed,
        }


class ReferenceTask(Task):
    """Runs the source over the evaluation samples, or over a few synthetic ones."""

    def __init__(self, around: Surroundings, synthetic: bool) -> None:
        traits = around.format(around.plan.source.format)
        needs = ("source",) if synthetic else ("source", "data")
        super().__init__(
            "reference", "reference", traits.stack, "running the source model", needs, late=True, remember_hashes=True
        )
        self._around, self._traits, self._synthetic = around, traits, synthetic

    def inputs(self, done: DoneTasks) -> Inputs:
        source = done["source"].artifact
        return {
            "kind": "reference",
            "artifact": source.sha256,
            "io": hash_value(source.io.to_dict()),
            "data": evaluation_inputs(self._around.plan, done, self._synthetic),
            "task": self._around.task_inputs(),
            "requires": versions_of(self._around.plan.source.requires),
            "versions": versions_of(_runtime(self._traits)),
        }

    def job(self, done: DoneTasks) -> Job:
        return {
            "kind": "reference",
            "artifact": done["source"].result["artifact"],
            "samples": evaluation_samples(self._around.plan, done, self._synthetic),
            "task": self._around.task_job(),
        }


class StepTask(Task):
    """Runs one node of the plan."""

    def __init__(self, around: Surroundings, node: Node) -> None:
        assert node.traits is not None
        self.node, self.traits = node, node.traits
        needs = (node.parent or "source", *(("data",) if node.traits.calibrates else ()))
        super().__init__(node.id, "step", node.traits.stack, f"step {node.id}", needs, toolchain=node.traits.toolchain)
        self._around = around

    def inputs(self, done: DoneTasks) -> Inputs:
        parent = done[self.needs[0]].artifact
        traits = self.traits
        source_requires = self._around.plan.source.requires if self.node.parent is None else ()
        return {
            "kind": "node",
            "step": self.node.step,
            "version": traits.version,
            "options": self.node.options,
            "parent": parent.sha256,
            "io": hash_value(parent.io.to_dict()),
            "calibration": done["data"].result["calibrate"]["sha256"] if traits.calibrates else None,
            "seed": self._around.plan.seed,
            "versions": versions_of(
                (*traits.requires, *source_requires), self._around.toolchain_folder(traits.toolchain)
            ),
        }

    def check(self, inputs: Inputs) -> None:
        if self.toolchain is not None:
            from edgekit.toolchains import require

            require(self.toolchain)
        super().check(inputs)

    def job(self, done: DoneTasks) -> Job:
        samples = {"folder": str(done["data"].folder), "role": "calibrate"} if self.traits.calibrates else None
        return {
            "kind": "step",
            "step": self.node.step,
            "options": self.node.options,
            "artifact": done[self.needs[0]].result["artifact"],
            "samples": samples,
            "seed": self._around.plan.seed,
        }

    def settle(self, result: Result, folder: Path) -> Result:
        return {**result, "artifact": {**result["artifact"], "path": str(folder / result["artifact"]["path"])}}


class MeasureTask(Task):
    """Runs what a node made over the evaluation samples and compares it with the source."""

    def __init__(self, around: Surroundings, node: Node, synthetic: bool) -> None:
        assert node.traits is not None
        self.node = node
        traits = around.format(node.traits.produces)
        super().__init__(
            f"measure {node.id}",
            "measure",
            traits.stack,
            f"measuring {node.id}",
            (node.id, "reference"),
            late=True,
            remember_hashes=True,
            toolchain=node.traits.toolchain if traits.stack == node.traits.stack else None,
        )
        self._around, self._traits, self._synthetic = around, traits, synthetic

    def inputs(self, done: DoneTasks) -> Inputs:
        artifact = done[self.node.id].artifact
        reference = done["reference"]
        return {
            "kind": "measurement",
            "artifact": artifact.sha256,
            "io": hash_value(artifact.io.to_dict()),
            "reference": reference.result.get("sha256") or reference.key,
            "data": evaluation_inputs(self._around.plan, done, self._synthetic),
            "task": self._around.task_inputs(),
            "seed": self._around.plan.seed,
            "versions": versions_of(_runtime(self._traits)),
        }

    def job(self, done: DoneTasks) -> Job:
        return {
            "kind": "measure",
            "artifact": done[self.node.id].result["artifact"],
            "samples": evaluation_samples(self._around.plan, done, self._synthetic),
            "reference": str(done["reference"].folder),
            "task": self._around.task_job(),
            "seed": self._around.plan.seed,
        }


def evaluation_inputs(plan: Plan, done: DoneTasks, synthetic: bool) -> Any:
    """What stands for the evaluation samples in a key."""
    if synthetic:
        return {"synthetic": SYNTHETIC_SAMPLES, "seed": plan.seed}
    return done["data"].result["evaluate"]["sha256"]


def evaluation_samples(plan: Plan, done: DoneTasks, synthetic: bool) -> dict[str, Any]:
    """The evaluation samples as a job names them. Synthetic ones are made for the *source's* io."""
    if synthetic:
        io = done["source"].result["artifact"]["io"]
        return {"synthetic": SYNTHETIC_SAMPLES, "seed": plan.seed, "io": io}
    return {"folder": str(done["data"].folder), "role": "evaluate"}


def make_tasks(around: Surroundings, *, evaluate: bool) -> list[Task]:
    """All tasks of a plan, parents first, with their ranks."""
    plan = around.plan
    calibrates = any(node.traits is not None and node.traits.calibrates for node in plan.nodes)
    given = plan.data is not None
    evaluation = bool(evaluate and plan.data and (plan.data.split or plan.data.evaluate))
    roles = tuple(role for role, wanted in (("calibrate", calibrates), ("evaluate", evaluation)) if wanted and given)
    tasks: list[Task] = [SourceTask(around)]
    if roles:
        tasks.append(DataTask(around, roles))
    tasks += [StepTask(around, node) for node in plan.nodes]
    measured = [node for node in plan.nodes if evaluate and can_measure(plan, node) and (evaluation or is_exact(node))]
    if evaluate and (measured or evaluation) and around.format(plan.source.format).runtime is not None:
        tasks.append(ReferenceTask(around, synthetic=not evaluation))
        tasks += [MeasureTask(around, node, synthetic=not evaluation) for node in measured]
    _rank(tasks)
    return tasks


def can_measure(plan: Plan, node: Node) -> bool:
    """Whether what the node makes can run here."""
    return node.traits is not None and plan.formats[node.traits.produces].runtime is not None


def is_exact(node: Node) -> bool:
    return node.traits is not None and node.traits.exact


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


def _runtime(traits: FormatTraits) -> tuple[str, ...]:
    return (*traits.requires, *((traits.runtime,) if traits.runtime else ()))


def _cost(task: Task) -> float:
    if isinstance(task, StepTask):
        return _CALIBRATION_COST if task.traits.calibrates else _STEP_COST
    return 1.0


def _rank(tasks: list[Task]) -> None:
    """Parents stand before what needs them, so one walk from the end is enough."""
    for task in reversed(tasks):
        below = [other.rank for other in tasks if task.id in other.needs]
        task.rank = _cost(task) + max(below, default=0.0)
