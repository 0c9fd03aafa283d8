"""Arrays on disk that are written and read one row at a time, so that memory does not grow with their number.

The file is an ordinary ``.npy`` (``np.load(path, mmap_mode="r")`` opens it). It is written with plain ``write``
calls, not through a memory map: on a full disk a map ends the process with SIGBUS, a write raises ``OSError``. It is
read with positioned reads, since the touched pages of a map would count as this process's memory.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edgekit.errors import InputError


class RowWriter:
    """Writes ``count`` rows of one shape and type, both taken from the first row; a context manager."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count
        self.shape: tuple[int, ...] | None = None
        self.dtype: np.dtype | None = None
        self._written = 0
        self._file: BinaryIO = path.open("wb")

    def append(self, row: np.ndarray) -> None:
        """Write one row.

        Raises:
            ValueError: another shape or type than the first row's, or more than ``count`` rows.
        """
        if self.shape is None:
            self.shape, self.dtype = row.shape, row.dtype
            header = {
                "descr": np.lib.format.dtype_to_descr(row.dtype),
                "fortran_order": False,
                "shape": (self.count, *row.shape),
            }
            np.lib.format.write_array_header_1_0(self._file, header)
        if row.shape != self.shape or row.dtype != self.dtype:
            raise ValueError(f"a row is {row.dtype} {row.shape}, the first was {self.dtype} {self.shape}")
        if self._written == self.count:
            raise ValueError(f"more than {self.count} rows")
        self._file.write(np.ascontiguousarray(row).data)
        self._written += 1

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class RowReader:
    """The rows of a ``.npy`` file, read from disk as they are asked for; any number of threads may read.

    The file stays open as long as the reader lives: opening it for each row would cost more than reading a small one.
    """

    def __init__(self, path: Path, name: str | None = None, where: str | None = None) -> None:
        """``name`` and ``where`` say in errors what is read, if that is not ``path`` itself.

        Raises:
            InputError: no array, one of Python objects, without rows, or cut short.
        """
        self.path = path
        name, where = name or str(path), where or str(path)
        try:
            with path.open("rb") as file:
                version = np.lib.format.read_magic(file)
                read_header = (
                    np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                )
                shape, fortran, self.dtype = read_header(file)
                self.start = file.tell()
        except (OSError, ValueError) as error:
            raise InputError(f"{name} is not a readable array: {error}", where=where, code="unreadable_data") from error
        if self.dtype.hasobject:
            raise InputError(
                f"{name} holds pickled Python objects, which are never loaded",
                where=where,
                remedy="save an array of numbers (or of text, for class names)",
                code="hostile_pickle",
            )
        if not shape:
            raise InputError(
                f"{name} is a single value, not one row per sample",
                where=where,
                remedy="save an array whose first axis counts the samples",
                code="unreadable_data",
            )
        if fortran and len(shape) > 1:
            raise InputError(
                f"{name} is stored in Fortran order, in which samples cannot be read one by one",
                where=where,
                remedy="save numpy.ascontiguousarray of it",
                code="unreadable_data",
            )
        self._count = int(shape[0])
        self.shape = tuple(int(size) for size in shape[1:])
        self._size = int(np.prod(self.shape, dtype=np.int64))
        self._row_bytes = self._size * self.dtype.itemsize
        if path.stat().st_size < self.start + self._count * self._row_bytes:
            raise InputError(f"{name} is truncated", where=where, remedy="save it again", code="truncated_file")
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> np.ndarray:
        """A fresh array that the caller may change."""
        if index < 0:
            index += self._count
        if not 0 <= index < self._count:
            raise IndexError(index)
        return self.read(index, index + 1)[0, ...]

    def read(self, start: int, stop: int) -> np.ndarray:
        """The rows from ``start`` up to ``stop`` as one array, which the caller may change."""
        offset = self.start + start * self._row_bytes
        values = np.empty((stop - start, *self.shape), self.dtype)
        content = values.reshape(-1).view(np.uint8).data
        done = 0
        while done < len(content):  # the system reads 2 GiB at a time
            got = os.preadv(self._descriptor, [content[done:]], offset + done)
            if got == 0:
                raise InputError(f"{self.path} was cut short while it was read", where=str(self.path))
            done += got
        return values

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(self._count))


class RaggedWriter:
    """Writes arrays whose first axis has another length for every one of them: the rows of all in ``path``, where each
    ends in ``offsets_of(path)``; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("wb")
        self._ends = [0]
        self._first: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """How many were written, of all arrays."""
        return self._ends[-1]

    def append(self, array: np.ndarray) -> None:
        """Write one array.

        Raises:
            ValueError: its rows are of another shape or type than the first one's.
        """
        if self._first is None:
            self._first = array[:0]
            self._write_header()
        if array.shape[1:] != self._first.shape[1:] or array.dtype != self._first.dtype:
            raise ValueError(f"rows are {array.dtype} {array.shape[1:]}, the first were {self._first.dtype}")
        self._file.write(np.ascontiguousarray(array).data)
        self._ends.append(self.rows + len(array))

    def _write_header(self) -> None:
        """The same number of bytes for every number of rows: format 1.0 pads the header for a first axis that grows."""
        assert self._first is not None
        header = {
            "descr": np.lib.format.dtype_to_descr(self._first.dtype),
            "fortran_order": False,
            "shape": (self.rows, *self._first.shape[1:]),
        }
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, header)

    def close(self) -> None:
        """Write how many rows there are, and where each array ends."""
        if self._first is not None:
            self._write_header()
            np.save(offsets_of(self.path), np.array(self._ends, np.int64))
        self._file.close()

    def __enter__(self) -> RaggedWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class RaggedReader:
    """The arrays that a ``RaggedWriter`` wrote, read from disk as they are asked for."""

    def __init__(self, path: Path) -> None:
        self._rows = RowReader(path)
        self._ends = RowReader(offsets_of(path))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def read(self, start: int, stop: int) -> list[np.ndarray]:
        """The arrays from ``start`` up to ``stop``."""
        ends = self._ends.read(start, stop + 1)
        return [self._rows.read(int(low), int(high)) for low, high in pairwise(ends)]


def offsets_of(path: Path) -> Path:
    """The file that says where each array in ``path`` ends."""
    return path.with_name(f"{path.stem}_offsets.npy")
