"""TensorRT: what its ONNX parser reads, by release. A part that it does not read keeps the whole engine from being
built, so nothing goes to the CPU."""

from __future__ import annotations

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.judge import (
    check_input_types,
    check_opset,
    check_quantized,
    collect_notes,
    judge_operators,
)
from edgekit.devices.rules.table import load_table, read_level
from edgekit.graph import Graph

_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


@rules("tensorrt", judges="onnx")
def place(graph: Graph, profile: Profile) -> Placement:
    """The operators by the release in ``operators.level``; with a level that no list is known for, all not known."""
    table = load_table("tensorrt")
    reading = read_level(table, profile)
    operators = judge_operators(graph, table, reading.release, elsewhere="unsupported")
    return Placement(
        source="predicted",
        operators=operators,
        subgraphs=1 if all(placed.cause == "mapped" for placed in operators) else None,
        transposes=sum(operator.type == "Transpose" for operator in graph.operators),
        violations=(
            *check_opset(graph, table, reading.release),
            *check_input_types(graph, table, reading.release),
            *check_quantized(graph, profile, _QUANTIZING),
        ),
        notes=(*reading.notes, *collect_notes(graph, table, reading.release)),
    )
