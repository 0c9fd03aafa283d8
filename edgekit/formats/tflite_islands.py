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
    read_constant,
    set_quantization,
    type_of,
    write_constant,
)
from edgekit.graph import Graph, Operator, Quantization
from edgekit.numerics.affine import choose_quantization, quantize

#: They move, pick or compare numbers: what comes out has the scale and zero point of what went in (indices have none),
#: and a constant beside it is stored in the same steps.
_MOVES = frozenset(
    {
        *("DEPTH_TO_SPACE", "SQUEEZE", "EXPAND_DIMS", "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "REDUCE_MAX", "TILE"),
        *("REVERSE_V2", "ARG_MAX", "ARG_MIN", "TOPK_V2", "MINIMUM"),
    }
)
#: They compute, and their kernels take any scale and zero point on either side and for constants.
_COMPUTES = frozenset({"RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "PRELU", "ELU", "ABS"})
#: What the quantizer itself writes in int8 (its own policy for 8-bit weights and activations).
_QUANTIZED = frozenset(
    {
        *("ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "BROADCAST_TO", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D"),
        *("DIV", "DYNAMIC_UPDATE_SLICE", "EQUAL", "FULLY_CONNECTED", "GATHER", "GATHER_ND", "GELU", "HARD_SWISH"),
        *("LOGISTIC", "MAXIMUM", "MAX_POOL_2D", "MEAN", "MIRROR_PAD", "MUL", "NOT_EQUAL", "PACK", "PAD", "PADV2"),
        *("REDUCE_MIN", "RELU", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "RSQRT", "SELECT"),
        *("SELECT_V2", "SLICE", "SOFTMAX", "SPACE_TO_DEPTH", "SPLIT", "SQRT", "SQUARED_DIFFERENCE", "STRIDED_SLICE"),
        *("STABLEHLO_COMPOSITE", "SUB", "SUM", "TANH", "TRANSPOSE", "TRANSPOSE_CONV", "UNPACK"),
    }
)
#: All that an int8 file can have in int8; what else reads or writes floats stays in float.
INTEGER_FORMS = _QUANTIZED | _MOVES | _COMPUTES

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


def without_integer_form(graph: Graph) -> list[Operator]:
    """The operators of a float graph that stay in float, whatever is calibrated."""
    return [
        operator
        for operator in graph.operators
        if operator.type not in (*INTEGER_FORMS, "QUANTIZE", "DEQUANTIZE")
        and any(
            graph.tensors[index].dtype.startswith("float")
            for index in (*operator.inputs, *operator.outputs)
            if index >= 0
        )
    ]


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
    source = _find_source(model, operator.inputs[0])
    given = None if source is None else quantization_of(subgraph.tensors[source])
    if source is None or given is None:
        return False
    floats = [int(index) for index in operator.outputs if dtype_of(subgraph.tensors[index]) == "float32"]
    chosen = {index: given if moves else _choose(model, index, ranges) for index in floats}
    constants = _quantize_constants(model, operator, given if moves else None)
    if constants is None or any(quantization is None for quantization in chosen.values()):
        return False
    operator.inputs = [source, *(constants.get(int(index), int(index)) for index in operator.inputs[1:])]
    for index, quantization in chosen.items():
        assert quantization is not None
        set_quantization(subgraph.tensors[index], quantization, "int8")
        _widen_for_float_readers(model, index, operator)
        for requantized in _requantized(model, index):
            if not _readers(model, requantized):  # an output of the model: nothing depends on its steps yet
                set_quantization(subgraph.tensors[requantized], quantization, "int8")
    return True


def _quantize_constants(model: Model, operator: StoredOperator, given: Quantization | None) -> dict[int, int] | None:
    """{float constant beside the data: a new int8 constant}, in the steps of ``given`` or else in its own; None if one
    of the float inputs is no constant."""
    subgraph = model.subgraphs[0]
    replaced: dict[int, int] = {}
    for index in (int(index) for index in operator.inputs[1:] if index >= 0):
        tensor = subgraph.tensors[index]
        if dtype_of(tensor) != "float32":
            continue
        constant = read_constant(model, tensor)
        if constant is None:
            return None
        own = given or choose_quantization(float(constant.min()), float(constant.max()), dtype="int8")
        replaced[index] = add_tensor(
            subgraph, f"{name_of(tensor)}_{len(subgraph.tensors)}", constant.shape, "int8", own
        )
        write_constant(model, subgraph.tensors[replaced[index]], quantize(constant, own, "int8"))
    return replaced


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


def _choose(model: Model, index: int, ranges: Ranges) -> Quantization | None:
    """The steps for a float tensor: those that it is quantized to further on, else those of its calibrated range."""
    for requantized in _requantized(model, index):
        return quantization_of(model.subgraphs[0].tensors[requantized])
    limits = ranges.get(name_of(model.subgraphs[0].tensors[index]))
    return None if limits is None else choose_quantization(*limits, dtype="int8")


def _readers(model: Model, index: int) -> list[StoredOperator]:
    return [operator for operator in model.subgraphs[0].operators if index in operator.inputs]


def _requantized(model: Model, index: int) -> list[int]:
    """The int8 tensors that a QUANTIZE makes of this one."""
    tensors = model.subgraphs[0].tensors
    made = [int(o.outputs[0]) for o in _readers(model, index) if type_of(model, o) == "QUANTIZE"]
    return [result for result in made if dtype_of(tensors[result]) == "int8"]


def _widen_for_float_readers(model: Model, index: int, writer: StoredOperator) -> None:
    """Put a DEQUANTIZE before the readers of a tensor that was float and is int8 now; QUANTIZE takes it as it is."""
    subgraph = model.subgraphs[0]
    readers = [o for o in _readers(model, index) if type_of(model, o) not in ("QUANTIZE", "DEQUANTIZE")]
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
    for operator in reversed(list(subgraph.operators)):
        if type_of(model, operator) not in ("QUANTIZE", "DEQUANTIZE"):
            continue
        source, result = int(operator.inputs[0]), int(operator.outputs[0])
        if not _readers(model, result) and result not in subgraph.outputs:
            subgraph.operators = [other for other in subgraph.operators if other is not operator]
        elif _changes_nothing(model, source, result):
            subgraph.operators = [other for other in subgraph.operators if other is not operator]
            _join(model, source, result)


def _join(model: Model, source: int, result: int) -> None:
    """Let one tensor stand for two that are the same: the result if it is an output of the model, else the source."""
    subgraph = model.subgraphs[0]
    keep, drop = (result, source) if result in subgraph.outputs else (source, result)
    for operator in subgraph.operators:
        operator.inputs = [keep if index == drop else index for index in operator.inputs]
        operator.outputs = [keep if index == drop else index for index in operator.outputs]


def _changes_nothing(model: Model, source: int, result: int) -> bool:
    subgraph = model.subgraphs[0]
    before, after = subgraph.tensors[source], subgraph.tensors[result]
    if dtype_of(before) != dtype_of(after) or (source in subgraph.outputs or source in subgraph.inputs):
        return False
    old, new = quantization_of(before), quantization_of(after)
    return old is not None and new is not None and _equal(old, new)


def _equal(old: Quantization, new: Quantization) -> bool:
    return old.zero_point == new.zero_point and np.array_equal(
        np.asarray(old.scale, np.float32), np.asarray(new.scale, np.float32)
    )
