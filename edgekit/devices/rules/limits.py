"""The limits that a table may put on an operator, each a function: (view, operator, what the table says) -> complaint.

A complaint is the reason in words, or None where the limit is kept. A limit that cannot be read off the graph answers
``UNKNOWN`` with what would have to be known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from edgekit.graph import Graph, Operator, TensorInfo

#: Operators that hand a constant on as one: weights stored as integers.
_HANDS_ON = ("DequantizeLinear", "DEQUANTIZE")


@dataclass(frozen=True)
class Complaint:
    """Why a limit is not kept; ``known`` False: whether it is kept cannot be told."""

    reason: str
    known: bool = True


class View:
    """A graph as limits look at it: tensors by operator and position."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def constants(self) -> frozenset[int]:
        """Constant tensors, and those that only dequantize one."""
        found = {index for index, tensor in enumerate(self.graph.tensors) if tensor.constant}
        for operator in self.graph.operators:
            if operator.type in _HANDS_ON and operator.inputs and operator.inputs[0] in found:
                found.update(operator.outputs)
        return frozenset(found)

    @cached_property
    def free_inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs that leave a size free."""
        inputs = (self.graph.tensors[index] for index in self.graph.inputs)
        return tuple(tensor.name for tensor in inputs if tensor.elements is None)

    @cached_property
    def read(self) -> frozenset[int]:
        """Tensors that an operator reads or the graph returns."""
        used = {index for operator in self.graph.operators for index in operator.inputs}
        return frozenset(used | set(self.graph.outputs))

    def input(self, operator: Operator, position: int) -> TensorInfo | None:
        return self._tensor(operator.inputs, position)

    def output(self, operator: Operator, position: int) -> TensorInfo | None:
        return self._tensor(operator.outputs, position)

    def inputs(self, operator: Operator) -> list[TensorInfo]:
        """Those that are there."""
        return [self.graph.tensors[index] for index in operator.inputs if index >= 0]

    def is_constant(self, operator: Operator, position: int) -> bool:
        return operator.inputs[position] in self.constants

    def runtime_inputs(self, operator: Operator) -> int:
        """How many inputs are computed while it runs."""
        return sum(index >= 0 and index not in self.constants for index in operator.inputs)

    def _tensor(self, places: Sequence[int], position: int) -> TensorInfo | None:
        inside = -len(places) <= position < len(places)
        return self.graph.tensors[places[position]] if inside and places[position] >= 0 else None


def short_name(tensor: TensorInfo) -> str:
    """Its name; the first of those that a converter has joined with semicolons."""
    return tensor.name.split(";")[0]


Limit = Callable[[View, Operator, Any], Complaint | None]
LIMITS: dict[str, Limit] = {}


def limit(check: Limit) -> Limit:
    """Tables call the limit by the function's name."""
    LIMITS[check.__name__] = check
    return check


def find_complaint(view: View, operator: Operator, limits: Mapping[str, Any]) -> Complaint | None:
    """The first limit that is not kept; one that is surely broken goes before what cannot be told."""
    complaints = [LIMITS[name](view, operator, told) for name, told in limits.items()]
    broken = [complaint for complaint in complaints if complaint is not None]
    return min(broken, key=lambda complaint: not complaint.known, default=None)


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
def ranks(view: View, operator: Operator, told: Mapping[int, Sequence[int]]) -> Complaint | None:
    """{position: ranks that this input may have}."""
    for position, allowed in told.items():
        tensor = view.input(operator, position)
        if tensor is None or len(tensor.shape) in allowed:
            continue
        if not tensor.shape and not tensor.constant:
            return Complaint(f"what shape {short_name(tensor)} has", known=False)
        return Complaint(f"its input {short_name(tensor)} has rank {len(tensor.shape)}; it takes {_either(allowed)}")
    return None


@limit
def max_rank(view: View, operator: Operator, told: int) -> Complaint | None:
    """The most axes that any input or output may have."""
    outputs = [view.graph.tensors[index] for index in operator.outputs if index >= 0]
    for tensor in (*view.inputs(operator), *outputs):
        if len(tensor.shape) > told:
            return Complaint(f"{short_name(tensor)} has rank {len(tensor.shape)}; at most {told} axes can be had")
    return None


@limit
def values(view: View, operator: Operator, told: Mapping[str, Sequence[Any]]) -> Complaint | None:
    """{attribute: values it may have}; an attribute that is not there has its default, which is allowed."""
    for name, allowed in told.items():
        value = operator.attributes.get(name)
        if value is not None and value not in allowed:
            return Complaint(f"its {name} is {value}; it takes {_either(allowed)}")
    return None


@limit
def each(view: View, operator: Operator, told: Mapping[str, Sequence[Any]]) -> Complaint | None:
    """{attribute: values that each of its numbers may have}."""
    for name, allowed in told.items():
        value = operator.attributes.get(name)
        if value is not None and not set(value) <= set(allowed):
            return Complaint(f"its {name} are {list(value)}; each must be {_either(allowed)}")
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
    return Complaint(f"it has {_all(present)}, which is not supported") if present else None


