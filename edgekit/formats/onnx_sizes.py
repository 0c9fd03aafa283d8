"""Gives the inputs of an ONNX model the sizes that were declared for them, where its file leaves them free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.artifact import Tensor
from edgekit.formats.onnx_file import graph_inputs

Shape = tuple[int | None, ...]


def has_free_inputs(model: Any) -> bool:
    """Whether the file leaves any size of an input free."""
    return any(not size.HasField("dim_value") for value in graph_inputs(model) for size in _sizes(value))


def fix_inputs(model: Any, tensors: Sequence[Tensor]) -> None:
    """Set the inputs of ``model`` to the sizes of ``tensors`` (matched by name; a size of None stays), and those of its
    outputs to what follows from them. A model that shape inference refuses keeps the sizes of its outputs."""
    import onnx

    told = {tensor.name: tensor.shape for tensor in tensors}
    symbols: dict[str, int] = {}
    for value in graph_inputs(model):
        for size, wanted in zip(_sizes(value), told.get(value.name, ()), strict=False):
            if wanted is None or size.HasField("dim_value"):
                continue
            if size.dim_param:
                symbols.setdefault(size.dim_param, wanted)
            size.dim_value = wanted
    del model.graph.value_info[:]  # they speak of free sizes
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph.output
    except Exception:  # onnx raises errors of several kinds; the model's own runtime will say what is wrong
        return
    set_outputs(model, symbols, {value.name: _known(value) for value in inferred})


def set_outputs(model: Any, symbols: Mapping[str, int], found: Mapping[str, Shape | None]) -> None:
    """The sizes of outputs as far as the names of sizes (``symbols``) and what shape inference ``found`` say them."""
    for value in model.graph.output:
        for size in _sizes(value):
            if size.dim_param in symbols:
                size.dim_value = symbols[size.dim_param]
        shape = found.get(value.name)
        if shape is None:
            continue
        sizes = value.type.tensor_type.shape.dim
        while len(sizes) < len(shape):  # it had none at all
            sizes.add()
        for size, known in zip(sizes, shape, strict=True):
            if known is not None:
                size.dim_value = known


def _sizes(value: Any) -> Any:
    return value.type.tensor_type.shape.dim


def _known(value: Any) -> Shape | None:
    """The sizes of a tensor; None where not even the number of its axes is known."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in _sizes(value))
