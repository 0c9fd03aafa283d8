"""onnx -> onnx: integer inputs that the model turns into floats at once become float inputs, fed the same numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field

from edgekit.artifact import IO, Artifact
from edgekit.formats.onnx_file import graph_inputs, read_model, write_model
from edgekit.steps import Context, Produced, StepOptions
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, onnx_step, put_nodes, rename_tensors

#: Integers that float32 holds exactly.
_EXACT = frozenset({"uint8", "int8", "uint16", "int16", "bool"})
#: These only move numbers, of their first input.
_MOVES = frozenset({"Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})


class Options(StepOptions):
    keep: tuple[str, ...] = Field((), description="inputs that stay as they are")


@onnx_step("onnx_float_inputs", version=1, options=Options, exact=True)
def onnx_float_inputs(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Take the cast of an integer input (uint8 pictures) out of the model, which then takes the same numbers as floats.

    An accelerator of 8-bit integers has no such cast, and takes the quantized input as it is.
    """
    from onnx import TensorProto

    model = read_model(artifact.path)
    scope = Scope(model)
    outputs = {value.name for value in model.graph.output}
    changed: list[str] = []
    skipped: dict[str, str] = {}  # what a cast made -> what it read
    for value in graph_inputs(model):
        casts = _find_casts(value.name, scope, outputs) if scope.dtype(value.name) in _EXACT else None
        if not casts or value.name in options.keep:
            continue
        changed.append(value.name)
        value.type.tensor_type.elem_type = TensorProto.FLOAT
        skipped.update({cast.output[0]: cast.input[0] for cast in casts})
    if changed:
        del model.graph.value_info[:]  # they tell the old types
        put_nodes(model, [node for node in model.graph.node if node.output[0] not in skipped], scope)
        rename_tensors(model.graph, skipped)
    path = context.workdir / f"{context.stem}.onnx"
    write_model(model, path)
    inputs = tuple(replace(one, dtype="float32") if one.name in changed else one for one in artifact.io.inputs)
    notes = (f"inputs that take the same numbers as float32: {', '.join(changed)}",) if changed else ()
    return Produced(path, IO(inputs, artifact.io.outputs), notes)


def _find_casts(name: str, scope: Scope, outputs: set[str]) -> list[Any] | None:
    """The casts to float32 that all the readers of an input lead to, through what only moves numbers; None where one
    does something else with it, or is in the body of another operator."""
    from onnx import TensorProto

    casts: list[Any] = []
    waiting = [name]
    while waiting:
        tensor = waiting.pop()
        if tensor in outputs:
            return None
        for node in scope.readers.get(tensor, ()):
            if list(node.input).count(tensor) != 1 or node.input[0] != tensor:
                return None
            if node.op_type == "Cast" and attribute_of(node, "to", 0) == TensorProto.FLOAT:
                if node.output[0] in outputs:
                    return None
                casts.append(node)
            elif node.op_type in _MOVES:
                waiting.extend(node.output)
            else:
                return None
    return casts
