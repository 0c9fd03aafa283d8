"""onnx -> onnx: means over height and width written as the pooling that they are, so that it stays channel-last."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, count_notes, replace_nodes, rewriting_step


class Options(StepOptions):
    keep: tuple[str, ...] = Field((), description="names of nodes that stay as they are")


@rewriting_step("onnx_pool_means", version=3, options=Options, exact=True)
def onnx_pool_means(model: Any, options: Options) -> tuple[str, ...]:
    """Write means over height and width as pooling, which converts to channel-last without a transpose."""

    def rule(node: Any, scope: Scope) -> list[Any] | None:
        if node.name in options.keep:
            return None
        return _pool(node, scope) if node.op_type == "ReduceMean" else _pool_by_window(node, scope)

    replaced = replace_nodes(model, {"ReduceMean": rule, "GlobalAveragePool": rule})
    return count_notes(replaced, "by pooling")


def _pool(node: Any, scope: Scope) -> list[Any] | None:
    """Pooling [N, C, H, W] -> [N, C, 1, 1], and Flatten to [N, C] where the axes are not kept."""
    from onnx import helper

    shape = scope.shape(node.input[0])
    if shape is None or len(shape) != 4 or not scope.is_float(node.input[0]):
        return None
    axes = _axes(node, scope)
    if axes is None or {axis % 4 for axis in axes} != {2, 3}:
        return None
    output = node.output[0]
    if attribute_of(node, "keepdims", 1):
        return [_pooling(node, scope, output)]
    pooled = scope.new_name(f"{output}_pooled")
    return [
        _pooling(node, scope, pooled),
        helper.make_node("Flatten", [pooled], [output], name=f"{node.name}_flatten", axis=1),
    ]


def _pool_by_window(node: Any, scope: Scope) -> list[Any] | None:
    """Global pooling where it stands beside another reader; elsewhere it is what it should be."""
    made = _pooling(node, scope, node.output[0])
    return [made] if made.op_type == "AveragePool" else None


def _pooling(node: Any, scope: Scope, output: str) -> Any:
    """Global pooling; by a window of the whole picture where something else reads the picture too, as around the gate
    of squeeze and excitation: there a converter leaves the mean channel-first, between transposes."""
    from onnx import helper

    shape = scope.shape(node.input[0]) or ()
    if len(scope.readers.get(node.input[0], ())) > 1 and len(shape) == 4 and all(shape[2:]):
        window: dict[str, Any] = {"kernel_shape": shape[2:], "strides": [1, 1]}
        return helper.make_node("AveragePool", node.input[:1], [output], name=node.name, **window)
    return helper.make_node("GlobalAveragePool", node.input[:1], [output], name=node.name)


def _axes(node: Any, scope: Scope) -> list[int] | None:
    """An attribute before opset 18, a second input since; None where they are computed or not given."""
    if len(node.input) > 1 and node.input[1]:
        values = scope.constants.get(node.input[1])
        return None if values is None else [int(axis) for axis in values.reshape(-1)]
    axes = attribute_of(node, "axes", None)
    return None if axes is None else [int(axis) for axis in axes]
