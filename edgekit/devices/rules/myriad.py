"""Myriad (Movidius sticks, OAK cameras): what OpenVINO's plugin compiles to a blob, straight from ONNX. It computes in
float16 and has no CPU to fall back to: one operator that it refuses, and there is no blob."""

from __future__ import annotations

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.judge import (
    check_input_types,
    check_opset,
    check_static,
    collect_notes,
    judge_operators,
)
from edgekit.devices.rules.table import load_table, read_level
from edgekit.graph import Graph


@rules("myriad", judges="onnx")
def place(graph: Graph, profile: Profile) -> Placement:
    """The operators by the release in ``operators.level``. What was neither measured nor documented is not known."""
    table = load_table("myriad")
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
            *check_static(graph, table),
        ),
        notes=(*reading.notes, *collect_notes(graph, table, reading.release)),
    )
