"""Zeros instead of the lowest number around what is never negative, before a maximum.

    x >= 0 -> PADV2 (-3.4e38) -> MAX_POOL_2D      becomes      x >= 0 -> PAD -> MAX_POOL_2D

A window holds at least one number of x, so the zeros never change its maximum. PAD maps to accelerators that do not
take PADV2 (the Edge TPU), and its output has the range of x. A PADV2 with zeros is a PAD wherever it stands.
"""

from __future__ import annotations

import numpy as np

from edgekit.formats.tflite_file import (
    Model,
    StoredOperator,
    drop_unused,
    find_code,
    load_model,
    read_constant,
    save_model,
    type_of,
)
from edgekit.formats.tflite_operators import operator_number

#: Operators whose results are never negative, and fused activations (numbers of the schema: RELU, RELU6).
_POSITIVE = frozenset({"RELU", "RELU6", "RELU_0_TO_1", "LOGISTIC", "SOFTMAX", "ABS", "SQUARE", "EXP"})
_FUSED = (1, 3)
_MOVES = frozenset(
    {"RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "SLICE", "STRIDED_SLICE", "SPLIT", "GATHER", "CONCATENATION"}
    | {"PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "RESIZE_NEAREST_NEIGHBOR"}
)


def pad_with_zeros(data: bytes) -> bytes:
    """The file with such paddings written as PAD; as it is where there is none."""
    model = load_model(data)
    found = [operator for operator in model.subgraphs[0].operators if _is_replaceable(model, operator)]
    if not found:
        return data
    for operator in found:
        _replace(model, operator)
    drop_unused(model)
    return save_model(model)


def only_for_maximum(model: Model, operator: StoredOperator) -> bool:
    """Whether nothing but maximum poolings reads an operator's output."""
    subgraph, output = model.subgraphs[0], operator.outputs[0]
    readers = {type_of(model, each) for each in subgraph.operators if output in each.inputs}
    return output not in subgraph.outputs and readers == {"MAX_POOL_2D"}


def _is_replaceable(model: Model, operator: StoredOperator) -> bool:
    if type_of(model, operator) != "PADV2":
        return False
    number = read_constant(model, model.subgraphs[0].tensors[operator.inputs[2]])
    if number is None or not bool(np.all(number <= 0)):
        return False
    if not number.any():
        return True
    return only_for_maximum(model, operator) and _is_positive(model, operator.inputs[0])


def _is_positive(model: Model, tensor: int) -> bool:
    """Whether a tensor is never negative, whatever the model is fed: as far as operators that only move numbers go back
    to others whose results are not."""
    subgraph = model.subgraphs[0]
    makers = {output: operator for operator in subgraph.operators for output in operator.outputs}
    waiting, seen = [tensor], {tensor}
    while waiting:
        maker = makers.get(waiting.pop())
        if maker is None:
            return False
        kind = type_of(model, maker)
        if kind in _POSITIVE or getattr(maker.builtinOptions, "fusedActivationFunction", 0) in _FUSED:
            continue
        if kind not in _MOVES:
            return False
        moved = maker.inputs if kind == "CONCATENATION" else [maker.inputs[1 if kind == "SPLIT" else 0]]
        new = [int(index) for index in moved if int(index) not in seen]
        seen.update(new)
        waiting += new
    return True


def _replace(model: Model, operator: StoredOperator) -> None:
    from ai_edge_litert import schema_py_generated as schema

    operator.opcodeIndex = find_code(model, operator_number("PAD"), 1)
    operator.inputs = list(operator.inputs[:2])
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.PadOptions, schema.PadOptionsT()
