"""onnx -> onnx: tensors of five and more axes, or of four of which the first is neither 1 nor a batch, written with at
most four of which the first is 1.

A tensor of many axes is the same numbers in the same order under another shape, so what counts is only what an operator
does to that order. A transpose moves few blocks once axes that stay together are one; where it moves more than three,
it is done in several goes. Slices, joins, reductions and softmax see one axis between what is before it and what is
after it; arithmetic sees no axes at all. A shape of the file's own comes back only where an operator needs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from edgekit.formats.onnx_file import opset_of
from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_lowering import ACTIVATIONS, ARITHMETIC, Lowering, Lying, Rule, Sizes, around
from edgekit.steps.convert.onnx_rewriting import attribute_of, count_notes, put_nodes, rewriting_step
from edgekit.steps.convert.onnx_transposes import collapse

_MOST_BLOCKS = 7  # that a transpose moves: how to do it in several goes is found by trying
_FIRST_OPSET = 7  # of Reshape with an input and of broadcasting as it is now


class Options(StepOptions):
    layout: Literal["channel_last", "channel_first"] = Field(
        "channel_last",
        description="how the runtime that the file is for stores pictures, for the fewest transposes there: TensorFlow "
        "Lite channel_last, the others channel_first",
    )


@rewriting_step("onnx_lower_rank", version=4, options=Options, exact=True)
def onnx_lower_rank(model: Any, options: Options) -> tuple[str, ...]:
    """Write what has five axes or more (reshapes, transposes, slices) with at most four, the first of them 1."""
    rules = _RULES if opset_of(model) >= _FIRST_OPSET else {}
    lowering = Lowering(model, rules, channel_last=options.layout == "channel_last")
    for node in model.graph.node:
        lowering.take(node)
    for value in model.graph.output:
        lowering.restore(value.name)
    if lowering.lowered:
        put_nodes(model, lowering.nodes, lowering.scope)
    return count_notes(lowering.lowered, "by ones of at most four axes")


def _view(node: Any, lowering: Lowering) -> bool:
    """Another shape of the same numbers."""
    lowering.keep(node.output[0], lowering.lying(node.input[0]))
    return True


def _transpose(node: Any, lowering: Lowering) -> bool:
    sizes, lying = lowering.sizes(node.input[0]) or (), lowering.lying(node.input[0])
    order = tuple(attribute_of(node, "perm", None) or reversed(range(len(sizes))))
    if lying.after == sizes:
        turned = Lying(lying.name, lying.sizes, tuple(lying.order[axis] for axis in order))
    elif lying.order == tuple(range(len(lying.order))):
        turned = Lying(lying.name, sizes, order)
    else:
        turned = Lying(lowering.settle(node.input[0]), sizes, order)
    if len(collapse(turned.sizes, turned.order)[0]) > _MOST_BLOCKS:
        return False
    lowering.keep(node.output[0], turned)
    return True


def _activation(node: Any, lowering: Lowering) -> bool:
    """Number by number; other inputs are single numbers, such as the limits of Clip."""
    if len([name for name in node.output if name]) != 1:
        return False
    return _number_by_number(node, lowering, node.input[:1])


def _number_by_number(node: Any, lowering: Lowering, given: Sequence[str]) -> bool:
    """Where all of ``given`` lie in the same way and the other inputs are single numbers: what waits to be transposed
    may go on waiting."""
    ways = {(lowering.sizes(each.name), each.sizes, each.order) for each in map(lowering.lying, given)}
    sizes, read, order = next(iter(ways))
    if len(ways) > 1 or sizes is None:
        return False
    if len(sizes) > 4:
        settled = [lowering.settle(name) for name in given]
        return _keep_settled(node.output[0], _apply(node, lowering, dict(zip(given, settled, strict=True))), lowering)
    output = _apply(node, lowering, {name: lowering.lying(name).name for name in given})
    lowering.keep(node.output[0], Lying(output, read, order))
    return True


def _apply(node: Any, lowering: Lowering, inputs: dict[str, str]) -> str:
    """The node with some of its inputs replaced, all of which have the sizes of the first."""
    sizes = lowering.sizes(next(iter(inputs.values()))) or ()
    return lowering.apply(node, [inputs.get(name, name) for name in node.input], sizes)


def _elementwise(node: Any, lowering: Lowering) -> bool:
    """Computed inputs of the output's sizes, and constants that are repeated over some of its axes."""
    sizes = lowering.sizes(node.output[0]) or ()
    constants = {name: array for name in node.input if (array := lowering.array(name)) is not None}
    computed = [name for name in dict.fromkeys(node.input) if name not in constants]
    if not computed or any(lowering.sizes(name) != sizes for name in computed):
        return False
    numbers = {
        name: lowering.scope.constant(array.reshape(()), f"{name}_number")
        for name, array in constants.items()
        if array.size == 1
    }
    if len(numbers) == len(constants):
        inner = _renamed(node, numbers)
        if _number_by_number(inner, lowering, computed):
            return True
    arrays = list(constants.values())
    groups = _align(sizes, lowering.sizes(lowering.settle(computed[0])) or ())
    if groups is None or _spread(arrays, sizes, groups) > _spread(arrays, sizes, _group_axes(sizes, arrays)):
        groups = _group_axes(sizes, arrays)
    wanted = tuple(math.prod(sizes[axis] for axis in group) for group in groups)
    settled = {name: lowering.settle(name, wanted) for name in computed}
    folded = {
        name: lowering.scope.constant(_fold(array, sizes, groups), f"{name}_low")
        for name, array in constants.items()
        if name not in numbers
    }
    return _keep_settled(node.output[0], _apply(node, lowering, {**settled, **folded, **numbers}), lowering)


