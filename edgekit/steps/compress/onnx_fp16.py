"""onnx -> onnx in half precision, inputs and outputs kept in float32."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from itertools import count
from typing import Any

from pydantic import Field

from edgekit.artifact import Artifact
from edgekit.errors import StepError, UnknownName
from edgekit.formats.onnx_file import read_model, write_model
from edgekit.formats.onnx_session import open_session
from edgekit.registry import did_you_mean
from edgekit.steps import Context, Produced, StepOptions, step
from edgekit.steps.convert.onnx_rewriting import attribute_of

# The smallest (subnormal) and the largest finite number of half precision; the library would clip at 1e-7 and 1e4.
SMALLEST, LARGEST = 2.0**-24, 65504.0


class Options(StepOptions):
    exclude: tuple[str, ...] = Field((), description="names of nodes that stay in float32")


@step(
    "onnx_fp16",
    accepts="onnx",
    produces="onnx",
    stack="onnx",
    version=3,
    options=Options,
    requires=("onnx", "onnxruntime", "onnxconverter-common"),
)
def onnx_fp16(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Store and compute in float16; inputs and outputs stay float32 (onnxconverter-common)."""
    from onnx import TensorProto
    from onnxconverter_common import float16

    model = read_model(artifact.path)
    names = [node.name for node in model.graph.node]
    for name in options.exclude:
        if name not in names:
            raise UnknownName(
                f"the model has no node `{name}` to exclude{did_you_mean(name, names)}", where="onnx_fp16"
            )
    _set_outputs_apart(model.graph)
    casts = _casts_to_single(model.graph, options.exclude)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            half = float16.convert_float_to_float16(
                model,
                min_positive_val=SMALLEST,
                max_finite_val=LARGEST,
                keep_io_types=True,
                node_block_list=list(options.exclude) or None,
            )
    except Exception as error:
        raise StepError(
            f"the model cannot be written in half precision: {' '.join(str(error).split())[:300]}", where="onnx_fp16"
        ) from error
    for node in half.graph.node:
        if node.name in casts:
            _set_type(node, TensorProto.FLOAT16)
    path = context.workdir / f"{context.stem}.onnx"
    write_model(half, path)
    open_session(path, context.threads)
    return Produced(path, artifact.io)


def _casts_to_single(graph: Any, exclude: Collection[str]) -> set[str]:
    """The names of the nodes that make float32 of something else, given where they have none: the library leaves them
    as they are, and takes their results for float16 all the same."""
    from onnx import TensorProto

    taken = {node.name for node in graph.node}
    found = set()
    for node in graph.node:
        if node.op_type != "Cast" or attribute_of(node, "to", None) != TensorProto.FLOAT or node.name in exclude:
            continue
        while not node.name or node.name in found:
            node.name = next(name for name in map("cast_{}".format, count()) if name not in taken)
            taken.add(node.name)
        found.add(node.name)
    return found


def _set_type(node: Any, kind: int) -> None:
    next(attribute for attribute in node.attribute if attribute.name == "to").i = kind


def _set_outputs_apart(graph: Any) -> None:
    """Let the nodes that read an output of the model read what it is a copy of (`y -> z` becomes `x -> y, x -> z`).

    The library turns an output back to float32 under its own name, where other nodes still read it as float16.
    """
    from onnx import helper

    outputs = {value.name for value in graph.output}
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    apart: dict[str, str] = {}
    for name in sorted(outputs & {name for node in graph.node for name in node.input}):
        apart[name] = f"{name}_read"
        while apart[name] in taken:
            apart[name] += "_"
    for node in graph.node:
        node.input[:] = [apart.get(name, name) for name in node.input]
        node.output[:] = [apart.get(name, name) for name in node.output]
    graph.node.extend(helper.make_node("Identity", [inner], [name], name=inner) for name, inner in apart.items())
