"""Limits on attributes, and on how the graph uses an operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.devices.limits import Complaint, both, either, limit, short_name
from edgekit.devices.limits.view import View
from edgekit.graph import Operator


@limit
def values(view: View, operator: Operator, told: Mapping[str, Sequence[Any]]) -> Complaint | None:
    """{attribute: values it may have}; an attribute that is not there has its default, which is allowed."""
    for name, allowed in told.items():
        value = operator.attributes.get(name)
        if value is not None and value not in allowed:
            return Complaint(f"its {name} is {value}; it takes {either(allowed)}")
    return None


@limit
def each(view: View, operator: Operator, told: Mapping[str, Sequence[Any]]) -> Complaint | None:
    """{attribute: values that each of its numbers may have}."""
    for name, allowed in told.items():
        value = operator.attributes.get(name)
        if value is not None and not set(value) <= set(allowed):
            return Complaint(f"its {name} are {list(value)}; each must be {either(allowed)}")
    return None


@limit
def at_least(view: View, operator: Operator, told: Mapping[str, int]) -> Complaint | None:
    """{attribute: the least it may be}."""
    for name, least in told.items():
        value = operator.attributes.get(name)
        if value is not None and value < least:
            return Complaint(f"its {name} is {value}; it must be at least {least}")
    return None


@limit
def absent(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """Attributes that may not be there."""
    present = [name for name in told if name in operator.attributes]
    return Complaint(f"it has {both(present)}, which is not supported") if present else None


@limit
def not_both(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """Attributes of which only one may be set."""
    if all(operator.attributes.get(name) for name in told):
        return Complaint(f"{both(told)} are set together")
    return None


@limit
def all_axes(view: View, operator: Operator, told: Mapping[str, int]) -> Complaint | None:
    """{attribute: position}: where that input is there, the attribute must name every axis of the first, in order."""
    for name, position in told.items():
        axes, data, given = operator.attributes.get(name), view.input(operator, 0), view.input(operator, position)
        if axes is None or data is None or given is None or given.elements == 0:
            continue
        if list(axes) != list(range(len(data.shape))):
            return Complaint(f"its {name} are {list(axes)}; all {len(data.shape)} must be there, in order")
    return None


@limit
def equal_halves(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """Attributes whose first half must equal the second: paddings that are the same at both ends."""
    for name in told:
        value = list(operator.attributes.get(name) or ())
        if value[: len(value) // 2] != value[len(value) // 2 :]:
            return Complaint(f"its {name} are {value}, not the same at both ends")
    return None


@limit
def last_axis(view: View, operator: Operator, told: str) -> Complaint | None:
    """This attribute must name the last axis of the first input."""
    data, axis = view.input(operator, 0), operator.attributes.get(told)
    if data is not None and axis is not None and axis not in (-1, len(data.shape) - 1):
        return Complaint(f"its {told} is {axis}; it must be the last one, {len(data.shape) - 1}")
    return None


@limit
def not_last_axis(view: View, operator: Operator, told: str) -> Complaint | None:
    """This attribute must not name the last axis of the output."""
    data, axis = view.input(operator, 0), operator.attributes.get(told)
    if data is not None and axis is not None and axis in (-1, len(data.shape)):
        return Complaint(f"its {told} is the last one")
    return None


@limit
def einsum(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """What the equation may not have: ``ellipsis``, ``diagonal`` (a letter twice in a term), ``broadcast`` (a letter
    that stands for a 1 and for another size)."""
    terms = str(operator.attributes.get("equation", "")).replace(" ", "").split("->")[0].split(",")
    if "ellipsis" in told and any("..." in term for term in terms):
        return Complaint("its equation has an ellipsis")
    if "diagonal" in told and any(len(set(term)) < len(term) for term in terms):
        return Complaint("its equation repeats a letter within one input")
    sizes: dict[str, set[int | None]] = {}
    for term, tensor in zip(terms, view.inputs(operator), strict=False):
        for letter, size in zip(term, tensor.shape, strict=False):
            sizes.setdefault(letter, set()).add(size)
    if "broadcast" in told and any(1 in seen and len(seen - {None}) > 1 for seen in sizes.values()):
        return Complaint("its equation spreads a size of 1 over a larger one")
    return None


@limit
def same_activations(view: View, operator: Operator, told: bool) -> Complaint | None:
    """In a bidirectional layer both directions must use the same activations."""
    names = list(operator.attributes.get("activations") or ())
    both = operator.attributes.get("direction") == "bidirectional"
    if told and both and names[: len(names) // 2] != names[len(names) // 2 :]:
        return Complaint(f"its two directions use different activations: {', '.join(names)}")
    return None


@limit
def keeps_rank(view: View, operator: Operator, told: str) -> Complaint | None:
    """Where this attribute is set, input and output must have as many axes."""
    before, after = view.input(operator, 0), view.output(operator, 0)
    if operator.attributes.get(told) and before and after and len(before.shape) != len(after.shape):
        return Complaint(
            f"{told} is set, and the output has {len(after.shape)} axes where the input has {len(before.shape)}"
        )
    return None


@limit
def multiplier(view: View, operator: Operator, told: bool) -> Complaint | None:
    """A depthwise convolution may make several channels of one only where there is but one."""
    data, factor = view.input(operator, 0), operator.attributes.get("depth_multiplier", 1)
    if told and data is not None and factor != 1 and data.shape[-1:] != (1,):
        return Complaint(f"its depth_multiplier is {factor}; with {data.shape[-1]} input channels it must be 1")
    return None


@limit
def version(view: View, operator: Operator, told: int) -> Complaint | None:
    """The newest version of the operator that is read."""
    if operator.version is not None and operator.version > told:
        return Complaint(f"it is of version {operator.version}; versions up to {told} are read")
    return None


@limit
def outputs(view: View, operator: Operator, told: int) -> Complaint | None:
    """How many outputs, from the first, may be used."""
    used = [index for index in operator.outputs[told:] if index >= 0 and index in view.read]
    return (
        Complaint(f"its output {short_name(view.graph.tensors[used[0]])} is used, which is not made") if used else None
    )


@limit
def input_count(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """How many inputs it may have."""
    found = len(view.inputs(operator))
    return None if found in told else Complaint(f"it has {found} inputs; it takes {either(told)}")


@limit
def cannot_tell(view: View, operator: Operator, told: str) -> Complaint | None:
    """A limit on what the graph does not hold."""
    return Complaint(told, known=False)
