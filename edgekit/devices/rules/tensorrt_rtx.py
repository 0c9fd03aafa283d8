"""TensorRT-RTX on a desktop GPU: the operators that its own parser names, within the limits of the TensorRT whose
parser it continues. A part that it does not read keeps the whole engine from being built."""

from __future__ import annotations

from dataclasses import replace

from edgekit.devices.placement import Placed, Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.judge import NOT_KNOWN, check_opset, judge_operators
from edgekit.devices.rules.table import load_table, read_level
from edgekit.graph import Graph


@rules("tensorrt_rtx", judges="onnx")
def place(graph: Graph, profile: Profile) -> Placement:
    """What its parser does not name is unsupported; what it names beyond the limits that are known is not known."""
    own, known = load_table("tensorrt_rtx"), load_table("tensorrt")
    reading = read_level(own, profile)
    named = judge_operators(graph, own, profile, reading.release, elsewhere="unsupported")
    limited = judge_operators(graph, known, profile, own.stored["like"], elsewhere="unsupported")
    refused = frozenset(own.stored["refused_limits"])
    operators = tuple(_join(*pair, refused) for pair in zip(named, limited, strict=True))
    return Placement(
        source="predicted",
        operators=operators,
        subgraphs=1 if all(placed.cause == "mapped" for placed in operators) else None,
        transposes=sum(operator.type == "Transpose" for operator in graph.operators),
        violations=check_opset(graph, own, reading.release),
        notes=reading.notes,
    )


def _join(named: Placed, limited: Placed, refused: frozenset[str]) -> Placed:
    if named.cause != "mapped" or limited.cause == "mapped":
        return named
    if limited.type in refused:
        return limited
    reason = f"TensorRT-RTX names it; TensorRT would not take it so: {limited.reason}"
    return replace(limited, placement="not_known", status=NOT_KNOWN, cause="unknown", reason=reason)
