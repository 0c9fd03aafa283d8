"""A file that the device's own compiler made -> Judgement: what the file shows, which is the truth, and what it hides.

The operators that were mapped are inside of the compiler's own, which no longer lists them: their number, their
multiply-accumulates and the reasons for which others were left are not known from the file. With the file that it was
compiled from they are: what is not left of that one was mapped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from edgekit.devices.edgetpu_compiler import COMPILED_OPERATOR, remaining, same_ends
from edgekit.devices.judge import Judgement, Need, judge_graph
from edgekit.devices.placement import Cause, Placed, Placement, Where
from edgekit.devices.profile import Profile
from edgekit.devices.programs import read_compiled
from edgekit.graph import Graph, Operator

COMPILED, LEFT = "compiled", "left in the file"
FLOATS = ("float16", "float32", "float64", "bfloat16")
WHY_LEFT = "the compiler left it to the CPU; the file does not say why"
ASK_SOURCE = "check the file that it was compiled from, or name it by --compiled-from"
AT_AN_END = "it turns the model's floats into integers, or back"
HOST = "int8 or uint8 inputs and outputs save it; it costs little"
PREDICTED_REASONS = "where each operator runs is read from the file; why, in the compiler's words, is a prediction"
HIDDEN = "what is inside of the compiled operators, and why others were left, the file does not say"


def judge_compiled(graph: Graph, profile: Profile, source: Graph | None = None) -> Judgement:
    """What a compiled file shows; ``graph`` is that of ``formats.edgetpu``, ``source`` that of the file that it was
    compiled from, if that is known."""
    memory = _memory(graph.metadata)
    notes = tuple(_notes(graph.metadata))
    subgraphs = sum(operator.type == COMPILED_OPERATOR for operator in graph.operators)
    if source is not None:
        predicted = judge_graph(source, profile).placement
        told = (*notes, PREDICTED_REASONS)
        placement = replace(read_compiled(profile, predicted, graph), subgraphs=subgraphs, memory=memory, notes=told)
    else:
        placement = Placement(
            source="compiler",
            operators=tuple(_place(graph, operator) for operator in graph.operators),
            subgraphs=subgraphs,
            transposes=sum(operator.type == "TRANSPOSE" for operator in graph.operators),
            memory=memory,
            notes=(*notes, HIDDEN),
            listed=False,
        )
    fact = profile.memory.parameter_bytes
    has, stated = (None, None) if fact is None else (fact.value, fact.source)
    need = Need("parameter_bytes", memory["parameter_bytes"], has, stated)
    return Judgement(profile.name, placement, (need,), assumed_quantized=False)


def belongs(graph: Graph, source: Graph) -> bool:
    """Whether a compiled file may come from ``source``: all that is left in it is there too, and so are its ends."""
    known = {(operator.type, operator.name) for operator in source.operators}
    return remaining(graph) <= known and same_ends(graph, source)


def _memory(told: Mapping[str, Any]) -> dict[str, int | None]:
    memory = {name: told.get(name) for name in ("cached_parameter_bytes", "streamed_parameter_bytes")}
    parts = [count for count in memory.values() if isinstance(count, int)]
    return {"parameter_bytes": sum(parts) if len(parts) == len(memory) else None, **memory}


def _place(graph: Graph, operator: Operator) -> Placed:
    if operator.type == COMPILED_OPERATOR:
        return _placed(operator, "accelerator", COMPILED, "mapped")
    if _is_at_an_end(graph, operator):
        return _placed(operator, "cpu", LEFT, "host", AT_AN_END, HOST)
    return _placed(operator, "cpu", LEFT, "rejected", WHY_LEFT, ASK_SOURCE)


def _placed(
    operator: Operator, where: Where, status: str, cause: Cause, reason: str | None = None, remedy: str | None = None
) -> Placed:
    one = operator
    return Placed(one.index, one.type, one.name, where, status, cause, reason, remedy, one.macs, one.params)


def _is_at_an_end(graph: Graph, operator: Operator) -> bool:
    """A QUANTIZE of a float input, a DEQUANTIZE to a float output."""
    if operator.type == "QUANTIZE":
        return any(index in graph.inputs and graph.tensors[index].dtype in FLOATS for index in operator.inputs)
    if operator.type == "DEQUANTIZE":
        return any(index in graph.outputs for index in operator.outputs)
    return False


def _notes(told: Mapping[str, Any]) -> Iterator[str]:
    compiler = str(told.get("compiler") or "")
    known = re.search(r"\d", compiler) is not None
    yield f"compiled by {compiler}" if known else "which version of the compiler made it, the file does not say"
    runtime = told.get("min_runtime_version")
    if isinstance(runtime, int) and runtime:
        yield f"the device's runtime has to be of version {runtime} or later"
    if told.get("parameter_caching") not in (None, "no"):
        yield f"parameters are kept on the chip between inferences ({told['parameter_caching']})"
