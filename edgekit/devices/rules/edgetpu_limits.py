"""The limits of single operators on the Edge TPU: each function is a rule that ``edgetpu.yaml`` names with parameters.

A rule returns why an operator breaks it, or None. Sizes are those of the three innermost axes, called y, x and z: the
chip stores a tensor as rows (y) of columns (x) of channels (z, filled up to a multiple of ``channel_multiple``).
Rules about memory follow from one published figure, the narrow memory of a tile: rows are dealt out over the tiles,
and a tensor of one row lies on one tile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.graph import Graph, Operator, TensorInfo


@dataclass(frozen=True)
class Chip:
    """``tiles`` share the rows of a tensor; ``bytes_per_tile`` is the memory of one."""

    tiles: int
    bytes_per_tile: int
    channel_multiple: int


@dataclass(frozen=True)
class Subject:
    """An operator with its tensors (None: an optional input that is left out)."""

    operator: Operator
    inputs: tuple[TensorInfo | None, ...]
    outputs: tuple[TensorInfo, ...]
    chip: Chip

    def input(self, place: int) -> TensorInfo | None:
        return self.inputs[place] if place < len(self.inputs) else None


Rule = Callable[..., str | None]
RULES: dict[str, Rule] = {}


def take_subject(graph: Graph, operator: Operator, chip: Chip) -> Subject:
    """The operator with its tensors looked up."""
    return Subject(
        operator=operator,
        inputs=tuple(graph.tensors[index] if index >= 0 else None for index in operator.inputs),
        outputs=tuple(graph.tensors[index] for index in operator.outputs if index >= 0),
        chip=chip,
    )


def sizes(tensor: TensorInfo) -> tuple[int, ...]:
    """The shape, with the 1 that a file stores where its signature leaves a size free."""
    return tuple(1 if size is None else size for size in tensor.shape)


def count(tensor: TensorInfo) -> int:
    return math.prod(sizes(tensor))


def show(tensor: TensorInfo) -> str:
    return "[" + ",".join(str(size) for size in sizes(tensor)) + "]"


def bytes_on_a_tile(tensor: TensorInfo, chip: Chip) -> int:
    """How much of an 8-bit tensor the fullest tile holds: its share of the rows, or all of a single row."""
    y, x, z = (1, 1, 1, *sizes(tensor))[-3:]
    row = x * fill_up(z, chip.channel_multiple)
    return math.ceil(y / chip.tiles) * row


def fill_up(size: int, multiple: int) -> int:
    """The next multiple that holds ``size``."""
    return math.ceil(size / multiple) * multiple


def rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


@rule
def no_fused_activation(subject: Subject) -> str | None:
    activation = subject.operator.attributes.get("fused_activation_function", "NONE")
    return None if activation == "NONE" else f"it has a fused {activation}"


@rule
def constant_is_padding(subject: Subject, inputs: int) -> str | None:
    """A constant among the inputs is allowed only as zeros beside one other (``inputs`` in all)."""
    constants = [tensor for tensor in subject.inputs if tensor is not None and tensor.constant]
    if not constants:
        return None
    if len(subject.inputs) != inputs:
        return f"one of its {len(subject.inputs)} inputs is a constant, which is allowed only among {inputs}"
    return None if all(tensor.zero is not False for tensor in constants) else "its constant input is not all zeros"


@rule
def equal_dilation(subject: Subject) -> str | None:
    across, down = (subject.operator.attributes.get(f"dilation_{side}factor", 1) for side in "wh")
    return None if across == down else f"its dilation differs between x ({across}) and y ({down})"


@rule
def constant_inputs(subject: Subject, inputs: Sequence[int]) -> str | None:
    """The inputs at these places, where present, are constants."""
    computed = [tensor for tensor in map(subject.input, inputs) if tensor is not None and not tensor.constant]
    return f"its parameter `{computed[0].name}` is computed, not a constant" if computed else None


@rule
def window_below(subject: Subject, side: int) -> str | None:
    """Weights are [out, height, width, in]."""
    weights = subject.input(1)
    if weights is None or len(weights.shape) != 4:
        return None
    height, width = sizes(weights)[1:3]
    return f"its window of {height} x {width} is too large" if max(height, width) >= side else None


@rule
def default_weights_format(subject: Subject) -> str | None:
    stored = subject.operator.attributes.get("weights_format", 0)
    return None if stored in (0, "DEFAULT") else "its weights are stored shuffled"


@rule
def output_is_vector(subject: Subject) -> str | None:
    for tensor in subject.outputs:
        if count(tensor) != max(sizes(tensor), default=1):
            return f"its output {show(tensor)} is not one-dimensional"
    return None


@rule
def outputs_below(subject: Subject, count: int) -> str | None:
    wide = [tensor for tensor in subject.outputs if sizes(tensor) and sizes(tensor)[-1] >= count]
    return f"it has {sizes(wide[0])[-1]:,} outputs" if wide else None


@rule
def averaged_below(subject: Subject, axes: dict[str, Any], count: int) -> str | None:
    """``axes`` as in ``not_over_batch``; ``count`` elements go into one."""
    found, rank = _axes(subject, axes, 0)
    tensor = subject.input(0)
    if tensor is None:
        return None
    averaged = math.prod(sizes(tensor)[axis] for axis in {axis % rank for axis in found})
    return f"it takes the mean of {averaged:,} elements of {show(tensor)}" if averaged >= count else None


@rule
def smaller_than_refused(subject: Subject, read: int, written: int, weights: int) -> str | None:
    """Elements of the tensor at input 2, of the output and of the weights at input 1, as an operator had them that was
    refused: one that is as large in all three is refused too."""
    tensor, parameters = subject.input(2), subject.input(1)
    if tensor is None or parameters is None or not subject.outputs:
        return None
    output = subject.outputs[0]
    if count(tensor) < read or count(output) < written or count(parameters) < weights:
        return None
    return f"{show(tensor)} to {show(output)} with weights {show(parameters)} is as large as one that was refused"


@rule
def features_up_to(subject: Subject, count: int) -> str | None:
    tensor = subject.input(0)
    if tensor is None or not tensor.shape:
        return None
    return f"a step has {sizes(tensor)[-1]} input features" if sizes(tensor)[-1] > count else None


@rule
def vector_up_to(subject: Subject, count: int) -> str | None:
    tensor = subject.input(0)
    if tensor is None or not tensor.shape:
        return None
    return f"it runs over {sizes(tensor)[-1]:,} elements" if sizes(tensor)[-1] > count else None


@rule
def not_over_batch(subject: Subject, axes: dict[str, Any], of: int = 0) -> str | None:
    """``axes`` says where they stand: {input: place} or {attribute: name}; they are axes of input ``of``."""
    found, rank = _axes(subject, axes, of)
    return "it works along the batch" if any(axis % rank == 0 for axis in found) else None


@rule
def channel_reduction_multiple(subject: Subject, axes: dict[str, Any], multiple: int) -> str | None:
    found, rank = _axes(subject, axes, 0)
    tensor = subject.input(0)
    if tensor is None or not any(axis % rank == rank - 1 for axis in found):
        return None
    channels = sizes(tensor)[-1]
    return None if channels % multiple == 0 else f"it reduces {channels} channels, no multiple of {multiple}"


def _axes(subject: Subject, axes: dict[str, Any], of: int) -> tuple[list[int], int]:
    """(axes as written, rank to read them by)."""
    tensor = subject.input(of)
    rank = len(tensor.shape) if tensor is not None else 0
    if "attribute" in axes:
        rank = max((len(output.shape) for output in subject.outputs), default=rank)
        value = subject.operator.attributes.get(axes["attribute"])
        found = [value] if isinstance(value, int) else []
    else:
        written = subject.input(axes["input"])
        found = [int(axis) for axis in (written.values or ())] if written is not None else []
    return (found, rank) if rank else ([], 1)


@rule
def no_batch_padding(subject: Subject) -> str | None:
    paddings, tensor = subject.input(1), subject.input(0)
    if paddings is None or tensor is None or not paddings.values or not tensor.shape:
        return None
    return "it pads the batch" if any(paddings.values[:2]) else None


@rule
def slope_per_channel(subject: Subject) -> str | None:
    slopes = subject.input(1)
    if slopes is None:
        return None
    return None if count(slopes) == (sizes(slopes) or (1,))[-1] else f"its slopes {show(slopes)} differ by position"


@rule
def squeezes_leading_axes(subject: Subject) -> str | None:
    """Only ones in front of the first larger axis are taken away, so that nothing moves in memory."""
    tensor = subject.input(0)
    if tensor is None:
        return None
    shape = sizes(tensor)
    written = subject.operator.attributes.get("squeeze_dims")
    squeezed = [axis % len(shape) for axis in written] if isinstance(written, list) and written and shape else None
    if squeezed is None:
        squeezed = [axis for axis, size in enumerate(shape) if size == 1]
    first = next((axis for axis, size in enumerate(shape) if size > 1), len(shape))
    late = [axis for axis in squeezed if axis > first]
    return f"it takes axis {late[0]} out of {show(tensor)}, behind a larger one" if late else None


@rule
def channel_stride_is_one(subject: Subject) -> str | None:
    """Rows and columns may be skipped, channels not; nor may anything be read backwards."""
    strides = subject.input(3)
    if strides is None or not strides.values:
        return None
    if strides.values[-1] == 1 and all(value > 0 for value in strides.values):
        return None
    return f"its strides are {list(strides.values)}"


@rule
def no_ellipsis_or_new_axis(subject: Subject) -> str | None:
    used = [name for name in ("ellipsis_mask", "new_axis_mask") if subject.operator.attributes.get(name)]
    return f"it uses {used[0]}" if used else None


@rule
def single_row_fits(subject: Subject) -> str | None:
    """A tensor of one row cannot be dealt out over the tiles, nor worked on in parts."""
    for tensor in _computed(subject):
        if (1, 1, 1, *sizes(tensor))[-3] == 1 and bytes_on_a_tile(tensor, subject.chip) >= subject.chip.bytes_per_tile:
            needed = bytes_on_a_tile(tensor, subject.chip)
            return f"{show(tensor)} is a single row of {needed:,} bytes {_room(subject.chip)}"
    return None


@rule
def row_elements_fit(subject: Subject) -> str | None:
    """As ``single_row_fits``, of the output alone and without filling up its channels."""
    for tensor in subject.outputs:
        if (1, 1, 1, *sizes(tensor))[-3] == 1 and count(tensor) >= subject.chip.bytes_per_tile:
            return f"its output {show(tensor)} is a single row of {count(tensor):,} bytes {_room(subject.chip)}"
    return None


@rule
def enlarges_up_to(subject: Subject, factor: int) -> str | None:
    """Height and width of a picture [batch, height, width, channels]."""
    tensor, output = subject.input(0), subject.outputs[0] if subject.outputs else None
    if tensor is None or output is None or len(tensor.shape) != 4 or len(output.shape) != 4:
        return None
    for before, after in zip(sizes(tensor)[1:3], sizes(output)[1:3], strict=True):
        if after > factor * before:
            return f"it enlarges {show(tensor)} to {show(output)}"
    return None


@rule
def output_fits_tiles(subject: Subject) -> str | None:
    for tensor in subject.outputs:
        needed = bytes_on_a_tile(tensor, subject.chip)
        if needed >= subject.chip.bytes_per_tile:
            return f"its output {show(tensor)} takes {needed:,} bytes {_room(subject.chip)}"
    return None


@rule
def both_sides_fit_a_tile(subject: Subject) -> str | None:
    """What is read and what is written lie beside each other."""
    needed = sum(bytes_on_a_tile(tensor, subject.chip) for tensor in _computed(subject))
    if needed < subject.chip.bytes_per_tile:
        return None
    shapes = " to ".join(show(tensor) for tensor in _computed(subject))
    return f"{shapes} takes {needed:,} bytes {_room(subject.chip)}"


@rule
def two_copies_fit_a_tile(subject: Subject) -> str | None:
    """All of it passes through one tile, read and written."""
    tensor = subject.input(0)
    if tensor is None or 2 * count(tensor) < subject.chip.bytes_per_tile:
        return None
    return f"{show(tensor)} takes {2 * count(tensor):,} bytes, read and written, {_room(subject.chip)}"


def _room(chip: Chip) -> str:
    return f"on a tile, which has {chip.bytes_per_tile:,}"


def _computed(subject: Subject) -> list[TensorInfo]:
    """Inputs and outputs that flow; constants are elsewhere."""
    flowing = [tensor for tensor in subject.inputs if tensor is not None and not tensor.constant]
    return [*flowing, *subject.outputs]
