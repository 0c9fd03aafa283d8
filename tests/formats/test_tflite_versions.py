"""Operator versions: what an operator needs by its types, shapes and attributes, and what TensorFlow 2.5 lacks."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.formats.tflite_versions import find_newer_operators, load_table, needed_version
from edgekit.graph import Graph, Operator, Quantization, TensorInfo

ONE = Quantization((0.5,), (0,))


def graph_of(kind: str, *inputs: TensorInfo, version: int = 1, **attributes: Any) -> Graph:
    """One operator; its output has the first input's type and shape."""
    tensors = (*inputs, inputs[0])
    places = tuple(range(len(inputs)))
    return Graph(
        "tflite",
        tensors,
        (Operator(0, kind, places, (len(inputs),), version, attributes=attributes),),
        (0,),
        (len(inputs),),
    )


def tensor(*shape: int, dtype: str = "int8", scale: float = 0.5) -> TensorInfo:
    return TensorInfo("t", shape, dtype, quantization=None if dtype == "float32" else Quantization((scale,), (0,)))


IMAGE, FLOAT = tensor(1, 8, 8, 4), tensor(1, 8, 8, 4, dtype="float32")
FILTER, BIAS = tensor(4, 3, 3, 4), tensor(4, dtype="int32")


@pytest.mark.parametrize(
    ("graph", "version"),
    [
        (graph_of("CONV_2D", FLOAT, tensor(4, 3, 3, 4, dtype="float32"), BIAS), 1),
        (graph_of("CONV_2D", IMAGE, FILTER, BIAS), 3),
        (graph_of("CONV_2D", IMAGE, tensor(4, 3, 3, 2), BIAS), 6),  # two groups
        (graph_of("DEPTHWISE_CONV_2D", FLOAT, FLOAT, BIAS, dilation_w_factor=2), 2),
        (graph_of("FULLY_CONNECTED", tensor(1, 8), tensor(4, 8), BIAS), 4),
        (graph_of("FULLY_CONNECTED", tensor(1, 8), tensor(4, 8)), 6),
        (graph_of("FULLY_CONNECTED", tensor(1, 8), tensor(4, 8), BIAS, keep_num_dims=True), 5),
        (graph_of("RESIZE_BILINEAR", IMAGE, half_pixel_centers=True), 3),
        (graph_of("RESIZE_BILINEAR", IMAGE), 2),
        (graph_of("TRANSPOSE_CONV", BIAS, FILTER, IMAGE, BIAS), 3),
        (graph_of("TRANSPOSE_CONV", BIAS, FILTER, IMAGE, fused_activation_function="RELU"), 4),
        (graph_of("TRANSPOSE", tensor(1, 2, 3, 4, 5)), 4),
        (graph_of("MUL", tensor(1, 8, scale=2.0), tensor(1, 8, scale=2.0)), 3),  # 2 * 2 / 2 is above 1
        (graph_of("MUL", IMAGE, IMAGE), 2),
        (graph_of("ADD", IMAGE, IMAGE), 2),
        (graph_of("ADD", IMAGE, IMAGE, version=3), 3),
        (graph_of("DEQUANTIZE", tensor(4, dtype="float16")), 3),
        (graph_of("RESHAPE", IMAGE), 1),
    ],
)
def test_the_version_an_operator_needs(graph: Graph, version: int):
    assert needed_version(graph.operators[0], graph.tensors) == version


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (graph_of("GELU", IMAGE), "GELU (operator 0)"),
        (graph_of("CONV_2D", IMAGE, tensor(4, 3, 3, 2), BIAS), "CONV_2D version 6 (operator 0; it has 5)"),
        (graph_of("TILE", IMAGE, BIAS), "TILE version 3 (operator 0; it has 2)"),
        (graph_of("SQRT", IMAGE), "SQRT in int8 (operator 0)"),
        (graph_of("edgetpu-custom-op", IMAGE), "edgetpu-custom-op (operator 0)"),
        (graph_of("ADD", IMAGE, IMAGE, version=4), "ADD version 4 (operator 0; it has 3)"),
    ],
)
def test_what_tensorflow_25_lacks_is_named(graph: Graph, told: str):
    assert [str(newer) for newer in find_newer_operators(graph)] == [told]


@pytest.mark.parametrize(
    "graph", [graph_of("SQRT", FLOAT), graph_of("CONV_2D", IMAGE, FILTER, BIAS), graph_of("BATCH_MATMUL", IMAGE, IMAGE)]
)
def test_what_it_has_is_not(graph: Graph):
    assert find_newer_operators(graph) == []


def test_the_table_holds_together():
    table = load_table()
    assert table.runtime == "TensorFlow 2.5.3"
    assert table.newest["CONV_2D"] == 5
    assert table.newest["FULLY_CONNECTED"] == 9
    assert "GELU" not in table.newest
    assert table.without_int8 <= table.newest.keys()
    assert all(version >= 1 for version in (*table.newest.values(), *table.int8.values()))
