"""Edits a .tflite file that edgekit's own tools wrote: LiteRT's object classes, with what they leave to be desired.

Constants are always inside the FlatBuffer (some writers append them behind it, where runtimes of TensorFlow 2.5's time
do not look), and the bytes are the same for the same model. Not for files of strangers: ``tflite_flatbuffer`` reads
those.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.formats.tflite_flatbuffer import IDENTIFIER
from edgekit.formats.tflite_operators import CUSTOM, operator_by_number, operator_number
from edgekit.graph import Quantization

#: LiteRT's object classes (ModelT, SubGraphT, TensorT, OperatorT) are generated, without types.
Model = Any
Subgraph = Any
StoredTensor = Any
StoredOperator = Any

_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
_NAMES = {number: name for name, number in _TYPES.items()}


def load_model(source: Path | bytes) -> Model:
    """The whole file as objects, every constant inside.

    Raises:
        InputError: the file is damaged where ``tflite_flatbuffer`` does not look (in the options of an operator).
    """
    from ai_edge_litert import schema_py_generated as schema

    data = source.read_bytes() if isinstance(source, Path) else bytes(source)
    try:
        model = schema.ModelT.InitFromPackedBuf(data)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise InputError(f"the TensorFlow Lite model is damaged ({error})", code="invalid_model") from error
    for buffer in model.buffers:
        if buffer.data is None and buffer.offset > 1 and buffer.size > 0:
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
        buffer.offset, buffer.size = 0, 0
    return model


def save_model(model: Model) -> bytes:
    """The bytes of the file."""
    import flatbuffers

    # The writer fills the buffer from its end and doubles it when it is full; starting at the right size saves copies.
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(size + size // 8 + 65536)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def name_of(tensor: StoredTensor) -> str:
    return "" if tensor.name is None else tensor.name.decode("utf-8", "replace")


def dtype_of(tensor: StoredTensor) -> str:
    return _NAMES.get(tensor.type, f"type{tensor.type}")


def type_of(model: Model, operator: StoredOperator) -> str:
    """``CONV_2D``, or the name of a custom operator."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == CUSTOM:
        return code.customCode.decode("utf-8", "replace") if code.customCode else "CUSTOM"
    return operator_by_number(number)


def quantization_of(tensor: StoredTensor) -> Quantization | None:
    stored = tensor.quantization
    if stored is None or stored.scale is None or len(stored.scale) == 0:
        return None
    scale = tuple(float(value) for value in stored.scale)
    zero_point = tuple(int(value) for value in stored.zeroPoint) if stored.zeroPoint is not None else (0,) * len(scale)
    return Quantization(scale, zero_point, stored.quantizedDimension if len(scale) > 1 else None)


def set_quantization(tensor: StoredTensor, quantization: Quantization, dtype: str) -> None:
    """Make it a tensor of stored integers."""
    from ai_edge_litert import schema_py_generated as schema

    stored = schema.QuantizationParametersT()
    stored.scale = np.asarray(quantization.scale, np.float32)
    stored.zeroPoint = np.asarray(quantization.zero_point, np.int64)
    stored.quantizedDimension = quantization.axis or 0
    tensor.quantization, tensor.type = stored, _TYPES[dtype]


def read_constant(model: Model, tensor: StoredTensor) -> np.ndarray | None:
    """Its numbers, or None if it is computed."""
    data = model.buffers[tensor.buffer].data
    if data is None or len(data) == 0:
        return None
    shape = [] if tensor.shape is None else list(tensor.shape)
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype_of(tensor)).reshape(shape)


def write_constant(model: Model, tensor: StoredTensor, array: np.ndarray) -> None:
    """Give the tensor a buffer of its own with these numbers (several may share the old one)."""
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1


def add_tensor(
    subgraph: Subgraph, name: str, shape: Sequence[int], dtype: str, quantization: Quantization | None
) -> int:
    """The index of a new computed tensor."""
    from ai_edge_litert import schema_py_generated as schema

    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer, tensor.hasRank = name.encode(), list(shape), 0, True
    tensor.type = _TYPES[dtype]
    if quantization is not None:
        set_quantization(tensor, quantization, dtype)
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1


def make_operator(model: Model, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> StoredOperator:
    """An operator without attributes (QUANTIZE, DEQUANTIZE), to be put into a subgraph by the caller."""
    from ai_edge_litert import schema_py_generated as schema

    operator = schema.OperatorT()
    operator.opcodeIndex = find_code(model, operator_number(name), 1)
    operator.inputs, operator.outputs = list(inputs), list(outputs)
    return operator


def find_code(model: Model, number: int, version: int) -> int:
    """The index of the operator code of that number and version, made if it is not there."""
    from ai_edge_litert import schema_py_generated as schema

    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number and code.version == version:
            return index
    code = schema.OperatorCodeT()
    # 127 in the older, one-byte field says that the number stands in the newer one.
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def drop_unused(model: Model) -> None:
    """Remove buffers and operator codes that nothing refers to any more (buffer 0 stays: it means "none")."""
    used = {0, *(tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors)}
    used |= {entry.buffer for entry in model.metadata or []}
    places = {old: new for new, old in enumerate(sorted(used))}
    model.buffers = [model.buffers[old] for old in sorted(used)]
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            tensor.buffer = places[tensor.buffer]
    for entry in model.metadata or []:
        entry.buffer = places[entry.buffer]
    codes = sorted({operator.opcodeIndex for subgraph in model.subgraphs for operator in subgraph.operators})
    renumbered = {old: new for new, old in enumerate(codes)}
    model.operatorCodes = [model.operatorCodes[old] for old in codes]
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            operator.opcodeIndex = renumbered[operator.opcodeIndex]


def ensure_signature(model: Model, inputs: dict[str, int], outputs: dict[str, int]) -> str:
    """The key of the one signature of the first subgraph; a file without one gets it, from {name: tensor index}."""
    from ai_edge_litert import schema_py_generated as schema

    def entries(named: dict[str, int]) -> list[Any]:
        made = []
        for name, index in named.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), index
            made.append(entry)
        return made

    if not model.signatureDefs:
        signature = schema.SignatureDefT()
        signature.signatureKey = b"serving_default"
        signature.inputs, signature.outputs, signature.subgraphIndex = entries(inputs), entries(outputs), 0
        model.signatureDefs = [signature]
    return model.signatureDefs[0].signatureKey.decode()


def point_signatures(model: Model, moved: dict[int, int]) -> None:
    """Let the signatures speak of other tensors: {old index: new index} in the first subgraph."""
    for signature in model.signatureDefs or []:
        if signature.subgraphIndex == 0:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = moved.get(entry.tensorIndex, entry.tensorIndex)
