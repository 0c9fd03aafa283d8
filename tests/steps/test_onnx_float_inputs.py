"""Casts of integer inputs leave the model: the same numbers, fed as floats, and whatever else reads the input kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.artifact import Artifact

from ..onnx_models import Node, apply, node, numbers, operators, run, save

SHAPE = (2, 4, 5, 3)
FLOAT = TensorProto.FLOAT


def picture(dtype: str) -> np.ndarray:
    limits = np.iinfo(dtype)
    return np.random.default_rng(1).integers(limits.min, limits.max, SHAPE, endpoint=True).astype(dtype)


def lift(source: Artifact, folder: Path, **options: object) -> Artifact:
    return apply("onnx_float_inputs", source, folder, **options)


def taken_from(artifact: Artifact) -> str:
    kind = onnx.load(artifact.path).graph.input[0].type.tensor_type.elem_type
    told = str(helper.tensor_dtype_to_np_dtype(kind))
    assert artifact.io.inputs[0].dtype == told
    return told


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_the_same_numbers(dtype: str, tmp_path: Path) -> None:
    nodes = [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Cast", "t", "f", to=FLOAT),
        node("Cast", "x", "g", to=FLOAT),
        node("Transpose", "g", "h", perm=[0, 3, 1, 2]),
        node("Mul", "f", "h", "m"),
        node("Conv", "m", "w", "y"),
    ]
    source = save(tmp_path / "s.onnx", nodes, SHAPE, dtype=dtype, w=numbers(4, 3, 1, 1))
    made = lift(source, tmp_path / "made")
    assert operators(made) == ["Transpose", "Transpose", "Mul", "Conv"]
    assert taken_from(made) == "float32"
    onnx.checker.check_model(onnx.load(made.path), full_check=True)
    x = picture(dtype)
    np.testing.assert_array_equal(run(made, x.astype(np.float32)), run(source, x))


def test_a_body_reads_what_the_cast_read(tmp_path: Path) -> None:
    def body(operator: str) -> onnx.GraphProto:
        made = helper.make_tensor_value_info("z", FLOAT, SHAPE)
        return helper.make_graph([helper.make_node(operator, ["f"], ["z"])], operator, [], [made])

    nodes = [
        node("Cast", "x", "f", to=FLOAT),
        node("ReduceMax", "f", "top", keepdims=0),
        node("Greater", "top", "limit", "large"),
        helper.make_node("If", ["large"], ["y"], then_branch=body("Sqrt"), else_branch=body("Neg")),
    ]
    source = save(tmp_path / "s.onnx", nodes, SHAPE, dtype="uint8", limit=np.array(9, np.float32))
    made = lift(source, tmp_path / "made")
    assert "Cast" not in operators(made)
    x = picture("uint8")
    np.testing.assert_array_equal(run(made, x.astype(np.float32)), run(source, x))


KEPT: dict[str, tuple[str, list[Node]]] = {
    "numbers that floats do not hold": ("int32", [node("Cast", "x", "y", to=FLOAT)]),
    "an output": ("uint8", [node("Cast", "x", "y", to=FLOAT)]),
    "half precision": ("uint8", [node("Cast", "x", "h", to=TensorProto.FLOAT16), node("Cast", "h", "y", to=FLOAT)]),
    "another reader": (
        "uint8",
        [
            node("Cast", "x", "f", to=FLOAT),
            node("Equal", "x", "x", "same"),
            node("Cast", "same", "s", to=FLOAT),
            node("Add", "f", "s", "y"),
        ],
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_stays(name: str, tmp_path: Path) -> None:
    dtype, nodes = KEPT[name]
    source = save(tmp_path / "s.onnx", nodes, SHAPE, dtype=dtype)
    made = lift(source, tmp_path / "made")
    assert operators(made) == [one.op_type for one in nodes]
    assert taken_from(made) == dtype


def test_inputs_to_keep(tmp_path: Path) -> None:
    source = save(tmp_path / "s.onnx", [node("Cast", "x", "f", to=FLOAT), node("Neg", "f", "y")], SHAPE, dtype="uint8")
    assert taken_from(lift(source, tmp_path / "kept", keep=("x",))) == "uint8"
    assert taken_from(lift(source, tmp_path / "made")) == "float32"
