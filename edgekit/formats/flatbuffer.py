"""Reads FlatBuffers without trusting them: every offset is checked before it is followed.

An offset that leaves the buffer, a vector that is longer than it, more tables than it has room for, and more bytes read
than it could sensibly hold (vectors that lie over each other) are all an InputError, so that the time is linear in the
buffer's size. The binary layout is described in FlatBuffers' "Internals" page.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from edgekit.errors import InputError

_Item = TypeVar("_Item")

#: Names, shapes and scales may be shared; reading each byte this often is more than any writer shares.
_MOST_READ = 32
#: What any buffer may read, however small.
_LEAST_BYTES = 1 << 20


class Reader:
    """Checked access to tables, vectors, scalars and strings by their position in the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        # No sound file holds more tables than it has room for, each being at least a 4-byte offset to its vtable.
        self._tables_left = len(data) // 4
        self._bytes_left = _MOST_READ * len(data) + _LEAST_BYTES

    def unpack(self, form: str, position: int) -> int | float:
        if position < 0 or position + struct.calcsize(form) > len(self.data):
            raise InputError("an offset points outside the file; it is truncated or damaged", code="invalid_model")
        return struct.unpack_from(form, self.data, position)[0]

    def integer(self, form: str, position: int) -> int:
        return int(self.unpack(form, position))

    def follow(self, position: int) -> int:
        """Where the unsigned offset stored at ``position`` leads."""
        return position + self.integer("<I", position)

    def field(self, table: int, number: int) -> int | None:
        """The position of a table's field, or None where it has its default."""
        vtable = table - self.integer("<i", table)
        size = self.integer("<H", vtable)
        entry = 4 + 2 * number
        if entry + 2 > size:
            return None
        offset = self.integer("<H", vtable + entry)
        return table + offset if offset else None

    def scalar(self, table: int, number: int, form: str, default: int) -> int:
        position = self.field(table, number)
        return default if position is None else self.integer(form, position)

    def child(self, table: int, number: int) -> int | None:
        position = self.field(table, number)
        return None if position is None else self.follow(position)

    def vector(self, table: int, number: int, width: int) -> tuple[int, int]:
        """(position of the first element, how many) of a vector whose elements have ``width`` bytes."""
        start = self.child(table, number)
        if start is None:
            return 0, 0
        count = self.integer("<I", start)
        if start + 4 + count * width > len(self.data):
            raise InputError("a vector is longer than the file; it is truncated or damaged", code="invalid_model")
        return start + 4, count

    def numbers(self, table: int, number: int, dtype: str) -> list[int] | list[float]:
        start, count = self.vector(table, number, np.dtype(dtype).itemsize)
        self._spend(count * np.dtype(dtype).itemsize)
        return np.frombuffer(self.data, dtype, count, start).tolist() if count else []

    def text(self, table: int, number: int) -> str:
        start, count = self.vector(table, number, 1)
        self._spend(count)
        return self.data[start : start + count].decode("utf-8", "replace")

    def _spend(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise InputError("its vectors lie over each other", code="invalid_model")

    def tables(self, table: int, number: int, read: Callable[[Reader, int], _Item]) -> tuple[_Item, ...]:
        start, count = self.vector(table, number, 4)
        self._tables_left -= count
        if self._tables_left < 0:
            raise InputError("it names more tables than it has room for", code="invalid_model")
        return tuple(read(self, self.follow(start + 4 * index)) for index in range(count))
