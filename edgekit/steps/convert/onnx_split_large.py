"""onnx -> onnx: layers whose weights or outputs are more than an accelerator takes, made in parts that are joined.

Fully connected layers and transposed convolutions are split by their outputs, each part with its share of the weights;
a transpose by the rows that it moves; the window of a convolution into parts whose results are added up. The numbers
are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import Rule, Scope, attribute_of, count_notes, replace_nodes, rewriting_step
from edgekit.steps.convert.onnx_windows import split_window

_LAYOUT = ((0, 2, 3, 1), (0, 3, 1, 2), (0, 2, 1))  # those that a converter to channel-last does away with


class Options(StepOptions):
    most_outputs: PositiveInt = Field(
        65_536, description="outputs of one fully connected layer; the Edge TPU refuses 100,000"
    )
    most_weights: PositiveInt = Field(
        2_097_151, description="weights of one transposed convolution; the Edge TPU refused one of more"
    )
    most_moved: PositiveInt = Field(98_303, description="elements of one transpose; the Edge TPU refuses more")
    most_window: PositiveInt = Field(
        63, description="height or width of a convolution's window; the Edge TPU refuses 64"
    )


@rewriting_step("onnx_split_large", version=4, options=Options, exact=True)
def onnx_split_large(model: Any, options: Options) -> tuple[str, ...]:
    """Split fully connected layers, (transposed) convolutions and transposes that are too large, and join the parts."""
    rules: dict[str, Rule] = {
        "Gemm": partial(_split_product, most=options.most_outputs),
        "MatMul": partial(_split_product, most=options.most_outputs),
        "Conv": partial(split_window, most=options.most_window),
        "ConvTranspose": partial(_split_convolution, most=options.most_weights),
        "Transpose": partial(_split_transpose, most=options.most_moved),
    }
    replaced = replace_nodes(model, rules)
    return count_notes(replaced, "by parts that are joined")


def _split_product(node: Any, scope: Scope, *, most: int) -> list[Any] | None:
    """Weights [K, outputs] ([outputs, K] for transB), and a bias that is one number, one for each output or [1,
    outputs]."""
    weights = scope.constants.get(node.input[1])
    if weights is None or weights.ndim != 2:
        return None
    axis = 0 if node.op_type == "Gemm" and attribute_of(node, "transB", 0) else 1
    count = weights.shape[axis]
    bias = scope.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    shape = scope.shape(node.output[0])
    if count <= most or shape is None or (len(node.input) > 2 and node.input[2] and bias is None):
        return None

    def inputs(first: int, last: int) -> list[str]:
        part = [scope.constant(np.take(weights, range(first, last), axis), f"{node.input[1]}_part")]
        if bias is not None:
            split = bias[..., first:last] if bias.ndim and bias.shape[-1] == count else bias
            part.append(scope.constant(split, f"{node.input[2]}_part"))
        return part

    return _parts(node, scope, count, math.ceil(count / most), inputs, axis=len(shape) - 1)


def _split_convolution(node: Any, scope: Scope, *, most: int) -> list[Any] | None:
    """Weights [in, out, ...], and a bias for each output."""
    arrays = [scope.constants.get(name) for name in node.input[1:]]
    weights = arrays[0]
    if weights is None or any(array is None for array in arrays) or attribute_of(node, "group", 1) != 1:
        return None
    count, parts = weights.shape[1], math.ceil(weights.size / most)
    if parts < 2 or weights.size // count > most:
        return None

    def inputs(first: int, last: int) -> list[str]:
        cut = [weights[:, first:last], *(array[first:last] for array in arrays[1:] if array is not None)]
        return [scope.constant(array, f"{name}_part") for array, name in zip(cut, node.input[1:], strict=True)]

    return _parts(node, scope, count, parts, inputs, axis=1)


def _parts(
    node: Any, scope: Scope, count: int, parts: int, inputs: Callable[[int, int], list[str]], *, axis: int
) -> list[Any]:
    """The node for each part of its outputs, with ``inputs(first, last)`` behind the first input, and their joint."""
    from onnx import helper

    each = math.ceil(count / parts)
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    nodes, names = [], []
    for first in range(0, count, each):
        names.append(scope.new_name(f"{node.output[0]}_part"))
        given = [node.input[0], *inputs(first, min(first + each, count))]
        nodes.append(helper.make_node(node.op_type, given, names[-1:], name=names[-1], **attributes))
    return [*nodes, helper.make_node("Concat", names, node.output[:1], name=node.name, axis=axis)]


def _split_transpose(node: Any, scope: Scope, *, most: int) -> list[Any] | None:
    """Along the longest axis. Those between channel-first and channel-last stay: in a channel-last runtime there are
    none of them."""
    from onnx import helper

    shape, order = scope.shape(node.input[0]), tuple(attribute_of(node, "perm", None) or ())
    if shape is None or not order or order in _LAYOUT or scope.opset < 10:
        return None
    sizes = [size or 0 for size in shape]
    parts = math.ceil(math.prod(sizes) / most)
    axis = sizes.index(max(sizes))
    if parts < 2 or sizes[axis] < parts or not all(sizes):
        return None
    each, nodes, names = math.ceil(sizes[axis] / parts), [], []
    for first in range(0, sizes[axis], each):
        ends = ((first, "first"), (min(first + each, sizes[axis]), "last"), (axis, "axis"))
        limits = [scope.constant(np.array([value], np.int64), f"{node.output[0]}_{stem}") for value, stem in ends]
        cut = scope.new_name(f"{node.output[0]}_cut")
        names.append(scope.new_name(f"{node.output[0]}_part"))
        nodes.append(helper.make_node("Slice", [node.input[0], *limits], [cut], name=cut))
        nodes.append(helper.make_node("Transpose", [cut], names[-1:], name=names[-1], perm=order))
    joined = helper.make_node("Concat", names, node.output[:1], name=node.name, axis=order.index(axis))
    return [*nodes, joined]
