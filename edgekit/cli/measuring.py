"""Measures single model files with the engine's workers: samples are prepared once, one model is the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli.jobs import Jobs, stack_of
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.artifact import IO, Artifact
    from edgekit.checks.compared import Compared
    from edgekit.recipe import Recipe

SYNTHETIC_SAMPLES = 8


@dataclass(frozen=True)
class Samples:
    """``job`` is how a job names them; ``info`` is what preparing said of them (None: synthetic)."""

    job: dict[str, Any]
    info: dict[str, Any] | None


class Measuring:
    """Jobs of one command, and the folder they write to. ``task`` is {name, options, labels} or None."""

    def __init__(self, jobs: Jobs, folder: Path, task: dict[str, Any] | None) -> None:
        self._jobs = jobs
        self._folder = folder
        self._task = task

    def samples(self, recipe: Recipe, artifact: Artifact, at_most: int | None = None) -> Samples:
        """The recipe's evaluation samples prepared for ``artifact``, or a few seeded random ones if it has no data."""
        if recipe.data is None:
            io = artifact.io.to_dict()
            return Samples({"synthetic": SYNTHETIC_SAMPLES, "seed": 0, "io": io}, None)
        out = self._folder / "samples"
        job = {
            "kind": "prepare_data",
            "data": data_job(recipe, artifact.io, at_most),
            "io": artifact.io.to_dict(),
            "task": self._task,
            "roles": ["evaluate"],
            "seed": 0,
            "out": str(out),
        }
        info = self._jobs.call("data", job, label="preparing samples")
        if "evaluate" not in info:
            raise InputError("there are no samples to measure on", remedy="--evaluate PATH", code="missing_data")
        return Samples({"folder": str(out), "role": "evaluate"}, info["evaluate"])

    def reference(self, artifact: Artifact, samples: Samples) -> tuple[Path, dict[str, Any]]:
        """Run a model, and keep its outputs in the folder that is returned with what was seen."""
        out = self._folder / "reference"
        job = {"kind": "reference", "artifact": artifact.to_dict(), "samples": samples.job, "task": self._task}
        return out, self._run(artifact, {**job, "out": str(out)})

    def compare(self, artifact: Artifact, samples: Samples, reference: Path, name: str = "other") -> Compared:
        """Run another model on the same samples, and compare it with ``reference``."""
        from edgekit.checks.compared import Compared
        from edgekit.checks.measurement import Measurement

        out = self._folder / name
        job = {
            "kind": "measure",
            "artifact": artifact.to_dict(),
            "samples": samples.job,
            "task": self._task,
            "reference": str(reference),
            "seed": 0,
            "out": str(out),
        }
        return Compared(Measurement.from_dict(self._run(artifact, job)["measurement"]), out, reference)

    def choose(self, recipe: Recipe, base: Artifact, other: Artifact, ways: list[IO]) -> IO:
        """The arrangement of ``other`` under which it does what ``base`` does, tried on a few samples."""
        from edgekit.checks.arrangements import CLEAR_DB, arrange, choose_arrangement
        from edgekit.errors import EdgekitError

        trial = Measuring(self._jobs, self._folder / "trial", None)
        samples = trial.samples(recipe, base, at_most=SYNTHETIC_SAMPLES)
        place, _ = trial.reference(base, samples)
        figures: list[float | None] = []
        refused: EdgekitError | None = None
        for number, io in enumerate(ways):
            try:
                found = trial.compare(arrange(other, io), samples, place, f"way-{number}").measurement.sqnr_db
            except EdgekitError as error:  # the runtime takes no such arrangement
                found, refused = None, error
            figures.append(found)
            if found is not None and found >= CLEAR_DB:
                break
        chosen = choose_arrangement(figures)
        if chosen is None and refused is not None:
            raise refused
        return ways[chosen or 0]

    def _run(self, artifact: Artifact, job: dict[str, Any]) -> dict[str, Any]:
        return self._jobs.call(stack_of(artifact), job, label=f"running {artifact.path.name}")


def data_job(recipe: Recipe, io: IO, at_most: int | None = None) -> dict[str, Any]:
    """The evaluation samples of a recipe as a job's ``data``, its preset spelled out for the model's own input size."""
    from edgekit.engine.task import plain
    from edgekit.plan import complete_data
    from edgekit.planning.build import plan_data

    data = plan_data(recipe)
    assert data is not None
    data = complete_data(data, io)
    if at_most is not None and data.evaluate is not None:
        data = replace(data, evaluate=replace(data.evaluate, samples=min(at_most, data.evaluate.samples or at_most)))
    return plain(data)


def task_job(recipe: Recipe) -> dict[str, Any] | None:
    """The recipe's task as a job names it."""
    from edgekit.engine.task import plain
    from edgekit.planning.build import plan_task

    return None if recipe.task is None else plain(plan_task(recipe))
