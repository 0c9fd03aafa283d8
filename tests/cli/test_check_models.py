"""`edgekit check` on the networks of benchmarks/check_networks.py: what was read by eye once stays as it was read.

Only what a reader relies on is held: the verdict, what is refused and for which reason, and that the steps which the
remedies name cure it. Whole texts: ``python benchmarks/check_models.py``.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
SIDES = {"mobilenet_v3": 224, "yolo": 320, "vit_tiny": 224}

#: Parameters and multiply-accumulates in millions as published: torchvision's page of MobileNetV3-Large; half of the
#: FLOPs of Ultralytics' YOLOv8-n at 640x640, a quarter of it at 320x320 (whose 16 fixed numbers are buffers here);
#: DeiT-Ti's model page. The exact number of parameters is that of their reference code.
PUBLISHED = {"mobilenet_v3": (5_483_032, 217), "yolo": (3_157_184, 1087), "vit_tiny": (5_717_416, 1260)}


@pytest.fixture(scope="module")
def judge(
    repository: Path, edgekit_command: Command, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, Any]]:
    """``judge("yolo", "coral", "onnx_cut_tail")``: the document, with steps added."""
    folder = tmp_path_factory.mktemp("check")
    file = repository / "benchmarks" / "check_networks.py"

    def check(name: str, target: str, *steps: str) -> dict[str, Any]:
        side = SIDES[name]
        words = ["check", f"{file}:{name}", "--shape", f"1x3x{side}x{side}", "--target", target, "--json"]
        done = edgekit_command(*words, *(word for step in steps for word in ("--step", step)), cwd=folder)
        assert done.returncode in (0, 4), done.stderr
        found = json.loads(done.stdout)
        assert found["exit_code"] == done.returncode == (4 if found["verdict"] == "violates" else 0)
        return found

    return check


def rejected(found: dict[str, Any]) -> dict[str, int]:
    kinds = [operator["type"] for operator in found["operators"] if operator["cause"] == "rejected"]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def mapped(found: dict[str, Any]) -> float:
    return float(found["totals"]["mapped_operators"])


@pytest.mark.parametrize("name", SIDES)
def test_networks_are_those_of_the_papers(judge: Callable[..., dict[str, Any]], name: str) -> None:
    params, macs = PUBLISHED[name]
    found = judge(name, "jetson-nano")
    assert sum(operator["macs"] for operator in found["operators"]) / 1e6 == pytest.approx(macs, rel=0.02)
    # Batch norms are folded (four numbers a channel become one), and constants of operators that are not layers count.
    assert sum(operator["params"] for operator in found["operators"]) == pytest.approx(params, rel=0.01)


@pytest.mark.parametrize("name", SIDES)
def test_jetson_nano(judge: Callable[..., dict[str, Any]], name: str) -> None:
    """TensorRT 8.2 at opset 13 has all of their operators (HardSwish comes as HardSigmoid and Mul, LayerNormalization
    in its parts). Of a transformer there are no published times on the board."""
    found = judge(name, "jetson-nano")
    assert (found["verdict"], mapped(found), found["subgraphs"], found["violations"]) == ("fits", 1.0, 1, [])
    assert (found["latency_estimate"] is None) == (name == "vit_tiny")
    assert found["next"] is None


def test_ncs2(judge: Callable[..., dict[str, Any]]) -> None:
    """OpenVINO 2021.4 has no layer HardSigmoid for the Myriad; a step writes it with Clip, and then all of it fits."""
    before = judge("mobilenet_v3", "ncs2")
    assert (before["verdict"], rejected(before)) == ("violates", {"HardSigmoid": 29})
    steps = [word for word in shlex.split(before["next"]) if word.startswith("onnx_")]
    assert steps == ["onnx_replace_activations"]
    after = judge("mobilenet_v3", "ncs2", *steps)
    assert (after["verdict"], mapped(after), after["next"]) == ("fits", 1.0, None)
    assert after["steps"] == ["torch_to_onnx", "onnx_simplify", "onnx_replace_activations"]
    for name in ("yolo", "vit_tiny"):
        assert judge(name, "ncs2")["verdict"] == "fits"


def test_coral_classifier(onnx2tf: Path, judge: Callable[..., dict[str, Any]]) -> None:
    """RELU_0_TO_1 is newer than the compiler, so that nothing compiles; written with RELU6 all of it maps."""
    before = judge("mobilenet_v3", "coral")
    assert before["verdict"] == "violates"
    assert {violation["rule"] for violation in before["violations"]} == {"unknown_operator"}
    assert {"HARD_SWISH": 21, "RELU_0_TO_1": 8}.items() <= rejected(before).items()
    assert "onnx_replace_activations" in shlex.split(before["next"])
    after = judge("mobilenet_v3", "coral", "onnx_replace_activations")
    assert (after["verdict"], mapped(after), after["subgraphs"]) == ("fits", 1.0, 1)


def test_coral_detector(onnx2tf: Path, judge: Callable[..., dict[str, Any]]) -> None:
    """The convolutions map, the decoding of boxes does not, and belongs to the host."""
    before = judge("yolo", "coral")
    assert before["verdict"] == "partial"
    assert before["totals"]["mapped_macs"] > 0.99
    assert {"RESHAPE", "TRANSPOSE", "CONCATENATION"} <= rejected(before).keys()
    assert "onnx_cut_tail" in shlex.split(before["next"])
    after = judge("yolo", "coral", "onnx_cut_tail")
    assert (after["verdict"], mapped(after), after["totals"]["mapped_macs"]) == ("fits", 1.0, 1.0)


def test_coral_transformer(onnx2tf: Path, judge: Callable[..., dict[str, Any]]) -> None:
    """The chip has no product of two computed matrices and no division; GELU does not even parse."""
    found = judge("vit_tiny", "coral")
    assert found["verdict"] == "violates"
    assert {"BATCH_MATMUL": 24, "GELU": 12}.items() <= rejected(found).items()
    assert all("GELU" in violation["message"] for violation in found["violations"])


def test_android_gpu(onnx2tf: Path, judge: Callable[..., dict[str, Any]]) -> None:
    """The delegate takes the largest part alone; what cuts the models is cured by one step each."""
    before = judge("mobilenet_v3", "android-gpu")
    assert (before["verdict"], rejected(before), before["subgraphs"]) == ("partial", {"RELU_0_TO_1": 8}, 1)
    assert mapped(before) < 0.3
    assert mapped(judge("mobilenet_v3", "android-gpu", "onnx_replace_activations")) == 1.0
    before = judge("vit_tiny", "android-gpu")
    assert mapped(before) < 0.1
    assert {
        operator["reason"].split(";")[1] for operator in before["operators"] if operator["cause"] == "rejected"
    } == {" at most 4 are taken"}
    assert mapped(judge("vit_tiny", "android-gpu", "onnx_lower_rank")) == 1.0
    assert mapped(judge("yolo", "android-gpu")) == 1.0
