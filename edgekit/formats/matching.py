"""Finds how a converted model's inputs and outputs come from its parent's, by running both on the same seeded samples.

A permutation is never concluded from a shape: [1, 16, 16, 16] shows nothing. It is the one under which the two models
compute the same, the identity if that does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.artifact import IO, Artifact, Tensor, compose, hash_files
from edgekit.errors import AmbiguousOutputs, StepError
from edgekit.formats import FORMATS, Declared, Session
from edgekit.formats.runner import collect, feed, feed_real, open_runner
from edgekit.numerics.sqnr import LOWEST_DB, sqnr_db

Permutation = tuple[int, ...]
Sample = dict[str, np.ndarray]

SAMPLES = 2
# More combinations of input permutations than any real model needs; each costs one run.
MOST_RUNS = 1024


def synthetic_samples(io: IO, count: int, seed: int) -> list[Sample]:
    """Seeded samples {source input name: array} in the source's layout: standard normal numbers for real inputs,
    0..255 for uint8, 0 or 1 for other integers (an index that any table has) and for booleans. A free size is 1."""
    generator = np.random.default_rng(seed)
    return [{tensor.source_name: _draw(tensor, generator) for tensor in io.inputs} for _ in range(count)]


def match_io(parent: Artifact, path: Path, format_name: str, *, threads: int, seed: int, min_db: float = 60.0) -> IO:
    """The io of the model at ``path``, which was converted from ``parent``, in terms of the source.

    Inputs and outputs are matched by name, else by position where both formats keep the model's order; then the
    permutations of each are searched on two seeded samples.

    Raises:
        AmbiguousOutputs: names and order do not tell which is which.
        StepError: under no permutation do the two models agree to ``min_db``.
    """
    known = FORMATS.get(format_name)
    own = known.read_io(path, Declared())
    ordered = known.keeps_order
    inputs = _pair("input", parent.io.inputs, own.inputs, ordered)
    outputs = _pair("output", parent.io.outputs, own.outputs, ordered)
    samples = synthetic_samples(parent.io, SAMPLES, seed)
    references = _run_parent(parent, samples, threads)
    feeds = [feed_real(parent.io, sample) for sample in samples]
    sha256, size = hash_files(known.files(path))
    session = known.open(Artifact(path, format_name, sha256, size, own), threads)
    found = _search(session, feeds, references, inputs, outputs, min_db)
    return compose(parent.io, found)


def permutations_between(old: Sequence[int | None], new: Sequence[int | None]) -> Iterator[Permutation]:
    """The permutations under which the shape ``old`` becomes ``new``: the identity first, then moves of the channels
    to the end or from it, then the rest."""
    if len(old) != len(new):
        return
    rank = len(old)
    likely = [
        tuple(range(rank)),
        (0, *range(2, rank), 1) if rank > 2 else None,
        (0, rank - 1, *range(1, rank - 1)) if rank > 2 else None,
    ]
    ordered = dict.fromkeys([*(p for p in likely if p), *itertools.permutations(range(rank))])
    for permutation in ordered:
        if all(_agree(old[axis], size) for axis, size in zip(permutation, new, strict=True)):
            yield permutation


def _agree(old: int | None, new: int | None) -> bool:
    return old is None or new is None or old == new


def _draw(tensor: Tensor, generator: np.random.Generator) -> np.ndarray:
    own = [1 if size is None else size for size in tensor.shape]
    permutation = tensor.permutation
    shape = own if permutation is None else [own[axis] for axis in np.argsort(permutation)]
    dtype = np.dtype(tensor.dtype)
    if tensor.quantization is not None or dtype.kind == "f":
        values = generator.standard_normal(shape).astype(np.float32)
        return values if tensor.quantization is not None else values.astype(dtype)
    if dtype == np.uint8:
        return generator.integers(0, 256, shape).astype(dtype)
    return generator.integers(0, 2, shape).astype(dtype)


def _pair(
    kind: str, parents: Sequence[Tensor], children: Sequence[Tensor], ordered: bool
) -> list[tuple[Tensor, Tensor]]:
    """(parent's, child's) tensors: by name, then what is left by position if the order is the model's (or if it is
    one)."""
    if len(parents) != len(children):
        raise AmbiguousOutputs(
            f"the converted model has {len(children)} {kind}s ({_names(children)}), its parent {len(parents)} "
            f"({_names(parents)})",
            where=_names(children),
            remedy=f"give every {kind} of the model a name and an operator of its own",
        )
    by_name = {tensor.name: tensor for tensor in children}
    pairs = {tensor.name: by_name[tensor.name] for tensor in parents if tensor.name in by_name}
    left_parents = [tensor for tensor in parents if tensor.name not in pairs]
    left_children = [tensor for tensor in children if tensor.name not in pairs]
    if len(left_parents) > 1 and not ordered:
        raise AmbiguousOutputs(
            f"the {kind}s {_names(left_children)} of the converted model cannot be told apart: its parent calls them "
            f"{_names(left_parents)}",
            where=_names(left_children),
            remedy=f"give the model's {kind}s names that the converter keeps",
        )
    pairs.update({a.name: b for a, b in zip(left_parents, left_children, strict=True)})
    return [(tensor, pairs[tensor.name]) for tensor in parents]


def _names(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"`{tensor.name}`" for tensor in tensors)


def _run_parent(parent: Artifact, samples: Sequence[Sample], threads: int) -> list[Sample]:
    """The parent's results in its own layout, as real numbers: {own output name: array}."""
    runner = open_runner(parent, threads)
    results = []
    for sample in samples:
        by_source = runner.run(sample)
        own = {t.name: _arrange(by_source[t.source_name], t.permutation) for t in parent.io.outputs}
        results.append(own)
    return results


