"""What a run consists of: tasks that need one another, each with what it depends on (its cache key) and its job.

source -+- step -+- step -- ...        a step needs its parent, and `data` if it calibrates
        +- data  +- measure ID         a measurement needs its node and `reference`
        +- reference                   the source's own outputs; needs `data`, or synthetic samples
A `place OUTPUT` needs the node that makes the output's file: where the device runs its operators.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import edgekit
from edgekit.artifact import hash_files, hash_value
from edgekit.checks import measurement
from edgekit.engine.keys import ABSENT, Inputs, versions_of
from edgekit.engine.reading import DataTask, SourceTask
from edgekit.engine.stacks import install_command
from edgekit.engine.tails import RUNTIME, settle_tail, tail_inputs, tail_versions
from edgekit.engine.task import DoneTasks, Job, Result, Surroundings, Task
from edgekit.errors import AbsentError
from edgekit.plan import FormatTraits, Node, Output, Plan

SYNTHETIC_SAMPLES = 8

# What a task costs, very roughly, in seconds: only their order matters, to begin with the longest chain.
_STEP_COST, _CALIBRATION_COST = 3.0, 10.0


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
            **tail_inputs(source),
            "kind": "reference",
            "version": measurement.VERSION,
            "artifact": source.sha256,
            "io": hash_value(source.io.to_dict()),
            "data": evaluation_inputs(self._around.plan, done, self._synthetic),
            "task": self._around.task_inputs(),
            "requires": versions_of(self._around.plan.source.requires),
            "versions": {**versions_of(_runtime(self._traits)), **tail_versions(source)},
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
        programs = {name: self._around.hash_program(name) for name in traits.programs}
        return {
            **({"programs": programs} if programs else {}),
            **tail_inputs(parent),
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
        artifact = {**result["artifact"], "path": str(folder / result["artifact"]["path"])}
        return {**result, "artifact": settle_tail(artifact, folder)}


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
            **tail_inputs(artifact),
            "kind": "measurement",
            "version": measurement.VERSION,
            "artifact": artifact.sha256,
            "io": hash_value(artifact.io.to_dict()),
            "reference": reference.result.get("sha256") or reference.key,
            "data": evaluation_inputs(self._around.plan, done, self._synthetic),
            "task": self._around.task_inputs(),
            "seed": self._around.plan.seed,
            "versions": {**versions_of(_runtime(self._traits)), **tail_versions(artifact)},
        }

    def check(self, inputs: Inputs) -> None:
        if "tail" in inputs and inputs["versions"].get(RUNTIME) == ABSENT:
            raise AbsentError(
                f"{self.label} needs {RUNTIME}, which runs its tail and is not installed",
                where=self.label,
                remedy=install_command("onnx"),
                code="package_absent",
            )
        super().check(inputs)

    def job(self, done: DoneTasks) -> Job:
        return {
            "kind": "measure",
            "artifact": done[self.node.id].result["artifact"],
            "samples": evaluation_samples(self._around.plan, done, self._synthetic),
            "reference": str(done["reference"].folder),
            "task": self._around.task_job(),
            "seed": self._around.plan.seed,
        }


class PlaceTask(Task):
    """Predicts where an output's device runs the operators of its file."""

    def __init__(self, around: Surroundings, output: Output) -> None:
        node = around.plan.node(output.node)
        traits = node.traits
        assert traits is not None and output.device is not None
        # What a program of others compiled is judged by the file that it was compiled from, and what is left of that.
        self._judged = node.parent or "source" if traits.programs else node.id
        self._compiled = node.id if traits.programs else None
        stack = around.format(traits.accepts if traits.programs else traits.produces).stack
        super().__init__(
            f"place {output.name}",
            "place",
            stack,
            f"placing {output.name}",
            (self._judged, *((self._compiled,) if self._compiled else ())),
            late=True,
            toolchain=traits.toolchain if stack == traits.stack else None,
        )
        self._output = output

    def inputs(self, done: DoneTasks) -> Inputs:
        return {
            "kind": "placement",
            "rules": _hash_rules(),
            "artifact": done[self._judged].artifact.sha256,
            "compiled": None if self._compiled is None else done[self._compiled].artifact.sha256,
            "device": hash_value(self._output.device),
            "precision": self._output.precision,
        }

    def job(self, done: DoneTasks) -> Job:
        return {
            "kind": "place",
            "artifact": done[self._judged].result["artifact"],
            "compiled": None if self._compiled is None else done[self._compiled].result["artifact"],
            "device": self._output.device,
            "precision": self._output.precision,
        }


@functools.cache
def _hash_rules() -> str:
    """The hash of edgekit's knowledge of devices: code and tables."""
    folder = Path(edgekit.__file__).with_name("devices")
    return hash_files(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml"))[0]


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
    tasks += [PlaceTask(around, output) for output in plan.outputs if output.device is not None]
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