@limit
def not_both(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """Attributes of which only one may be set."""
    if all(operator.attributes.get(name) for name in told):
        return Complaint(f"{_all(told)} are set together")
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
def outputs(view: View, operator: Operator, told: int) -> Complaint | None:
    """How many outputs, from the first, may be used."""
    used = [index for index in operator.outputs[told:] if index >= 0 and index in view.read]
    return (
        Complaint(f"its output {short_name(view.graph.tensors[used[0]])} is used, which is not made") if used else None
    )


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
                f"its input {short_name(tensor)} must be a constant of {_either(allowed)}", tensor.constant is False
            )
        if not set(tensor.values) <= set(allowed):
            return Complaint(f"its input {short_name(tensor)} is {list(tensor.values)}; it takes {_either(allowed)}")
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
def runtime_inputs(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """How many of its inputs may be computed at run time."""
    found = view.runtime_inputs(operator)
    if found not in told:
        return Complaint(f"{found} of its inputs are computed while the model runs; it takes {_either(told)}")
    return None


@limit
def input_count(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """How many inputs it may have."""
    found = len(view.inputs(operator))
    return None if found in told else Complaint(f"it has {found} inputs; it takes {_either(told)}")


@limit
def dtypes(view: View, operator: Operator, told: Mapping[int, Sequence[str]]) -> Complaint | None:
    """{position: types that this input may have}."""
    for position, allowed in told.items():
        tensor = view.input(operator, position)
        if tensor is not None and tensor.dtype not in allowed:
            return Complaint(f"its input {short_name(tensor)} is {tensor.dtype}; it takes {_either(allowed)}")
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
def shapes(view: View, operator: Operator, told: Mapping[int, Sequence[Sequence[int]]]) -> Complaint | None:
    """{position: shapes that this input may have}."""
    for position, allowed in told.items():
        tensor = view.input(operator, position)
        if tensor is not None and list(tensor.shape) not in [list(shape) for shape in allowed]:
            return Complaint(
                f"its input {short_name(tensor)} has the shape {list(tensor.shape)}; it takes {_either(allowed)}"
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
def cannot_tell(view: View, operator: Operator, told: str) -> Complaint | None:
    """A limit on what the graph does not hold."""
    return Complaint(told, known=False)


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
def same_batch(view: View, operator: Operator, told: bool) -> Complaint | None:
    """First sizes of input and output must be equal."""
    before, after = view.input(operator, 0), view.output(operator, 0)
    if told and before and after and before.shape[:1] != after.shape[:1]:
        return Complaint("its output has another batch than its input")
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
def computed_types(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """Types that whatever is computed at run time, among its inputs and outputs, may have."""
    for index in (*operator.inputs, *operator.outputs):
        if index < 0 or index in view.constants:
            continue
        tensor = view.graph.tensors[index]
        if tensor.dtype not in told:
            return Complaint(f"{short_name(tensor)} is {tensor.dtype}; what is computed must be {_either(told)}")
    return None


@limit
def same_types(view: View, operator: Operator, told: Sequence[int]) -> Complaint | None:
    """Inputs that must be of one type."""
    found = sorted({tensor.dtype for tensor in (view.input(operator, place) for place in told) if tensor is not None})
    return Complaint(f"its inputs are {_all(found)}; they must be of one type") if len(found) > 1 else None


@limit
def multiplier(view: View, operator: Operator, told: bool) -> Complaint | None:
    """A depthwise convolution may make several channels of one only where there is but one."""
    data, factor = view.input(operator, 0), operator.attributes.get("depth_multiplier", 1)
    if told and data is not None and factor != 1 and data.shape[-1:] != (1,):
        return Complaint(f"its depth_multiplier is {factor}; with {data.shape[-1]} input channels it must be 1")
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
def version(view: View, operator: Operator, told: int) -> Complaint | None:
    """The newest version of the operator that is read."""
    if operator.version is not None and operator.version > told:
        return Complaint(f"it is of version {operator.version}; versions up to {told} are read")
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
def output_types(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """Types that its first output may have."""
    after = view.output(operator, 0)
    if after is not None and after.dtype not in told:
        return Complaint(f"{short_name(after)} is {after.dtype}; it makes {_either(told)}")
    return None


@limit
def square_output(view: View, operator: Operator, told: bool) -> Complaint | None:
    """The second and third size of its output must be equal."""
    after = view.output(operator, 0)
    if told and after is not None and len(set(after.shape[1:3])) > 1:
        return Complaint(f"it makes {after.shape[1]} x {after.shape[2]}; height and width must be equal")
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
            return Complaint(f"it works along the axes {list(tensor.values)}; it takes {_either(allowed)}")
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


@limit
def one_row(view: View, operator: Operator, told: int) -> Complaint | None:
    """All sizes of this input but the last must be 1."""
    tensor = view.input(operator, told)
    if tensor is not None and any(size not in (1, None) for size in tensor.shape[:-1]):
        return Complaint(f"{short_name(tensor)} has the shape {list(tensor.shape)}; all but the last must be 1")
    return None


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


def _either(choices: Sequence[Any]) -> str:
    return " or ".join(str(choice) for choice in choices)


def _all(names: Sequence[str]) -> str:
    return " and ".join(names)
