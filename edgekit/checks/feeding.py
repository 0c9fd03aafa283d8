"""Reads samples as an artifact takes them.

An 8-bit picture needs no arithmetic for that: what preprocessing and the input's quantization make of each of the 256
values is computed once, and then looked up, straight into the artifact's order of axes. The result is bit for bit that
of ``formats.runner.feed`` on the sample, which is what everything else goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from edgekit.artifact import IO, Tensor
from edgekit.datasets.stored import Column, StoredSamples, look_up
from edgekit.formats.runner import feed, to_native

Read = Callable[[int], np.ndarray]
# Where the axes of a stored picture (height, width, channels; with a batch axis before them) go.
_INTERLEAVED, _PLANAR = (0, 1, 2, 3), (0, 3, 1, 2)


class SampleSequence(Protocol):
    """Sized samples by number: stored ones, or a list of synthetic ones."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]: ...


def make_feed(io: IO, samples: SampleSequence) -> Callable[[int], dict[str, np.ndarray]]:
    """index -> {the artifact's own name: array}; may be called from several threads."""
    if isinstance(samples, StoredSamples):
        readers: dict[str, Read] = {}
        for tensor in io.inputs:
            column = samples.columns.get(tensor.source_name)
            reader = None if column is None else _table_reader(tensor, column)
            if reader is not None:
                readers[tensor.name] = reader
        if len(readers) == len(io.inputs):
            return lambda index: {name: read(index) for name, read in readers.items()}
    return lambda index: feed(io, samples[index])


def _table_reader(tensor: Tensor, column: Column) -> Read | None:
    """Reads one input by table; None where it has to be computed."""
    order = _order_of_axes(tensor, column.layout)
    per_channel = tensor.quantization is not None and tensor.quantization.axis is not None
    if column.table is None or order not in (_INTERLEAVED, _PLANAR) or per_channel:
        return None
    table = to_native(tensor, column.table.astype(column.dtype, copy=False))
    rows, planar = column.rows, order == _PLANAR
    return lambda index: look_up(table, rows[index], planar=planar)[None]


def _order_of_axes(tensor: Tensor, layout: str | None) -> Sequence[int]:
    """Which axis of the stored picture (with a batch axis) each of the artifact's is."""
    order = _PLANAR if layout == "NCHW" else _INTERLEAVED
    return order if tensor.permutation is None else tuple(order[axis] for axis in tensor.permutation)
