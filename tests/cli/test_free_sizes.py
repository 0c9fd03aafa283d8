"""A model whose file leaves height and width free: what its sizes are is said with ``--shape``, by every command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

Command = Callable[..., subprocess.CompletedProcess[str]]
SIZES = "1x3x16x16"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``free.onnx``, a convolution of ``image`` (n, 3, h, w) with its mean as the output ``out`` (n, 5),
    and ``fixed.onnx``, the same for 1x3x16x16."""
    made = tmp_path_factory.mktemp("free")
    weights = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["out"]),
    ]
    for name, shape, out in (("free", ["n", 3, "h", "w"], ["n", 5]), ("fixed", [1, 3, 16, 16], [1, 5])):
        graph = helper.make_graph(
            nodes,
            "free",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, out)],
            [numpy_helper.from_array(weights, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, made / f"{name}.onnx")
    return made


@pytest.mark.parametrize("shape", [SIZES, f"image={SIZES}"])
def test_convert_to_tflite(shape: str, onnx2tf: Path, folder: Path, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("convert", "free.onnx", "--shape", shape, "--to", "tflite", "-o", tmp_path, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "1x16x16x3 float32" in done.stdout
    assert "out 1x5 float32" in done.stdout
    made = tmp_path / "tflite" / "free-tflite-fp32.tflite"
    compared = edgekit_command("compare", made, "free.onnx", "--shape", shape, "--json", cwd=folder)
    assert compared.returncode == 0, compared.stderr  # the shape is that of B; A has its own, in another order
    assert json.loads(compared.stdout)["sqnr_db"] > 100


def test_convert_to_openvino(folder: Path, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("convert", "free.onnx", "--shape", SIZES, "--to", "openvino", "-o", tmp_path, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "out 1x5 float32" in done.stdout
    import openvino

    model = openvino.Core().read_model(tmp_path / "openvino" / "free-openvino-fp32.xml")
    assert [list(port.shape) for port in (*model.inputs, *model.outputs)] == [[1, 3, 16, 16], [1, 5]]


def test_inspect(folder: Path, edgekit_command: Command) -> None:
    import openvino

    openvino.save_model(openvino.convert_model(folder / "free.onnx"), folder / "free.xml", compress_to_fp16=False)
    for name in ("free.onnx", "free.xml"):
        done = edgekit_command("inspect", name, "--shape", SIZES, "--json", cwd=folder)
        found = json.loads(done.stdout)
        assert [tensor["shape"] for tensor in (*found["inputs"], *found["outputs"])] == [[1, 3, 16, 16], [1, 5]]
        assert found["macs"] == 14 * 14 * 5 * 27
    refused = edgekit_command("inspect", "free.onnx", cwd=folder)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "has free sizes: ?x3x?x?" in refused.stderr
    assert "--shape image=" in refused.stderr


@pytest.mark.parametrize("pair", [("free.onnx", "fixed.onnx"), ("fixed.onnx", "free.onnx")])
def test_compare(pair: tuple[str, str], folder: Path, edgekit_command: Command) -> None:
    done = edgekit_command("compare", *pair, "--shape", SIZES, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sqnr_db"] == 200.0


def test_a_shape_without_a_name_is_of_the_only_input(edgekit_command: Command, tmp_path: Path) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, "k"]) for name in ("a", "b", "sum")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "two", info[:2], info[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    done = edgekit_command("inspect", "m.onnx", "--shape", "1x4x8", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "m.onnx has several inputs: a, b" in done.stderr
    assert edgekit_command("inspect", "m.onnx", *("--shape", "a=1x4x8", "--shape", "b=1x4x8"), cwd=tmp_path).stdout
