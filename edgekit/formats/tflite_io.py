"""Changes the type of an int8 model's inputs and outputs by putting operators at its ends.

    uint8      image(uint8) -> QUANTIZE -> int8 ... int8 -> QUANTIZE -> logits(uint8)       same scale, zero point + 128
    float32    image(float32) -> QUANTIZE -> int8 ... int8 -> DEQUANTIZE -> logits(float32)

Between the ends nothing changes, so that the three forms of a model give the same numbers.
"""

from __future__ import annotations

from edgekit.formats.tflite_file import (
    Model,
    add_tensor,
    dtype_of,
    make_operator,
    name_of,
    point_signatures,
    quantization_of,
)
from edgekit.graph import Quantization

#: What the name of a tensor gets that was an input or output and is an inner one now.
INNER_SUFFIX = "_int8"


def change_io(model: Model, dtype: str) -> None:
    """Give every int8 input and output of the first subgraph the type ``dtype`` (uint8 or float32).

    Inputs and outputs of other types (indices, masks) stay. Names go with the ends; inner tensors get ``INNER_SUFFIX``.
    """
    if dtype == "int8":
        return
    subgraph = model.subgraphs[0]
    subgraph.inputs, subgraph.outputs = list(subgraph.inputs), list(subgraph.outputs)
    moved: dict[int, int] = {}
    before, after = [], []
    for place, inner in enumerate(subgraph.inputs):
        outer = _add_end(model, inner, dtype)
        if outer is not None:
            before.append(make_operator(model, "QUANTIZE", [outer], [inner]))
            subgraph.inputs[place] = moved[inner] = outer
    for place, inner in enumerate(subgraph.outputs):
        if inner in moved:  # an input that is an output as well: nothing is computed on the way
            subgraph.outputs[place] = moved[inner]
            continue
        outer = _add_end(model, inner, dtype)
        if outer is not None:
            after.append(make_operator(model, "DEQUANTIZE" if dtype == "float32" else "QUANTIZE", [inner], [outer]))
            subgraph.outputs[place] = moved[inner] = outer
    subgraph.operators = [*before, *subgraph.operators, *after]
    point_signatures(model, moved)


def _add_end(model: Model, inner: int, dtype: str) -> int | None:
    """The index of the new outer tensor; None if the tensor is not int8."""
    subgraph = model.subgraphs[0]
    tensor = subgraph.tensors[inner]
    quantization = quantization_of(tensor)
    if dtype_of(tensor) != "int8" or quantization is None:
        return None
    name = name_of(tensor)
    tensor.name = f"{name}{INNER_SUFFIX}".encode()
    shifted = Quantization(quantization.scale, tuple(value + 128 for value in quantization.zero_point))
    return add_tensor(subgraph, name, list(tensor.shape), dtype, shifted if dtype == "uint8" else None)
