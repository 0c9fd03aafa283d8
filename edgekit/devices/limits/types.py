"""Limits on types and quantization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.devices.limits import Complaint, both, either, limit, short_name
from edgekit.devices.limits.view import View
from edgekit.graph import Operator


@limit
def dtypes(view: View, operator: Operator, told: Mapping[int, Sequence[str]]) -> Complaint | None:
    """{position: types that this input may have}."""
    for position, allowed in told.items():
        tensor = view.input(operator, position)
        if tensor is not None and tensor.dtype not in allowed:
            return Complaint(f"its input {short_name(tensor)} is {tensor.dtype}; it takes {either(allowed)}")
    return None


@limit
def not_dtypes(view: View, operator: Operator, told: Mapping[int, Sequence[str]]) -> Complaint | None:
    """{position: types that this input may not have}."""
    for position, refused in told.items():
        tensor = view.input(operator, position)
        if tensor is not None and tensor.dtype in refused:
            return Complaint(f"its input {short_name(tensor)} is {tensor.dtype}, which it does not take")
    return None


@limit
def conversions(view: View, operator: Operator, told: Sequence[Sequence[str]]) -> Complaint | None:
    """[[from, to], ...]: the only types it converts."""
    before, after = view.input(operator, 0), view.output(operator, 0)
    if before is None or after is None or [before.dtype, after.dtype] in [list(pair) for pair in told]:
        return None
    return Complaint(f"it makes {after.dtype} of {before.dtype}, which is not among the conversions that can be had")


@limit
def computed_types(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """Types that whatever is computed at run time, among its inputs and outputs, may have."""
    for index in (*operator.inputs, *operator.outputs):
        if index < 0 or index in view.constants:
            continue
        tensor = view.graph.tensors[index]
        if tensor.dtype not in told:
            return Complaint(f"{short_name(tensor)} is {tensor.dtype}; what is computed must be {either(told)}")
    return None


@limit
def same_types(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """Inputs that must be of one type."""
    found = sorted({tensor.dtype for tensor in (view.input(operator, place) for place in told) if tensor is not None})
    return Complaint(f"its inputs are {both(found)}; they must be of one type") if len(found) > 1 else None


@limit
def output_types(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """Types that its first output may have."""
    after = view.output(operator, 0)
    if after is not None and after.dtype not in told:
        return Complaint(f"{short_name(after)} is {after.dtype}; it makes {either(told)}")
    return None


@limit
def not_hybrid(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """[data, weights]: quantized weights must not meet float data."""
    data, weights = (view.input(operator, position) for position in told)
    if data is not None and weights is not None and data.dtype == "float32" and weights.dtype in ("int8", "uint8"):
        return Complaint("its weights are quantized and its data are float")
    return None


@limit
def not_per_channel(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """Inputs that may have but one scale."""
    for position in told:
        tensor = view.input(operator, position)
        if tensor is not None and tensor.quantization is not None and tensor.quantization.per_channel:
            return Complaint(f"its input {short_name(tensor)} has a scale for each channel")
    return None


@limit
def same_quantization(view: View, operator: Operator, told: bool) -> Complaint | None:
    """The first input and the output must have the same scale and zero point."""
    before, after = view.input(operator, 0), view.output(operator, 0)
    if told and before is not None and after is not None and before.quantization != after.quantization:
        return Complaint("its input and output have different scales or zero points")
    return None
