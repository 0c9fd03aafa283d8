"""How TensorFlow Lite cuts a graph for a delegate: greedy epochs of operators that the delegate takes, or does not."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.graph import Graph


def split_epochs(graph: Graph, supported: Sequence[bool]) -> list[tuple[bool, tuple[int, ...]]]:
    """[(whether the delegate takes them, their places in ``graph.operators``), ...] in the order in which they run.

    An epoch begins with the first operator, in the file's order, whose inputs are there, and takes every operator of
    its kind that can run before one of the other kind. So a branch that waits for the CPU does not cut one that does
    not. Operators that wait for each other in a ring belong to no epoch.
    """
    made = {index for operator in graph.operators for index in operator.outputs if index >= 0}
    missing = [{index for index in operator.inputs if index in made} for operator in graph.operators]
    left = list(range(len(graph.operators)))
    epochs: list[tuple[bool, tuple[int, ...]]] = []
    while True:
        first = next((place for place in left if not missing[place]), None)
        if first is None:
            return epochs
        kind, taken = supported[first], []
        while True:
            place = next((place for place in left if not missing[place] and supported[place] == kind), None)
            if place is None:
                break
            left.remove(place)
            taken.append(place)
            for waiting in left:
                missing[waiting] -= set(graph.operators[place].outputs)
        epochs.append((kind, tuple(taken)))
