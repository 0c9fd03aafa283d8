"""Functions that a converter writes with several operators, told apart by their shape: conditions of remedies."""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose, sqrt

from edgekit.devices.limits import Complaint, limit
from edgekit.devices.limits.view import View
from edgekit.graph import Operator, TensorInfo

#: From the EXP or DIV of erf, as onnx2tf writes it (Abramowitz and Stegun 7.1.26), up to its ABS.
_FARTHEST = 3


@limit
def in_softplus(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether it is the EXP or the LOG of log(1 + exp(x))."""
    near = [reader for index in operator.outputs for reader in view.readers.get(index, ())]
    near += _makers(view, operator)
    sums = [one for one in near if one.type == "ADD" and _has_number(view, one, 1)]
    found = any(
        any(maker.type == "EXP" for maker in _makers(view, one))
        and any(reader.type == "LOG" for index in one.outputs for reader in view.readers.get(index, ()))
        for one in sums
    )
    return None if found == told else Complaint("whether it is a part of softplus")


@limit
def in_elu(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether it is a part of ELU, SELU or CELU, written as exp(x) - 1 below 0: of min(x, 0), or with x also compared
    with 0."""
    compared = _makers(view, operator) if operator.type == "CAST" else [operator]
    given = {index for one in compared for index in one.inputs}
    near = [one for index in given for one in view.readers.get(index, ())]
    found = any(one.type == "EXP" and _is_elu(view, one) for one in near)
    return None if found == told else Complaint("whether it is a part of ELU, SELU or CELU")


def _is_elu(view: View, exponential: Operator) -> bool:
    after = [one for index in exponential.outputs for one in view.readers.get(index, ())]
    if not any(one.type == "SUB" and _has_number(view, one, 1) for one in after):
        return False
    beside = {one.type for index in exponential.inputs for one in view.readers.get(index, ())}
    makers = [*_makers(view, exponential)]
    makers += [each for one in makers if one.type == "MUL" for each in _makers(view, one)]
    cut = any(one.type == "MINIMUM" and _has_number(view, one, 0) for one in makers)
    return cut or {"LESS", "GREATER_EQUAL"} <= beside


@limit
def in_erf(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether it is a part of erf(x), as it is written with SIGN, ABS, DIV and EXP."""
    return None if bool(_erf_inputs(view, operator)) == told else Complaint("whether it is a part of erf")


@limit
def in_gelu(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether it is a part of erf(x / sqrt(2)), that of GELU."""
    makers = [view.makers[index] for index in _erf_inputs(view, operator) if index in view.makers]
    factors = (("MUL", sqrt(0.5)), ("DIV", sqrt(2)))
    found = any(one.type == type_ and _has_number(view, one, number) for one in makers for type_, number in factors)
    return None if found == told else Complaint("whether it is a part of GELU")


def _erf_inputs(view: View, operator: Operator) -> set[int]:
    """What an erf is taken of that the operator belongs to: an ABS and a SIGN read it."""
    near = [operator]
    found: set[int] = set()
    for _ in range(_FARTHEST + 1):
        for one in near:
            if one.type in ("ABS", "SIGN"):
                readers = {reader.type for index in one.inputs for reader in view.readers.get(index, ())}
                found.update(one.inputs if {"ABS", "SIGN"} <= readers else ())
        near = [maker for one in near for maker in _makers(view, one)]
    return found


def _makers(view: View, operator: Operator) -> Iterator[Operator]:
    return (view.makers[index] for index in operator.inputs if index in view.makers)


def _has_number(view: View, operator: Operator, number: float) -> bool:
    return any(_is_number(view.graph.tensors[index], number) for index in operator.inputs if index >= 0)


def _is_number(tensor: TensorInfo, number: float) -> bool:
    """A constant of this one number, as it is or quantized."""
    if tensor.values is None or len(tensor.values) != 1:
        return False
    scaled = tensor.quantization if tensor.dtype in ("int8", "uint8") else None
    offset, scale = (0, 1.0) if scaled is None else (scaled.zero_point[0], scaled.scale[0])
    return isclose((tensor.values[0] - offset) * scale, number, rel_tol=1e-3, abs_tol=1e-6)
