"""What steps that rewrite pictures take, in TensorFlow Lite's layout [batch, height, width, channels]: conditions of
remedies."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.devices.limits import Complaint, limit
from edgekit.devices.limits.view import View
from edgekit.graph import Operator


@limit
def one_dimensional(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether its picture has a height or width of 1, as a converter writes a signal."""
    data = view.input(operator, 0)
    found = data is not None and len(data.shape) == 4 and 1 in data.shape[1:3]
    return None if found == told else Complaint("whether it works on a signal")


@limit
def single_pixel(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether its picture is one pixel, high and wide."""
    data = view.input(operator, 0)
    found = data is not None and len(data.shape) == 4 and tuple(data.shape[1:3]) == (1, 1)
    return None if found == told else Complaint("whether it works on one pixel")


@limit
def reduces(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """The axes over which it goes, all of them; its second input names them."""
    data, axes = view.input(operator, 0), view.input(operator, 1)
    if data is None or axes is None or axes.values is None or not data.shape:
        return Complaint("over which axes it goes")
    found = {int(axis) % len(data.shape) for axis in axes.values}
    return None if found == set(told) else Complaint(f"it goes over the axes {sorted(found)}")


@limit
def moves_other_than(view: View, operator: Operator, told: Sequence[Sequence[int]]) -> Complaint | None:
    """Orders of axes, its second input, that it does not have."""
    order = view.input(operator, 1)
    if order is None or order.values is None:
        return Complaint("in which order it puts the axes")
    layouts = {tuple(each) for each in told}
    return Complaint("it is a change of the layout") if order.values in layouts else None


@limit
def whole_factor(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether height and width become a whole number of times as large."""
    before, after = view.input(operator, 0), view.output(operator, 0)
    if before is None or after is None or before.elements is None or after.elements is None:
        return Complaint("how large it makes the picture")
    pairs = list(zip(before.shape[1:3], after.shape[1:3], strict=True))
    found = all(old and new and new % old == 0 for old, new in pairs)
    return None if found == told else Complaint("whether its factor is whole")


@limit
def splits_channels(view: View, operator: Operator, told: int) -> Complaint | None:
    """Slices of the channels, four at least, are enough for its output to have ``told`` elements at most in each."""
    after = view.output(operator, 0)
    if after is None or after.elements is None or len(after.shape) != 4:
        return Complaint("how large its output is")
    fours = math.ceil((after.shape[3] or 0) / 4)
    parts = math.ceil((after.shape[1] or 0) * (after.shape[2] or 0) * fours * 4 / told)
    return None if fours >= parts else Complaint("it has too few channels")


@limit
def interleaves(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether it takes the channels of a picture in the order of a shuffle, every n-th of them; taken to be so where
    the order is too long to be known."""
    data, order = view.input(operator, 0), view.input(operator, 1)
    channels = data.shape[3] if data is not None and len(data.shape) == 4 else None
    found = bool(channels) and order is not None and order.constant and len(order.shape) == 1
    if found and order is not None and order.values is not None and channels:
        strides = {int(b) - int(a) for a, b in zip(order.values, order.values[1:], strict=False)}
        widest = max(strides, default=0)
        found = len(strides) <= 2 and widest > 1 and channels % widest == 0
    return None if found == told else Complaint("whether it shuffles channels")


@limit
def most_channels(view: View, operator: Operator, told: int) -> Complaint | None:
    """The most channels, the last axis, that it may read or make."""
    found = [one.shape[-1] for one in (view.input(operator, 0), view.output(operator, 0)) if one and one.shape]
    known = all(size is not None and size <= told for size in found)
    return None if found and known else Complaint(f"it has more than {told} channels")
