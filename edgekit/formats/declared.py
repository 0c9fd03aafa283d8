"""What a recipe says of a model's inputs, held against what the model's file says: for formats whose files know
shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.artifact import Tensor
from edgekit.errors import InputError
from edgekit.formats import ONLY, Declared


def declare_inputs(path: Path, inputs: Sequence[Tensor], declared: Declared) -> tuple[Tensor, ...]:
    """The inputs of the file with their free sizes filled and their layout: as declared, else NCHW where there are four
    axes. A free first size alone is a batch of 1.

    Raises:
        InputError: an input is declared that the file has not, or otherwise than it is, or not where sizes are free.
    """
    declared = name_only(path, inputs, declared)
    names = [tensor.name for tensor in inputs]
    for name in (*declared.shapes, *declared.layouts):
        if name not in names:
            raise InputError(
                f"{path.name} has no input `{name}`; its inputs are {', '.join(names)}",
                where=str(path),
                remedy="correct the names under model.inputs",
                code="unknown_input",
            )
    return tuple(_declare(path, tensor, declared) for tensor in inputs)


def name_only(path: Path, inputs: Sequence[Tensor], declared: Declared) -> Declared:
    """The same with the name of the model's only input for ONLY.

    Raises:
        InputError: it has several.
    """
    if ONLY not in declared.shapes:
        return declared
    if len(inputs) != 1:
        raise InputError(
            f"{path.name} has several inputs: {', '.join(tensor.name for tensor in inputs)}",
            where=str(path),
            remedy="--shape NAME=SIZES for each",
            code="usage",
        )
    shapes = {inputs[0].name if name == ONLY else name: shape for name, shape in declared.shapes.items()}
    return replace(declared, shapes=shapes)


def _declare(path: Path, tensor: Tensor, declared: Declared) -> Tensor:
    own, wanted = tensor.shape, declared.shapes.get(tensor.name)
    if wanted is not None:
        if len(own) != len(wanted) or any(a is not None and a != b for a, b in zip(own, wanted, strict=True)):
            raise InputError(
                f"input `{tensor.name}` of {path.name} is {_times(own)}, not {_times(wanted)}",
                where=str(path),
                remedy="give the file's own sizes in its own order, or export the model with others",
                code="wrong_shape",
            )
        own = tuple(wanted)
    elif None in own[1:]:
        raise InputError(
            f"input `{tensor.name}` of {path.name} has free sizes: {_times(own)}",
            where=str(path),
            remedy="say which, with your sizes, as the flag --shape "
            f"{tensor.name}={'x'.join(map(str, _example(own)))}, or as the recipe's model: "
            f"{{inputs: {{{tensor.name}: {{shape: {_example(own)}}}}}}}",
            code="inputs_not_declared",
        )
    shape = tuple(1 if size is None else size for size in own)
    return replace(tensor, shape=shape, layout=declared.layouts.get(tensor.name, "NCHW" if len(shape) == 4 else None))


def _example(shape: Sequence[int | None]) -> list[int]:
    """Sizes for the free ones, to show the form: 1 for a batch, else 224 for the sides of a picture, 128 for others."""
    usual = 224 if len(shape) > 3 else 128
    return [size if size is not None else usual if axis else 1 for axis, size in enumerate(shape)]


def _times(shape: Sequence[int | None]) -> str:
    """``1x3x?x224``; a question mark for a free size."""
    return "x".join("?" if size is None else str(size) for size in shape) or "a scalar"
