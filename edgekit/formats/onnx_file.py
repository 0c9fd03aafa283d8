"""Reads and writes ONNX files: external data are looked at before anything is loaded, and what is written is
normalized."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.formats import AGAIN

# ModelProto's fields: number -> wire types that they may have (onnx.proto: varint 0, length-delimited 2).
_MODEL_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH, _IR_VERSION, _OPSET = 7, 1, 8
# Names that exporters number by a counter of their own, so that they change from release to release.
_COUNTED = re.compile(r"(onnx::[A-Za-z]+_\d+|val_\d+|\d+|_v_\d+|constant_\d+_*)$")


def looks_like_onnx(head: bytes) -> bool:
    """Whether these first bytes are the beginning of a ModelProto: known fields, among them the IR version and the
    graph (or the opset) if the head reaches that far."""
    position, seen = 0, set()
    while position < len(head):
        tag, position = _read_varint(head, position)
        number, wire = tag >> 3, tag & 7
        if _MODEL_FIELDS.get(number) != wire:
            return False
        value, position = _read_varint(head, position)
        if position > len(head):
            break
        if number == _IR_VERSION and not 1 <= value <= 100:
            return False
        seen.add(number)
        if wire == 2:
            position += value
    return bool(seen & {_IR_VERSION, _GRAPH}) and bool(seen & {_GRAPH, _OPSET})


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while position < len(data):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return value, position
    return value, len(data) + 1


def read_model(path: Path, *, with_data: bool = True) -> Any:
    """The ModelProto in a file, with its external data unless ``with_data`` is false. A negative size, which some
    exporters write for a free one, is a free one.

    Raises:
        InputError: truncated, not ONNX, or its external data are missing, cut short or outside its folder.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is truncated, or not an ONNX model", where=str(path), remedy=AGAIN, code="unreadable_model"
        ) from error
    if not model.HasField("graph") or not model.opset_import or not model.graph.output:
        raise InputError(
            f"{path} is truncated: it has no graph", where=str(path), remedy=AGAIN, code="unreadable_model"
        )
    external_files(path, model)
    if with_data:
        onnx.load_external_data_for_model(model, str(path.parent))
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_value < 0:
                size.ClearField("dim_value")
    return model


def external_files(path: Path, model: Any) -> list[Path]:
    """The files that hold the model's external data, checked: inside its folder, there, and long enough.

    Raises:
        InputError: one is not.
    """
    import onnx

    folder = path.resolve().parent
    found: dict[Path, None] = {}
    for tensor in all_tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = folder / location
        if not location or Path(location).is_absolute() or not file.resolve().is_relative_to(folder):
            raise InputError(
                f"the external data of `{tensor.name}` in {path} point outside its folder: {location or '(nothing)'}",
                where=str(path),
                remedy="write the model again with its data beside it",
                code="external_data_outside",
            )
        if not file.is_file():
            raise InputError(
                f"{path} keeps its weights in {location}, which is not beside it",
                where=str(file),
                remedy="put that file into the same folder",
                code="external_data_missing",
            )
        length = max(_integer(entries, "length", path), _bytes_of(tensor))
        needed = _integer(entries, "offset", path) + length
        if needed > file.stat().st_size:
            raise InputError(
                f"the external data {file} are truncated: {file.stat().st_size} bytes, {needed} are needed",
                where=str(file),
                remedy=AGAIN,
                code="truncated_file",
            )
        found[file] = None
    return list(found)


def _bytes_of(tensor: Any) -> int:
    """The bytes that a tensor's values take; 0 for types narrower than a byte, which are packed."""
    import onnx

    if tensor.data_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return 0
    name = onnx.TensorProto.DataType.Name(tensor.data_type)
    if name.endswith(("INT4", "INT2")) or name.startswith("FLOAT4"):
        return 0
    return math.prod(tensor.dims) * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _integer(entries: dict[str, str], key: str, path: Path) -> int:
    text = entries.get(key, "0")
    if not text.isdigit():
        raise InputError(f"{path} has external data with {key} `{text}`", where=str(path), code="unreadable_model")
    return int(text)


