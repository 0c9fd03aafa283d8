"""What the tests of steps share: running one by its name, sources from tests/networks.py, and SQNR against a source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgekit.artifact import Artifact, Build, Tail, hash_files
from edgekit.formats import FORMATS, Declared
from edgekit.formats.runner import open_runner
from edgekit.numerics.sqnr import decibels, signal_and_noise
from edgekit.steps import STEPS, Context

Sample = dict[str, np.ndarray]


@pytest.fixture
def run_step(tmp_path: Path) -> Callable[..., Artifact]:
    """``run_step("onnx_int8", artifact, samples, per_channel=False)``: the artifact that the step writes, each call
    into a folder of its own."""
    runs = 0

    def run(name: str, artifact: Artifact, samples: Sequence[Sample] | None = None, **options: Any) -> Artifact:
        nonlocal runs
        runs += 1
        step = STEPS.get(name)
        folder = tmp_path / f"{runs}-{name}"
        folder.mkdir()
        context = Context(folder, samples, threads=2)
        produced = step.run(context, artifact, step.options(**options))
        sha256, size = hash_files(FORMATS.get(step.produces).files(produced.path))
        tail = produced.tail and Tail(produced.tail.path, *hash_files([produced.tail.path]), produced.tail.io)
        return Artifact(produced.path, step.produces, sha256, size, produced.io, tail=tail)

    return run


@pytest.fixture(scope="session")
def source() -> Callable[..., Artifact]:
    """``source(path, shapes, Build("factory"))``: a torch source."""

    def make(path: Path, shapes: dict[str, tuple[int, ...]], build: Build | None = None) -> Artifact:
        known = FORMATS.get("torch")
        sha256, size = hash_files([path])
        return Artifact(path, "torch", sha256, size, known.read_io(path, Declared(dict(shapes)), build), build)

    return make


@pytest.fixture(scope="session")
def network(networks: ModuleType, networks_file: Path, source: Callable[..., Artifact]) -> Callable[[str], Artifact]:
    """``network("detector")``: a network of tests/networks.py as a torch source."""
    return lambda name: source(networks_file, networks.INPUTS[name], Build(name))


@pytest.fixture(scope="session")
def sqnr() -> Callable[[Artifact, Artifact, Sequence[Sample]], float]:
    """``sqnr(reference, artifact, samples)``: dB over all samples, the worst output's."""

    def measure(reference: Artifact, artifact: Artifact, samples: Sequence[Sample]) -> float:
        first, second = open_runner(reference, 2), open_runner(artifact, 2)
        powers: dict[str, np.ndarray] = {}
        for sample in samples:
            expected, found = first.run(sample), second.run(sample)
            assert expected.keys() == found.keys()
            for name in expected:
                pair = np.array(signal_and_noise(expected[name], found[name]))
                powers[name] = powers.get(name, np.zeros(2)) + pair
        return min(decibels(*pair) for pair in powers.values())

    return measure
