"""Describes an OpenVINO model as a Graph: shapes, costs, FakeQuantize and compressed weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.formats.costs import (
    convolution_macs,
    einsum_macs,
    matrix_product_macs,
    transposed_convolution_macs,
)
from edgekit.formats.openvino_file import name_of
from edgekit.graph import Graph, Operator, Quantization, TensorInfo

Shape = tuple[int | None, ...]

# A single number beside these is a factor of the formula (attention's scale, GELU's constants), not a weight.
_ELEMENTWISE = {"Add", "Subtract", "Multiply", "Divide", "Power", "Maximum", "Minimum", "ScaledDotProductAttention"}

# Operators through which a constant's numbers pass on the way to the one that uses them: decompression of weights.
_PASSING = {"Convert", "Multiply", "Subtract", "Reshape", "Transpose", "FakeQuantize", "Unsqueeze", "Squeeze"}
# Constant inputs of these say how to compute, not what was learned.
_CONTROL_INPUTS = {
    "FakeQuantize": {1, 2, 3, 4}, "Reshape": {1}, "Transpose": {1}, "Squeeze": {1}, "Unsqueeze": {1}, "Pad": {1, 2, 3},
    "StridedSlice": {1, 2, 3}, "Slice": {1, 2, 3, 4}, "Broadcast": {1, 2}, "Gather": {1, 2}, "Tile": {1},
    "Interpolate": {1, 2, 3}, "ReduceMean": {1}, "ReduceSum": {1}, "ReduceMax": {1}, "ReduceMin": {1},
    "ReduceProd": {1}, "ReduceL2": {1}, "Split": {1}, "VariadicSplit": {1, 2}, "TopK": {1}, "OneHot": {1, 2, 3},
    "ConvolutionBackpropData": {2}, "GroupConvolutionBackpropData": {2}, "MVN": {1}, "Range": {0, 1, 2},
    "NormalizeL2": {1}, "CumSum": {1}, "Swish": {1},
}  # fmt: skip


def describe_model(model: Any) -> Graph:
    """The Graph of an ov.Model. Constants are tensors; Parameter, Result and Constant nodes are no operators."""
    names: dict[tuple[str, int], int] = {}
    tensors: list[TensorInfo] = []

    def index_of(port: Any) -> int:
        node = port.get_node()
        key = (node.get_friendly_name(), port.get_index())
        if key not in names:
            names[key] = len(tensors)
            constant = node.get_type_name() == "Constant"
            tensors.append(TensorInfo(_label(port), _shape(port), _dtype(port), constant, _quantization(node)))
        return names[key]

    inputs = tuple(index_of(port) for port in model.inputs)
    passing = _passing_constants(model)
    counted: set[str] = set()
    operators: list[Operator] = []
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Parameter", "Constant", "Result"):
            continue
        operators.append(
            Operator(
                index=len(operators),
                type=kind,
                inputs=tuple(index_of(port.get_source_output()) for port in node.inputs()),
                outputs=tuple(index_of(port) for port in node.outputs()),
                version=None,
                name=node.get_friendly_name(),
                attributes=_attributes(node),
                macs=_count_macs(node),
                params=_count_params(node, passing, counted),
            )
        )
    outputs = tuple(index_of(port.get_node().input(0).get_source_output()) for port in model.outputs)
    return Graph("openvino", tuple(tensors), tuple(operators), inputs, outputs, {"quantization": _summarize(model)})


def _label(port: Any) -> str:
    node = port.get_node()
    if port.get_names() or node.get_output_size() == 1:
        return name_of(port)
    return f"{node.get_friendly_name()}:{port.get_index()}"


def _shape(port: Any) -> Shape:
    partial = port.get_partial_shape()
    if partial.rank.is_dynamic:
        return ()
    return tuple(size.get_length() if size.is_static else None for size in partial)


def _dtype(port: Any) -> str:
    kind = port.get_element_type()
    try:
        return str(np.dtype(kind.to_dtype()))
    except (RuntimeError, TypeError):
        return str(kind.get_type_name())  # int4 and the like, which NumPy lacks


def _attributes(node: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in node.get_attributes().items():
        if isinstance(value, (bool, int, float, str)):
            found[name] = value
        elif hasattr(value, "__iter__"):
            found[name] = [item if isinstance(item, (int, float, str)) else str(item) for item in value]
    return found


def _count_macs(node: Any) -> int:
    kind = node.get_type_name()
    if kind in ("Convolution", "ConvolutionBackpropData"):
        weight = _shape(node.input(1).get_source_output())  # [out, in, ...], transposed [in, out, ...]
        return _convolution(node, kind, weight[2:], weight[1])
    if kind in ("GroupConvolution", "GroupConvolutionBackpropData"):
        weight = _shape(node.input(1).get_source_output())  # [groups, out, in, ...], transposed [groups, in, out, ...]
        return _convolution(node, kind, weight[3:], weight[2])
    output = _shape(node.output(0))
    if kind == "MatMul":
        left = _shape(node.input(0).get_source_output())
        depth = left[-2 if node.get_attributes()["transpose_a"] and len(left) > 1 else -1] if left else 1
        return matrix_product_macs(output, depth)
    if kind == "Einsum":
        shapes = [_shape(port.get_source_output()) for port in node.inputs()]
        return einsum_macs(node.get_attributes()["equation"], shapes)
    if kind == "ScaledDotProductAttention":
        query, key = (_shape(node.input(place).get_source_output()) for place in (0, 1))
        scores = (*query[:-1], key[-2])
        return matrix_product_macs(scores, query[-1]) + matrix_product_macs(output, key[-2])
    return 0


def _convolution(node: Any, kind: str, window: Shape, channels: int | None) -> int:
    if kind.endswith("BackpropData"):
        return transposed_convolution_macs(_shape(node.input(0).get_source_output()), window, channels or 1)
    return convolution_macs(_shape(node.output(0)), window, channels or 1)


def _passing_constants(model: Any) -> dict[str, Any]:
    """{name of a node: the Constant node whose numbers it carries}, for constants and what decompresses them."""
    passing = {}
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "Constant":
            passing[node.get_friendly_name()] = node
        elif kind in _PASSING:
            sources = [port.get_source_output().get_node() for port in node.inputs()]
            if all(source.get_friendly_name() in passing for source in sources):
                passing[node.get_friendly_name()] = passing[sources[0].get_friendly_name()]
    return passing


def _count_params(node: Any, passing: dict[str, Any], counted: set[str]) -> int:
    """The learned numbers that this operator is the first to use."""
    if node.get_friendly_name() in passing:
        return 0
    control = _CONTROL_INPUTS.get(node.get_type_name(), set())
    total = 0
    for port in node.inputs():
        constant = passing.get(port.get_source_output().get_node().get_friendly_name())
        if constant is None or port.get_index() in control or constant.get_friendly_name() in counted:
            continue
        size = int(np.prod(constant.shape, dtype=np.int64))
        if node.get_type_name() in _ELEMENTWISE and size == 1:
            continue
        direct = constant is port.get_source_output().get_node()
        if constant.get_element_type().is_real() or not direct:
            counted.add(constant.get_friendly_name())
            total += size
    return total


def _quantization(node: Any) -> Quantization | None:
    """Of a FakeQuantize's output (per tensor, or per channel along its one long axis), from its output range."""
    if node.get_type_name() != "FakeQuantize":
        return None
    sources = [node.input(place).get_source_output().get_node() for place in (3, 4)]
    if any(source.get_type_name() != "Constant" for source in sources):
        return None
    low, high = (np.asarray(source.data, np.float64) for source in sources)
    levels = int(node.get_attributes()["levels"])
    scale = (high - low) / (levels - 1)
    scale = np.where(scale == 0, 1.0, scale)
    # 256 levels are stored as uint8 where the range is positive, as int8 from -128 otherwise.
    lowest = 0 if float(low.min()) >= 0 else -(levels // 2)
    zero_point = np.rint(lowest - low / scale)
    axes = [axis for axis, size in enumerate(scale.shape) if size > 1]
    return Quantization(
        tuple(float(value) for value in scale.ravel()),
        tuple(int(value) for value in zero_point.ravel()),
        axes[0] if len(axes) == 1 else None,
    )


def _summarize(model: Any) -> dict[str, Any]:
    """What ``inspect`` says of the quantization; ``float_operators`` are convolutions and matrix products in floats."""
    nodes = model.get_ordered_ops()
    fakes = [node for node in nodes if node.get_type_name() == "FakeQuantize"]
    constants = [node for node in nodes if node.get_type_name() == "Constant"]
    weights = {_dtype(node.output(0)) for node in constants if node.get_element_type().get_type_name() in ("i8", "u8")}
    halves = [node for node in constants if node.get_element_type().get_type_name() == "f16"]
    large = [node for node in constants if node.get_element_type().is_real() and np.prod(node.shape) > 1]
    stored = "/".join(sorted(weights)) or ("float16" if large and len(halves) * 2 > len(large) else "float32")
    costly = [node for node in nodes if _is_costly(node)]
    quantized_inputs = [node for node in costly if _comes_from_fake(node)]
    return {
        "scheme": "fake_quantize" if fakes else ("weights_only" if weights else "none"),
        "weights": stored,
        "activations": "int8" if fakes else "float32",
        "per_channel": bool(weights) and any(_scales_channels(node) for node in constants),
        "io": sorted({_dtype(port) for port in (*model.inputs, *model.outputs)}),
        "float_operators": len(costly) - len(quantized_inputs) if fakes else len(costly),
    }


def _is_costly(node: Any) -> bool:
    return "Convolution" in node.get_type_name() or node.get_type_name() == "MatMul"


def _comes_from_fake(node: Any) -> bool:
    source = node.input(0).get_source_output().get_node()
    while source.get_type_name() in ("Reshape", "Transpose", "MaxPool", "Concat", "Squeeze", "Unsqueeze"):
        source = source.input(0).get_source_output().get_node()
    return bool(source.get_type_name() == "FakeQuantize")


def _scales_channels(constant: Any) -> bool:
    """Whether it is the weights of more than one scale: an int8 constant that is converted and multiplied by a
    vector."""
    if constant.get_element_type().get_type_name() not in ("i8", "u8"):
        return False
    reader: Any = constant
    for _ in range(3):
        readers = list(reader.output(0).get_target_inputs())
        if len(readers) != 1:
            return False
        reader = readers[0].get_node()
        if reader.get_type_name() == "Multiply":
            return int(np.prod(reader.input(1).get_source_output().get_node().output(0).shape)) > 1
    return False