def _renamed(node: Any, names: dict[str, str]) -> Any:
    """A copy of a node that reads other tensors."""
    copy = type(node)()
    copy.CopyFrom(node)
    copy.input[:] = [names.get(name, name) for name in node.input]
    return copy


def _align(sizes: Sizes, given: Sizes) -> list[list[int]] | None:
    """For each of the sizes ``given``, the neighbours among the axes that multiply to it; None if there are none."""
    groups: list[list[int]] = []
    axis = 0
    for size in given:
        group: list[int] = []
        while math.prod(sizes[each] for each in group) < size and axis < len(sizes):
            group.append(axis)
            axis += 1
        if math.prod(sizes[each] for each in group) != size:
            return None
        groups.append(group)
    if groups:
        groups[-1].extend(range(axis, len(sizes)))
    return groups


def _group_axes(sizes: Sizes, constants: Sequence[np.ndarray]) -> list[list[int]]:
    """Four groups of neighbouring axes, the first of them empty, over each of which the same constants are repeated
    (where there would be more, constants are spread out)."""
    groups: list[list[int]] = []
    seen = None
    for axis in (axis for axis, size in enumerate(sizes) if size != 1):
        repeated = tuple(_lift(array, sizes)[axis] == 1 for array in constants)
        if repeated == seen:
            groups[-1].append(axis)
        else:
            groups.append([axis])
        seen = repeated
    while len(groups) > 3:
        groups[:2] = [groups[0] + groups[1]]
    return [*[[] for _ in range(4 - len(groups))], *groups]


def _lift(array: np.ndarray, sizes: Sizes) -> Sizes:
    return (*[1] * (len(sizes) - array.ndim), *array.shape)


