"""Stretches of tensors with five axes and more, and what the steps that rewrite them take: conditions of remedies."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.devices.limits import Complaint, limit
from edgekit.devices.limits.view import View
from edgekit.graph import Operator, TensorInfo

_MOST = 4
#: What the step onnx_lower_rank rewrites, as TensorFlow Lite has it.
_LOWERED = frozenset(
    {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "GATHER"}
    | {"CONCATENATION", "SOFTMAX", "LOGISTIC", "TANH", "RELU", "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "LEAKY_RELU"}
    | {"ELU", "GELU", "HARD_SWISH", "EXP", "LOG", "SQRT", "ABS", "NEG", "FLOOR", "CEIL", "ROUND", "CAST"}
    | {"ADD", "SUB", "MUL", "DIV", "POW", "MAXIMUM", "MINIMUM", "SQUARE", "QUANTIZE"}
)
_ARITHMETIC = frozenset({"ADD", "SUB", "MUL", "DIV", "POW", "MAXIMUM", "MINIMUM"})
_SHUFFLED = frozenset({"RESHAPE", "TRANSPOSE", "GATHER", "STRIDED_SLICE", "SPLIT", "UNPACK"})
_SLICES = frozenset({"SLICE", "STRIDED_SLICE"})


@limit
def lowers(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether the step onnx_lower_rank writes the operator without its many axes: all of the stretch that it is in is
    of a kind that the step takes, and neither comes from the model's input with them nor makes an output at once."""
    found = _stretch(view, operator)
    ends = {*view.graph.inputs} | ({*view.graph.outputs} & {*operator.outputs})
    taken = bool(found) and all(_is_lowered(view, one) for one in _touching(view, found)) and found.isdisjoint(ends)
    return None if taken == told else Complaint("its stretch of many axes cannot be written with fewer")


@limit
def shuffles(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether its stretch is a picture that is reshaped, transposed and reshaped to pictures (of which parts may be
    taken): what the step onnx_convolve_shuffles takes."""
    found = _stretch(view, operator)
    touching = _touching(view, found)
    given = {index for one in touching for index in one.inputs if index not in view.constants} - found
    made = {index for one in touching for index in one.outputs} - found
    taken = len(given) == 1 and bool(made) and all(_is_picture(view.graph.tensors[index]) for index in made)
    taken = taken and all(one.type in _SHUFFLED for one in touching) and _comes_of_picture(view, given.pop(), touching)
    return None if taken == told else Complaint("it is no shuffle of the channels or pixels of a picture")


def _comes_of_picture(view: View, index: int, touching: Sequence[Operator]) -> bool:
    """Only reshaped and transposed, and transposed at all, there or in the stretch."""
    passed = list(touching)
    while not _is_picture(view.graph.tensors[index]):
        maker = view.makers.get(index)
        if maker is None or maker.type not in ("RESHAPE", "TRANSPOSE"):
            return False
        passed.append(maker)
        index = maker.inputs[0]
    return any(one.type == "TRANSPOSE" for one in passed)


def _is_picture(tensor: TensorInfo) -> bool:
    return len(tensor.shape) == _MOST and tensor.shape[0] == 1


def _is_high(view: View, index: int) -> bool:
    """Five axes and more, or four of which the first is neither 1 nor a batch."""
    if index < 0 or index in view.constants:
        return False
    shape = view.graph.tensors[index].shape
    return len(shape) > _MOST or (len(shape) == _MOST and (shape[0] or 1) > 1 and not _is_batched(view))


def _is_batched(view: View) -> bool:
    return any(view.graph.tensors[index].shape[:1] not in ((), (1,)) for index in view.graph.inputs)


def _stretch(view: View, operator: Operator) -> frozenset[int]:
    """The tensors of many axes that the operator touches, and those that hang together with them."""
    found: set[int] = set()
    waiting = [index for index in (*operator.inputs, *operator.outputs) if _is_high(view, index)]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            near = _touching(view, {index})
            waiting += [each for one in near for each in (*one.inputs, *one.outputs) if _is_high(view, each)]
    return frozenset(found)


def _touching(view: View, tensors: frozenset[int] | set[int]) -> list[Operator]:
    """The operators that make or read some tensors, each once."""
    makers = [view.makers[index] for index in tensors if index in view.makers]
    readers = [one for index in tensors for one in view.readers.get(index, ())]
    return list({one.index: one for one in (*makers, *readers)}.values())


def _is_lowered(view: View, operator: Operator) -> bool:
    """Whether the step has a form of it: arithmetic of equal shapes, slices of one axis, one place of a gather."""
    before, after = view.input(operator, 0), view.output(operator, 0)
    if operator.type not in _LOWERED or before is None or after is None:
        return False
    if operator.type in _ARITHMETIC:
        computed = [view.graph.tensors[index] for index in operator.inputs if index not in view.constants]
        return all(one.shape == after.shape for one in computed)
    if operator.type in _SLICES and len(before.shape) == len(after.shape):
        return sum(a != b for a, b in zip(before.shape, after.shape, strict=True)) == 1
    places = view.input(operator, 1)
    return operator.type != "GATHER" or (places is not None and places.elements == 1)
