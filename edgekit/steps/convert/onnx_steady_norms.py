"""onnx -> onnx: layer norms whose squares 8-bit integers bear, for rows of unlike deviation.

    c = x - mean(x),   y = c / sqrt(mean(c^2) + eps)

squares numbers that differ by row: where one row deviates ten times as much as another, the other's squares are lost
in 8 bits. A norm does not change when its rows are scaled, so they are first divided by what they deviate on one side:

    g = 1 / (mean(relu(c)) + e),   d = c * g,   y = d / sqrt(mean(d^2) + eps * g^2)

which is the same for any e above 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydantic import Field

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import (
    NodeWriter,
    Scope,
    attribute_of,
    count_notes,
    replace_nodes,
    rewriting_step,
)

_LEAST = 1e-6  # e of a norm without eps


class Options(StepOptions):
    keep: tuple[str, ...] = Field((), description="names of nodes that stay as they are")


@rewriting_step("onnx_steady_norms", version=2, options=Options, exact=True)
def onnx_steady_norms(model: Any, options: Options) -> tuple[str, ...]:
    """Write layer norms over the last axis in two goes, so that rows of unlike deviation survive 8-bit integers."""

    def rule(node: Any, scope: Scope) -> list[Any] | None:
        if node.name in options.keep or scope.dtype(node.input[0]) not in ("float32", "float64"):
            return None
        return _from_operator(node, scope) if node.op_type == "LayerNormalization" else _from_division(node, scope)

    return count_notes(replace_nodes(model, {"LayerNormalization": rule, "Div": rule}), "by steady norms")


def _from_operator(node: Any, scope: Scope) -> list[Any] | None:
    shape = scope.shape(node.input[0])
    axis = int(attribute_of(node, "axis", -1))
    if shape is None or axis not in (-1, len(shape) - 1) or any(node.output[1:]):
        return None
    writer = _Writer(scope, node.output[0], node.input[0])
    centred = writer.add("Sub", [node.input[0], writer.mean(node.input[0])])
    made = writer.norm(centred, float(attribute_of(node, "epsilon", 1e-5)))
    made = writer.add("Mul", [made, node.input[1]])
    if len(node.input) > 2 and node.input[2]:
        made = writer.add("Add", [made, node.input[2]])
    return writer.finish()


def _from_division(node: Any, scope: Scope) -> list[Any] | None:
    """c / Sqrt(ReduceMean(c * c or c ^ 2) + eps), where c is x - ReduceMean(x)."""
    centred = node.input[0]
    difference = scope.producers.get(centred)
    root = scope.producers.get(node.input[1])
    if difference is None or difference.op_type != "Sub" or root is None or root.op_type != "Sqrt":
        return None
    mean, total = scope.producers.get(difference.input[1]), scope.producers.get(root.input[0])
    if mean is None or mean.input[0] != difference.input[0] or not _is_row_mean(mean, scope):
        return None
    if total is None or total.op_type != "Add":
        return None
    numbers = [scope.constants.get(name) for name in total.input]
    places = [place for place, array in enumerate(numbers) if array is not None and array.size == 1]
    if len(places) != 1:
        return None
    variance = scope.producers.get(total.input[1 - places[0]])
    squares = None if variance is None else scope.producers.get(variance.input[0])
    if (
        variance is None
        or not _is_row_mean(variance, scope)
        or squares is None
        or not _squares(squares, centred, scope)
    ):
        return None
    writer = _Writer(scope, node.output[0], centred)
    writer.norm(centred, float(np.asarray(numbers[places[0]]).item()))
    return writer.finish()


def _is_row_mean(node: Any, scope: Scope) -> bool:
    shape = scope.shape(node.input[0])
    if node.op_type != "ReduceMean" or shape is None or not attribute_of(node, "keepdims", 1):
        return False
    given = scope.constants.get(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    axes = attribute_of(node, "axes", None) if given is None else given.reshape(-1).tolist()
    return axes is not None and [int(axis) % len(shape) for axis in axes] == [len(shape) - 1]


def _squares(node: Any, name: str, scope: Scope) -> bool:
    if node.op_type == "Mul":
        return list(node.input) == [name, name]
    exponent = scope.constants.get(node.input[1]) if node.op_type == "Pow" else None
    return exponent is not None and node.input[0] == name and exponent.size == 1 and exponent.item() == 2


class _Writer(NodeWriter):
    """With numbers of the type of the tensor ``like``."""

    def __init__(self, scope: Scope, output: str, like: str) -> None:
        super().__init__(scope, output)
        self.like = like

    def norm(self, centred: str, eps: float) -> str:
        side = self.add("Add", [self.mean(self.add("Relu", [centred])), self.number(max(math.sqrt(eps), _LEAST))])
        half = self.inverse_root(side)
        factor = self.add("Mul", [half, half])
        even = self.add("Mul", [centred, factor])
        rest = self.add("Mul", [self.add("Mul", [factor, factor]), self.number(eps)])
        variance = self.add("Add", [self.mean(self.add("Mul", [even, even])), rest])
        return self.add("Mul", [even, self.inverse_root(variance)])

    def inverse_root(self, name: str) -> str:
        return self.add("Reciprocal", [self.add("Sqrt", [name])])

    def mean(self, name: str) -> str:
        if self.scope.opset < 18:
            return self.add("ReduceMean", [name], axes=[-1])
        axes = self.scope.constant(np.array([-1], np.int64), f"{self.output}_axes")
        return self.add("ReduceMean", [name, axes])

    def number(self, value: float) -> str:
        return self.scope.number(value, self.like, f"{self.output}_number")
