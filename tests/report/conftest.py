"""A run written down by hand: three outputs, of which one passes, one misses a gate, and one has a failed step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.artifact import IO, Artifact, Tensor
from edgekit.checks.measurement import Latency, Measurement, Verdict
from edgekit.engine.results import DataInfo, NodeResult, OutputResult, RunResult
from edgekit.errors import StepError
from edgekit.plan import Node, Output, Plan, Source

IMAGE = IO((Tensor("x", "x", (1, 3, 8, 8), "float32"),), (Tensor("y", "y", (1, 10), "float32"),))

MEASURED = Measurement(
    metric="top1",
    value=0.75,
    interval=(0.72, 0.78),
    drop_points=0.0,
    drop_points_interval=(0.0, 0.0),
    agreement=1.0,
    agreement_interval=(0.996, 1.0),
    sqnr_db=118.25,
    latency_ms=Latency(1.5, 1.25, 2.0),
    samples=850,
    data="evaluate",
    runtime="onnxruntime 1.23.0",
    simulated=False,
    seconds=1.5,
    share=True,
)
LOSSY = replace(
    MEASURED,
    value=0.729,
    interval=(0.698, 0.758),
    drop_points=2.1,
    drop_points_interval=(1.2, 3.0),
    agreement=0.9999,
    sqnr_db=17.04,
    simulated=True,
)
GOOD = Verdict("min_agreement", 0.95, 1.0, (0.996, 1.0), "pass", True)
MISSED = Verdict("max_drop", 1.0, 2.1, (1.2, 3.0), "fail", True)


def artifact(path: Path, format: str, bytes: int) -> Artifact:
    return Artifact(path, format, f"{bytes:064x}", bytes, IMAGE)


@pytest.fixture
def plan() -> Plan:
    def node(id: str, parent: str | None, *outputs: str, **options: object) -> Node:
        return Node(id, id.split("@")[0], options, {}, parent, outputs)

    every = ("android-cpu/fp16", "coral/int8", "openvino-cpu/int8")
    return Plan(
        name="lite0",
        recipe_sha256="ab" * 32,
        source=Source(Path("lite0.pt2"), "torch"),
        nodes=(
            node("torch_to_onnx", None, *every, opset=17),
            node("onnx_to_tflite", "torch_to_onnx", "android-cpu/fp16", "coral/int8"),
            node("tflite_fp16", "onnx_to_tflite", "android-cpu/fp16"),
            node("tflite_int8", "onnx_to_tflite", "coral/int8", io="int8"),
            node("onnx_to_openvino", "torch_to_onnx", "openvino-cpu/int8"),
            node("openvino_int8", "onnx_to_openvino", "openvino-cpu/int8"),
        ),
        outputs=(
            Output("android-cpu/fp16", "android-cpu", "android-cpu", "fp16", "tflite_fp16"),
            Output("coral/int8", "coral", "coral", "int8", "tflite_int8"),
            Output("openvino-cpu/int8", "openvino-cpu", "openvino-cpu", "int8", "openvino_int8"),
        ),
        data=None,
        task=None,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output folder, relative to the working folder as a command would say it."""
    monkeypatch.chdir(tmp_path)
    return Path("edgekit-out/lite0")


@pytest.fixture
def result(folder: Path) -> RunResult:
    refusal = StepError(
        "openvino refuses the operator `Frobnicate` <&> \x1b[31m",
        where="/head/Frobnicate",
        remedy="replace it in the model",
        log=str(folder / "logs/onnx_to_openvino.log"),
        code="operator_refused",
    )
    (folder / "logs").mkdir(parents=True)
    (folder / "logs/onnx_to_openvino.log").write_text("what openvino said\n")
    steps = folder / "steps"
    return RunResult(
        plan_name="lite0",
        recipe_sha256="ab" * 32,
        started="2026-01-02T03:04:05Z",
        seconds=38.2,
        exit_code=5,
        environment={"python": "3.11.7", "platform": "Linux-x86_64", "packages": {"onnx": "1.19.0"}},
        source=artifact(Path("lite0.pt2"), "torch", 18_600_000),
        source_measurement=replace(MEASURED, drop_points=None, drop_points_interval=None, agreement=None, sqnr_db=None),
        nodes=(
            NodeResult(
                "torch_to_onnx", "cached", "", artifact(steps / "a.onnx", "onnx", 18_500_000), MEASURED, (GOOD,)
            ),
            NodeResult("onnx_to_tflite", "done", "new", artifact(steps / "b.tflite", "tflite", 18_400_000), MEASURED),
            NodeResult("tflite_fp16", "done", "new", artifact(steps / "c.tflite", "tflite", 9_300_000), MEASURED),
            NodeResult(
                "tflite_int8",
                "done",
                "option io: uint8 -> int8",
                artifact(steps / "d.tflite", "tflite", 4_820_000),
                LOSSY,
                started=4.0,
                seconds=6.5,
                peak_rss_bytes=900_000_000,
                notes=("2 dead channels mended",),
            ),
            NodeResult("onnx_to_openvino", "failed", "new", error=refusal.to_dict(), seconds=0.5),
            NodeResult("openvino_int8", "skipped", "waited for onnx_to_openvino"),
        ),
        outputs=(
            OutputResult(
                "android-cpu/fp16",
                "android-cpu",
                "fp16",
                0,
                "pass",
                (GOOD,),
                artifact(folder / "android-cpu/lite0-android-cpu-fp16.tflite", "tflite", 9_300_000),
                MEASURED,
                "tflite_fp16",
            ),
            OutputResult(
                "coral/int8",
                "coral",
                "int8",
                1,
                "fail",
                (GOOD, MISSED),
                artifact(folder / "coral/rejected/lite0-coral-int8.tflite", "tflite", 4_820_000),
                LOSSY,
                "tflite_int8",
                "tflite_int8",
                rejected=True,
            ),
            OutputResult("openvino-cpu/int8", "openvino-cpu", "int8", 5, "fail", node="openvino_int8"),
        ),
        data={"evaluate": DataInfo(850, "cd" * 32, True, 1000, (-1.0, 1.0))},
    )
