"""Runs registered steps and formats on one small model, in the engine's own workers, and looks at what they leave."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifact import Artifact
from edgekit.checks.measurement import Measurement
from edgekit.cli.chains import shortest_chain
from edgekit.devices import load_profiles
from edgekit.engine.pool import Pool
from edgekit.formats import FORMATS
from edgekit.registry import Registry
from edgekit.steps import STEPS, Step
from edgekit.tasks import TASKS
from edgekit.toolchains import folder as folder_of_toolchains

MODEL = Path(__file__).with_name("two_heads.py")
SHAPE = (1, 3, 16, 20)
SAMPLES = 12


def own_names(registry: Registry[Any]) -> list[str]:
    """What edgekit itself registers: other tests register small ones of their own in the same process."""
    package = Path(__file__).resolve().parents[2] / "edgekit"
    return [name for name in registry.names() if Path(registry.file_of(name)).resolve().is_relative_to(package)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    registries = (("step_name", STEPS), ("format_name", FORMATS), ("task_name", TASKS))
    for argument, registry in registries:
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, own_names(registry))


class Workshop:
    """A model, the artifacts that chains of steps make of it, and measurements of them.

    Everything that a worker may write to lies below ``root``: its temporary and home folders, the model, each job's
    folder. Each artifact is made once.
    """

    def __init__(self, pool: Pool, root: Path) -> None:
        self.root = root
        self._pool = pool
        self._jobs = 0
        self._made: dict[tuple[str, ...], Artifact] = {}
        self._reference: Path | None = None

    def source(self) -> Artifact:
        if () not in self._made:
            job = {"kind": "read_source", "file": str(self.root / "model" / MODEL.name), "format": "torch"}
            job |= {"factory": "build", "inputs": {"image": {"shape": list(SHAPE)}}}
            self._made[()] = Artifact.from_dict(self._call("torch", job)["artifact"])
        return self._made[()]

    def another_source(self, file: Path, factory: str, inputs: dict[str, tuple[int, ...]]) -> Artifact:
        """Another model than the workshop's own, from a Python file."""
        told = {name: {"shape": list(shape)} for name, shape in inputs.items()}
        job = {"kind": "read_source", "file": str(file), "format": "torch", "factory": factory, "inputs": told}
        return Artifact.from_dict(self._call("torch", job)["artifact"])

    def make(self, chain: Sequence[str]) -> Artifact:
        """What the steps of a chain make of the source."""
        key = tuple(chain)
        if not key:
            return self.source()
        if key not in self._made:
            self._made[key] = self.run(STEPS.get(key[-1]), self.make(key[:-1]), self.new_folder())
        return self._made[key]

    def before(self, step: Step) -> Artifact:
        """An artifact that the step accepts: what stands before it in a route, else what the fewest exact steps
        make."""
        profiles = load_profiles().values()
        routes = [[use.step for use in route] for profile in profiles for route in profile.routes.values()]
        chains = [route[: route.index(step.name)] for route in routes if step.name in route]
        if not chains:
            chains = [[] if step.accepts == "torch" else shortest_chain("torch", step.accepts)]
        return self.make(min(chains, key=len))

    def in_format(self, name: str) -> Artifact | None:
        """The source itself, or what a step makes of it, an exact one if there is one; None: no step writes it."""
        if name == "torch":
            return self.source()
        makers = [step for step in map(STEPS.get, own_names(STEPS)) if step.produces == name]
        if not makers:
            return None
        step = min(makers, key=lambda step: not step.exact)
        return self.run(step, self.before(step), self.new_folder())

    def run(self, step: Step, artifact: Artifact, folder: Path) -> Artifact:
        """Run a step with its default options; ``folder`` gets ``work`` (the step's) and ``out``."""
        (folder / "work").mkdir()
        job = {
            "kind": "step",
            "step": step.name,
            "options": step.options().model_dump(mode="json"),
            "artifact": artifact.to_dict(),
            "samples": self._samples(0) if step.calibrates else None,
            "workdir": str(folder / "work"),
            "out": str(folder / "out"),
            "threads": 2,
            "seed": 0,
            "log": str(folder / "log"),
        }
        made = Artifact.from_dict(self._call(step.stack, job, step.toolchain)["artifact"])
        return replace(made, path=folder / "out" / made.path)

    def read(self, path: Path, format_name: str) -> Artifact:
        """A file as the source model of a run."""
        job = {"kind": "read_source", "file": str(path), "format": format_name, "inputs": {}}
        return Artifact.from_dict(self._call(FORMATS.get(format_name).stack, job)["artifact"])

    def describe(self, artifact: Artifact) -> dict[str, Any]:
        job = {"kind": "describe", "artifact": artifact.to_dict()}
        return dict(self._call(FORMATS.get(artifact.format).stack, job)["graph"])

    def measure(self, artifact: Artifact) -> Measurement:
        """In its own runtime, against the source, on other samples than those that calibrate."""
        job = {"samples": self._samples(1), "task": None, "threads": 2, "seed": 0}
        if self._reference is None:
            self._reference = self.new_folder() / "reference"
            source = {"artifact": self.source().to_dict(), "out": str(self._reference)}
            self._call("torch", {**job, "kind": "reference", **source})
        job |= {"kind": "measure", "artifact": artifact.to_dict(), "reference": str(self._reference)}
        job |= {"out": str(self.new_folder() / "measured")}
        return Measurement.from_dict(self._call(FORMATS.get(artifact.format).stack, job)["measurement"])

    def start(self, stack: str, toolchain: str | None = None) -> None:
        """The stack's worker, ready, with a home and a temporary folder of its own."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGEKIT_TOOLCHAINS", str(folder_of_toolchains()))
            patch.setenv("HOME", str(self.root / "home"))
            patch.setenv("TMPDIR", str(self.root / "tmp"))
            for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
                patch.delenv(variable, raising=False)
            self._pool.start(stack, toolchain)
        while self._pool.is_starting(stack):
            self._pool.wait()

    def new_folder(self) -> Path:
        self._jobs += 1
        folder = self.root / "jobs" / str(self._jobs)
        folder.mkdir(parents=True)
        return folder

    def _call(self, stack: str, job: dict[str, Any], toolchain: str | None = None) -> dict[str, Any]:
        self.start(stack, toolchain)
        return self._pool.call(stack, job)

    def _samples(self, seed: int) -> dict[str, Any]:
        return {"synthetic": SAMPLES, "seed": seed, "io": self.source().io.to_dict()}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    root = tmp_path_factory.mktemp("workshop")
    for name in ("home", "tmp", "model"):
        (root / name).mkdir()
    shutil.copy(MODEL, root / "model")
    with Pool(threads=2, folder=root / "workers") as pool:
        yield Workshop(pool, root)
