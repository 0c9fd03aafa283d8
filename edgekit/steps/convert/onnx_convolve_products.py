"""onnx -> onnx: products of many rows with constant weights (the linear layers of tokens) as 1 x 1 convolutions.

Accelerators that take a fully connected layer of one row only take a convolution over a picture of one column, whose
rows are the tokens. Products of one row, and of two computed tensors, stay; activations between two of them work on the
picture.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pydantic import Field

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, count_notes, replace_nodes, rewriting_step
from edgekit.steps.convert.onnx_token_rows import keep_rows


class Options(StepOptions):
    keep: tuple[str, ...] = Field((), description="names of nodes that stay as they are")


@rewriting_step("onnx_convolve_products", version=4, options=Options, exact=True)
def onnx_convolve_products(model: Any, options: Options) -> tuple[str, ...]:
    """Write linear layers over many tokens as 1 x 1 convolutions."""

    def rule(node: Any, scope: Scope) -> list[Any] | None:
        return None if node.name in options.keep else _convolve(node, scope)

    replaced = replace_nodes(model, {"MatMul": rule, "Gemm": rule})
    if replaced:
        keep_rows(model)
    return count_notes(replaced, "by 1 x 1 convolutions")


def _convolve(node: Any, scope: Scope) -> list[Any] | None:
    """[..., tokens, K] by [K, M]: as [1, K, tokens, 1], channel-last between a transpose and its reverse, which a
    converter to channel-last takes out."""
    from onnx import helper

    shape = scope.shape(node.input[0])
    if shape is None or not all(shape) or not scope.is_float(node.input[0]) or scope.opset < 7:
        return None
    sizes = [int(size) for size in shape if size is not None]
    tokens, parameters = math.prod(sizes[:-1]), _parameters(node, scope)
    if tokens == 1 or parameters is None:
        return None
    stem, (outputs, inner) = node.output[0], parameters[0].shape

    def name(what: str) -> str:
        return scope.new_name(f"{stem}_{what}")

    rows, picture, made, turned = name("rows"), name("picture"), name("convolved"), name("turned")
    given = scope.constant(np.array([1, tokens, 1, inner], np.int64), f"{stem}_rows_sizes")
    back = scope.constant(np.array([*sizes[:-1], outputs], np.int64), f"{stem}_sizes")
    kernel = [scope.constant(parameters[0].reshape(outputs, inner, 1, 1), f"{node.input[1]}_kernel")]
    kernel += [scope.constant(array, f"{stem}_bias") for array in parameters[1:]]
    return [
        helper.make_node("Reshape", [node.input[0], given], [rows], name=rows),
        helper.make_node("Transpose", [rows], [picture], name=picture, perm=[0, 3, 1, 2]),
        helper.make_node("Conv", [picture, *kernel], [made], name=node.name, kernel_shape=[1, 1]),
        helper.make_node("Transpose", [made], [turned], name=turned, perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", [turned, back], [stem], name=f"{stem}_reshape"),
    ]


def _parameters(node: Any, scope: Scope) -> tuple[np.ndarray, ...] | None:
    """(weights [M, K], and for Gemm with one the bias [M]), or None where they are computed or differ by token."""
    weights = scope.constants.get(node.input[1])
    if weights is None or weights.ndim != 2 or attribute_of(node, "transA", 0):
        return None
    weights = weights if attribute_of(node, "transB", 0) else weights.T
    alpha, beta = (np.asarray(attribute_of(node, each, 1.0), weights.dtype) for each in ("alpha", "beta"))
    if len(node.input) < 3 or not node.input[2]:
        return (weights * alpha,)
    bias = scope.constants.get(node.input[2])
    if bias is None or (bias.ndim == 2 and bias.shape[0] != 1):
        return None
    return weights * alpha, np.broadcast_to(bias.reshape(-1), weights.shape[:1]) * beta
