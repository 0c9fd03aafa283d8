"""A convolution as the sum of convolutions with parts of its window, for onnx_split_large.

A part that begins ``a`` places into the window and ends ``b`` before its end sees the input moved by ``a``: its padding
is smaller by ``a`` in front and by ``b`` behind, and where there is not so much, the input is cut.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of

_FIRST_OPSET = 10  # of Slice with inputs


def split_window(node: Any, scope: Scope, *, most: int) -> list[Any] | None:
    """Weights [out, in, *window], and a bias, which the first part has."""
    from onnx import helper

    weights, shape = scope.constants.get(node.input[1]), scope.shape(node.input[0])
    if weights is None or shape is None or scope.opset < _FIRST_OPSET:
        return None
    window, sizes = weights.shape[2:], shape[2:]
    if not window or max(window) <= most or not all(sizes) or attribute_of(node, "auto_pad", "NOTSET") != "NOTSET":
        return None
    dilations = list(attribute_of(node, "dilations", None) or [1] * len(window))
    pads = np.array(attribute_of(node, "pads", None) or [0] * 2 * len(window)).reshape(2, -1)
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    nodes: list[Any] = []
    total = ""
    for part in itertools.product(*(_ranges(size, most) for size in window)):
        moved = np.array([[first, size - last] for (first, last), size in zip(part, window, strict=True)]).T
        left = pads - moved * dilations
        if ((-left).clip(0).sum(axis=0) >= np.array(sizes)).any():
            continue  # it sees padding only, which is zero
        given = _cut(node, scope, (-left).clip(0), sizes, nodes)
        inside = (slice(None), slice(None), *(slice(*ends) for ends in part))
        kernel = scope.constant(weights[inside].copy(), f"{node.input[1]}_part")
        made = scope.new_name(f"{node.output[0]}_part")
        attributes |= {"pads": left.clip(0).reshape(-1).tolist(), "kernel_shape": [b - a for a, b in part]}
        bias = [] if total else node.input[2:]
        nodes.append(helper.make_node("Conv", [given, kernel, *bias], [made], name=made, **attributes))
        if total:
            total, before = scope.new_name(f"{node.output[0]}_sum"), total
            nodes.append(helper.make_node("Add", [before, made], [total], name=total))
        else:
            total = made
    if not total:
        return None
    nodes[-1].output[0], nodes[-1].name = node.output[0], node.name
    return nodes


def _ranges(size: int, most: int) -> list[tuple[int, int]]:
    each = math.ceil(size / math.ceil(size / most))
    return [(first, min(first + each, size)) for first in range(0, size, each)]


def _cut(node: Any, scope: Scope, off: np.ndarray, sizes: Sequence[int | None], nodes: list[Any]) -> str:
    """The input without ``off`` [front and behind, axes] of its places."""
    from onnx import helper

    if not off.any():
        return str(node.input[0])
    axes = np.flatnonzero(off.any(axis=0))
    ends = np.array([size or 0 for size in sizes]) - off[1]
    limits = [
        scope.constant(array[axes].astype(np.int64), f"{node.output[0]}_{what}")
        for array, what in ((off[0], "first"), (ends, "last"), (np.arange(len(sizes)) + 2, "axes"))
    ]
    cut = scope.new_name(f"{node.output[0]}_cut")
    nodes.append(helper.make_node("Slice", [node.input[0], *limits], [cut], name=cut))
    return cut
