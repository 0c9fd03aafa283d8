"""Limits on what is stored in the model rather than computed, and on the numbers in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.devices.limits import Complaint, either, limit, short_name
from edgekit.devices.limits.view import View
from edgekit.graph import Operator


@limit
def constant(view: View, operator: Operator, told: Mapping[int, str]) -> Complaint | None:
    """{position: name}: these inputs, where they are there, must be stored in the model."""
    for position, name in told.items():
        if view.input(operator, position) is not None and not view.is_constant(operator, position):
            return Complaint(f"its input {name} is computed while the model runs; it must be a constant")
    return None


@limit
def float_needs_constants(view: View, operator: Operator, told: Mapping[int, str]) -> Complaint | None:
    """As ``constant``, but only where the first input is of a float type."""
    first = view.input(operator, 0)
    return constant(view, operator, told) if first is not None and first.dtype.startswith("float") else None


@limit
def runtime_inputs(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """How many of its inputs may be computed at run time."""
    found = view.runtime_inputs(operator)
    if found not in told:
        return Complaint(f"{found} of its inputs are computed while the model runs; it takes {either(told)}")
    return None


@limit
def zero(view: View, operator: Operator, told: Mapping[int, str]) -> Complaint | None:
    """{position: name}: these inputs, where they are there, must be constants of nothing but 0."""
    for position, name in told.items():
        tensor = view.input(operator, position)
        if tensor is None or tensor.zero:
            continue
        if not tensor.constant:
            return Complaint(f"its {name} is computed while the model runs; it must be 0")
        if tensor.zero is None:
            return Complaint(f"whether its {name} is 0", known=False)
        return Complaint(f"its {name} is not 0")
    return None


@limit
def numbers(view: View, operator: Operator, told: Mapping[int, Sequence[Any]]) -> Complaint | None:
    """{position: numbers that this constant input may hold}."""
    for position, allowed in told.items():
        tensor = view.input(operator, position)
        if tensor is None:
            continue
        if tensor.values is None:
            return Complaint(
                f"its input {short_name(tensor)} must be a constant of {either(allowed)}", tensor.constant is False
            )
        if not set(tensor.values) <= set(allowed):
            return Complaint(f"its input {short_name(tensor)} is {list(tensor.values)}; it takes {either(allowed)}")
    return None


@limit
def at_most(view: View, operator: Operator, told: Mapping[int, int]) -> Complaint | None:
    """{position: the largest number that this constant input may hold}; one computed at run time is not judged."""
    for position, most in told.items():
        tensor = view.input(operator, position)
        if tensor is not None and tensor.values and max(tensor.values) > most:
            return Complaint(f"its input {short_name(tensor)} is {max(tensor.values)}; at most {most} can be had")
    return None


@limit
def axes_within(view: View, operator: Operator, told: Mapping[int, Sequence[int]]) -> Complaint | None:
    """{position: axes of the first input that this constant input may name}."""
    data = view.input(operator, 0)
    for position, allowed in told.items():
        tensor = view.input(operator, position)
        if data is None or tensor is None:
            continue
        if tensor.values is None:
            return Complaint(f"which axes {short_name(tensor)} names", known=False)
        if not {int(axis) % max(len(data.shape), 1) for axis in tensor.values} <= set(allowed):
            return Complaint(f"it works along the axes {list(tensor.values)}; it takes {either(allowed)}")
    return None


@limit
def pads_inside(view: View, operator: Operator, told: int) -> Complaint | None:
    """This constant input pads four axes, and neither the first nor the last."""
    tensor = view.input(operator, told)
    if tensor is None:
        return None
    if tensor.values is None or len(tensor.values) != 8:
        return Complaint(f"what {short_name(tensor)} pads", known=False)
    return Complaint("it pads the batch or the channels") if any(tensor.values[:2] + tensor.values[6:]) else None