def _fold(array: np.ndarray, sizes: Sizes, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """A constant for groups of axes: one size for each, 1 for those over which it is repeated."""
    lifted = array.reshape(_lift(array, sizes))
    spread = list(lifted.shape)
    for group in groups:
        if any(spread[axis] != 1 for axis in group):
            for axis in group:
                spread[axis] = sizes[axis]
    folded = [math.prod(spread[axis] for axis in group) for group in groups]
    return np.broadcast_to(lifted, spread).reshape(folded)


def _spread(arrays: Sequence[np.ndarray], sizes: Sizes, groups: Sequence[Sequence[int]]) -> int:
    """How many numbers the constants have in these groups."""
    return sum(_fold(array, sizes, groups).size for array in arrays)


def _keep_settled(name: str, made: str, lowering: Lowering) -> bool:
    sizes = lowering.sizes(made) or ()
    lowering.keep(name, Lying(made, sizes, tuple(range(len(sizes)))))
    return True


def _cut(name: str, axis: int, first: int, last: int, output: str, lowering: Lowering) -> None:
    """The part [first, last) of an axis, taken before a transpose that waits where it is a part of an axis there."""
    sizes, lying = lowering.sizes(name) or (), lowering.lying(name)
    if lying.after == sizes:
        source = lying.order[axis]
        before, size, _ = around(lying.sizes, source)
        given = lowering.sizes(lying.name) or ()
        for place in range(len(given)):
            if math.prod(given[:place]) == before and given[place] % size == 0 and len(given) <= 4:
                inner = given[place] // size
                part = lowering.slice(lying.name, place, first * inner, last * inner)
                left = (*lying.sizes[:source], last - first, *lying.sizes[source + 1 :])
                return lowering.keep(output, Lying(part, left, lying.order))
    settled, place = lowering.isolate(name, axis)
    _keep_settled(output, lowering.slice(settled, place, first, last), lowering)
    return None


def _slice(node: Any, lowering: Lowering) -> bool:
    """Of one axis, without steps; inputs since opset 10."""
    if lowering.scope.opset < 10:
        starts, ends = attribute_of(node, "starts", []), attribute_of(node, "ends", [])
        axes, steps = attribute_of(node, "axes", list(range(len(starts)))), [1]
    else:
        arrays = [lowering.array(name) if name else None for name in node.input[1:]]
        if any(array is None for name, array in zip(node.input[1:], arrays, strict=True) if name):
            return False
        starts, ends = (array.reshape(-1).tolist() for array in arrays[:2] if array is not None)
        given = [None if array is None else array.reshape(-1).tolist() for array in (*arrays[2:], None, None)]
        axes, steps = given[0] or list(range(len(starts))), given[1] or [1]
    sizes = lowering.sizes(node.input[0]) or ()
    if len(starts) != 1 or steps != [1]:
        return False
    axis = axes[0] % len(sizes)
    first, last, _ = slice(starts[0], ends[0]).indices(sizes[axis])
    _cut(node.input[0], axis, first, last, node.output[0], lowering)
    return True


def _split(node: Any, lowering: Lowering) -> bool:
    sizes = lowering.sizes(node.input[0]) or ()
    axis = int(attribute_of(node, "axis", 0)) % len(sizes)
    if any(name == "" for name in node.output):
        return False
    first = 0
    for name in node.output:
        part = (lowering.sizes(name) or ())[axis]
        _cut(node.input[0], axis, first, first + part, name, lowering)
        first += part
    return True


def _gather(node: Any, lowering: Lowering) -> bool:
    """One place of an axis, which then is no more."""
    index, sizes = lowering.array(node.input[1]), lowering.sizes(node.input[0]) or ()
    if index is None or index.ndim:
        return False
    axis = int(attribute_of(node, "axis", 0)) % len(sizes)
    place = int(index) % sizes[axis]
    _cut(node.input[0], axis, place, place + 1, node.output[0], lowering)
    return True


def _concatenation(node: Any, lowering: Lowering) -> bool:
    sizes = lowering.sizes(node.output[0]) or ()
    if any(lowering.array(name) is not None for name in node.input):
        return False
    axis = int(attribute_of(node, "axis", 1)) % len(sizes)
    first, place = lowering.isolate(node.input[0], axis)
    given = lowering.sizes(first) or ()
    inputs = [first]
    for name in node.input[1:]:
        part = (lowering.sizes(name) or ())[axis]
        inputs.append(lowering.settle(name, (*given[:place], part, *given[place + 1 :])))
    joined = (*given[:place], sizes[axis], *given[place + 1 :])
    return _keep_settled(node.output[0], lowering.apply(node, inputs, joined, axis=place), lowering)


def _softmax(node: Any, lowering: Lowering) -> bool:
    """Before opset 13 it ran over all axes from ``axis`` on."""
    sizes, new = lowering.sizes(node.input[0]) or (), lowering.scope.opset >= 13
    axis = int(attribute_of(node, "axis", -1 if new else 1)) % len(sizes)
    settled, place = lowering.isolate(node.input[0], axis, None if new else len(sizes))
    output = lowering.apply(node, [settled], lowering.sizes(settled) or (), axis=place)
    return _keep_settled(node.output[0], output, lowering)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"), _view),
    "Transpose": _transpose,
    **dict.fromkeys(ACTIVATIONS, _activation),
    **dict.fromkeys(ARITHMETIC, _elementwise),
    "Slice": _slice,
    "Split": _split,
    "Gather": _gather,
    "Concat": _concatenation,
    "Softmax": _softmax,
}
