"""What a plan must know of an .onnx file before anything is loaded: its opset and its inputs' sizes. No onnx needed.

Only the outermost fields of the file are walked (onnx.proto names their numbers); nodes and weights are skipped over.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from edgekit.formats import Header

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_OPSET = 7, 8
_GRAPH_INPUT = 11
_STANDARD_DOMAINS = (b"", b"ai.onnx")

#: Where a field's bytes lie, or the number that it is.
_Value = tuple[int, int] | int


def read_header(path: Path) -> Header:
    """The header of a file. One that is cut short or damaged has an empty header: reading the model tells why."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(data)
    except (OSError, ValueError, IndexError):
        return Header()


def _read(data: mmap.mmap) -> Header:
    opset: int | None = None
    inputs: dict[str, tuple[int | None, ...]] = {}
    for number, value in _fields(data, 0, len(data)):
        if number == _MODEL_OPSET and opset is None:
            opset = _opset(data, value)
        elif number == _MODEL_GRAPH:
            for inner, item in _fields(data, *_span(value)):
                if inner == _GRAPH_INPUT:
                    name, shape = _input(data, item)
                    inputs[name] = shape
    return Header(opset, inputs)


def _opset(data: mmap.mmap, value: _Value) -> int | None:
    """The version of an OperatorSetIdProto {domain = 1, version = 2}, if it is of the standard operators."""
    fields = dict(_fields(data, *_span(value)))
    domain, version = fields.get(1), fields.get(2)
    if domain is not None and _text(data, domain) not in _STANDARD_DOMAINS:
        return None
    return version if isinstance(version, int) else None


def _input(data: mmap.mmap, value: _Value) -> tuple[str, tuple[int | None, ...]]:
    """(name, sizes) of a ValueInfoProto {name = 1, type = 2}, where type > tensor = 1 > shape = 2 > dim = 1."""
    fields = dict(_fields(data, *_span(value)))
    name = _text(data, fields[1]).decode(errors="replace") if 1 in fields else ""
    tensor = _inside(data, fields.get(2), 1)
    shape = _inside(data, tensor, 2)
    if shape is None:
        return name, ()
    return name, tuple(_size(data, dim) for number, dim in _fields(data, *_span(shape)) if number == 1)


def _size(data: mmap.mmap, value: _Value) -> int | None:
    """A dimension {dim_value = 1 | dim_param = 2}; one without a value is free, and so is a negative one (an int64,
    whose varint has its highest bit set)."""
    found = dict(_fields(data, *_span(value))).get(1)
    return found if isinstance(found, int) and found < 1 << 63 else None


def _inside(data: mmap.mmap, value: _Value | None, wanted: int) -> _Value | None:
    return None if value is None else dict(_fields(data, *_span(value))).get(wanted)


def _text(data: mmap.mmap, value: _Value) -> bytes:
    start, end = _span(value)
    return data[start:end]


def _span(value: _Value) -> tuple[int, int]:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, _Value]]:
    """The fields of the message in ``data[start:end]``: (number, the number it is or where its bytes lie)."""
    position = start
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("not a field")
        if position + length > end:
            raise ValueError("the field leaves its message")
        yield number, (position, position + length)
        position += length


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if not byte & 0x80:
            return value, position
    raise ValueError("a number of more than ten bytes")
