"""The networks of tests/networks.py from PyTorch to TensorFlow Lite: exact in float32, close in INT8 or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgekit.artifact import IO, Artifact, hash_files
from edgekit.errors import StepError
from edgekit.formats import FORMATS
from edgekit.steps import STEPS, Context
from edgekit.toolchains import find

CHILD = Path(__file__).with_name("onnx2tf_main.py")
NAMES = ("detector", "segmentation", "pixel_shuffle", "transformer", "audio", "mobilenet_v2")
Sample = dict[str, np.ndarray]


def artifact_of(path: Path, name: str, io: IO) -> Artifact:
    return Artifact(path, name, *hash_files([path]), io)


@pytest.fixture(scope="session")
def converted(
    require: Callable[[str, str], None],
    network: Callable[[str], Artifact],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[Artifact, Artifact]]:
    """{network: (simplified ONNX, float TensorFlow Lite)}, the latter all by one child process."""
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    folder = tmp_path_factory.mktemp("routes")
    simplified = {name: simplify(network(name), folder / name) for name in NAMES}
    jobs = [{"path": str(simplified[name].path), "folder": str(folder / name / "tflite")} for name in NAMES]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-P", str(CHILD), str(folder / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    assert [answer.get("error") for answer in answers] == [None] * len(NAMES)
    return {
        name: (simplified[name], artifact_of(Path(answer["path"]), "tflite", IO.from_dict(answer["io"])))
        for name, answer in zip(NAMES, answers, strict=True)
    }


def simplify(source: Artifact, folder: Path) -> Artifact:
    for name in ("torch_to_onnx", "onnx_simplify"):
        step = STEPS.get(name)
        (folder / name).mkdir(parents=True)
        produced = step.run(Context(folder / name, threads=2), source, step.options())
        source = artifact_of(produced.path, "onnx", produced.io)
    return source


@pytest.fixture(scope="session")
def samples(networks: ModuleType) -> Callable[[str], list[Sample]]:
    def make(name: str, count: int = 24) -> list[Sample]:
        draw = np.random.default_rng(0)
        shapes = networks.INPUTS[name]
        return [
            {key: draw.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()} for _ in range(count)
        ]

    return make


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_exact(
    converted: dict[str, tuple[Artifact, Artifact]],
    sqnr: Callable[..., float],
    samples: Callable[[str], list[Sample]],
    name: str,
):
    exported, written = converted[name]
    assert sqnr(exported, written, samples(name)[:3]) >= 60


@pytest.mark.parametrize("name", NAMES)
def test_costs_are_those_of_the_onnx_file(converted: dict[str, tuple[Artifact, Artifact]], name: str):
    onnx, tflite = (FORMATS.get(artifact.format).describe(artifact) for artifact in converted[name])
    assert tflite.macs == pytest.approx(onnx.macs, rel=0.005)
    assert tflite.params == pytest.approx(onnx.params, rel=0.005)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("compatible", ["tf2.5", "current"])
def test_int8_is_close_or_refused_by_name(
    converted: dict[str, tuple[Artifact, Artifact]],
    run_step: Callable[..., Artifact],
    sqnr: Callable[..., float],
    samples: Callable[[str], list[Sample]],
    name: str,
    compatible: str,
):
    exported, written = converted[name]
    if name == "transformer" and compatible == "tf2.5":
        with pytest.raises(StepError, match=r"does not have .*GELU"):
            run_step("tflite_int8", written, samples(name))
        return
    artifact = run_step("tflite_int8", written, samples(name), compatible=compatible)
    types = {operator.type for operator in FORMATS.get("tflite").describe(artifact).operators}
    assert "DEQUANTIZE" not in types
    assert sqnr(exported, artifact, samples(name)[:6]) > 22


@pytest.mark.parametrize("name", ["detector", "mobilenet_v2"])
def test_fp16_is_closer(
    converted: dict[str, tuple[Artifact, Artifact]],
    run_step: Callable[..., Artifact],
    sqnr: Callable[..., float],
    samples: Callable[[str], list[Sample]],
    name: str,
):
    exported, written = converted[name]
    half = run_step("tflite_fp16", written)
    assert half.bytes < 0.6 * written.bytes
    assert sqnr(exported, half, samples(name)[:3]) > 45
