"""The header of an ONNX file, held against what onnx itself reads; damaged files."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgekit.formats import Header
from edgekit.formats.onnx_file import read_model
from edgekit.formats.onnx_header import read_header


def model(opsets: list[tuple[str, int]]) -> onnx.ModelProto:
    """Two inputs, one with free sizes and one scalar; a weight that lies before the inputs in the file."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, None, 300])
    scalar = helper.make_tensor_value_info("scale", TensorProto.FLOAT, [])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, None)
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [500], [0.5] * 500)
    node = helper.make_node("Mul", ["image", "scale"], ["result"])
    graph = helper.make_graph([node], "g", [image, scalar], [result], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets])


@pytest.mark.parametrize(
    ("opsets", "wanted"),
    [
        ([("", 13)], 13),
        ([("com.microsoft", 1), ("ai.onnx", 17)], 17),
        ([("com.microsoft", 1)], None),
        ([("", 300)], 300),
    ],
)
def test_what_it_reads(tmp_path: Path, opsets: list[tuple[str, int]], wanted: int | None) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(opsets).SerializeToString())
    assert read_header(path) == Header(wanted, {"image": (None, 3, None, 300), "scale": ()})


def test_a_negative_size_is_a_free_one(tmp_path: Path) -> None:
    """As some exporters write it; the header and the model say the same."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [-1, 3, -1, 8]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    assert read_header(tmp_path / "m.onnx").inputs == {"x": (None, 3, None, 8)}
    read = read_model(tmp_path / "m.onnx")
    for value in (read.graph.input[0], read.graph.output[0]):
        sizes = value.type.tensor_type.shape.dim
        assert [size.dim_value if size.HasField("dim_value") else None for size in sizes] == [None, 3, None, 8]


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f", b"PK\x03\x04"])
def test_what_is_no_onnx_has_an_empty_header(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert read_header(path) == Header()
    assert read_header(tmp_path / "absent.onnx") == Header()


@given(st.lists(st.tuples(st.integers(0, 2300), st.integers(0, 255)), max_size=4), st.integers(0, 2300))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damage_never_escapes(tmp_path: Path, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(model([("", 13)]).SerializeToString())
    for place, byte in changes:
        if place < len(data):
            data[place] = byte
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(data[: max(length, 1)]))
    assert isinstance(read_header(path), Header)
