"""A float graph as quantization would leave it: what a device is going to get, before anything is calibrated.

Scales are not known without calibration, so those that a kernel does not prescribe are 1. Where each operator stands,
its shapes and its attributes stay.
"""

from __future__ import annotations

from dataclasses import replace

from edgekit.graph import Graph, Operator, Quantization, TensorInfo

#: Operator -> the axis along which its weights (its second input) have a scale per channel.
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "TRANSPOSE_CONV": 0, "CONV_3D": 4}
#: Operator -> the position of its bias, which is stored in 32 bits.
_BIAS = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3, "CONV_3D": 2}
#: Outputs whose scale and zero point the int8 kernels prescribe
#: (www.tensorflow.org/lite/performance/quantization_spec).
_PRESCRIBED = {
    "SOFTMAX": Quantization((1 / 256,), (-128,)),
    "LOGISTIC": Quantization((1 / 256,), (-128,)),
    "TANH": Quantization((1 / 128,), (0,)),
    "LOG_SOFTMAX": Quantization((16 / 256,), (127,)),
    "L2_NORMALIZATION": Quantization((1 / 128,), (0,)),
}
_FLOATS = ("float16", "bfloat16", "float32", "float64")


def is_float(graph: Graph) -> bool:
    """Whether numbers flow through the graph in floating point and none as integers with a scale."""
    flowing = [tensor for tensor in graph.tensors if not tensor.constant]
    quantized = any(tensor.quantization is not None for tensor in flowing)
    return not quantized and any(tensor.dtype in _FLOATS for tensor in flowing)


def assume_quantized(graph: Graph) -> Graph:
    """The graph with int8 weights (per channel where a kernel takes that) and activations, and int32 biases; numbers
    that are integers already (indices, shapes) stay as they are."""
    tensors = [_quantize(tensor, "int8", Quantization((1.0,), (0,))) for tensor in graph.tensors]
    for operator in graph.operators:
        _set_weights(graph, operator, tensors)
        prescribed = _PRESCRIBED.get(operator.type)
        if prescribed is not None and operator.outputs:
            index = operator.outputs[0]
            tensors[index] = _quantize(graph.tensors[index], "int8", prescribed)
    return replace(graph, tensors=tuple(tensors))


def _set_weights(graph: Graph, operator: Operator, tensors: list[TensorInfo]) -> None:
    bias, axis = _BIAS.get(operator.type), _CHANNEL_AXIS.get(operator.type)
    if bias is not None and bias < len(operator.inputs) and operator.inputs[bias] >= 0:
        index = operator.inputs[bias]
        tensors[index] = _quantize(graph.tensors[index], "int32", Quantization((1.0,), (0,)))
    if axis is None or len(operator.inputs) < 2 or operator.inputs[1] < 0:
        return
    weights = graph.tensors[operator.inputs[1]]
    channels = weights.shape[axis] if weights.constant and len(weights.shape) > axis else None
    if channels:
        per_channel = Quantization((1.0,) * channels, (0,) * channels, axis)
        tensors[operator.inputs[1]] = _quantize(weights, "int8", per_channel)


def _quantize(tensor: TensorInfo, dtype: str, quantization: Quantization) -> TensorInfo:
    return replace(tensor, dtype=dtype, quantization=quantization) if tensor.dtype in _FLOATS else tensor
