"""Multiply-accumulates of the operators that have any, from shapes alone: one formula per kind, for all formats.

Shapes are those of the tensors as computed, batch included; a size that is not known (None) counts as 1, so that a
model with a free batch is counted per sample. Counted are convolutions, transposed convolutions and matrix products;
additions of biases, activations, pools and resizes are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Shape = Sequence[int | None]


def count_elements(shape: Shape) -> int:
    """How many numbers a tensor of that shape holds (1 for a scalar)."""
    return math.prod(1 if size is None else size for size in shape)


def convolution_macs(output_shape: Shape, window: Shape, input_channels: int) -> int:
    """Each output number sums ``window`` positions of ``input_channels`` channels (those of its group only).

    A depthwise convolution has ``input_channels`` 1. The order of the axes of ``output_shape`` does not matter.
    """
    return count_elements(output_shape) * count_elements(window) * input_channels


def transposed_convolution_macs(input_shape: Shape, window: Shape, output_channels: int) -> int:
    """Each input number goes to ``window`` positions of ``output_channels`` channels (those of its group only)."""
    return count_elements(input_shape) * count_elements(window) * output_channels


def matrix_product_macs(output_shape: Shape, depth: int | None) -> int:
    """Each output number is a sum of ``depth`` products."""
    return count_elements(output_shape) * (1 if depth is None else depth)


def einsum_macs(equation: str, shapes: Sequence[Shape]) -> int:
    """The product of the sizes of all letters of an Einstein sum over two operands; 0 for any other number of them.

    An ellipsis stands for the leading sizes of the longer operand, as in ``...ij,...jk->...ik``.
    """
    if len(shapes) != 2:
        return 0
    sizes: dict[str, int] = {}
    batch = 1
    terms = equation.replace(" ", "").split("->")[0].split(",")
    for term, shape in zip(terms, shapes, strict=True):
        before, ellipsis, after = term.partition("...")
        hidden = shape[len(before) : len(shape) - len(after)] if ellipsis else ()
        batch = max(batch, count_elements(hidden))
        named = [*shape[: len(before)], *shape[len(shape) - len(after) :]] if ellipsis else list(shape)
        for letter, size in zip(before + after, named, strict=True):
            # A size of 1 is broadcast against the other operand's.
            sizes[letter] = max(sizes.get(letter, 1), 1 if size is None else size)
    return batch * math.prod(sizes.values())
