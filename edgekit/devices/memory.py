"""What a graph needs of a device's memory: its constants, and the activations that must be held at one time."""

from __future__ import annotations

import re
from collections.abc import Iterable

from edgekit.graph import Graph, TensorInfo


def tensor_bytes(tensor: TensorInfo) -> int | None:
    """The bytes of a tensor's numbers; None if its size or that of its type is not known."""
    size, bits = tensor.elements, _bits(tensor.dtype)
    return None if size is None or bits is None else (size * bits + 7) // 8


def parameter_bytes(graph: Graph) -> int | None:
    """The bytes of all constants that an operator reads."""
    read = {index for operator in graph.operators for index in operator.inputs if index >= 0}
    return _total(graph.tensors[index] for index in read if graph.tensors[index].constant)


def peak_activation_bytes(graph: Graph) -> int | None:
    """The most bytes of computed tensors (inputs and outputs included) that are alive at one time, when operators run
    one after the other in the graph's order and a tensor goes after its last reader."""
    first: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    last: dict[int, int] = dict.fromkeys(graph.inputs, 0)
    for place, operator in enumerate(graph.operators):
        for index in (*operator.outputs, *operator.inputs):
            if index >= 0 and not graph.tensors[index].constant:
                first.setdefault(index, place)
                last[index] = place
    last.update(dict.fromkeys((index for index in graph.outputs if index in first), len(graph.operators)))
    change = [0] * (len(graph.operators) + 2)
    for index, begin in first.items():
        size = tensor_bytes(graph.tensors[index])
        if size is None:
            return None
        change[begin] += size
        change[last[index] + 1] -= size
    most = held = 0
    for delta in change:
        held += delta
        most = max(most, held)
    return most


def _total(tensors: Iterable[TensorInfo]) -> int | None:
    sizes = [tensor_bytes(tensor) for tensor in tensors]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _bits(dtype: str) -> int | None:
    """8 for ``bool``; else the number in a type's name (``bfloat16``, ``complex64``); None if it has none."""
    if dtype == "bool":
        return 8
    found = re.search(r"\d+", dtype)
    return None if found is None else int(found.group())
