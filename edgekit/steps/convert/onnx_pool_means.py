"""onnx -> onnx: means over height and width written as the pooling that they are."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from edgekit.artifact import Artifact
from edgekit.formats.onnx_file import read_model, write_model
from edgekit.steps import Context, Produced, StepOptions, step
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, count_notes, replace_nodes


class Options(StepOptions):
    keep: tuple[str, ...] = Field((), description="names of ReduceMean nodes that stay as they are")


@step(
    "onnx_pool_means",
    accepts="onnx",
    produces="onnx",
    stack="onnx",
    version=1,
    options=Options,
    exact=True,
    requires=("onnx",),
)
def onnx_pool_means(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Write means over height and width as global pooling, which converts to channel-last without a transpose."""
    model = read_model(artifact.path)

    def rule(node: Any, scope: Scope) -> list[Any] | None:
        return None if node.name in options.keep else _pool(node, scope)

    replaced = replace_nodes(model, {"ReduceMean": rule})
    path = context.workdir / f"{context.stem}.onnx"
    write_model(model, path)
    return Produced(path, artifact.io, count_notes(replaced, "by global pooling"))


def _pool(node: Any, scope: Scope) -> list[Any] | None:
    """GlobalAveragePool [N, C, H, W] -> [N, C, 1, 1], and Flatten to [N, C] where the axes are not kept."""
    from onnx import helper

    shape = scope.shape(node.input[0])
    if shape is None or len(shape) != 4 or not scope.is_float(node.input[0]):
        return None
    axes = _axes(node, scope)
    if axes is None or {axis % 4 for axis in axes} != {2, 3}:
        return None
    output = node.output[0]
    if attribute_of(node, "keepdims", 1):
        return [helper.make_node("GlobalAveragePool", node.input[:1], [output], name=node.name)]
    pooled = scope.new_name(f"{output}_pooled")
    return [
        helper.make_node("GlobalAveragePool", node.input[:1], [pooled], name=node.name),
        helper.make_node("Flatten", [pooled], [output], name=f"{node.name}_flatten", axis=1),
    ]


def _axes(node: Any, scope: Scope) -> list[int] | None:
    """An attribute before opset 18, a second input since; None where they are computed or not given."""
    if len(node.input) > 1 and node.input[1]:
        values = scope.constants.get(node.input[1])
        return None if values is None else [int(axis) for axis in values.reshape(-1)]
    axes = attribute_of(node, "axes", None)
    return None if axes is None else [int(axis) for axis in axes]
