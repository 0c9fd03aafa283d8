"""onnx -> onnx: products of two tensors that are no linear layers (attention) as multiplications that are summed up.

    a [T, D] by b [D, S]      becomes      a [T, 1, D] * b' [1, S, D], summed over the last axis

Accelerators that take constant weights only can still multiply number by number. It costs T * S * D numbers in
between, so it is for few tokens. Several heads are done one by one, and many rows in parts, but in so many alone: each
part is a multiplication and a sum of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import (
    NodeWriter,
    Scope,
    attribute_of,
    count_notes,
    replace_nodes,
    rewriting_step,
)

_FIRST_OPSET = 10  # of Slice with inputs
_MOST_IN_A_ROW = 196_608  # numbers of a joint of three axes, which is one row to the Edge TPU


class Options(StepOptions):
    most_numbers: PositiveInt = Field(
        1_000_000,
        description="numbers between multiplying and summing up; a larger product is done in parts of its rows",
    )
    most_parts: PositiveInt = Field(
        64, description="parts of a product, of all its heads together and one for each at least; one of more stays"
    )
    keep: tuple[str, ...] = Field((), description="names of nodes that stay as they are")


@rewriting_step("onnx_spread_products", version=4, options=Options, exact=True)
def onnx_spread_products(model: Any, options: Options) -> tuple[str, ...]:
    """Write products of two computed tensors (attention) as multiplications and sums."""

    def rule(node: Any, scope: Scope) -> list[Any] | None:
        return None if node.name in options.keep else _spread(node, scope, options)

    return count_notes(replace_nodes(model, {"MatMul": rule}), "by multiplications and sums")


def _spread(node: Any, scope: Scope, options: Options) -> list[Any] | None:
    """[..., T, D] by [..., D, S] with the same sizes before the last two, which is no linear layer."""
    sizes = [_sizes(scope, name) for name in node.input]
    if scope.opset < _FIRST_OPSET or None in sizes or not scope.is_float(node.input[0]):
        return None
    stored = [name in scope.constants for name in node.input]
    if all(stored) or (stored[1] and len(sizes[1] or ()) == 2):
        return None  # a linear layer
    (*heads, rows, inner), (*others, _, columns) = (each or () for each in sizes)
    count = math.prod(heads)
    most = options.most_numbers // (inner * columns)  # rows of one part
    each = _rows_of_a_part(rows, inner, columns, most) if most else 0
    if heads != others or each == 0 or count * math.ceil(rows / each) > options.most_parts:
        return None
    writer = _Writer(scope, node.output[0])
    first = writer.reshape(_before_reshape(scope, node.input[0]), [1, count * rows, 1, inner])
    source = _before_swap(scope, node.input[1])
    second = _before_reshape(scope, source or node.input[1])
    height, width = (columns, inner) if source else (inner, columns)
    # The heads one below the other: of [1, heads, height, width], onnx2tf cuts heads off the width where that is small.
    second = writer.reshape(second, [1, 1, count * height, width])
    made = []
    for head in range(count):
        right = writer.cut(second, head * height, (head + 1) * height, count * height, axis=2)
        right = right if source else writer.add("Transpose", [right], "turned", perm=[0, 1, 3, 2])
        sums = []
        ends = [min(start + each, rows) for start in range(0, rows, each)]
        for start, end in zip([0, *ends], ends, strict=False):
            left = writer.cut(first, head * rows + start, head * rows + end, count * rows)
            product = writer.add("Mul", [left, right], "products")
            sums.append(writer.sum_last(product))
        made.append(writer.join(sums))
    if count * rows * columns >= _MOST_IN_A_ROW:
        made = [writer.reshape(each, [1, 1, rows, columns]) for each in made]
    joined = writer.join(made)
    writer.reshape(joined, [*heads, rows, columns])
    return writer.finish()


def _rows_of_a_part(rows: int, inner: int, columns: int, most: int) -> int:
    """At most so many, in parts of one size but for the last; none of n rows where D = S = n: onnx2tf takes
    [1, n, 1, n] and [1, 1, n, n] for one tensor in two layouts and turns one of them. (The condition `spreads` of the
    remedy, in edgekit.devices.limits.tokens, counts alike.)"""
    each = math.ceil(rows / math.ceil(rows / most))
    while inner == columns > 1 and inner in (each, rows % each):
        each -= 1
    return each


class _Writer(NodeWriter):
    """With the nodes that this step is made of."""

    def reshape(self, name: str, sizes: list[int]) -> str:
        wanted = self.scope.constant(np.array(sizes, np.int64), f"{self.output}_sizes")
        return self.add("Reshape", [name, wanted], "reshaped")

    def cut(self, name: str, start: int, end: int, size: int, axis: int = 1) -> str:
        """[1, size, ...] -> [1, end - start, ...], or that of another axis"""
        if end - start == size:
            return name
        limits = [self.scope.constant(np.array([each], np.int64), f"{self.output}_cut") for each in (start, end, axis)]
        return self.add("Slice", [name, *limits], "part")

    def join(self, names: list[str]) -> str:
        return names[0] if len(names) == 1 else self.add("Concat", names, "joined", axis=1)

    def sum_last(self, name: str) -> str:
        if self.scope.opset < 13:
            return self.add("ReduceSum", [name], "sums", axes=[3], keepdims=0)
        axes = self.scope.constant(np.array([3], np.int64), f"{self.output}_axes")
        return self.add("ReduceSum", [name, axes], "sums", keepdims=0)


def _sizes(scope: Scope, name: str) -> tuple[int, ...] | None:
    shape = scope.shape(name)
    if shape is None or len(shape) < 2 or not all(shape):
        return None
    return tuple(size or 0 for size in shape)


def _before_reshape(scope: Scope, name: str) -> str:
    """What a tensor is that has been reshaped only."""
    maker = scope.producers.get(name)
    return name if maker is None or maker.op_type != "Reshape" else _before_reshape(scope, str(maker.input[0]))


def _before_swap(scope: Scope, name: str) -> str | None:
    """What a transpose of the last two axes alone is made of."""
    maker = scope.producers.get(name)
    if maker is None or maker.op_type != "Transpose":
        return None
    order = list(attribute_of(maker, "perm", None) or ())
    rank = len(order)
    swapped = rank >= 2 and order == [*range(rank - 2), rank - 1, rank - 2]
    return str(maker.input[0]) if swapped else None
