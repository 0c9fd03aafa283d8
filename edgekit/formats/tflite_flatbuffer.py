"""Reads a .tflite file (a FlatBuffer) without trusting it: every offset is checked before it is followed.

The runtime's own parser and the generated Python classes believe what a file says; a truncated or hostile one makes
them crash, or run for ever over tables that point at each other. Here an offset that leaves the file, a vector that is
longer than the file, and more tables than the file could hold are all an InputError, and the time is linear in the
file's size.

Field numbers are those of TensorFlow's ``tensorflow/lite/schema/schema.fbs`` (version 3); the binary layout is
described in FlatBuffers' "Internals" page.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from edgekit.errors import InputError

IDENTIFIER = b"TFL3"
_Item = TypeVar("_Item")

#: TensorType by number, in NumPy's words. What NumPy has no type for keeps the schema's name.
TENSOR_TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64"),
    *("complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16"),
)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as it is stored. ``shape`` has None where the signature leaves a size free, ``default_shape`` what the
    runtime takes there unless it is told; ``buffer`` is an index."""

    name: str
    shape: tuple[int | None, ...]
    default_shape: tuple[int, ...]
    dtype: str
    buffer: int
    scale: tuple[float, ...] = ()
    zero_point: tuple[int, ...] = ()
    axis: int = 0
    sparse: bool = False
    variable: bool = False


@dataclass(frozen=True)
class StoredOperator:
    """An operator as it is stored. ``options`` is (number of the options' type, position of their table), or None."""

    opcode: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: tuple[int, int] | None = None


@dataclass(frozen=True)
class OperatorCode:
    """``builtin`` is BuiltinOperator's number (32: custom, and then ``custom`` is its name)."""

    builtin: int
    version: int
    custom: str = ""


