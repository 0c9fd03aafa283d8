"""Multiply-accumulates and parameters of TensorFlow Lite operators, by the formulas that all formats share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgekit.formats.costs import (
    convolution_macs,
    count_elements,
    matrix_product_macs,
    transposed_convolution_macs,
)
from edgekit.formats.tflite_flatbuffer import StoredOperator, StoredTensor

#: Recurrent operators: their weights are the two-dimensional inputs, each used once per step and sample.
_RECURRENT = frozenset(
    {
        *("LSTM", "RNN", "SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"),
        *("BIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_RNN"),
    }
)
#: Operators whose constant inputs are shapes, axes, pads or tables of indices rather than weights.
_WITHOUT_WEIGHTS = frozenset(
    {
        *("RESHAPE", "TRANSPOSE", "PAD", "PADV2", "MIRROR_PAD", "SLICE", "STRIDED_SLICE", "SPLIT", "SPLIT_V", "MEAN"),
        *("SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL", "RESIZE_BILINEAR", "TILE"),
        *("RESIZE_NEAREST_NEIGHBOR", "EXPAND_DIMS", "SQUEEZE", "BROADCAST_TO", "CUMSUM", "ARG_MAX", "ARG_MIN"),
        *("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "TOPK_V2", "FILL", "RANGE", "ONE_HOT", "REVERSE_V2", "DEQUANTIZE"),
        *("QUANTIZE", "CAST"),
    }
)


def count_macs(name: str, attributes: dict[str, Any], operator: StoredOperator, tensors: Sequence[StoredTensor]) -> int:
    """Multiply-accumulates of one operator; 0 for those that are no convolution or matrix product."""
    inputs = [tensors[index].shape if index >= 0 else None for index in operator.inputs]
    outputs = [tensors[index].shape for index in operator.outputs if index >= 0]
    if not outputs or len(inputs) < 2 or inputs[0] is None or inputs[1] is None:
        return 0
    first, second, output = inputs[0], inputs[1], outputs[0]
    if name in ("CONV_2D", "CONV_3D") and len(second) > 2:
        # CONV_2D [out, height, width, in]; CONV_3D [depth, height, width, in, out]. `in` is that of a group.
        window, channels = (second[1:-1], second[-1]) if name == "CONV_2D" else (second[:3], second[3])
        return convolution_macs(output, window, channels or 1)
    if name == "DEPTHWISE_CONV_2D" and len(second) == 4:
        return convolution_macs(output, second[1:3], 1)
    if name in ("TRANSPOSE_CONV", "CONV_3D_TRANSPOSE") and len(inputs) > 2 and inputs[2] is not None:
        window, channels = (second[1:3], second[0]) if name == "TRANSPOSE_CONV" else (second[:3], second[3])
        return transposed_convolution_macs(inputs[2], window, channels or 1)
    if name == "FULLY_CONNECTED" and second:
        return matrix_product_macs(output, second[-1])
    if name == "BATCH_MATMUL" and len(first) > 1:
        return matrix_product_macs(output, first[-2] if attributes.get("adj_x") else first[-1])
    if name in _RECURRENT:
        steps = count_elements(first[:-1]) if len(first) > 1 else 1
        return steps * sum(count_elements(shape) for shape in inputs[1:] if shape is not None and len(shape) == 2)
    return 0


def count_params(
    name: str,
    operator: StoredOperator,
    tensors: Sequence[StoredTensor],
    constants: set[int],
    counted: set[int],
) -> int:
    """Numbers in an operator's constant weights and biases. A tensor that several operators share counts once, for the
    first of them: ``counted`` (tensor indices) is added to."""
    if name in _WITHOUT_WEIGHTS:
        return 0
    total = 0
    for index in operator.inputs:
        if index < 0 or index not in constants or index in counted or not _holds_weights(tensors[index]):
            continue
        counted.add(index)
        total += count_elements(tensors[index].shape)
    return total


def _holds_weights(tensor: StoredTensor) -> bool:
    """Real numbers, stored as such or quantized. Plain integers are shapes, axes and indices."""
    return bool(tensor.scale) or tensor.dtype.startswith(("float", "bfloat"))
