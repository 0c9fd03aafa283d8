"""Reads a .tflite file (a FlatBuffer) without trusting it.

The runtime's own parser and the generated Python classes believe what a file says; a truncated or hostile one makes
them crash, or run for ever over tables that point at each other. ``flatbuffer.Reader`` makes an InputError of that.

Field numbers are those of TensorFlow's ``tensorflow/lite/schema/schema.fbs`` (version 3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgekit.errors import InputError
from edgekit.formats import AGAIN
from edgekit.formats.flatbuffer import Reader

IDENTIFIER = b"TFL3"

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
    """An operator as it is stored. ``options`` is (number of the options' type, position of their table), or None;
    ``custom`` is (position, size) of a custom operator's own options."""

    opcode: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: tuple[int, int] | None = None
    custom: tuple[int, int] = (0, 0)


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
            f"{path} is not a sound TensorFlow Lite model: {error.message}",
            where=str(path),
            remedy=AGAIN,
            code=error.word,
        ) from error


def parse_model(data: bytes) -> StoredModel:
    """Parse the bytes of a file (see ``read_model``)."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise InputError("it does not carry the identifier TFL3", code="wrong_format")
    reader = Reader(data)
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


def _read_code(reader: Reader, table: int) -> OperatorCode:
    # The one-byte field is the older one; files of new operators (above 127) have a placeholder there.
    builtin = max(reader.scalar(table, 0, "<b", 0), reader.scalar(table, 3, "<i", 0))
    return OperatorCode(builtin, reader.scalar(table, 2, "<i", 1), reader.text(table, 1))


def _read_subgraph(reader: Reader, table: int) -> Subgraph:
    return Subgraph(
        name=reader.text(table, 4),
        tensors=reader.tables(table, 0, _read_tensor),
        operators=reader.tables(table, 3, _read_operator),
        inputs=_indices(reader, table, 1),
        outputs=_indices(reader, table, 2),
    )


def _read_tensor(reader: Reader, table: int) -> StoredTensor:
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


def _read_operator(reader: Reader, table: int) -> StoredOperator:
    options = reader.child(table, 4)
    return StoredOperator(
        opcode=reader.scalar(table, 0, "<I", 0),
        inputs=_indices(reader, table, 1),
        outputs=_indices(reader, table, 2),
        options=None if options is None else (reader.scalar(table, 3, "<B", 0), options),
        custom=_custom_options(reader, table),
    )


def _custom_options(reader: Reader, table: int) -> tuple[int, int]:
    """Inside the FlatBuffer, or behind it where a file is too large for its offsets."""
    start, size = reader.vector(table, 5, 1)
    if size:
        return start, size
    start, size = reader.scalar(table, 9, "<Q", 0), reader.scalar(table, 10, "<Q", 0)
    if start <= 1 or size == 0:
        return 0, 0
    if start + size > len(reader.data):
        raise InputError("an operator's options lie outside the file; it is truncated or damaged", code="invalid_model")
    return start, size


def _read_buffer(reader: Reader, table: int) -> StoredBuffer:
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


def _read_signature(reader: Reader, table: int) -> Signature:
    def entry(reader: Reader, table: int) -> tuple[str, int]:
        return reader.text(table, 0), reader.scalar(table, 1, "<I", 0)

    return Signature(
        key=reader.text(table, 2),
        inputs=dict(reader.tables(table, 0, entry)),
        outputs=dict(reader.tables(table, 1, entry)),
        subgraph=reader.scalar(table, 4, "<I", 0),
    )


def _indices(reader: Reader, table: int, number: int) -> tuple[int, ...]:
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
