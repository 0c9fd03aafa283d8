"""What an OpenVINO model selects from at its end (``selection``)."""

from __future__ import annotations

import math
from typing import Any

from edgekit.formats.openvino_file import name_of
from edgekit.formats.selection import TRAINED_OVER, Piece, Role, Search, Selection

_SELECTS = frozenset(
    {"NonMaxSuppression", "NonMaxSuppressionIEInternal", "MulticlassNms", "MatrixNms", "NMSRotated", "DetectionOutput"}
    | {"TopK", "NonZero", "Unique"}
)
_WEIGHTED = frozenset(
    {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "GroupConvolutionBackpropData", "MatMul"}
    | {"DeformableConvolution", "LSTMSequence", "GRUSequence", "RNNSequence"}
)
_KEEPS = frozenset({"Convert", "Reshape", "Squeeze", "Unsqueeze"})


def watch(model: Any) -> tuple[dict[str, str], frozenset[str]]:
    """Make the entries of a model outputs of it too, after its own, in place: ({name for such an output: entry, in
    their order}, the outputs behind the selection)."""
    names = [name_of(port) for port in model.outputs]
    selection, ports = _find(model)
    entries: dict[str, str] = {}
    for name in selection.entries:
        given = f"{name} (entry)"
        while given in names or given in entries:
            given += "_"
        entries[given] = name
        model.add_outputs([ports[name]])
    own = [_tensor_of(port.get_node().input(0).get_source_output()) for port in model.outputs[: len(names)]]
    return entries, frozenset(name for name, tensor in zip(names, own, strict=True) if tensor in selection.behind)


def _find(model: Any) -> tuple[Selection, dict[str, Any]]:
    """(the selection, {tensor: its port})."""
    pieces: list[Piece] = []
    ports: dict[str, Any] = {}
    sizes: dict[str, int] = {}  # of constants, and of what is computed from them alone
    for node in model.get_ordered_ops():
        kind = str(node.get_type_name())
        reads = tuple(_tensor_of(port.get_source_output()) for port in node.inputs())
        ports |= {_tensor_of(port): port for port in node.outputs()}
        makes = tuple(map(_tensor_of, node.outputs()))
        if kind == "Constant":
            sizes[makes[0]] = math.prod(node.output(0).get_shape())
        elif reads and all(name in sizes for name in reads):
            sizes |= dict.fromkeys(makes, max(sizes[name] for name in reads))
        learned = max((sizes.get(name, 0) for name in reads), default=0)
        pieces.append(Piece(kind, "" if _is_argmax(node) else _role(kind, learned), reads, makes))
    reals = {name for name, port in ports.items() if port.get_element_type().is_real()}
    outputs = [_tensor_of(port.get_node().input(0).get_source_output()) for port in model.outputs]
    return Search(pieces, reals, sizes).find(outputs), ports


def _is_argmax(node: Any) -> bool:
    """TopK of one, as ArgMax is written: always one number."""
    if node.get_type_name() != "TopK":
        return False
    size = node.get_output_partial_shape(0)[node.get_attributes()["axis"]]
    return bool(size.is_static and size.get_length() == 1)


def _role(kind: str, learned: int) -> Role:
    """``learned``: how many numbers the largest constant has that it reads."""
    if kind in _SELECTS:
        return "selects"
    if kind in _WEIGHTED:
        return "trained" if learned > TRAINED_OVER else ""
    return "keeps" if kind in _KEEPS else "sizes" if kind == "ShapeOf" else ""


def _tensor_of(port: Any) -> str:
    return f"{port.get_node().get_friendly_name()}:{port.get_index()}"
