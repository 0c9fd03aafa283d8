"""The graph: what a worker says of a model arrives whole."""

from __future__ import annotations

import json

from edgekit.graph import Graph, Operator, Quantization, TensorInfo


def test_a_graph_travels_as_json() -> None:
    per_channel = Quantization((0.5, 0.25), (0, 1), axis=0)
    tensors = (
        TensorInfo("image", (1, None, 4), "float32"),
        TensorInfo("weight", (2, 4), "int8", True, per_channel, zero=False),
        TensorInfo("axes", (2,), "int64", True, values=(2, 3), zero=False),
    )
    operator = Operator(0, "MatMul", (0, 1, -1), (0,), 2, "mul", {"axis": 1}, macs=8, params=8)
    graph = Graph("onnx", tensors, (operator,), (0,), (0,), {"opset": 17})
    assert Graph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph
