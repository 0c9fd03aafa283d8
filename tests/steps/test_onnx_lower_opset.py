"""The same graph in an older opset: the same numbers in ONNX Runtime, and what an older opset cannot say refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edgekit.errors import StepError

from ..onnx_models import Node, apply, check_equal, integers, node, numbers, operators, save

#: What is written -> (nodes, opset, the operators that opset 13 has for it, constants).
WRITTEN: dict[str, tuple[list[Node], int, list[str], dict[str, Any]]] = {
    "only types were added": ([node("Relu", "x", "a"), node("Add", "a", "x", "y")], 21, ["Relu", "Add"], {}),
    "mean": ([node("ReduceMean", "x", "axes", "y", keepdims=0)], 18, ["ReduceMean"], {"axes": integers(-1, 1)}),
    "maximum over all": ([node("ReduceMax", "x", "y")], 18, ["ReduceMax"], {}),
    "mean over nothing": (
        [node("ReduceMean", "x", "axes", "y", noop_with_empty_axes=1)],
        18,
        ["Identity"],
        {"axes": np.zeros(0, np.int64)},
    ),
    "uneven parts": ([helper.make_node("Split", ["x"], ["a", "b", "y"], axis=3, num_outputs=3)], 18, ["Split"], {}),
    "layer norm": (
        [node("LayerNormalization", "x", "s", "b", "y", axis=2, epsilon=1e-3)],
        17,
        ["ReduceMean", "Sub", "Mul", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"],
        {"s": numbers(5, 7), "b": numbers(5, 7)},
    ),
    "hard-swish": ([node("HardSwish", "x", "y")], 14, ["HardSigmoid", "Mul"], {}),
    "mish": ([node("Mish", "x", "y")], 18, ["Softplus", "Tanh", "Mul"], {}),
    "gelu": ([node("Gelu", "x", "y")], 20, ["Mul", "Erf", "Add", "Mul", "Mul"], {}),
    "reshape": ([node("Reshape", "x", "n", "y", allowzero=1)], 14, ["Reshape"], {"n": integers(3, -1)}),
    "pooling": (
        [node("AveragePool", "x", "y", kernel_shape=[2, 2], dilations=[1, 1])],
        19,
        ["AveragePool"],
        {},
    ),
    "resize": (
        [node("Resize", "x", "", "f", "y", mode="linear", keep_aspect_ratio_policy="stretch", antialias=0)],
        18,
        ["Resize"],
        {"f": np.array([1, 1, 2, 2], np.float32)},
    ),
    "shape": ([node("Shape", "x", "n", start=0), node("Reshape", "x", "n", "y")], 15, ["Shape", "Reshape"], {}),
}
REFUSED: dict[str, tuple[list[Node], int, dict[str, Any]]] = {
    "GridSample": ([node("GridSample", "x", "g", "y")], 16, {"g": numbers(2, 4, 4, 2)}),
    "Reshape": ([node("Reshape", "x", "n", "y", allowzero=1)], 14, {"n": integers(0, 105)}),
    "Shape": ([node("Shape", "x", "n", start=1), node("Cast", "n", "y", to=1)], 15, {}),
    "Resize": (
        [node("Resize", "x", "", "f", "y", mode="linear", antialias=1)],
        18,
        {"f": np.array([1, 1, 0.5, 0.5], np.float32)},
    ),
    "Pad": ([node("Pad", "x", "p", "y", mode="wrap")], 19, {"p": integers(0, 0, 1, 1, 0, 0, 1, 1)}),
    "Gelu": ([node("Gelu", "x", "y", approximate="tanh")], 20, {}),
    "RoiAlign": (
        [node("RoiAlign", "x", "r", "n", "y", output_height=2, output_width=2)],
        16,
        {"r": np.array([[0, 0, 3, 3]], np.float32), "n": integers(0)},
    ),
    "ReduceL2": (
        [node("ReduceL2", "x", "axes", "y", noop_with_empty_axes=1)],
        18,
        {"axes": np.zeros(0, np.int64)},
    ),
    "AveragePool": ([node("AveragePool", "x", "y", kernel_shape=[2, 2], dilations=[2, 2])], 19, {}),
}
SHAPE = (2, 3, 5, 7)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_same_numbers(name: str, tmp_path: Path) -> None:
    nodes, opset, older, constants = WRITTEN[name]
    source = save(tmp_path / "s.onnx", nodes, SHAPE, opset=opset, **constants)
    made = apply("onnx_lower_opset", source, tmp_path / "made")
    assert operators(made) == older
    model = onnx.load(made.path)
    assert [entry.version for entry in model.opset_import] == [13]
    onnx.checker.check_model(model, full_check=True)
    check_equal(source, made, SHAPE)


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_older_opset_cannot_say(name: str, tmp_path: Path) -> None:
    nodes, opset, constants = REFUSED[name]
    source = save(tmp_path / "s.onnx", nodes, SHAPE, opset=opset, **constants)
    with pytest.raises(StepError, match=f"opset 13 cannot say .*: 1 {name}$"):
        apply("onnx_lower_opset", source, tmp_path / "made")


def test_bodies_are_lowered_too(tmp_path: Path) -> None:
    def body(operator: str) -> onnx.GraphProto:
        made = helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, SHAPE)
        return helper.make_graph([helper.make_node(operator, ["x"], ["z"])], operator, [], [made])

    chosen = [
        node("ReduceMax", "x", "top", keepdims=0),
        node("Greater", "top", "limit", "large"),
        helper.make_node("If", ["large"], ["y"], then_branch=body("Mish"), else_branch=body("HardSwish")),
    ]
    source = save(tmp_path / "s.onnx", chosen, SHAPE, opset=18, limit=np.array(1e-3, np.float32))
    made = apply("onnx_lower_opset", source, tmp_path / "made")
    onnx.checker.check_model(onnx.load(made.path), full_check=True)
    check_equal(source, made, SHAPE)


def test_an_older_model_stays_as_it_is(tmp_path: Path) -> None:
    source = save(tmp_path / "s.onnx", [node("Relu", "x", "y")], SHAPE, opset=11)
    made = apply("onnx_lower_opset", source, tmp_path / "made")
    assert [entry.version for entry in onnx.load(made.path).opset_import] == [11]
