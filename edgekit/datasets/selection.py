"""Which samples calibrate and which evaluate. Decided from contents and seeds only, so that it is the same
everywhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgekit.datasets.source import Content, Source, content_hash
from edgekit.errors import InputError

#: How many samples of a `data: PATH` calibrate, when there are at least three times as many.
SPLIT_CALIBRATION = 200


def pick(source: Source, samples: int | None, seed: int) -> Source:
    """At most ``samples`` of a source, drawn with the seed and kept in the source's order (None: all)."""
    if samples is None or samples >= len(source):
        return source
    if samples < 1:
        raise InputError(f"`samples` is {samples}, which leaves none", where="data")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(source))[:samples])
    return subset(source, chosen.tolist())


def split(source: Source, check: Callable[[Content, str], None] = lambda content, name: None) -> dict[str, Source]:
    """{calibrate, evaluate} of one source: samples in the order of their contents' SHA-256, the first 200 (or a
    third, where there are fewer than 600) calibrate. Equal contents stay together; each part keeps the source's
    order. ``check`` is called with every sample's content and name: each is read here, and in the run perhaps only
    those of one part.

    Raises:
        InputError: fewer than two different samples.
    """
    hashes = []
    for index, name in enumerate(source.ids):
        content = source.read(index)[0]
        check(content, name)
        hashes.append(content_hash(content))
    order = sorted(range(len(hashes)), key=lambda index: (hashes[index], index))
    size = max(1, min(SPLIT_CALIBRATION, len(order) // 3))
    while size < len(order) and hashes[order[size]] == hashes[order[size - 1]]:
        size += 1
    if size >= len(order):
        raise InputError(
            f"{source.origin} has too few different samples ({len(set(hashes))}) to be divided in two",
            where=str(source.origin),
            remedy="give more samples, or `evaluate` and `calibrate` each",
            code="empty_data",
        )
    return {"calibrate": subset(source, sorted(order[:size])), "evaluate": subset(source, sorted(order[size:]))}


def subset(source: Source, indices: Sequence[int]) -> Source:
    """The samples of these numbers, renumbered from 0."""
    read = source.read
    return dataclasses.replace(
        source, ids=[source.ids[index] for index in indices], read=lambda index: read(indices[index])
    )


def check_disjoint(hashes: Mapping[str, Sequence[str]], ids: Mapping[str, Sequence[str]]) -> None:
    """Refuse samples that two roles share, by the SHA-256 of their decoded contents.

    Raises:
        InputError: with how many, and one of them by both names.
    """
    if not {"calibrate", "evaluate"} <= set(hashes):
        return
    known = dict(zip(hashes["calibrate"], ids["calibrate"], strict=True))
    shared = [
        (known[digest], name)
        for digest, name in zip(hashes["evaluate"], ids["evaluate"], strict=True)
        if digest in known
    ]
    if shared:
        first, second = shared[0]
        count = "1 sample" if len(shared) == 1 else f"{len(shared)} samples"
        raise InputError(
            f"calibration and evaluation share {count}: {first} (calibrate) is {second} (evaluate)",
            where="data",
            remedy="keep them apart, or give one path as `data: PATH`, which is then divided",
            code="shared_samples",
        )
