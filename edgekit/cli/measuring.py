"""Measures single model files with the engine's workers: samples are prepared once, one model is the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli.jobs import Jobs, stack_of
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.artifact import IO, Artifact
    from edgekit.checks.measurement import Measurement
    from edgekit.recipe import Recipe

SYNTHETIC_SAMPLES = 8
# An arrangement that reaches CLEAR_DB is right; below it, another must be better by MARGIN_DB than the likeliest.
CLEAR_DB, MARGIN_DB, REFUSED = 10.0, 6.0, -1000.0


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
        """The arrangement of ``other`` under which it does what ``base`` does, tried on a few samples.

        The first (likeliest) one stands unless another is clearly nearer: two quantized models may both be far from one
        another on samples that neither was made for, and then a difference of a few dB says nothing.
        """
        from edgekit.cli.mapping import arrange
        from edgekit.errors import EdgekitError

        trial = Measuring(self._jobs, self._folder / "trial", None)
        samples = trial.samples(recipe, base, at_most=SYNTHETIC_SAMPLES)
        place, _ = trial.reference(base, samples)
        figures: list[float] = []
        refused: EdgekitError | None = None
        for number, io in enumerate(ways):
            try:
                found = trial.compare(arrange(other, io), samples, place, f"way-{number}").measurement.sqnr_db
            except EdgekitError as error:  # the runtime takes no such arrangement
                found, refused = None, error
            figures.append(REFUSED if found is None else found)
            if figures[-1] >= CLEAR_DB:
                return io
        best = max(figures)
        if best == REFUSED and refused is not None:
            raise refused
        return ways[0] if best < figures[0] + MARGIN_DB else ways[figures.index(best)]

    def _run(self, artifact: Artifact, job: dict[str, Any]) -> dict[str, Any]:
        return self._jobs.call(stack_of(artifact), job, label=f"running {artifact.path.name}")


@dataclass(frozen=True)
class Compared:
    """A measurement against a reference, and the folders that hold its figures sample by sample."""

    measurement: Measurement
    records: Path
    reference: Path

    def outputs(self) -> list[tuple[str, float]]:
        """(name, SQNR in dB over all samples) of each output."""
        import json

        from edgekit.numerics.sqnr import decibels

        names = [output["name"] for output in json.loads((self.reference / "reference.json").read_text())["outputs"]]
        signal, noise = self._sums()
        return [
            (name, decibels(float(signal[:, place].sum()), float(noise[:, place].sum())))
            for place, name in enumerate(names)
        ]

    def worst(self, ids: list[str] | None, count: int) -> list[dict[str, Any]]:
        """The samples that differ most: {sample, sqnr_db of its worst output, same_decision or None}."""
        import numpy as np

        from edgekit.numerics.sqnr import decibels

        signal, noise = self._sums()
        figures = [
            min(decibels(float(s), float(n)) for s, n in zip(*row, strict=True))
            for row in zip(signal, noise, strict=True)
        ]
        with np.load(self.records / "records.npz", allow_pickle=False) as records:
            agreement = records.get("agreement")
        order = sorted(range(len(figures)), key=lambda index: (figures[index], index))[:count]
        return [
            {
                "sample": ids[index] if ids else str(index),
                "sqnr_db": figures[index],
                "same_decision": None if agreement is None else bool(agreement[index] == 1),
            }
            for index in order
        ]

    def _sums(self) -> tuple[Any, Any]:
        import numpy as np

        with np.load(self.records / "records.npz", allow_pickle=False) as records:
            return records["signal"], records["noise"]


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
