"""How many bytes of parameters the Edge TPU's compiler makes of a model, and which of them it keeps on the chip.

Convolutions: window * input channels * output channels + a scale and bias per output channel, both channels filled up
to a multiple of 4, all to one of 64 bytes. Fully connected: outputs filled up to a multiple of 16 up to 64, of 64
above. Both are exact on compiled files that hold nothing else. Depthwise convolutions take a multiple of their weights
that differs from layer to layer, and twice that with scales per channel; the factor here is the middle of what was
seen. Constants of element-wise operators are laid out for every tile and are streamed, as are fully-connected weights
with long inputs. Look-up tables of activations are left out.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from edgekit.devices.rules.edgetpu_limits import sizes
from edgekit.graph import Graph, Operator, TensorInfo

#: Bytes that a depthwise weight takes: 5.6 to 8.8 seen, with scales per channel 15.3; exactly 4 (8) where the one
#: channel of a picture is spread.
_DEPTHWISE_FACTOR, _SPREADING_FACTOR = 7, 4
_ALIGNMENT = 64
_TILES = 16

#: Fully-connected inputs up to the first were seen cached, from the second on streamed.
_CACHED_INPUTS, _STREAMED_INPUTS = 4096, 14_400
#: Used and remaining memory in compiler logs come to 6 to 8 MiB: what is below is cached whole.
_SURELY_CACHED = 6 << 20

_ELEMENTWISE = frozenset({"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"})
#: Their layout was not worked out.
_UNKNOWN = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM", "TRANSPOSE_CONV", "PRELU"})


def predict_memory(graph: Graph, region: Collection[int]) -> dict[str, int | None]:
    """{parameter_bytes, cached_parameter_bytes, streamed_parameter_bytes} of the operators at these places.

    None where a figure is not known: layers whose layout is not known, or too many bytes to tell what is kept.
    """
    resident = streamed = 0
    known = settled = True
    for place in sorted(region):
        operator = graph.operators[place]
        known = known and operator.type not in _UNKNOWN
        constants, weights = _constant_bytes(graph, operator), _weight_bytes(graph, operator)
        inputs = _inputs_of_dense(graph, operator)
        settled = settled and not _CACHED_INPUTS < inputs < _STREAMED_INPUTS
        streams = inputs >= _STREAMED_INPUTS
        streamed += constants + (weights if streams else 0)
        resident += 0 if streams else weights
    settled = settled and known and resident <= _SURELY_CACHED
    return {
        "parameter_bytes": resident + streamed if known else None,
        "cached_parameter_bytes": resident if settled else None,
        "streamed_parameter_bytes": streamed if settled else None,
    }


def _weight_bytes(graph: Graph, operator: Operator) -> int:
    if operator.type not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or len(operator.inputs) < 2:
        return 0
    weights = graph.tensors[operator.inputs[1]] if operator.inputs[1] >= 0 else None
    if weights is None:
        return 0
    shape = sizes(weights)
    if operator.type == "FULLY_CONNECTED":
        outputs = _dense_outputs(shape[0]) if shape else 0
        return _align(outputs * math.prod(shape[1:]) + outputs * _scale_bytes(weights))
    if len(shape) != 4:
        return 0
    window = shape[1] * shape[2]
    if operator.type == "CONV_2D":
        channels = _fill_up(shape[0], 4)
        return _align(window * _fill_up(shape[3], 4) * channels + channels * _scale_bytes(weights))
    return _depthwise_bytes(graph, operator, weights, window, shape[3])


def _depthwise_bytes(graph: Graph, operator: Operator, weights: TensorInfo, window: int, channels: int) -> int:
    filled = _fill_up(channels, 4)
    image = sizes(graph.tensors[operator.inputs[0]]) if operator.inputs[0] >= 0 else ()
    factor = _SPREADING_FACTOR if image[-1:] == (1,) else _DEPTHWISE_FACTOR
    if _scale_bytes(weights) == 8:
        factor *= 2
    return _align(window * factor * filled + filled * _scale_bytes(weights))


def _constant_bytes(graph: Graph, operator: Operator) -> int:
    """Of an element-wise operator: one number for all is folded, one per channel is copied to every tile, more are
    laid out as the output is."""
    if operator.type not in _ELEMENTWISE or not operator.outputs or operator.outputs[0] < 0:
        return 0
    output = sizes(graph.tensors[operator.outputs[0]])
    total = 0
    for index in operator.inputs:
        if index < 0 or not graph.tensors[index].constant:
            continue
        shape = sizes(graph.tensors[index])
        if math.prod(shape) == 1:
            continue
        if math.prod(shape) == shape[-1]:
            total += _TILES * shape[-1]
        else:
            total += math.prod(output[:-1]) * _fill_up(output[-1], 4)
    return total


def _inputs_of_dense(graph: Graph, operator: Operator) -> int:
    if operator.type != "FULLY_CONNECTED" or len(operator.inputs) < 2 or operator.inputs[1] < 0:
        return 0
    shape = sizes(graph.tensors[operator.inputs[1]])
    return shape[-1] if shape else 0


def _scale_bytes(weights: TensorInfo) -> int:
    """Per output channel: the bias, and its own scale if it has one."""
    return 8 if weights.quantization is not None and weights.quantization.per_channel else 4


def _dense_outputs(count: int) -> int:
    return _fill_up(count, 16 if count <= 64 else 64)


def _fill_up(size: int, multiple: int) -> int:
    return math.ceil(size / multiple) * multiple


def _align(size: int) -> int:
    return _fill_up(size, _ALIGNMENT)
