"""Devices that take a model as a whole or not at all: an engine or a blob is built from the ONNX file, and there is no
CPU to fall back to."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.devices.placement import Placement, Violation
from edgekit.devices.profile import Profile
from edgekit.devices.rules.judge import check_input_types, check_opset, collect_notes, judge_operators
from edgekit.devices.rules.table import load_table, read_level
from edgekit.graph import Graph


def place_whole(name: str, graph: Graph, profile: Profile, violations: Sequence[Violation]) -> Placement:
    """By the table of that name and the release in ``operators.level``; with a level that no list is known for, all not
    known. ``violations`` are those of the device besides opset and input types."""
    table = load_table(name)
    reading = read_level(table, profile)
    operators = judge_operators(graph, table, profile, reading.release, elsewhere="unsupported")
    return Placement(
        source="predicted",
        operators=operators,
        subgraphs=1 if all(placed.cause == "mapped" for placed in operators) else None,
        transposes=sum(operator.type == "Transpose" for operator in graph.operators),
        violations=(
            *check_opset(graph, table, reading.release),
            *check_input_types(graph, table, reading.release),
            *violations,
        ),
        notes=(*reading.notes, *collect_notes(graph, table, reading.release)),
    )
