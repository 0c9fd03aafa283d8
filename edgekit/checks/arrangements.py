"""How the inputs and outputs of one model file stand for those of another, where two files are compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekit.artifact import IO, Artifact, Tensor, compose_permutations, hash_files
from edgekit.errors import InputError
from edgekit.formats.matching import permutations_between

MOST_ARRANGEMENTS = 64
# An arrangement that reaches CLEAR_DB is right; below it, another must be better by MARGIN_DB than the likeliest.
CLEAR_DB, MARGIN_DB = 10.0, 6.0
REMEDY = "give two files of the same network; `edgekit inspect FILE` shows the inputs and outputs of each"


@dataclass(frozen=True)
class Side:
    """One of the files: its ``outer_io``, and what edgekit's sidecar beside it says (empty where there is none)."""

    io: IO
    path: Path
    sidecar: Mapping[str, Any] = field(default_factory=dict)


def outer_io(artifact: Artifact) -> IO:
    """The artifact's io as ``arrangements`` takes it: with a tail, its outputs are the tail's, which stand in the
    source's names and order of axes."""
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


def arrangements(first: Side, second: Side) -> list[IO]:
    """The ios that ``second`` may have in terms of ``first``, the likeliest first; the models' results tell which.

    Where edgekit's sidecars tell, there is one. Otherwise tensors are matched by name, else by position, and every
    permutation that fits the shapes is one to try: a shape alone shows nothing.

    Raises:
        InputError: other numbers of inputs or outputs, or shapes that no permutation joins.
    """
    told = _from_sidecars(first, second)
    if told is not None:
        return [told]
    inputs = [_ways(a, b) for a, b in _pair("input", first.io.inputs, second.io.inputs)]
    outputs = [_ways(a, b) for a, b in _pair("output", first.io.outputs, second.io.outputs)]
    return list(itertools.islice(_combine(inputs, outputs), MOST_ARRANGEMENTS))


def choose_arrangement(figures: Sequence[float | None]) -> int | None:
    """Which of the arrangements holds, by the SQNR in dB that each reached on a few samples (None: the runtime refuses
    it), in their order; None where all are refused.

    The first (likeliest) one stands unless another is clearly nearer: two quantized models may both be far from one
    another on samples that neither was made for, and then a difference of a few dB says nothing.
    """
    known = {place: figure for place, figure in enumerate(figures) if figure is not None}
    clear = [place for place, figure in known.items() if figure >= CLEAR_DB]
    if clear or not known:
        return clear[0] if clear else None
    best = max(known, key=lambda place: (known[place], -place))
    return 0 if 0 in known and known[best] < known[0] + MARGIN_DB else best


def _combine(inputs: list[list[Tensor]], outputs: list[list[Tensor]]) -> Iterator[IO]:
    for chosen in itertools.product(*inputs, *outputs):
        yield IO(chosen[: len(inputs)], chosen[len(inputs) :])


def _from_sidecars(first: Side, second: Side) -> IO | None:
    """What the sidecars say, where both models come from one source, or the first *is* the second's source."""
    one, two = first.sidecar, second.sidecar
    if "io" not in two:
        return None
    mine = _told(two, second.io)
    if "io" in one:
        if one.get("source") != two.get("source"):
            return None
        theirs = _told(one, first.io)
    elif first.path.is_file() and two.get("source", {}).get("sha256") == hash_files([first.path])[0]:
        theirs = first.io
    else:
        return None
    return IO(_through_source(theirs.inputs, mine.inputs), _through_source(theirs.outputs, mine.outputs))


def _told(sidecar: Mapping[str, Any], io: IO) -> IO:
    """The io in terms of the source: a sidecar's; of the outputs of a tail, ``outer_io`` is that already."""
    told = IO.from_dict(sidecar["io"])
    return told if sidecar.get("tail") is None else IO(told.inputs, io.outputs)


def _through_source(first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """``second`` in terms of ``first``, where both are in terms of the source: undo the one, then do the other."""
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
