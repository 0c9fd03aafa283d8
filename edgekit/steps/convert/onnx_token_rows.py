"""Number by number on pictures of tokens [1, tokens, 1, width], for onnx_convolve_products.

    p [1, T, 1, K] -> Reshape [T, K] -> GELU -> Reshape      becomes      p -> GELU -> Reshape

To the Edge TPU [T, K] is a single row, of which a wide one fits no tile; T rows are dealt out over the tiles.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from edgekit.steps.convert.onnx_lowering import ACTIVATIONS
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, drop_unread, put_nodes

_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min")
_CUTS = ("Split", "Slice")


def keep_rows(model: Any) -> None:
    """Let stretches of such operators work on the picture that they are reshaped from, in place, if nothing but
    reshapes reads what comes of them."""
    scope = Scope(model)
    outputs = {value.name for value in model.graph.output}
    pictures: dict[str, str] = {}  # {tensor of rows: the picture of the same numbers}
    inside: dict[str, Any] = {}  # {its first output: an operator}
    for node in model.graph.node:
        if node.op_type == "Reshape" and _is_rows(scope, node):
            pictures[node.output[0]] = node.input[0]
        elif _is_by_number(scope, node, pictures):
            pictures.update((name, name) for name in node.output)
            if outputs.isdisjoint(node.output):
                inside[node.output[0]] = node
    while left := [name for name, node in inside.items() if not _stands_between(node, scope, inside)]:
        for name in left:
            del inside[name]
    if inside:
        left = [name for node in inside.values() for name in node.input]
        for node in inside.values():
            _write_out_sizes(node, scope)
            _move(node, scope, pictures)
        _forget(model, {name for node in inside.values() for name in node.output})
        put_nodes(model, list(model.graph.node), scope)
        drop_unread(model, left)


def _stands_between(node: Any, scope: Scope, inside: Collection[str]) -> bool:
    """Whether it reads what was reshaped, and reshapes read it, but for others that are ``inside``."""
    makers = [scope.producers.get(name) for name in node.input if name and name not in scope.constants]
    readers = [(name, reader) for name in node.output for reader in scope.readers.get(name, ())]
    return (
        bool(readers)
        and all(maker is not None and (maker.op_type == "Reshape" or maker.output[0] in inside) for maker in makers)
        and all(reader.output[0] in inside or _is_end(reader, name, scope) for name, reader in readers)
    )


def _is_end(node: Any, name: str, scope: Scope) -> bool:
    """Whether it only reshapes ``name``, to sizes that can be written out: all known but for one at most."""
    sizes = scope.shape(node.output[0])
    if node.op_type != "Reshape" or node.domain not in ("", "ai.onnx") or sizes is None or 0 in sizes:
        return False
    return sizes.count(None) <= 1 and len(node.input) == 2 and node.input[0] == name != node.input[1]


def _write_out_sizes(node: Any, scope: Scope) -> None:
    """Let the reshapes that read a node say their sizes in numbers: a 0 would copy an axis of the picture."""
    for reader in [reader for name in node.output for reader in scope.readers.get(name, ())]:
        if reader.op_type == "Reshape":
            sizes = [-1 if size is None else size for size in scope.shape(reader.output[0]) or ()]
            reader.input[1] = scope.constant(np.array(sizes, np.int64), f"{reader.output[0]}_sizes")


def _is_rows(scope: Scope, node: Any) -> bool:
    """[1, T, 1, K] -> [..., K] of T rows."""
    before, after = scope.shape(node.input[0]), scope.shape(node.output[0])
    if before is None or after is None or len(before) != 4 or not all((*before, *after)) or not after:
        return False
    return before[0] == before[2] == 1 and len(after) < 4 and after[-1] == before[3]


def _is_by_number(scope: Scope, node: Any, pictures: dict[str, str]) -> bool:
    """An activation, arithmetic with single numbers, or a part of the last axis, of pictures only."""
    computed = [name for name in node.input if name and name not in scope.constants]
    if not computed or any(name not in pictures for name in computed) or node.domain not in ("", "ai.onnx"):
        return False
    shape = scope.shape(computed[0])
    if shape is None or any(scope.shape(name) != shape for name in computed):
        return False
    stored = [scope.constants[name] for name in node.input if name in scope.constants]
    if node.op_type == "Split":
        return int(attribute_of(node, "axis", 0)) in (-1, len(shape) - 1)
    if node.op_type == "Slice":
        axes = scope.constants.get(node.input[3]) if len(node.input) > 3 else None
        only = computed == [node.input[0]]
        return axes is not None and only and axes.reshape(-1).tolist() in ([-1], [len(shape) - 1])
    return node.op_type in (*ACTIVATIONS, *_ARITHMETIC) and all(array.size == 1 for array in stored)


def _move(node: Any, scope: Scope, pictures: dict[str, str]) -> None:
    """Read pictures instead of rows; single numbers without axes."""
    for place, name in enumerate(node.input):
        array = scope.constants.get(name) if name else None
        if array is None:
            node.input[place] = pictures.get(name, name)
        elif node.op_type not in _CUTS and array.ndim:
            node.input[place] = scope.constant(array.reshape(()), f"{name}_number")
    if node.op_type == "Slice":
        node.input[3] = scope.constant(np.array([3], np.int64), f"{node.output[0]}_axis")
    for attribute in node.attribute:
        if node.op_type == "Split" and attribute.name == "axis":
            attribute.i = 3


def _forget(model: Any, names: set[str]) -> None:
    """Shapes that a file tells of tensors which have others now."""
    kept = [value for value in model.graph.value_info if value.name not in names]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
