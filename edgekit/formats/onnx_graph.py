"""Describes an ONNX model as a Graph: shapes by ONNX's inference (and by one run where it knows none), costs, Q/DQ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edgekit.errors import StepError
from edgekit.formats.costs import (
    convolution_macs,
    einsum_macs,
    matrix_product_macs,
    transposed_convolution_macs,
)
from edgekit.formats.onnx_file import graph_inputs, opset_of, read_constants
from edgekit.formats.onnx_session import open_session
from edgekit.graph import MOST_VALUES, Graph, Operator, Quantization, TensorInfo

Shape = tuple[int | None, ...]

# Constant inputs of these say how to compute (shapes, axes, bounds, scales), not what was learned.
_CONTROL_INPUTS = {
    "Reshape": {1}, "Slice": {1, 2, 3, 4}, "Pad": {1, 2, 3}, "Clip": {1, 2}, "Resize": {1, 2, 3}, "Upsample": {1},
    "Expand": {1}, "Tile": {1}, "Unsqueeze": {1}, "Squeeze": {1}, "Split": {1}, "TopK": {1}, "OneHot": {1, 2},
    "ReduceMean": {1}, "ReduceSum": {1}, "ReduceMax": {1}, "ReduceMin": {1}, "ReduceL2": {1}, "ReduceProd": {1},
    "Gather": {1}, "QuantizeLinear": {1, 2}, "DequantizeLinear": {1, 2}, "ConstantOfShape": {0}, "Range": {0, 1, 2},
    "Cast": {0}, "Where": {0}, "NonMaxSuppression": {2, 3, 4}, "CumSum": {1}, "Dropout": {1, 2}, "Trilu": {1},
}  # fmt: skip
# Scales and zero points of the operators that take quantized tensors directly.
_CONTROL_INPUTS |= {
    "QLinearConv": {1, 2, 4, 5, 6, 7},
    "QLinearMatMul": {1, 2, 4, 5, 6, 7},
    "ConvInteger": {2, 3},
    "MatMulInteger": {2, 3},
}
# A single number beside these is a factor of the formula (attention's scale, GELU's constants), not a weight.
_ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"}
_WEIGHT_INPUT = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "ConvTranspose": 1}
_PRODUCT_INPUTS = {"MatMul": (0, 1), "MatMulInteger": (0, 1), "QLinearMatMul": (0, 3)}


def describe_model(model: Any) -> Graph:
    """The Graph of a ModelProto with its weights loaded. Constants are tensors, ``Constant`` nodes no operators."""
    constants = read_constants(model)
    shapes, dtypes = _infer(model, constants)
    quantizations = _read_quantization(model, constants)
    names: dict[str, int] = {}
    tensors: list[TensorInfo] = []

    def index_of(name: str) -> int:
        if not name:
            return -1
        if name not in names:
            names[name] = len(tensors)
            shape, dtype = shapes.get(name, ()), dtypes.get(name, "float32")
            values, zero = _numbers(constants.get(name))
            tensors.append(TensorInfo(name, shape, dtype, name in constants, quantizations.get(name), values, zero))
        return names[name]

    inputs = tuple(index_of(value.name) for value in graph_inputs(model))
    origins = _origins(model, constants)
    counted: set[str] = set()
    operators: list[Operator] = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            continue
        operators.append(
            Operator(
                index=len(operators),
                type=node.op_type,
                inputs=tuple(index_of(name) for name in node.input),
                outputs=tuple(index_of(name) for name in node.output),
                version=opset_of(model),
                name=node.name,
                attributes=_attributes(node),
                macs=_count_macs(node, shapes),
                params=_count_params(node, origins, constants, counted),
            )
        )
    outputs = tuple(index_of(value.name) for value in model.graph.output)
    metadata = {
        "opset": opset_of(model),
        "ir_version": model.ir_version,
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "quantization": _summarize(model, constants, dtypes),
    }
    return Graph("onnx", tuple(tensors), tuple(operators), inputs, outputs, metadata)


def _infer(model: Any, constants: dict[str, np.ndarray]) -> tuple[dict[str, Shape], dict[str, str]]:
    """({name: shape}, {name: dtype}) of all tensors."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes: dict[str, Shape] = {}
    dtypes: dict[str, str] = {}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        kind = value.type.tensor_type
        dtypes[value.name] = _dtype_name(kind.elem_type)
        if kind.HasField("shape"):
            shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    for name, array in constants.items():
        shapes[name], dtypes[name] = array.shape, str(array.dtype)
    unknown = [
        name
        for node in model.graph.node
        if node.op_type in _WEIGHT_INPUT or node.op_type in _PRODUCT_INPUTS or node.op_type in ("Gemm", "Einsum")
        for name in (*node.input, *node.output)
        if name and (name not in shapes or None in shapes[name])
    ]
    if unknown:
        shapes.update(_run_for_shapes(model, shapes, list(dict.fromkeys(unknown))))
    return shapes, dtypes


