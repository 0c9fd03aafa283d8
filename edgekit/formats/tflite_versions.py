"""Versions of TensorFlow Lite's operators: which one an operator needs, and which of them TensorFlow 2.5 has.

An operator's version says what it uses: int8 arithmetic, per-channel scales, a group, half-pixel centres. Writers are
careless of it (onnx2tf leaves all at 1), and a runtime of 2.5's level that believes them computes something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgekit.graph import Graph, Operator, TensorInfo

#: Which input's type decides, where it is not the first.
_DECIDING_INPUT = {"SPLIT": 1, "TRANSPOSE_CONV": 1, "FILL": 1, "SPARSE_TO_DENSE": 2}


@dataclass(frozen=True)
class Newer:
    """An operator that a runtime of 2.5's level does not have, or not in the version or type that it needs.

    ``needed`` and ``newest`` are versions; ``newest`` is 0 where it does not have the operator at all.
    """

    index: int
    type: str
    needed: int
    newest: int

    def __str__(self) -> str:
        if self.newest == 0:
            return f"{self.type} (operator {self.index})"
        if self.needed <= self.newest:
            return f"{self.type} in int8 (operator {self.index})"
        return f"{self.type} version {self.needed} (operator {self.index}; it has {self.newest})"


@dataclass(frozen=True)
class VersionTable:
    """``newest[TYPE]`` of a runtime; ``int8[TYPE]``, the version from which TYPE computes in int8; the types that have
    no int8 kernel in this runtime, though their version does not say so."""

    runtime: str
    newest: dict[str, int]
    int8: dict[str, int]
    without_int8: frozenset[str]


@cache
def load_table() -> VersionTable:
    """The table of TensorFlow 2.5, from ``tflite_versions.yaml``."""
    from ruamel.yaml import YAML

    stored = YAML(typ="safe", pure=True).load(Path(__file__).with_suffix(".yaml"))
    return VersionTable(
        stored["runtime"], dict(stored["newest"]), dict(stored["int8"]), frozenset(stored["without_int8"])
    )


def find_newer_operators(graph: Graph) -> list[Newer]:
    """The operators that a runtime of TensorFlow 2.5's level does not have, in the file's order.

    Custom operators count as newer: no runtime has them by itself.
    """
    table = load_table()
    found = []
    for operator in graph.operators:
        newest = table.newest.get(operator.type, 0)
        needed = needed_version(operator, graph.tensors)
        inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
        lacking = operator.type in table.without_int8 and any(tensor.dtype == "int8" for tensor in inputs)
        if needed > newest or lacking:
            found.append(Newer(operator.index, operator.type, needed, newest))
    return found


def needed_version(operator: Operator, tensors: Sequence[TensorInfo]) -> int:
    """The lowest version with all that the operator uses, at least what the file says.

    For float32, int8 and float16 operators; what the file says holds for others.
    """
    inputs = [tensors[index] if index >= 0 else None for index in operator.inputs]
    place = _DECIDING_INPUT.get(operator.type, 0)
    deciding = inputs[place] if place < len(inputs) else None
    if deciding is None:
        return operator.version or 1
    versions = [operator.version or 1, _by_attributes(operator, inputs, tensors)]
    if deciding.dtype == "int8":
        versions.append(load_table().int8.get(operator.type, 1))
    return max(versions)


def _by_attributes(operator: Operator, inputs: Sequence[TensorInfo | None], tensors: Sequence[TensorInfo]) -> int:
    name, attributes = operator.type, operator.attributes
    first = inputs[0]
    rank = max((len(tensor.shape) for tensor in inputs if tensor is not None), default=0)
    rules: dict[str, list[tuple[bool, int]]] = {
        "CONV_2D": [(_is_grouped(inputs), 6)],
        "DEPTHWISE_CONV_2D": [(_is_dilated(operator), 2)],
        "FULLY_CONNECTED": [(bool(attributes.get("keep_num_dims")), 5), (len(_present(inputs)) == 2, 6)],
        "MUL": [(_multiplies_up(inputs, operator, tensors), 3)],
        "TRANSPOSE": [(rank > 4, 4), (rank > 5, 6)],
        "TRANSPOSE_CONV": [
            (len(_present(inputs)) == 4, 3),
            (attributes.get("fused_activation_function", "NONE") != "NONE", 4),
        ],
        "RESIZE_BILINEAR": [(bool(attributes.get("half_pixel_centers")), 3)],
        "RESIZE_NEAREST_NEIGHBOR": [
            (bool(attributes.get("half_pixel_centers") or attributes.get("align_corners")), 3),
        ],
        "STRIDED_SLICE": [
            (rank > 4, 4),
            (bool(attributes.get("ellipsis_mask") or attributes.get("new_axis_mask")), 6),
            (bool(attributes.get("offset")), 8),
        ],
        "SLICE": [(rank > 4, 5)],
        "GATHER": [(bool(attributes.get("batch_dims")), 5)],
        "PAD": [(rank > 4, 4)],
        "PADV2": [(rank > 4, 4)],
        "SPACE_TO_BATCH_ND": [(first is not None and len(first.shape) != 4, 3)],
        "BATCH_TO_SPACE_ND": [(first is not None and len(first.shape) != 4, 3)],
        "DEQUANTIZE": [
            (first is not None and first.dtype == "float16", 3),
            (first is not None and first.quantization is not None and first.quantization.per_channel, 5),
        ],
        "BROADCAST_TO": [(True, 2)],
        "SUB": [(_broadcasts(inputs) and rank > 4, 3)],
        "DIV": [(_broadcasts(inputs) and rank > 4, 2)],
        "MAXIMUM": [(_broadcasts(inputs) and rank > 4, 3)],
        "MINIMUM": [(_broadcasts(inputs) and rank > 4, 3)],
    }
    return max((version for holds, version in rules.get(name, []) if holds), default=1)


def _present(inputs: Sequence[TensorInfo | None]) -> list[TensorInfo]:
    return [tensor for tensor in inputs if tensor is not None]


def _broadcasts(inputs: Sequence[TensorInfo | None]) -> bool:
    present = _present(inputs)
    return len(present) > 1 and present[0].shape != present[1].shape


def _is_grouped(inputs: Sequence[TensorInfo | None]) -> bool:
    """A filter [out, height, width, in] that sees only some of the input's channels."""
    present = _present(inputs)
    return len(present) > 1 and present[0].shape[-1:] != present[1].shape[-1:]


def _is_dilated(operator: Operator) -> bool:
    factors = [operator.attributes.get(f"dilation_{side}_factor", 1) for side in ("w", "h")]
    return any(factor != 1 for factor in factors)


def _multiplies_up(inputs: Sequence[TensorInfo | None], operator: Operator, tensors: Sequence[TensorInfo]) -> bool:
    """Whether a quantized product has to be scaled up to the output's step."""
    present = _present(inputs)
    output = tensors[operator.outputs[0]] if operator.outputs and operator.outputs[0] >= 0 else None
    involved = [*present[:2], output]
    if len(involved) != 3 or any(tensor is None or tensor.quantization is None for tensor in involved):
        return False
    scales = [tensor.quantization.scale[0] for tensor in involved if tensor is not None and tensor.quantization]
    return scales[0] * scales[1] >= scales[2] > 0
