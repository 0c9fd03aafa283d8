"""Sizes of inputs that a model's file leaves free: who says what they are, and what to do where nobody does.

A free first size alone is a batch of 1, which the first step fixes. Other free sizes are those of ``--shape`` or the
recipe's ``model.inputs``, else those that the step onnx_fix_shapes is given, as the model's own: samples and reference
have them too.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgekit.devices.profile import Profile
from edgekit.errors import EdgekitError, ExcludedError, InputError
from edgekit.formats import Header

FIX = "onnx_fix_shapes"

Sizes = tuple[int | None, ...]
Shapes = dict[str, tuple[int, ...]]

#: Examples of sizes that a file does not tell: the sides of a picture, and of anything else.
_PICTURE, _OTHER = 224, 128


def sizes_of_step(options: Mapping[str, Any], header: Header) -> Shapes:
    """What the options of onnx_fix_shapes say of the inputs, whole shapes only."""
    batch = options.get("batch")
    found: Shapes = {}
    for name, sizes in header.inputs.items():
        if batch is not None and sizes[:1] == (None,) and None not in sizes[1:]:
            found[name] = (batch, *(size for size in sizes[1:] if size is not None))
    return {**found, **{name: tuple(shape) for name, shape in (options.get("shapes") or {}).items()}}


def agreed_sizes(told: Iterable[Shapes]) -> Shapes:
    """What all outputs say that say anything of an input; nothing of one of which they say different things."""
    found: dict[str, set[tuple[int, ...]]] = {}
    for shapes in told:
        for name, shape in shapes.items():
            found.setdefault(name, set()).add(shape)
    return {name: next(iter(shapes)) for name, shapes in found.items() if len(shapes) == 1}


def find_free(header: Header, told: Iterable[str]) -> dict[str, Sizes]:
    """{input: sizes} of those with free sizes (besides a batch) of which nothing is ``told``."""
    known = set(told)
    return {name: sizes for name, sizes in header.inputs.items() if None in sizes[1:] and name not in known}


def refuse_in_recipe(
    profile: Profile, output: str, header: Header, free: Mapping[str, Sizes], where: str
) -> ExcludedError:
    """What a plan says of an output on a device that takes fixed sizes only."""
    static = profile.shapes.static
    assert static is not None
    examples = _example_shapes(header, free)
    flags = " ".join(_flags(examples))
    remedy = (
        f"say which, with your sizes, as the flag {flags}, as the recipe's model: {{inputs: {_inputs(examples)}}}, or "
        f"as the first step after ONNX, {FIX}: {{shapes: {_shapes(examples)}}}"
    )
    message = f"{output} cannot have free sizes: {_told(free)}, and {profile.title} takes only fixed ones"
    return ExcludedError(f"{message} ({static.source})", where=where, remedy=remedy, code="excluded_shape")


def refuse_in_check(profile: Profile, model: str, header: Header, free: Mapping[str, Sizes]) -> EdgekitError:
    """What a check says: the device takes fixed sizes only (exit 4), or only edgekit needs to know them (exit 2)."""
    examples = _example_shapes(header, free)
    step = f"{FIX}:shapes={_shapes(examples)}"
    remedy = f"say which, with your sizes: {' '.join(_flags(examples))}, or --step {shlex.quote(step)}"
    static = profile.shapes.static
    if static is not None and static.value:
        message = f"{_told(free)} in {model}, and {profile.title} takes only fixed sizes ({static.source})"
        return ExcludedError(message, where=model, remedy=remedy, code="excluded_shape")
    taken = f"{profile.title} takes free sizes ({static.source}), but " if static is not None and static.known else ""
    message = f"{_told(free)} in {model}; {taken}edgekit judges and writes fixed ones, and nothing says which"
    return InputError(message, where=model, remedy=remedy, code="inputs_not_declared")


def _told(free: Mapping[str, Sizes]) -> str:
    listed = ", ".join(f"`{name}` is {'x'.join(_shown(size) for size in sizes)}" for name, sizes in free.items())
    return f"the input {listed}" if len(free) == 1 else f"the inputs have free sizes: {listed}"


def _shown(size: int | None) -> str:
    return "?" if size is None else str(size)


def _example_shapes(header: Header, free: Mapping[str, Sizes]) -> Shapes:
    """Sizes in place of the free ones: 1 for a batch, else those of the file's own example, else usual ones."""
    return {name: _example(sizes, header.examples.get(name)) for name, sizes in free.items()}


def _example(sizes: Sizes, own: Sequence[int] | None) -> tuple[int, ...]:
    usual = _PICTURE if len(sizes) > 3 else _OTHER
    filled = [usual if size is None else size for size in sizes] if own is None else list(own)
    if sizes[0] is None:
        filled[0] = 1
    return tuple(filled)


def _flags(shapes: Shapes) -> list[str]:
    return [f"--shape {shlex.quote(name)}={'x'.join(map(str, shape))}" for name, shape in shapes.items()]


def _inputs(shapes: Shapes) -> str:
    return f"{{{', '.join(f'{_key(name)}: {{shape: {list(shape)}}}' for name, shape in shapes.items())}}}"


def _shapes(shapes: Shapes) -> str:
    """As YAML."""
    return f"{{{', '.join(f'{_key(name)}: {list(shape)}' for name, shape in shapes.items())}}}"


def _key(name: str) -> str:
    """A name as a key of YAML, in quotes where it is more than a word."""
    plain = name.replace("_", "").replace(".", "")
    return name if plain.isalnum() and plain.isascii() and plain[0].isalpha() else f'"{name}"'