def _run_for_shapes(model: Any, shapes: dict[str, Shape], wanted: list[str]) -> dict[str, Shape]:
    """The shapes of those tensors in one run on zeros, where free sizes are 1; nothing if ONNX Runtime refuses."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in present)
    feeds = {
        value.name: np.zeros(
            [size or 1 for size in shapes.get(value.name, ())],
            onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type),
        )
        for value in graph_inputs(model)
    }
    try:
        results = open_session(copy.SerializeToString(), 1).run(wanted, feeds)
    except (StepError, RuntimeError, ValueError):
        return {}
    return {name: tuple(array.shape) for name, array in zip(wanted, results, strict=True)}


def _dtype_name(elem_type: int) -> str:
    from onnx import helper

    return str(helper.tensor_dtype_to_np_dtype(elem_type)) if elem_type else "float32"


def _numbers(constant: np.ndarray | None) -> tuple[tuple[int | float, ...] | None, bool | None]:
    """(the numbers of a small constant, whether all of one are 0); (None, None) of what is no constant or no number."""
    if constant is None or constant.dtype.kind not in "biuf":
        return None, None
    zero = not constant.any()
    return (tuple(constant.ravel().tolist()) if constant.size <= MOST_VALUES else None), zero


def _attributes(node: Any) -> dict[str, Any]:
    """Numbers, texts and lists; tensors and graphs are left out. ``domain`` is that of an operator which is not
    ONNX's own."""
    from onnx import AttributeProto, helper

    plain = {AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING, AttributeProto.FLOATS}
    plain |= {AttributeProto.INTS, AttributeProto.STRINGS}
    found = {}
    for attribute in node.attribute:
        if attribute.type in plain:
            value = helper.get_attribute_value(attribute)
            found[attribute.name] = _plain(value)
    if node.domain not in ("", "ai.onnx"):
        found["domain"] = node.domain
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _count_macs(node: Any, shapes: dict[str, Shape]) -> int:
    kind = node.op_type
    if kind in _WEIGHT_INPUT:
        weight = shapes.get(node.input[_WEIGHT_INPUT[kind]], ())
        if len(weight) < 3:
            return 0
        if kind == "ConvTranspose":
            return transposed_convolution_macs(shapes.get(node.input[0], ()), weight[2:], weight[1] or 1)
        return convolution_macs(shapes.get(node.output[0], ()), weight[2:], weight[1] or 1)
    if kind == "Gemm":
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        left = shapes.get(node.input[0], ())
        depth = left[0 if transposed else -1] if left else 1
        return matrix_product_macs(shapes.get(node.output[0], ()), depth)
    if kind in _PRODUCT_INPUTS:
        left = shapes.get(node.input[_PRODUCT_INPUTS[kind][0]], ())
        return matrix_product_macs(shapes.get(node.output[0], ()), left[-1] if left else 1)
    if kind == "Einsum":
        equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation")
        return einsum_macs(equation, [shapes.get(name, ()) for name in node.input])
    return 0


