"""onnx -> onnx: joins with constants and picks of neighbours, in the operators that accelerators have for them.

Concat(constant, x)  (a class token)      becomes      Pad(x) + constants, which are zero where x is
Gather(x, [4, 5, 6])                      becomes      Slice(x, 4, 7)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, count_notes, replace_nodes, rewriting_step

_FIRST_OPSET = 11  # of Pad and Slice with inputs


class Options(StepOptions):
    keep: tuple[str, ...] = Field((), description="names of nodes that stay as they are")


@rewriting_step("onnx_pad_and_slice", version=2, options=Options, exact=True)
def onnx_pad_and_slice(model: Any, options: Options) -> tuple[str, ...]:
    """Write joins with constants as padding and an addition, and picks of neighbouring places as slices."""

    def rule(node: Any, scope: Scope) -> list[Any] | None:
        if node.name in options.keep or scope.opset < _FIRST_OPSET:
            return None
        return _pad(node, scope) if node.op_type == "Concat" else _slice(node, scope)

    return count_notes(replace_nodes(model, {"Concat": rule, "Gather": rule}), "by padding and slices")


def _pad(node: Any, scope: Scope) -> list[Any] | None:
    """A join of one computed tensor with constants, not along the batch. Constants that are zero need no addition."""
    from onnx import helper

    arrays = [scope.constants.get(name) for name in node.input]
    computed = [place for place, array in enumerate(arrays) if array is None]
    shape, output = scope.shape(node.input[computed[0]]) if len(computed) == 1 else None, node.output[0]
    if shape is None or not all(shape) or len(arrays) == 1 or not scope.is_float(node.input[computed[0]]):
        return None
    sizes, dtype = [size or 0 for size in shape], scope.dtype(node.input[computed[0]])
    axis = int(attribute_of(node, "axis", 0)) % len(sizes)
    if axis == 0:
        return None
    parts = [np.zeros(sizes, dtype) if array is None else array for array in arrays]
    sides = np.zeros((2, len(sizes)), np.int64)
    sides[:, axis] = [
        sum(part.shape[axis] for part in some) for some in (parts[: computed[0]], parts[computed[0] + 1 :])
    ]
    pads = scope.constant(sides.reshape(-1), f"{output}_pads")
    constants = np.concatenate(parts, axis)
    padded = scope.new_name(f"{output}_padded") if constants.any() else output
    nodes = [helper.make_node("Pad", [node.input[computed[0]], pads], [padded], name=padded, mode="constant")]
    if padded != output:
        added = scope.constant(constants, f"{output}_constants")
        nodes.append(helper.make_node("Add", [padded, added], [output], name=node.name))
    return nodes


def _slice(node: Any, scope: Scope) -> list[Any] | None:
    """A pick of one place (its axis is then no more), or of places that follow one another."""
    from onnx import helper

    indices, shape = scope.constants.get(node.input[1]), scope.shape(node.input[0])
    if indices is None or indices.ndim > 1 or not indices.size or shape is None or node.input[0] in scope.constants:
        return None
    axis = int(attribute_of(node, "axis", 0)) % len(shape)
    places, size = [int(index) for index in indices.reshape(-1)], shape[axis]
    if size is None and min(places) < 0:
        return None
    first = places[0] % size if size else places[0]
    if [place % size if size else place for place in places] != list(range(first, first + len(places))):
        return None
    output = node.output[0]
    left = scope.shape(output)
    if indices.ndim == 0 and (left is None or not all(left)):
        return None
    ends = ((first, "first"), (first + len(places), "last"), (axis, "axis"))
    limits = [scope.constant(np.array([end], np.int64), f"{output}_{what}") for end, what in ends]
    if indices.ndim == 1:
        return [helper.make_node("Slice", [node.input[0], *limits], [output], name=node.name)]
    cut, wanted = scope.new_name(f"{output}_cut"), scope.constant(np.array(left, np.int64), f"{output}_sizes")
    return [
        helper.make_node("Slice", [node.input[0], *limits], [cut], name=node.name),
        helper.make_node("Reshape", [cut, wanted], [output], name=f"{output}_reshape"),
    ]
