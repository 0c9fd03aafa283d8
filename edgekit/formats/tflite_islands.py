"""Integer forms of operators that the LiteRT quantizer leaves in float between a DEQUANTIZE and a QUANTIZE.

    q -> DEQUANTIZE -> x -> RELU6 -> y -> QUANTIZE -> r      becomes      q -> RELU6 -> y -> QUANTIZE -> r

The quantizer knows some fifty operators. TensorFlow Lite has int8 kernels for more of them, RELU6 and DEPTH_TO_SPACE
among those that real networks have.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.formats.tflite_file import (
    Model,
    StoredOperator,
    add_tensor,
    dtype_of,
    make_operator,
    name_of,
    quantization_of,
    set_quantization,
    type_of,
)
from edgekit.graph import Quantization
from edgekit.numerics.affine import choose_quantization

#: They move or pick numbers: what comes out has the scale and zero point of what went in.
_MOVES = frozenset(
    {
        *("DEPTH_TO_SPACE", "SQUEEZE", "EXPAND_DIMS", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "REDUCE_MAX"),
        *("REVERSE_V2", "SPLIT_V"),
    }
)
#: They compute, and their kernels take any scale and zero point on either side.
_COMPUTES = frozenset({"RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "ELU"})

Ranges = Mapping[str, tuple[float, float]]


def absorb_islands(model: Model, ranges: Ranges) -> list[str]:
    """Turn what can be turned in the first subgraph; the types of the operators that were.

    ``ranges`` are the calibrated (lowest, highest) of the float model's tensors by name.
    """
    subgraph = model.subgraphs[0]
    absorbed = []
    for operator in list(subgraph.operators):
        name = type_of(model, operator)
        if (name in _MOVES or name in _COMPUTES) and _absorb(model, operator, name in _MOVES, ranges):
            absorbed.append(name)
    if absorbed:
        _drop_unread(model)
    return absorbed


def find_float_operators(model: Model) -> list[StoredOperator]:
    """The operators of the first subgraph that compute in float (those that only change the type do not count)."""
    tensors = model.subgraphs[0].tensors
    return [
        operator
        for operator in model.subgraphs[0].operators
        if type_of(model, operator) not in ("QUANTIZE", "DEQUANTIZE")
        and any(
            dtype_of(tensors[index]).startswith("float")
            for index in (*operator.inputs, *operator.outputs)
            if index >= 0
        )
    ]


def _absorb(model: Model, operator: StoredOperator, moves: bool, ranges: Ranges) -> bool:
    """Let one operator read and write int8, if its data come from a DEQUANTIZE (or were absorbed before)."""
    subgraph = model.subgraphs[0]
    place = _data_input(model, operator)
    source = _find_source(model, operator.inputs[place])
    outputs = [subgraph.tensors[index] for index in operator.outputs]
    if source is None or any(dtype_of(tensor) != "float32" for tensor in outputs):
        return False
    given = quantization_of(subgraph.tensors[source])
    chosen: list[Quantization | None] = []
    for tensor in outputs:
        chosen.append(given if moves else _choose(ranges.get(name_of(tensor))))
    if given is None or any(quantization is None for quantization in chosen):
        return False
    operator.inputs = [source if at == place else index for at, index in enumerate(operator.inputs)]
    for index, tensor, quantization in zip(operator.outputs, outputs, chosen, strict=True):
        assert quantization is not None
        set_quantization(tensor, quantization, "int8")
        _widen_for_float_readers(model, int(index), operator)
    return True


def _data_input(model: Model, operator: StoredOperator) -> int:
    return 1 if type_of(model, operator) == "SPLIT" else 0


def _find_source(model: Model, index: int) -> int | None:
    """The int8 tensor whose numbers a float tensor holds, or that it is itself."""
    subgraph = model.subgraphs[0]
    if dtype_of(subgraph.tensors[index]) == "int8":
        return int(index)
    for operator in subgraph.operators:
        if index in operator.outputs and type_of(model, operator) == "DEQUANTIZE":
            source = int(operator.inputs[0])
            return source if dtype_of(subgraph.tensors[source]) == "int8" else None
    return None


def _choose(limits: tuple[float, float] | None) -> Quantization | None:
    return None if limits is None else choose_quantization(*limits, dtype="int8")


def _widen_for_float_readers(model: Model, index: int, writer: StoredOperator) -> None:
    """Put a DEQUANTIZE before the readers of a tensor that was float and is int8 now; QUANTIZE takes it as it is."""
    subgraph = model.subgraphs[0]
    readers = [
        operator
        for operator in subgraph.operators
        if index in operator.inputs and type_of(model, operator) not in ("QUANTIZE", "DEQUANTIZE")
    ]
    if not readers:
        return
    tensor = subgraph.tensors[index]
    wide = add_tensor(subgraph, f"{name_of(tensor)}_float", list(tensor.shape), "float32", None)
    for reader in readers:
        reader.inputs = [wide if other == index else other for other in reader.inputs]
    place = next(at for at, operator in enumerate(subgraph.operators) if operator is writer)
    subgraph.operators.insert(place + 1, make_operator(model, "DEQUANTIZE", [index], [wide]))


def _drop_unread(model: Model) -> None:
    """Remove each DEQUANTIZE and QUANTIZE that nothing reads, and requantizations that change nothing."""
    subgraph = model.subgraphs[0]
    changed = True
    while changed:
        changed = False
        read = {int(index) for operator in subgraph.operators for index in operator.inputs}
        read |= {int(index) for index in subgraph.outputs}
        for operator in subgraph.operators:
            if type_of(model, operator) not in ("QUANTIZE", "DEQUANTIZE"):
                continue
            source, result = int(operator.inputs[0]), int(operator.outputs[0])
            if result not in read or _changes_nothing(model, source, result):
                subgraph.operators.remove(operator)
                for other in subgraph.operators:
                    other.inputs = [source if index == result else index for index in other.inputs]
                changed = True
                break


def _changes_nothing(model: Model, source: int, result: int) -> bool:
    subgraph = model.subgraphs[0]
    before, after = subgraph.tensors[source], subgraph.tensors[result]
    if dtype_of(before) != dtype_of(after) or result in subgraph.outputs:
        return False
    old, new = quantization_of(before), quantization_of(after)
    return old is not None and new is not None and _equal(old, new)


def _equal(old: Quantization, new: Quantization) -> bool:
    return old.zero_point == new.zero_point and np.array_equal(
        np.asarray(old.scale, np.float32), np.asarray(new.scale, np.float32)
    )