def _origins(model: Any, constants: dict[str, np.ndarray]) -> dict[str, str]:
    """{tensor: the constant whose numbers it carries}: constants themselves, and what only converts or moves them."""
    origins = {name: name for name in constants}
    for node in model.graph.node:
        moves = node.op_type in ("DequantizeLinear", "QuantizeLinear", "Cast", "Identity", "Transpose", "Reshape")
        if moves and node.input and node.input[0] in origins:
            origins[node.output[0]] = origins[node.input[0]]
    return origins


def _count_params(node: Any, origins: dict[str, str], constants: dict[str, np.ndarray], counted: set[str]) -> int:
    """The learned numbers that this operator is the first to use. What only passes a constant on has none of its
    own."""
    if node.output and node.output[0] in origins:
        return 0
    control = _CONTROL_INPUTS.get(node.op_type, set())
    total = 0
    for position, name in enumerate(node.input):
        origin = origins.get(name)
        if origin is None or position in control or origin in counted:
            continue
        if node.op_type in _ELEMENTWISE and constants[origin].size == 1:
            continue
        through_dequantize = origin != name
        if constants[origin].dtype.kind == "f" or through_dequantize or node.op_type in _CONTROL_INPUTS:
            counted.add(origin)
            total += constants[origin].size
    return total


def _read_quantization(model: Any, constants: dict[str, np.ndarray]) -> dict[str, Quantization]:
    """{integer tensor: quantization} from the Q and DQ nodes around it."""
    found: dict[str, Quantization] = {}
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale = constants.get(node.input[1])
        if scale is None:
            continue
        stored = constants.get(node.input[2]) if len(node.input) > 2 else None
        zero_point = np.zeros(scale.shape, np.int64) if stored is None else stored
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        tensor = node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
        found[tensor] = Quantization(
            tuple(float(value) for value in scale.ravel()),
            tuple(int(value) for value in np.asarray(zero_point).ravel()),
            int(axis) if scale.size > 1 else None,
        )
    return found


def _summarize(model: Any, constants: dict[str, np.ndarray], dtypes: dict[str, str]) -> dict[str, Any]:
    """What ``inspect`` says of the quantization: scheme, stored types, and how many convolutions and matrix products
    compute in floats."""
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    weights = {str(constants[n.input[0]].dtype) for n in _of(nodes, "DequantizeLinear") if n.input[0] in constants}
    activations = {dtypes.get(node.output[0], "uint8") for node in _of(nodes, "QuantizeLinear")}
    direct = [node for node in nodes if node.op_type.startswith("QLinear") or node.op_type.endswith("Integer")]
    floats = {str(array.dtype) for array in constants.values() if array.dtype.kind == "f" and array.size > 1}
    weights -= {"int32"} if len(weights) > 1 else set()  # biases
    scheme = "qdq" if activations or weights else ("qoperator" if direct else "none")
    per_channel = any(
        constants[node.input[1]].size > 1 for node in _of(nodes, "DequantizeLinear") if node.input[1] in constants
    )
    from_quantized = {node.output[0] for node in _of(nodes, "DequantizeLinear")}
    costly = [node for node in nodes if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum")]
    float_operators = [node for node in costly if not from_quantized & set(node.input)]
    return {
        "scheme": scheme,
        "weights": "/".join(sorted(weights)) or ("float16" if floats == {"float16"} else "float32"),
        "activations": "/".join(sorted(activations)) or ("float16" if floats == {"float16"} else "float32"),
        "per_channel": per_channel,
        "io": sorted({dtypes.get(value.name, "float32") for value in (*graph_inputs(model), *model.graph.output)}),
        "float_operators": len(float_operators),
    }


def _of(nodes: Iterable[Any], kind: str) -> list[Any]:
    return [node for node in nodes if node.op_type == kind]
