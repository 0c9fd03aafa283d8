"""Core ML, as ONNX Runtime's execution provider reaches it on iPhones. Its CPU runs what Core ML is not given."""

from __future__ import annotations

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.judge import collect_notes, judge_operators
from edgekit.devices.rules.table import load_table, read_level
from edgekit.graph import Graph


@rules("onnxruntime_coreml", judges="onnx")
def place(graph: Graph, profile: Profile) -> Placement:
    """Core ML itself divides what it gets between Neural Engine, GPU and CPU. Into how many parts ONNX Runtime cuts a
    model that is not taken whole is not known."""
    table = load_table("onnxruntime_coreml")
    reading = read_level(table, profile)
    operators = judge_operators(graph, table, profile, reading.release, elsewhere="cpu")
    return Placement(
        source="predicted",
        operators=operators,
        subgraphs=1 if all(placed.cause == "mapped" for placed in operators) else None,
        transposes=sum(operator.type == "Transpose" for operator in graph.operators),
        notes=(*reading.notes, *collect_notes(graph, table, reading.release)),
    )