def bodies_of(node: Any) -> Iterator[Any]:
    """The graphs that a node runs: the branches of ``If``, the body of ``Loop``, ``Scan`` and the like."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_tensors(model: Any) -> Iterator[Any]:
    """Every TensorProto: initializers and attributes, in subgraphs and functions too."""
    import onnx

    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield sparse.values
                yield sparse.indices
            nodes.extend(graph.node)
        while nodes:
            node = nodes.pop()
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    yield attribute.t
                yield from attribute.tensors
            graphs.extend(bodies_of(node))


def read_constants(model: Any) -> dict[str, np.ndarray]:
    """{name: array} of the main graph's initializers and Constant nodes."""
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output:
            array = _constant_value(node)
            if array is not None:
                constants[node.output[0]] = array
    return constants


def _constant_value(node: Any) -> np.ndarray | None:
    from onnx import helper, numpy_helper

    for attribute in node.attribute:
        if attribute.name == "value":
            return numpy_helper.to_array(attribute.t)
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(helper.get_attribute_value(attribute), np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(helper.get_attribute_value(attribute), np.int64)
    return None


def opset_of(model: Any) -> int:
    """The version of the standard operators that the model imports (0 if it imports none)."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def graph_inputs(model: Any) -> list[Any]:
    """The true inputs: old files also list their initializers among them."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def write_model(model: Any, path: Path) -> None:
    """Write it so that an equal graph gives equal bytes: see ``normalize``. Weights stay inside the file.

    Raises:
        ValueError: over 2 GiB, which one protobuf cannot hold.
    """
    normalize(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def normalize(model: Any) -> None:
    """Take out what says nothing of the function (producer, doc strings, metadata, shapes of intermediates, unused
    initializers), give counted constants names of their own, and put initializers in the order of their first use."""
    model.ClearField("producer_name")
    model.ClearField("producer_version")
    model.ClearField("domain")
    model.ClearField("model_version")
    model.ClearField("doc_string")
    del model.metadata_props[:]
    graph = model.graph
    graph.ClearField("doc_string")
    graph.name = "graph"
    del graph.value_info[:]
    del graph.metadata_props[:]
    for value in (*graph.input, *graph.output):
        value.ClearField("doc_string")
        del value.metadata_props[:]
    for node in graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    for tensor in graph.initializer:
        tensor.ClearField("doc_string")
        del tensor.metadata_props[:]
    if not _has_subgraphs(graph):
        _order_initializers(graph)
    imports = sorted(((entry.domain, entry.version) for entry in model.opset_import), key=lambda entry: entry[0])
    used = {node.domain for node in graph.node} | {""}
    del model.opset_import[:]
    for domain, version in imports:
        if domain in used or domain == "ai.onnx" or model.functions:
            model.opset_import.add(domain=domain, version=version)


def _has_subgraphs(graph: Any) -> bool:
    return any(True for node in graph.node for _ in bodies_of(node))


def _order_initializers(graph: Any) -> None:
    by_name = {tensor.name: tensor for tensor in graph.initializer}
    used: dict[str, None] = {}
    for node in graph.node:
        used.update((name, None) for name in node.input if name in by_name)
    used.update((value.name, None) for value in graph.output if value.name in by_name)
    outputs = {value.name for value in graph.output}
    counted = [name for name in used if _COUNTED.match(name) and name not in outputs]
    taken = {name for node in graph.node for name in (*node.input, *node.output)} - set(counted)
    renamed = {name: _free_name(f"constant_{index}", taken) for index, name in enumerate(counted)}
    ordered = [by_name[name] for name in used]
    for tensor in ordered:
        tensor.name = renamed.get(tensor.name, tensor.name)
    copies = [tensor.SerializeToString(deterministic=True) for tensor in ordered]
    del graph.initializer[:]
    for copy in copies:
        graph.initializer.add().ParseFromString(copy)
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name in renamed:
                node.input[position] = renamed[name]
    # An initializer that is also listed as an input (IR versions before 4) is a constant here.
    kept = [value for value in graph.input if value.name not in by_name]
    if len(kept) != len(graph.input):
        values = [value.SerializeToString() for value in kept]
        del graph.input[:]
        for copy in values:
            graph.input.add().ParseFromString(copy)


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
