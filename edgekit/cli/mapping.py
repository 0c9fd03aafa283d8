"""How the inputs and outputs of one model file stand for those of another, for ``compare`` and ``eval --reference``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli.model_flags import read_sidecar
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.artifact import IO, Artifact, Tensor

MOST_ARRANGEMENTS = 64
REMEDY = "give two files of the same network; `edgekit inspect FILE` shows the inputs and outputs of each"


def outer_io(artifact: Artifact) -> IO:
    """The artifact's io as ``arrangements`` takes it: with a tail, its outputs are the tail's, which stand in the
    source's names and order of axes."""
    from edgekit.artifact import IO

    if artifact.tail is None:
        return artifact.io
    outputs = []
    for tensor in artifact.tail.io.outputs:
        back = _inverse(tensor.permutation) or range(len(tensor.shape))
        shape = tuple(tensor.shape[axis] for axis in back)
        outputs.append(replace(tensor, name=tensor.source_name, shape=shape, permutation=None))
    return IO(artifact.io.inputs, tuple(outputs))


def arrange(artifact: Artifact, io: IO) -> Artifact:
    """The artifact with one of its ``arrangements``, which speaks of the outputs of its tail where it has one."""
    from edgekit.artifact import IO, compose_permutations

    if artifact.tail is None:
        return replace(artifact, io=io)
    chosen = {tensor.name: tensor for tensor in io.outputs}
    outputs = []
    for tensor in artifact.tail.io.outputs:
        other = chosen[tensor.source_name]
        permutation = compose_permutations(other.permutation, tensor.permutation)
        outputs.append(replace(tensor, source_name=other.source_name, permutation=permutation))
    tail = replace(artifact.tail, io=IO(artifact.tail.io.inputs, tuple(outputs)))
    return replace(artifact, io=IO(io.inputs, artifact.io.outputs), tail=tail)


def arrangements(first: IO, first_path: Path, second: IO, second_path: Path) -> list[IO]:
    """The ios that ``second`` may have in terms of ``first``, the likeliest first; the models' results tell which.

    Where edgekit's sidecars tell, there is one. Otherwise tensors are matched by name, else by position, and every
    permutation that fits the shapes is one to try: a shape alone shows nothing.

    Raises:
        InputError: other numbers of inputs or outputs, or shapes that no permutation joins.
    """
    told = _from_sidecars(first, first_path, second, second_path)
    if told is not None:
        return [told]
    inputs = [_ways(a, b) for a, b in _pair("input", first.inputs, second.inputs)]
    outputs = [_ways(a, b) for a, b in _pair("output", first.outputs, second.outputs)]
    return list(itertools.islice(_combine(inputs, outputs), MOST_ARRANGEMENTS))


def _combine(inputs: list[list[Tensor]], outputs: list[list[Tensor]]) -> Iterator[IO]:
    from edgekit.artifact import IO

    for chosen in itertools.product(*inputs, *outputs):
        yield IO(chosen[: len(inputs)], chosen[len(inputs) :])


def _from_sidecars(first: IO, first_path: Path, second: IO, second_path: Path) -> IO | None:
    """What the sidecars say, where both models come from one source, or the first *is* the second's source."""
    from edgekit.artifact import IO, hash_files

    one, two = read_sidecar(first_path), read_sidecar(second_path)
    if "io" not in two:
        return None
    mine = _told(two, second)
    if "io" in one:
        if one.get("source") != two.get("source"):
            return None
        theirs = _told(one, first)
    elif first_path.is_file() and two.get("source", {}).get("sha256") == hash_files([first_path])[0]:
        theirs = first
    else:
        return None
    return IO(_through_source(theirs.inputs, mine.inputs), _through_source(theirs.outputs, mine.outputs))


def _told(sidecar: dict[str, Any], io: IO) -> IO:
    """The io in terms of the source: a sidecar's; of the outputs of a tail, ``outer_io`` is that already."""
    from edgekit.artifact import IO

    told = IO.from_dict(sidecar["io"])
    return told if sidecar.get("tail") is None else IO(told.inputs, io.outputs)


def _through_source(first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """``second`` in terms of ``first``, where both are in terms of the source: undo the one, then do the other."""
    from edgekit.artifact import compose_permutations

    by_source = {tensor.source_name: tensor for tensor in first}
    joined = []
    for tensor in second:
        other = by_source[tensor.source_name]
        permutation = compose_permutations(_inverse(other.permutation), tensor.permutation)
        if permutation == tuple(range(len(tensor.shape))):
            permutation = None
        joined.append(replace(tensor, source_name=other.name, permutation=permutation, layout=other.layout))
    return tuple(joined)


def _inverse(permutation: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if permutation is None:
        return None
    return tuple(sorted(range(len(permutation)), key=lambda axis: permutation[axis]))


def _pair(kind: str, first: Sequence[Tensor], second: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    if len(first) != len(second):
        raise InputError(
            f"the two models have {len(first)} and {len(second)} {kind}s: "
            f"{', '.join(t.name for t in first)}, and {', '.join(t.name for t in second)}",
            remedy=REMEDY,
            code="models_differ",
        )
    by_name = {tensor.name: tensor for tensor in second}
    if all(tensor.name in by_name for tensor in first):
        return [(tensor, by_name[tensor.name]) for tensor in first]
    return list(zip(first, second, strict=True))


def _ways(first: Tensor, second: Tensor) -> list[Tensor]:
    """The second tensor standing for the first by every permutation that fits its shape, the identity first."""
    from edgekit.formats.matching import permutations_between

    found = []
    for permutation in permutations_between(first.shape, second.shape):
        identity = permutation == tuple(range(len(permutation)))
        found.append(
            replace(
                second,
                source_name=first.name,
                permutation=None if identity else permutation,
                layout=first.layout,
            )
        )
    if not found:
        raise InputError(
            f"`{first.name}` {list(first.shape)} and `{second.name}` {list(second.shape)} cannot stand for one another",
            where=second.name,
            remedy=REMEDY,
            code="models_differ",
        )
    return found
