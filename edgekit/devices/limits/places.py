"""Where an operator stands in the graph: conditions of remedies."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.devices.limits import Complaint, either, limit
from edgekit.devices.limits.view import View
from edgekit.graph import Operator

#: What only puts numbers elsewhere, in TensorFlow Lite's words and in ONNX's.
_MOVES = frozenset({"RESHAPE", "TRANSPOSE", "Reshape", "Transpose"})


@limit
def is_type(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """It is one of these."""
    return None if operator.type in told else Complaint(f"it is none of {either(told)}")


@limit
def in_tail(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether it is post-processing that the step onnx_cut_tail moves to the host."""
    if (operator.index in view.tail) == told:
        return None
    return Complaint("it is no post-processing at the model's end" if told else "it is post-processing")


@limit
def in_softmax_tail(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether it is a softmax at the model's end, or follows one there: what the step onnx_cut_tail moves to the host
    with the option softmax_over=0."""
    if (operator.index in view.softmax_tail) == told:
        return None
    return Complaint("it is no softmax at the model's end" if told else "it is a softmax at the model's end")


@limit
def read_by(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """One of these reads what it makes; ``ADD/LOG`` is an ADD that a LOG reads."""
    found = any(_is_read(view, operator, path.split("/")) for path in told)
    return None if found else Complaint(f"{either(told)} does not read it")


@limit
def made_by(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """One of these makes what it reads; ``ADD/EXP`` is an ADD of what an EXP makes."""
    found = any(_is_made(view, operator, path.split("/")) for path in told)
    return None if found else Complaint(f"it does not read {either(told)}")


@limit
def at_an_end(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether only reshapes and transposes stand between it and the model's input or outputs."""
    found = _leads(view, operator.inputs[:1], forward=False) or _leads(view, operator.outputs, forward=True)
    return None if found == told else Complaint("whether it stands at an end of the model")


@limit
def at_input(view: View, operator: Operator, told: Sequence[str]) -> Complaint | None:
    """The types of an input of the model of which only reshapes and transposes separate it."""
    read = view.input(operator, 0)
    found = read is not None and read.dtype in told and _leads(view, operator.inputs[:1], forward=False)
    return None if found else Complaint("it reads no such input of the model")


def _leads(view: View, tensors: Sequence[int], *, forward: bool) -> bool:
    ends = view.graph.outputs if forward else view.graph.inputs
    if any(index in ends for index in tensors):
        return True
    if forward:
        near = [(one.type, one.outputs) for index in tensors for one in view.readers.get(index, ())]
    else:
        makers = [view.makers[index] for index in tensors if index in view.makers]
        near = [(one.type, one.inputs[:1]) for one in makers]
    return any(type_ in _MOVES and _leads(view, further, forward=forward) for type_, further in near)


def _is_read(view: View, operator: Operator, path: Sequence[str]) -> bool:
    readers = [reader for index in operator.outputs for reader in view.readers.get(index, ())]
    return not path or any(one.type == path[0] and _is_read(view, one, path[1:]) for one in readers)


def _is_made(view: View, operator: Operator, path: Sequence[str]) -> bool:
    makers = [view.makers[index] for index in operator.inputs if index in view.makers]
    return not path or any(one.type == path[0] and _is_made(view, one, path[1:]) for one in makers)


@limit
def batched(view: View, operator: Operator, told: bool) -> Complaint | None:
    """Whether the first size of what it works on is the batch of the model's input, above 1."""
    batches = {view.graph.tensors[index].shape[:1] for index in view.graph.inputs}
    own = [view.graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    found = {one.shape[0] for one in own if not one.constant and one.shape[:1] in batches and len(one.shape) > 1}
    shares = any(size is not None and size > 1 for size in found)
    return None if shares == told else Complaint("whether its first axis is a batch above 1")
