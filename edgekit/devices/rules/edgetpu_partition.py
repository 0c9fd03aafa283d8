"""Where a delegate's compiler cuts a graph: TensorFlow Lite's greedy epochs over supported and refused operators."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

from edgekit.graph import Graph


def first_region(graph: Graph, supported: Sequence[bool]) -> frozenset[int]:
    """The places (in ``graph.operators``) of the first supported epoch; empty if nothing is supported.

    An epoch takes every operator of one kind that can run before one of the other kind is needed. It begins with the
    first operator, in the file's order, whose inputs are there. Only the first supported epoch becomes a subgraph.
    """
    waiting, readers = _count_missing(graph)
    ready: dict[bool, deque[int]] = {True: deque(), False: deque()}
    for place, missing in enumerate(waiting):
        if missing == 0:
            ready[supported[place]].append(place)
    while ready[True] or ready[False]:
        kind = _next_kind(ready)
        epoch = _take_epoch(kind, ready, waiting, readers, graph, supported)
        if kind:
            return frozenset(epoch)
    return frozenset()


def _next_kind(ready: dict[bool, deque[int]]) -> bool:
    if not ready[True] or not ready[False]:
        return bool(ready[True])
    return min(ready[True]) < min(ready[False])


def _take_epoch(
    kind: bool,
    ready: dict[bool, deque[int]],
    waiting: list[int],
    readers: dict[int, list[int]],
    graph: Graph,
    supported: Sequence[bool],
) -> list[int]:
    taken = []
    while ready[kind]:
        place = ready[kind].popleft()
        taken.append(place)
        for output in set(graph.operators[place].outputs):
            for reader in readers.get(output, ()):
                waiting[reader] -= 1
                if waiting[reader] == 0:
                    ready[supported[reader]].append(reader)
    return taken


def _count_missing(graph: Graph) -> tuple[list[int], dict[int, list[int]]]:
    """(for each operator, how many of its input tensors some operator has yet to make; {tensor: its readers})."""
    made = {output for operator in graph.operators for output in operator.outputs if output >= 0}
    readers: dict[int, list[int]] = defaultdict(list)
    waiting = []
    for place, operator in enumerate(graph.operators):
        needed = {index for index in operator.inputs if index in made}
        waiting.append(len(needed))
        for index in needed:
            readers[index].append(place)
    return waiting, readers
