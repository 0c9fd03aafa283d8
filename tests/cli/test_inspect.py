from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.cli.inspect import count_text, quantization
from edgekit.graph import Graph, Operator, Quantization, TensorInfo

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_a_matrix_product_by_hand(tiny: Any, edgekit_command: Command) -> None:
    found = json.loads(edgekit_command("inspect", tiny.model, "--json").stdout)
    assert found["schema"] == "edgekit.inspect/1"
    assert found["format"] == "onnx"
    assert found["bytes"] == tiny.model.stat().st_size
    assert (found["macs"], found["params"]) == (8 * 3, 8 * 3 + 3)
    assert found["operators"] == {"Gemm": 1}
    assert [(tensor["name"], tensor["shape"], tensor["dtype"]) for tensor in found["inputs"]] == [
        ("x", [1, 8], "float32")
    ]
    assert found["quantization"]["scheme"] == "none"


def test_text(tiny: Any, edgekit_command: Command, snapshot: Any) -> None:
    done = edgekit_command("inspect", "model.onnx", cwd=tiny.folder)
    snapshot("inspect.txt", done.stdout)


def test_a_quantized_file_by_others(edgekit_command: Command, shared_data: Callable[[str], Path]) -> None:
    """MLPerf Tiny's own INT8 file: per-channel weights, int8 at both ends."""
    file = shared_data("models/cifar10_resnet8_int8.tflite")
    found = json.loads(edgekit_command("inspect", file, "--json").stdout)
    assert found["quantization"] == {
        "scheme": "full",
        "weights": "int8",
        "activations": "int8",
        "per_channel": True,
        "io": ["int8"],
        "float_operators": 0,
    }
    assert found["inputs"][0]["quantization"] == {"scale": 1.0, "zero_point": -128}
    assert found["operators"]["CONV_2D"] == 9


def test_published_figures(edgekit_command: Command, shared_data: Callable[[str], Path]) -> None:
    """MobileNetV2: 300.8 M MACs, 3.49 M parameters (1001 classes)."""
    file = shared_data("models/mobilenet_v2_1.0_224_quant.tflite")
    found = json.loads(edgekit_command("inspect", file, "--json").stdout)
    assert found["macs"] == pytest.approx(300.8e6, rel=0.005)
    assert found["params"] == pytest.approx(3.49e6, rel=0.005)


def test_quantization_of_what_edgekit_made(tiny_run: Any, edgekit_command: Command) -> None:
    made = tiny_run.out / "onnxruntime-cpu" / "tiny-onnxruntime-cpu-int8.onnx"
    found = json.loads(edgekit_command("inspect", made, "--json").stdout)
    assert found["quantization"]["scheme"] == "qdq"
    assert found["quantization"]["weights"] == "int8"
    assert found["quantization"]["float_operators"] == 0
    assert "quantization" not in found["metadata"]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (2_700, "2,700"), (270_000, "270,000 (0.27 M)"), (4_651_000, "4,651,000 (4.65 M)")]
)
def test_millions_only_where_there_are_some(number: int, text: str) -> None:
    assert count_text(number) == text


def test_float_parts_of_a_quantized_graph() -> None:
    scale = Quantization((0.5,), (0,))
    tensors = (
        TensorInfo("x", (1, 4), "float32"),
        TensorInfo("xq", (1, 4), "int8", quantization=scale),
        TensorInfo("w", (4, 4), "int8", True, Quantization((0.1,) * 4, (0,) * 4, 0)),
        TensorInfo("yq", (1, 4), "int8", quantization=scale),
        TensorInfo("y", (1, 4), "float32"),
        TensorInfo("z", (1, 4), "float32"),
    )
    operators = (
        Operator(0, "QUANTIZE", (0,), (1,)),
        Operator(1, "FULLY_CONNECTED", (1, 2, -1), (3,), macs=16),
        Operator(2, "DEQUANTIZE", (3,), (4,)),
        Operator(3, "FULLY_CONNECTED", (4, 2, -1), (5,), macs=16),
        Operator(4, "SOFTMAX", (5,), (5,)),
    )
    found = quantization(Graph("tflite", tensors, operators, (0,), (5,)))
    assert found["scheme"] == "full"
    assert found["per_channel"]
    assert found["io"] == ["float32"]
    assert found["float_operators"] == 1


@pytest.mark.parametrize("name", ["missing.onnx", "empty.onnx", "text.onnx"])
def test_no_model(name: str, edgekit_command: Command, tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "text.onnx").write_text("not a model at all, only words")
    done = edgekit_command("inspect", name, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert name in done.stderr


def test_text_of_a_compiled_file(edgekit_command: Command, shared_data: Callable[[str], Path], snapshot: Any) -> None:
    """The bytes are those of the executables inside; its log has 16 of 256 operators on the CPU."""
    file = shared_data("coral/yolov5n-int8_640_edgetpu.tflite")
    done = edgekit_command("inspect", file)
    assert done.returncode == 0, done.stderr
    snapshot("inspect_compiled.txt", done.stdout, {file.parent: "CORAL"})