@dataclass(frozen=True)
class Subgraph:
    name: str
    tensors: tuple[StoredTensor, ...]
    operators: tuple[StoredOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """A named entry of the model: {argument name: tensor index}, in the file's order."""

    key: str
    inputs: dict[str, int]
    outputs: dict[str, int]
    subgraph: int = 0


@dataclass(frozen=True)
class StoredBuffer:
    """Where a buffer's bytes lie in the file. ``external``: outside the FlatBuffer itself, as offset and size say."""

    start: int
    size: int
    external: bool = False


@dataclass(frozen=True)
class StoredModel:
    """The whole file, parsed. ``data`` are its bytes."""

    data: bytes = field(repr=False)
    version: int
    description: str
    codes: tuple[OperatorCode, ...]
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[StoredBuffer, ...]
    signatures: tuple[Signature, ...]
    metadata: tuple[str, ...]

    @property
    def main(self) -> Subgraph:
        return self.subgraphs[0]

    def is_constant(self, tensor: StoredTensor) -> bool:
        return self.buffers[tensor.buffer].size > 0

    def read_constant(self, tensor: StoredTensor) -> np.ndarray | None:
        """The numbers of a constant tensor, or None if it is none, or sparse, or of a type that NumPy lacks.

        Raises:
            InputError: there are not as many bytes as its shape needs.
        """
        buffer = self.buffers[tensor.buffer]
        if buffer.size == 0 or tensor.sparse or tensor.dtype not in _NUMPY_TYPES:
            return None
        dtype = np.dtype(tensor.dtype).newbyteorder("<")
        shape = tensor.default_shape
        count = 1
        for size in shape:
            count *= size
        if count * dtype.itemsize != buffer.size:
            raise InputError(
                f"tensor `{tensor.name}` of shape {list(shape)} needs {count * dtype.itemsize} bytes, its buffer has "
                f"{buffer.size}",
                where=tensor.name,
                code="invalid_model",
            )
        return np.frombuffer(self.data, dtype, count, buffer.start).reshape(shape)


_NUMPY_TYPES = frozenset(name for name in TENSOR_TYPES if name in np.sctypeDict)


def read_model(path: Path) -> StoredModel:
    """Parse the file at ``path``.

    Raises:
        InputError: it is not a TensorFlow Lite model, or it is truncated or inconsistent.
    """
    try:
        return parse_model(path.read_bytes())
    except InputError as error:
        raise InputError(
            f"{path} is not a sound TensorFlow Lite model: {error.message}", where=str(path), code=error.word
        ) from error


def parse_model(data: bytes) -> StoredModel:
    """Parse the bytes of a file (see ``read_model``)."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise InputError("it does not carry the identifier TFL3", code="wrong_format")
    reader = _Reader(data)
    root = reader.follow(0)
    model = StoredModel(
        data=data,
        version=reader.scalar(root, 0, "<I", 0),
        description=reader.text(root, 3),
        codes=reader.tables(root, 1, _read_code),
        subgraphs=reader.tables(root, 2, _read_subgraph),
        buffers=reader.tables(root, 4, _read_buffer),
        signatures=reader.tables(root, 7, _read_signature),
        metadata=reader.tables(root, 6, lambda reader, table: reader.text(table, 0)),
    )
    _check_indices(model)
    return model


class _Reader:
    """Checked access to tables, vectors, scalars and strings by their position in the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        # No sound file holds more tables than it has room for, each being at least a 4-byte offset to its vtable.
        self._tables_left = len(data) // 4

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
        return np.frombuffer(self.data, dtype, count, start).tolist() if count else []

    def text(self, table: int, number: int) -> str:
        start, count = self.vector(table, number, 1)
        return self.data[start : start + count].decode("utf-8", "replace")

    def tables(self, table: int, number: int, read: Callable[[_Reader, int], _Item]) -> tuple[_Item, ...]:
        start, count = self.vector(table, number, 4)
        self._tables_left -= count
        if self._tables_left < 0:
            raise InputError("it names more tables than it has room for", code="invalid_model")
        return tuple(read(self, self.follow(start + 4 * index)) for index in range(count))


def _read_code(reader: _Reader, table: int) -> OperatorCode:
    # The one-byte field is the older one; files of new operators (above 127) have a placeholder there.
    builtin = max(reader.scalar(table, 0, "<b", 0), reader.scalar(table, 3, "<i", 0))
    return OperatorCode(builtin, reader.scalar(table, 2, "<i", 1), reader.text(table, 1))


def _read_subgraph(reader: _Reader, table: int) -> Subgraph:
    return Subgraph(
        name=reader.text(table, 4),
        tensors=reader.tables(table, 0, _read_tensor),
        operators=reader.tables(table, 3, _read_operator),
        inputs=_indices(reader, table, 1),
        outputs=_indices(reader, table, 2),
    )


def _read_tensor(reader: _Reader, table: int) -> StoredTensor:
    shape = _indices(reader, table, 0)
    signature = _indices(reader, table, 7) or shape
    if len(signature) != len(shape):
        raise InputError("a tensor's shape and its signature differ in length", code="invalid_model")
    if any(size < 0 for size in shape):
        raise InputError("a tensor's shape has a negative size", code="invalid_model")
    quantization = reader.child(table, 4)
    scale: list[float] = []
    zero_point: list[int] = []
    axis = 0
    if quantization is not None:
        scale = [float(value) for value in reader.numbers(quantization, 2, "<f4")]
        if not all(math.isfinite(value) for value in scale):
            raise InputError("the scale of a tensor is not a finite number", code="invalid_model")
        zero_point = [int(value) for value in reader.numbers(quantization, 3, "<i8")]
        axis = reader.scalar(quantization, 6, "<i", 0)
    number = reader.scalar(table, 1, "<b", 0)
    return StoredTensor(
        name=reader.text(table, 3),
        shape=tuple(None if free < 0 else size for size, free in zip(shape, signature, strict=True)),
        default_shape=shape,
        dtype=TENSOR_TYPES[number] if 0 <= number < len(TENSOR_TYPES) else f"type{number}",
        buffer=reader.scalar(table, 2, "<I", 0),
        scale=tuple(scale),
        zero_point=tuple(zero_point),
        axis=axis,
        sparse=reader.child(table, 6) is not None,
        variable=bool(reader.scalar(table, 5, "<B", 0)),
    )


def _read_operator(reader: _Reader, table: int) -> StoredOperator:
    options = reader.child(table, 4)
    return StoredOperator(
        opcode=reader.scalar(table, 0, "<I", 0),
        inputs=_indices(reader, table, 1),
        outputs=_indices(reader, table, 2),
        options=None if options is None else (reader.scalar(table, 3, "<B", 0), options),
    )


def _read_buffer(reader: _Reader, table: int) -> StoredBuffer:
    start, size = reader.vector(table, 0, 1)
    if size:
        return StoredBuffer(start, size)
    # Offsets 0 and 1 both say "not outside": 1 is what a writer puts before it knows the place.
    start, size = reader.scalar(table, 1, "<Q", 0), reader.scalar(table, 2, "<Q", 0)
    if start <= 1 or size == 0:
        return StoredBuffer(0, 0)
    if start + size > len(reader.data):
        raise InputError("a buffer lies outside the file; it is truncated or damaged", code="invalid_model")
    return StoredBuffer(start, size, external=True)


def _read_signature(reader: _Reader, table: int) -> Signature:
    def entry(reader: _Reader, table: int) -> tuple[str, int]:
        return reader.text(table, 0), reader.scalar(table, 1, "<I", 0)

    return Signature(
        key=reader.text(table, 2),
        inputs=dict(reader.tables(table, 0, entry)),
        outputs=dict(reader.tables(table, 1, entry)),
        subgraph=reader.scalar(table, 4, "<I", 0),
    )


def _indices(reader: _Reader, table: int, number: int) -> tuple[int, ...]:
    return tuple(int(value) for value in reader.numbers(table, number, "<i4"))


def _check_indices(model: StoredModel) -> None:
    """Every index that the rest of edgekit will follow exists."""
    if not model.subgraphs:
        raise InputError("it has no subgraph", code="invalid_model")
    for subgraph in model.subgraphs:
        count = len(subgraph.tensors)
        used = [index for operator in subgraph.operators for index in (*operator.inputs, *operator.outputs)]
        wrong = [index for index in used if not -1 <= index < count]
        wrong += [index for index in (*subgraph.inputs, *subgraph.outputs) if not 0 <= index < count]
        wrong += [tensor.buffer for tensor in subgraph.tensors if tensor.buffer >= len(model.buffers)]
        wrong += [operator.opcode for operator in subgraph.operators if operator.opcode >= len(model.codes)]
        if wrong:
            raise InputError(f"it refers to an entry that does not exist ({wrong[0]})", code="invalid_model")
    for signature in model.signatures:
        if signature.subgraph >= len(model.subgraphs):
            raise InputError("a signature refers to a subgraph that does not exist", code="invalid_model")
        count = len(model.subgraphs[signature.subgraph].tensors)
        if any(index >= count for index in (*signature.inputs.values(), *signature.outputs.values())):
            raise InputError("a signature refers to a tensor that does not exist", code="invalid_model")
