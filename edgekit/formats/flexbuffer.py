"""Reads a FlexBuffer whose root is a map of integers, strings and flat vectors of these, without trusting it.

The layout is described in FlatBuffers' "FlexBuffers" page: the last byte is the width of the root, the one before it
the root's type; a vector's size stands before its elements, their types behind them; a map is a vector of values with
the position of its keys before the size. Other types are left out of the result.
"""

from __future__ import annotations

from edgekit.errors import InputError

Value = int | bytes | list[int | bytes]

_INT, _UINT, _KEY, _STRING, _INDIRECT_INT, _INDIRECT_UINT, _MAP, _VECTOR = 1, 2, 4, 5, 6, 7, 9, 10
_VECTOR_INT, _VECTOR_UINT, _BLOB, _BOOL = 11, 12, 25, 26
_WIDTHS = (1, 2, 4, 8)


def read_map(data: bytes) -> dict[str, Value]:
    """{key: value} of the map at the root.

    Raises:
        InputError: it is none, or an offset leaves the buffer.
    """
    if len(data) < 3 or data[-1] not in _WIDTHS or data[-2] >> 2 != _MAP:
        raise InputError("the options of an operator are not a FlexBuffer map", code="invalid_model")
    reader = _FlexReader(data)
    width = data[-1]
    start = reader.follow(len(data) - 2 - width, width)
    return reader.read_map(start, 1 << (data[-2] & 3))


class _FlexReader:
    """``position`` is a place in the buffer, ``width`` how many bytes a number has there."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._bytes_left = 2 * len(data)

    def unsigned(self, position: int, width: int) -> int:
        return self._number(position, width, signed=False)

    def follow(self, position: int, width: int) -> int:
        """Where the offset at ``position`` leads: always backwards."""
        target = position - self.unsigned(position, width)
        if target < 0:
            raise _outside()
        return target

    def read_map(self, start: int, width: int) -> dict[str, Value]:
        size = self._size(start, width)
        keys = self.follow(start - 3 * width, width)
        key_width = self.unsigned(start - 2 * width, width)
        if key_width not in _WIDTHS or keys + size * key_width > len(self.data):
            raise _outside()
        found: dict[str, Value] = {}
        for place in range(size):
            name = self._text(self.follow(keys + place * key_width, key_width))
            value = self._value(start, width, size, place)
            if value is not None:
                found[name] = value
        return found

    def _value(self, start: int, width: int, size: int, place: int) -> Value | None:
        packed = self.data[start + size * width + place]
        kind, child = packed >> 2, 1 << (packed & 3)
        position = start + place * width
        scalar = self._scalar(kind, position, width, child)
        if scalar is not None:
            return scalar
        if kind in (_VECTOR, _VECTOR_INT, _VECTOR_UINT):
            return self._vector(self.follow(position, width), child, typed=kind != _VECTOR)
        return None

    def _scalar(self, kind: int, position: int, width: int, child: int) -> int | bytes | None:
        if kind in (_INT, _UINT, _BOOL):
            return self._number(position, width, signed=kind == _INT)
        if kind in (_INDIRECT_INT, _INDIRECT_UINT):
            return self._number(self.follow(position, width), child, signed=kind == _INDIRECT_INT)
        if kind in (_STRING, _BLOB):
            return self._bytes(self.follow(position, width), child)
        return None

    def _vector(self, start: int, width: int, *, typed: bool) -> list[int | bytes]:
        size = self._size(start, width, typed=typed)
        self._spend(size * width)
        if typed:
            return [self._number(start + place * width, width, signed=True) for place in range(size)]
        found = []
        for place in range(size):
            packed = self.data[start + size * width + place]
            value = self._scalar(packed >> 2, start + place * width, width, 1 << (packed & 3))
            if value is not None:
                found.append(value)
        return found

    def _bytes(self, start: int, width: int) -> bytes:
        size = self.unsigned(start - width, width)
        self._spend(size)
        if start + size > len(self.data):
            raise _outside()
        return self.data[start : start + size]

    def _text(self, start: int) -> str:
        end = self.data.find(b"\0", start, start + 256)
        if end < 0:
            raise _outside()
        return self.data[start:end].decode("utf-8", "replace")

    def _size(self, start: int, width: int, *, typed: bool = False) -> int:
        """How many elements the vector at ``start`` has; they and their types lie inside."""
        size = self.unsigned(start - width, width)
        if start + size * (width if typed else width + 1) > len(self.data):
            raise _outside()
        return size

    def _number(self, position: int, width: int, *, signed: bool) -> int:
        if position < 0 or position + width > len(self.data):
            raise _outside()
        return int.from_bytes(self.data[position : position + width], "little", signed=signed)

    def _spend(self, count: int) -> None:
        """Strings that lie over each other would otherwise be copied again and again."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise _outside()


def _outside() -> InputError:
    return InputError("the options of an operator point outside themselves; the file is damaged", code="invalid_model")