def _arrange(array: np.ndarray, permutation: Permutation | None) -> np.ndarray:
    return array if permutation is None else array.transpose(permutation)


def _search(
    session: Session,
    feeds: Sequence[Mapping[str, np.ndarray]],
    references: Sequence[Sample],
    inputs: Sequence[tuple[Tensor, Tensor]],
    outputs: Sequence[tuple[Tensor, Tensor]],
    min_db: float,
) -> IO:
    """The first combination of input permutations under which every output agrees, with that output's permutation."""
    choices = [list(permutations_between(old.shape, new.shape)) for old, new in inputs]
    for (old, new), choice in zip(inputs, choices, strict=True):
        if not choice:
            raise StepError(
                f"input `{new.name}` has the shape {new.shape}, which no permutation makes of {old.shape}",
                where=new.name,
            )
    best, worst_output = LOWEST_DB, outputs[0][1].name
    combinations = math.prod(map(len, choices))
    for permutations in itertools.islice(itertools.product(*choices), MOST_RUNS):
        own_inputs = tuple(_tensor(old, new, p) for (old, new), p in zip(inputs, permutations, strict=True))
        child = IO(own_inputs, tuple(new for _, new in outputs))
        # Most arrangements fail on the first sample already.
        for count in (1, len(feeds)):
            results = _run_child(session, child, feeds[:count])
            if results is None:
                break
            matched = [_match_output(old, new, references[:count], results, min_db) for old, new in outputs]
            lowest = min(range(len(matched)), key=lambda index: matched[index][1])
            if matched[lowest][1] > best:
                best, worst_output = matched[lowest][1], outputs[lowest][1].name
            if matched[lowest][1] < min_db:
                break
        else:
            found = (_tensor(old, new, p) for (old, new), (p, _) in zip(outputs, matched, strict=True))
            return IO(own_inputs, tuple(found))
    raise StepError(
        f"the converted model computes something else: output `{worst_output}` reaches {best:.1f} dB of {min_db:g} "
        f"under {min(combinations, MOST_RUNS)} permutations of the inputs",
        where=worst_output,
        code="not_equal",
    )


def _run_child(session: Session, child: IO, feeds: Sequence[Mapping[str, np.ndarray]]) -> list[Sample] | None:
    """Its real-valued results for each feed; None if it does not take this arrangement."""
    results = []
    for given in feeds:
        try:
            results.append(collect(_as_own(child), session.run(feed(child, given))))
        except (StepError, RuntimeError, ValueError):
            return None
    return results


def _as_own(child: IO) -> IO:
    """The child's outputs under their own names, unpermuted: results are compared before it is known what they are."""
    outputs = tuple(replace(tensor, source_name=tensor.name, permutation=None) for tensor in child.outputs)
    return IO(child.inputs, outputs)


def _match_output(
    old: Tensor, new: Tensor, references: Sequence[Sample], results: Sequence[Sample], min_db: float
) -> tuple[Permutation, float]:
    """(permutation, dB of the worst sample): the identity if it reaches ``min_db``, else the one that agrees best."""
    best: tuple[Permutation, float] = (tuple(range(len(new.shape))), LOWEST_DB)
    pairs = [(reference[old.name], result[new.name]) for reference, result in zip(references, results, strict=True)]
    for permutation in permutations_between(pairs[0][0].shape, pairs[0][1].shape):
        level = min(sqnr_db(reference.transpose(permutation), result) for reference, result in pairs)
        if level > best[1]:
            best = (permutation, level)
        if level >= min_db and permutation == tuple(range(len(permutation))):
            break
    return best


def _tensor(old: Tensor, new: Tensor, permutation: Permutation) -> Tensor:
    identity = permutation == tuple(range(len(permutation)))
    return replace(new, source_name=old.name, permutation=None if identity else permutation)
