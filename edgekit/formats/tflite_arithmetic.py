"""Arithmetic that integer kernels and accelerators do not have, written with what they have.

    s -> SQRT -> r,  x / r  (DIV)        becomes      s -> RSQRT -> i,  x * i  (MUL)         a layer norm
    x / c,  c a constant                 becomes      x * (1 / c)
    -x (NEG),  x * x (SQUARE)            becomes      x * -1,  x * x (MUL)
    x ^ 2,  x ^ -0.5 (POW)               becomes      x * x (MUL),  RSQRT

TensorFlow Lite has int8 kernels for MUL and RSQRT, and the Edge TPU takes both; DIV, SQRT, SQUARE, POW and NEG have
none in its older runtimes. A root that something else reads too, or that the model gives out, stays for that.

Only a root of 0 is another matter: a number by it is infinite as DIV, but NaN where XNNPACK computes the RSQRT (the
reference kernels give the largest float for both). Norms and deviations, whose dividend is 0 too where they are, are
NaN in either form. So nothing is kept as DIV for that: a model that may come there adds an epsilon below the root.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from edgekit.formats.tflite_file import (
    Model,
    StoredOperator,
    add_tensor,
    drop_unused,
    find_code,
    load_model,
    make_operator,
    name_of,
    read_constant,
    save_model,
    type_of,
    write_constant,
)
from edgekit.formats.tflite_operators import operator_number

#: They leave positive numbers as they are, a root's and its inverse's alike.
_KEEP_POSITIVE = ("RESHAPE", "RELU")


def multiply_instead(data: bytes) -> bytes:
    """The file (float32) with such divisions, negations and powers written as MUL and RSQRT; as it is where there is
    none."""
    model = load_model(data)
    inverses: dict[int, int | None] = {}
    changed = [operator for operator in list(model.subgraphs[0].operators) if _rewrite(model, operator, inverses)]
    if not changed:
        return data
    _drop_unread(model)
    drop_unused(model)
    return save_model(model)


def _rewrite(model: Model, operator: StoredOperator, inverses: dict[int, int | None]) -> bool:
    """Change one operator in place, if there is another form of it; operators before it may be added."""
    kind = type_of(model, operator)
    if not _is_float(model, operator):
        return False
    if kind == "DIV":
        return _rewrite_division(model, operator, inverses)
    if kind == "NEG":
        minus = _constant(model, operator.outputs[0], np.array(-1.0, np.float32))
        return _multiply(model, operator, operator.inputs[0], minus)
    if kind == "SQUARE":
        return _multiply(model, operator, operator.inputs[0], operator.inputs[0])
    exponent = _read(model, operator.inputs[1]) if kind == "POW" else None
    if exponent is None or exponent.size != 1 or exponent.item() not in (2.0, -0.5):
        return False
    if exponent.item() == 2.0:
        return _multiply(model, operator, operator.inputs[0], operator.inputs[0])
    return _take_root(model, operator, operator.inputs[0])


def _rewrite_division(model: Model, operator: StoredOperator, inverses: dict[int, int | None]) -> bool:
    given, divisor = (int(index) for index in operator.inputs)
    root, one = _writer(model, divisor), _read(model, given)
    if root is not None and type_of(model, root) == "SQRT" and one is not None and bool(np.all(one == 1.0)):
        tensors = model.subgraphs[0].tensors
        same = list(tensors[divisor].shape) == list(tensors[operator.outputs[0]].shape)
        if same and _activation(operator) == 0:
            return _take_root(model, operator, int(root.inputs[0]))
    inverse = _invert(model, divisor, inverses)
    if inverse is None or not _same_output(model, operator, given, inverse):
        return False
    return _multiply(model, operator, given, inverse)


def _same_output(model: Model, operator: StoredOperator, *inputs: int) -> bool:
    """Whether arithmetic of these inputs has the operator's output shape."""
    shapes = [[] if (shape := model.subgraphs[0].tensors[each].shape) is None else list(shape) for each in inputs]
    return list(np.broadcast_shapes(*map(tuple, shapes))) == list(model.subgraphs[0].tensors[operator.outputs[0]].shape)


