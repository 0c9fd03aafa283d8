"""What steps that rewrite transformers take, in TensorFlow Lite's operators: conditions of remedies."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edgekit.devices.limits import Complaint, limit
from edgekit.devices.limits.view import View
from edgekit.graph import Operator


@limit
def spreads(view: View, operator: Operator, told: Mapping[str, int]) -> Complaint | None:
    """A product [..., T, D] by [..., D, S], no linear layer, of which some rows at least, times D and times S, are at
    most ``numbers``, with the rows of all heads in at most ``parts`` parts, one for each head at least."""
    first, second = view.input(operator, 0), view.input(operator, 1)
    if first is None or second is None or first.elements is None or second.elements is None:
        return Complaint("how large it is")
    linear = view.is_constant(operator, 1) and len(second.shape) == 2
    if linear or first.shape[:-2] != second.shape[:-2]:
        return Complaint("it is no product of the same heads")
    rows, inner = (size or 1 for size in first.shape[-2:][:: -1 if operator.attributes.get("adj_x") else 1])
    columns = second.shape[-2 if operator.attributes.get("adj_y") else -1] or 1
    heads, most = math.prod(size or 1 for size in first.shape[:-2]), told["numbers"] // (inner * columns)
    each = math.ceil(rows / math.ceil(rows / most)) if most else 0  # rows of a part: never n where D = S = n
    while inner == columns > 1 and each and inner in (each, rows % each):
        each -= 1
    if each == 0 or heads * math.ceil(rows / each) > told["parts"]:
        return Complaint(f"it makes {heads * rows * inner * columns:,} products, of {heads:,} heads")
    return None


@limit
def neighbours(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether it takes places of a computed tensor that follow one another, or a single one."""
    data, places = view.input(operator, 0), view.input(operator, 1)
    values = None if places is None or not places.constant or len(places.shape) > 1 else places.values
    found = data is not None and not data.constant and bool(values)
    found = found and all(after - before == 1 for before, after in zip(values or (), (values or ())[1:], strict=False))
    return None if found == told else Complaint("whether it takes neighbours")
