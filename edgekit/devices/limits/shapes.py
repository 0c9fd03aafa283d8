"""Limits on shapes: ranks, sizes that are fixed, and how two shapes may be spread over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from edgekit.devices.limits import Complaint, either, limit, short_name
from edgekit.devices.limits.view import View
from edgekit.graph import Operator


@limit
def ranks(view: View, operator: Operator, told: Mapping[int, Sequence[int]]) -> Complaint | None:
    """{position: ranks that this input may have}."""
    for position, allowed in told.items():
        tensor = view.input(operator, position)
        if tensor is None or len(tensor.shape) in allowed:
            continue
        if not tensor.shape and not tensor.constant:
            return Complaint(f"what shape {short_name(tensor)} has", known=False)
        return Complaint(f"its input {short_name(tensor)} has rank {len(tensor.shape)}; it takes {either(allowed)}")
    return None


@limit
def max_rank(view: View, operator: Operator, told: int) -> Complaint | None:
    """The most axes that any input or output may have."""
    outputs = [view.graph.tensors[index] for index in operator.outputs if index >= 0]
    for tensor in (*view.inputs(operator), *outputs):
        if len(tensor.shape) > told:
            return Complaint(f"{short_name(tensor)} has {len(tensor.shape)} axes; at most {told} are taken")
    return None


@limit
def static(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """Inputs whose sizes must all be known."""
    for position in told:
        tensor = view.input(operator, position)
        if tensor is not None and tensor.elements is None:
            return Complaint(f"the size of {short_name(tensor)} is not fixed")
    return None


@limit
def static_all(view: View, operator: Operator, told: bool) -> Complaint | None:
    """No size of its inputs and outputs may depend on the data.

    Sizes that the model's own inputs leave free do not: the app fixes them before a delegate sees the graph.
    """
    if not told or view.free_inputs:
        return None
    outputs = [view.graph.tensors[index] for index in operator.outputs if index >= 0]
    for tensor in (*view.inputs(operator), *outputs):
        if tensor.elements is None:
            return Complaint(f"the size of {short_name(tensor)} depends on the data")
    return None


@limit
def shapes(view: View, operator: Operator, told: Mapping[int, Sequence[Sequence[int]]]) -> Complaint | None:
    """{position: shapes that this input may have}."""
    for position, allowed in told.items():
        tensor = view.input(operator, position)
        if tensor is not None and list(tensor.shape) not in [list(shape) for shape in allowed]:
            return Complaint(
                f"its input {short_name(tensor)} has the shape {list(tensor.shape)}; it takes {either(allowed)}"
            )
    return None


@limit
def scalar(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """Inputs that must hold one number."""
    for position in told:
        tensor = view.input(operator, position)
        if tensor is not None and tensor.elements != 1:
            return Complaint(f"its input {short_name(tensor)} is not a single number")
    return None


@limit
def same_batch(view: View, operator: Operator, told: bool) -> Complaint | None:
    """First sizes of input and output must be equal."""
    before, after = view.input(operator, 0), view.output(operator, 0)
    if told and before and after and before.shape[:1] != after.shape[:1]:
        return Complaint("its output has another batch than its input")
    return None


@limit
def batch_of_one(view: View, operator: Operator, told: int) -> Complaint | None:
    """This input must have a first size of 1 if it has four axes."""
    tensor = view.input(operator, told)
    if tensor is not None and len(tensor.shape) == 4 and tensor.shape[0] != 1:
        return Complaint(f"{short_name(tensor)} has a batch of {tensor.shape[0]}; it must be 1")
    return None


@limit
def one_place(view: View, operator: Operator, told: int) -> Complaint | None:
    """This input may be longer than 1 only along its last axis, and along the batch if it has four axes."""
    tensor = view.input(operator, told)
    if tensor is None:
        return None
    inner = tensor.shape[1:-1] if len(tensor.shape) > 3 else tensor.shape[:-1]
    if any(size != 1 for size in inner):
        return Complaint(
            f"{short_name(tensor)} has the shape {list(tensor.shape)}; only its last axis may be longer than 1"
        )
    return None


@limit
def one_row(view: View, operator: Operator, told: int) -> Complaint | None:
    """All sizes of this input but the last must be 1."""
    tensor = view.input(operator, told)
    if tensor is not None and any(size not in (1, None) for size in tensor.shape[:-1]):
        return Complaint(f"{short_name(tensor)} has the shape {list(tensor.shape)}; all but the last must be 1")
    return None


@limit
def larger_side(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Of two inputs one must be at least as large as the other along every axis (no
    outer product); inputs of different ranks are not judged."""
    shapes = [tensor.shape for tensor in view.inputs(operator)[:2]]
    if not told or len(shapes) < 2 or any(None in shape for shape in shapes):
        return None
    left, right = ([size or 0 for size in shape] for shape in shapes)
    if len(left) != len(right):
        return None
    if all(a >= b for a, b in zip(left, right, strict=True)) or all(b >= a for a, b in zip(left, right, strict=True)):
        return None
    return Complaint(f"neither of {list(shapes[0])} and {list(shapes[1])} is the larger along every axis")


@limit
def image_broadcast(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Two inputs of at most four axes [batch, height, width, channels]: equal batches (unless one is a stored single
    number), equal pictures or one of 1 x 1, equal channels or one of 1."""
    pair = view.inputs(operator)[:2]
    if not told or len(pair) < 2:
        return None
    if any(len(tensor.shape) > 4 for tensor in pair):
        return Complaint("one of its inputs has more than four axes")
    left, right = ((1,) * (4 - len(tensor.shape)) + tensor.shape for tensor in pair)
    single = any(
        tensor.elements == 1 and place in view.constants for tensor, place in zip(pair, operator.inputs, strict=False)
    )
    batches = left[0] == right[0] or single
    pictures = left[1:3] == right[1:3] or (1, 1) in (left[1:3], right[1:3])
    channels = left[3] == right[3] or 1 in (left[3], right[3])
    if batches and pictures and channels:
        return None
    return Complaint(f"the shapes {list(pair[0].shape)} and {list(pair[1].shape)} cannot be spread over each other")


@limit
def same_shape_or_scalar(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """Inputs that must have the output's shape or hold one number."""
    after = view.output(operator, 0)
    for position in told:
        tensor = view.input(operator, position)
        if tensor is None or after is None or tensor.shape == after.shape or prod(s or 0 for s in tensor.shape) == 1:
            continue
        return Complaint(f"its input {short_name(tensor)} has the shape {list(tensor.shape)}, not the output's")
    return None


@limit
def same_shapes(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """Inputs that must have one shape."""
    found = {tensor.shape for tensor in (view.input(operator, place) for place in told) if tensor is not None}
    return Complaint("its inputs have different shapes") if len(found) > 1 else None


@limit
def no_scalar_output(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Its output must have at least one axis."""
    after = view.output(operator, 0)
    return Complaint("its output is a single number without axes") if told and after and not after.shape else None


@limit
def square_output(view: View, operator: Operator, told: bool) -> Complaint | None:
    """The second and third size of its output must be equal."""
    after = view.output(operator, 0)
    if told and after is not None and len(set(after.shape[1:3])) > 1:
        return Complaint(f"it makes {after.shape[1]} x {after.shape[2]}; height and width must be equal")
    return None
