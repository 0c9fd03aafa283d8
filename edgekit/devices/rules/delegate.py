"""What a TensorFlow Lite delegate takes of a model: the operators of its table, in parts, the largest first. The CPU
runs all the rest, so nothing is unsupported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgekit.devices.limits.view import View
from edgekit.devices.placement import Placed, Placement
from edgekit.devices.profile import Profile
from edgekit.devices.refusals import find_refusal
from edgekit.devices.rules.epochs import split_epochs
from edgekit.devices.rules.judge import collect_notes, judge_operators
from edgekit.devices.rules.table import OperatorTable, load_table, read_level
from edgekit.graph import Graph

LEFT_OVER = "in a part that is left to the CPU"
DECIDED_BY_DRIVER = "accepted; the driver decides"


def place_delegate(name: str, graph: Graph, profile: Profile) -> Placement:
    """By the table of that name. Its ``partitions`` say how many parts the delegate takes (``most``, 0 for all) and how
    many operators one must have (``smallest``); ``driver_decides`` that taking an operator does not yet run it."""
    table = load_table(name)
    reading = read_level(table, profile)
    judged = judge_operators(graph, table, profile, reading.release, elsewhere="cpu")
    folded = _find_folded(graph, profile)
    parts = _find_parts(graph, judged, folded)
    taken = _choose(parts, table.stored["partitions"])
    operators = _give_back(judged, parts, taken, folded, table)
    operators = _settle_folded(graph, operators, folded)
    notes = [
        *reading.notes,
        *_tell_free_sizes(graph, table),
        *collect_notes(graph, table, reading.release),
        *_tell_parts(table, parts, taken),
    ]
    if table.stored.get("driver_decides") and reading.release is not None:
        notes.append(_tell_accepted(table, reading.release, operators))
        operators = tuple(_leave_to_driver(placed, table) for placed in operators)
    return Placement(
        source="predicted",
        operators=operators,
        subgraphs=None if any(placed.cause == "unknown" for placed in operators) else len(taken),
        transposes=sum(operator.type == "TRANSPOSE" for operator in graph.operators),
        notes=tuple(notes),
    )


def _find_folded(graph: Graph, profile: Profile) -> frozenset[int]:
    """Places of what only turns stored weights into floats: delegates read the stored ones, where the profile does not
    rule that out."""
    constants = View(graph).constants
    return frozenset(
        place
        for place, operator in enumerate(graph.operators)
        if operator.type == "DEQUANTIZE"
        and operator.inputs
        and operator.inputs[0] in constants
        and find_refusal(profile, graph, operator) is None
    )


def _find_parts(graph: Graph, judged: Sequence[Placed], folded: frozenset[int]) -> list[tuple[int, ...]]:
    """The epochs of mapped operators, as places in ``graph.operators``."""
    places = [place for place in range(len(graph.operators)) if place not in folded]
    kept = replace(graph, operators=tuple(graph.operators[place] for place in places))
    supported = [judged[place].cause == "mapped" for place in places]
    return [tuple(places[place] for place in epoch) for mapped, epoch in split_epochs(kept, supported) if mapped]


def _choose(parts: Sequence[tuple[int, ...]], partitions: Mapping[str, int]) -> list[tuple[int, ...]]:
    large = [part for part in parts if len(part) >= partitions["smallest"]]
    ranked = sorted(large, key=len, reverse=True)
    return ranked[: partitions["most"] or len(ranked)]


def _give_back(
    judged: Sequence[Placed],
    parts: Sequence[tuple[int, ...]],
    taken: Sequence[tuple[int, ...]],
    folded: frozenset[int],
    table: OperatorTable,
) -> tuple[Placed, ...]:
    """Mapped operators outside of the parts that the delegate takes go back to the CPU."""
    kept = {place for part in taken for place in part} | folded
    sizes = {place: len(part) for part in parts for place in part}
    cutting = sorted(
        {
            placed.type
            for place, placed in enumerate(judged)
            if place not in folded and placed.cause in ("rejected", "unknown")
        }
    )
    remedy = f"rewrite what cuts the model: {', '.join(cutting)}" if cutting else None
    return tuple(
        placed
        if placed.cause != "mapped" or place in kept
        else replace(
            placed,
            placement="cpu",
            status=LEFT_OVER,
            cause="downstream",
            reason=_why_left(table, sizes.get(place, 0)),
            remedy=remedy,
        )
        for place, placed in enumerate(judged)
    )


def _why_left(table: OperatorTable, size: int) -> str:
    partitions = table.stored["partitions"]
    if size < partitions["smallest"]:
        return f"{table.title} takes parts of at least {partitions['smallest']} operators; this one has {size}"
    most = partitions["most"]
    wanted = "only the largest part" if most == 1 else f"only the {most} largest parts"
    return f"{table.title} takes {wanted} by default; this one has {size} {'operator' if size == 1 else 'operators'}"


def _settle_folded(graph: Graph, operators: Sequence[Placed], folded: frozenset[int]) -> tuple[Placed, ...]:
    """Where stored weights are unpacked: with the operators that read them."""
    readers: dict[int, list[Placed]] = {}
    for place, operator in enumerate(graph.operators):
        for index in operator.inputs:
            readers.setdefault(index, []).append(operators[place])
    settled = list(operators)
    for place in folded:
        read_by = [reader for index in graph.operators[place].outputs for reader in readers.get(index, ())]
        if any(reader.placement == "accelerator" for reader in read_by):
            changes = {"placement": "accelerator", "cause": "mapped", "reason": None, "remedy": None}
        else:
            changes = {"placement": "cpu", "cause": "host", "reason": "what reads it is on the CPU", "remedy": None}
        settled[place] = replace(settled[place], status="stored weights", **changes)  # type: ignore[arg-type]
    return tuple(settled)


def _tell_parts(
    table: OperatorTable, parts: Sequence[tuple[int, ...]], taken: Sequence[tuple[int, ...]]
) -> tuple[str, ...]:
    if len(parts) <= len(taken):
        return ()
    sizes = ", ".join(str(len(part)) for part in parts)
    return (f"the model falls into {len(parts)} parts for {table.title} ({sizes} operators); it takes {len(taken)}",)


def _tell_free_sizes(graph: Graph, table: OperatorTable) -> tuple[str, ...]:
    free = View(graph).free_inputs
    if not free:
        return ()
    return (f"free sizes of {', '.join(free)} are taken as fixed by the app: {table.title} needs fixed shapes",)


def _tell_accepted(table: OperatorTable, release: str, operators: Sequence[Placed]) -> str:
    accepted = [placed for placed in operators if placed.placement == "accelerator"]
    macs, all_macs = sum(placed.macs for placed in accepted), sum(placed.macs for placed in operators)
    share = f", {macs / all_macs:.0%} of the MACs" if all_macs else ""
    return (
        f"{table.title} {release} accepts {len(accepted)} of {len(operators)} operators{share}; "
        "which of them run on the accelerator is the driver's choice, and no source lists it"
    )


def _leave_to_driver(placed: Placed, table: OperatorTable) -> Placed:
    if placed.placement != "accelerator":
        return placed
    reason = f"{table.title} accepts it; whether the driver runs it on the accelerator has no source"
    return replace(placed, placement="not_known", status=DECIDED_BY_DRIVER, cause="unknown", reason=reason)
