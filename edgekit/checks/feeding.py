"""Reads samples as an artifact takes them.

A stored 8-bit picture goes straight into the artifact's order of axes. Where the input is quantized, what preprocessing
and quantization make of each of the 256 values is computed once and then looked up. The result is bit for bit that of
``formats.runner.feed`` on the sample, which is what everything else goes through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from edgekit.artifact import IO, Tensor
from edgekit.datasets.preprocess import apply_tail_to_picture, lookup_table
from edgekit.datasets.stored import Column, StoredSamples
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
            reader = None if column is None else _picture_reader(tensor, column)
            if reader is not None:
                readers[tensor.name] = reader
        if len(readers) == len(io.inputs):
            return lambda index: {name: read(index) for name, read in readers.items()}
    return lambda index: feed(io, samples[index])


def _picture_reader(tensor: Tensor, column: Column) -> Read | None:
    """Reads one input from stored 8-bit pictures; None where the general way has to be gone."""
    if not column.picture or column.rows.dtype != np.uint8:
        return None
    order = _order_of_axes(tensor, column.layout)  # of four axes, as only what is no picture has more
    if order not in (_INTERLEAVED, _PLANAR):
        return None
    rows, tail, planar = column.rows, column.tail, order == _PLANAR
    if tensor.quantization is None:

        def compute(index: int) -> np.ndarray:
            real = apply_tail_to_picture(rows[index], tail, planar=planar).astype(column.dtype, copy=False)
            return real.astype(tensor.dtype, copy=False)[None]

        return compute
    if tensor.quantization.axis is not None:
        return None
    table = to_native(tensor, lookup_table(rows.shape[-1], tail).astype(column.dtype, copy=False))
    shift = _find_shift(table)
    if shift is None:
        return lambda index: _look_up(table, rows[index], planar=planar)[None]

    def move(index: int) -> np.ndarray:
        pixels = np.ascontiguousarray(rows[index].transpose(2, 0, 1)) if planar else rows[index]
        return np.add(pixels, shift, out=pixels).view(table.dtype)[None]

    return move


def _find_shift(table: np.ndarray) -> np.ndarray | None:
    """The 8-bit number whose addition (modulo 256) to each value is the table; as where the quantized range is that of
    the pictures. None where there is none."""
    if table.dtype.itemsize != 1:
        return None
    distances = table.view(np.uint8) - np.arange(256, dtype=np.uint8)
    return distances[0, 0] if (distances == distances[0, 0]).all() else None


def _order_of_axes(tensor: Tensor, layout: str | None) -> Sequence[int]:
    """Which axis of the stored picture (with a batch axis) each of the artifact's is."""
    order = _PLANAR if layout == "NCHW" else _INTERLEAVED
    return order if tensor.permutation is None else tuple(order[axis] for axis in tensor.permutation)


def _look_up(table: np.ndarray, picture: np.ndarray, *, planar: bool) -> np.ndarray:
    """What a table (channels, 256) says of a uint8 picture (height, width, channels), in that order of axes or, with
    ``planar``, as (channels, height, width); of the table's type."""
    if not planar and (table == table[0]).all():
        return _values_of(table[0], picture)
    channels = len(table)
    planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    result = np.empty(planes.shape if planar else picture.shape, table.dtype)
    for channel in range(channels):
        place = result[channel] if planar else result[:, :, channel]
        place[...] = _values_of(table[channel], planes[channel])
    return result


def _values_of(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """``values[pixels]`` for 256 values and contiguous uint8 pixels, without an array of 64-bit indices."""
    if values.dtype.itemsize == 1:
        translated = bytearray(pixels).translate(values.tobytes())
        return np.frombuffer(translated, values.dtype).reshape(pixels.shape)
    result = np.empty(pixels.shape, values.dtype)
    # mode "clip" lets NumPy write to `out` directly; an index of 8 bits is never out of range.
    return np.take(values, pixels, out=result, mode="clip")