def _invert(model: Model, divisor: int, inverses: dict[int, int | None]) -> int | None:
    """The tensor of 1 / divisor: a constant's, a root's, or a root's behind operators that leave positive numbers as
    they are; made if it is not there. None for other divisors."""
    if divisor not in inverses:
        constant = _read(model, divisor)
        inverses[divisor] = (
            _invert_root(model, divisor, inverses) if constant is None else _invert_constant(model, divisor, constant)
        )
    return inverses[divisor]


def _invert_constant(model: Model, divisor: int, values: np.ndarray) -> int | None:
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1.0) / values
    return _constant(model, divisor, inverse) if np.isfinite(inverse).all() else None


def _invert_root(model: Model, divisor: int, inverses: dict[int, int | None]) -> int | None:
    writer = _writer(model, divisor)
    if writer is None or not _is_float(model, writer):
        return None
    repeated = _repeated(model, writer)
    if repeated is not None:
        return _invert(model, repeated, inverses)
    made, source = make_operator(model, "RSQRT", writer.inputs, []), int(writer.inputs[0])
    if type_of(model, writer) in _KEEP_POSITIVE:
        inverse = _invert(model, source, inverses) if _read(model, source) is None else None
        if inverse is None:
            return None
        made = copy(writer)
        made.inputs = [inverse, *writer.inputs[1:]]
    elif type_of(model, writer) != "SQRT":
        return None
    subgraph = model.subgraphs[0]
    tensor = subgraph.tensors[divisor]
    made.outputs = [add_tensor(subgraph, f"{name_of(tensor)}_inverse", list(tensor.shape), "float32", None)]
    place = next(at for at, operator in enumerate(subgraph.operators) if operator is writer)
    subgraph.operators.insert(place + 1, made)
    return int(made.outputs[0])


def _repeated(model: Model, operator: StoredOperator) -> int | None:
    """What a MUL by ones repeats over some axes, as arithmetic does by itself."""
    if type_of(model, operator) != "MUL" or _activation(operator) != 0:
        return None
    for given, other in (operator.inputs, operator.inputs[::-1]):
        ones = _read(model, other)
        if ones is not None and bool(np.all(ones == 1.0)) and _read(model, given) is None:
            return int(given)
    return None


def _multiply(model: Model, operator: StoredOperator, first: int, second: int) -> bool:
    """Make the operator a MUL of these, with the activation that it has."""
    from ai_edge_litert import schema_py_generated as schema

    options = schema.MulOptionsT()
    options.fusedActivationFunction = _activation(operator)
    operator.opcodeIndex = find_code(model, operator_number("MUL"), 1)
    operator.inputs = [first, second]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.MulOptions, options
    return True


def _take_root(model: Model, operator: StoredOperator, given: int) -> bool:
    """Make the operator an RSQRT."""
    operator.opcodeIndex = find_code(model, operator_number("RSQRT"), 1)
    operator.inputs, operator.builtinOptionsType, operator.builtinOptions = [given], 0, None
    return True


def _activation(operator: StoredOperator) -> int:
    return int(getattr(operator.builtinOptions, "fusedActivationFunction", 0) or 0)


def _drop_unread(model: Model) -> None:
    """Remove roots, and what stood behind them, which nothing reads any more."""
    subgraph = model.subgraphs[0]
    read = {int(index) for index in subgraph.outputs}
    kept = []
    for operator in reversed(subgraph.operators):
        if type_of(model, operator) in ("SQRT", "MUL", *_KEEP_POSITIVE) and int(operator.outputs[0]) not in read:
            continue
        read.update(int(index) for index in operator.inputs)
        kept.append(operator)
    subgraph.operators = kept[::-1]


def _writer(model: Model, index: int) -> StoredOperator | None:
    return next((each for each in model.subgraphs[0].operators if index in each.outputs), None)


def _read(model: Model, index: int) -> np.ndarray | None:
    return read_constant(model, model.subgraphs[0].tensors[index])


def _constant(model: Model, like: int, values: np.ndarray) -> int:
    """A new float32 constant, named after another tensor."""
    subgraph = model.subgraphs[0]
    name = f"{name_of(subgraph.tensors[like])}_factor_{len(subgraph.tensors)}"
    index = add_tensor(subgraph, name, values.shape, "float32", None)
    write_constant(model, subgraph.tensors[index], np.asarray(values, np.float32))
    return index


def _is_float(model: Model, operator: StoredOperator) -> bool:
    tensors = model.subgraphs[0].tensors
    return all(tensors[index].type == 0 for index in (*operator.inputs[:1], *operator.outputs))
