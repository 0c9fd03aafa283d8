"""Integer layers of a .tflite file: finds them, mends their biases, and checks that they are what they should be."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from edgekit.formats.tflite_file import (
    Model,
    StoredOperator,
    StoredTensor,
    dtype_of,
    name_of,
    quantization_of,
    read_constant,
    set_quantization,
    type_of,
    write_constant,
)
from edgekit.formats.tflite_io import INNER_SUFFIX
from edgekit.graph import Quantization
from edgekit.numerics.affine import quantize
from edgekit.numerics.bias import quantize_bias, raise_weight_scales

#: {operator: (place of the input, of the weights, of the bias)}
LAYERS = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
#: How far a stored bias may be from the rounded real one, in steps: tools divide in float32.
BIAS_STEPS = 1


@dataclass(frozen=True)
class Layer:
    """A convolution or matrix product with constant weights. ``name`` is its output tensor's in the float model."""

    type: str
    name: str
    operator: StoredOperator
    input: StoredTensor
    weights: StoredTensor
    bias: StoredTensor | None


def find_layers(model: Model) -> Iterator[Layer]:
    """The layers of the first subgraph, in order."""
    subgraph = model.subgraphs[0]
    for operator in subgraph.operators:
        places = LAYERS.get(type_of(model, operator))
        if places is None:
            continue
        indices = [operator.inputs[place] if place < len(operator.inputs) else -1 for place in places]
        tensors = [subgraph.tensors[index] if index >= 0 else None for index in indices]
        if tensors[0] is None or tensors[1] is None or read_constant(model, tensors[1]) is None:
            continue
        name = name_of(subgraph.tensors[operator.outputs[0]]).removesuffix(INNER_SUFFIX)
        yield Layer(type_of(model, operator), name, operator, tensors[0], tensors[1], tensors[2])


def mend_biases(model: Model, float_model: Model) -> list[str]:
    """Write every int32 bias anew from the float model's, with larger weight scales where one would overflow.

    The layers of the two models are matched by the name of their output. Returns the names of the layers whose weight
    scales were raised.
    """
    layers = [match for match in _match_layers(model, float_model) if dtype_of(match.bias) == "int32"]
    mended = []
    for match in layers:
        old = np.asarray(match.scales.scale, np.float32)
        new = raise_weight_scales(match.real_bias, match.input_scale, old)
        if not np.array_equal(old, new):
            _store_weights(model, match, new)
            mended.append(match.layer.name)
    for match in layers:  # only now: two layers may share their weights
        scale = np.asarray(match.scales.scale, np.float32)
        write_constant(model, match.bias, quantize_bias(match.real_bias, match.input_scale, scale))
        scales = tuple(float(value) for value in np.float32(match.input_scale) * scale)
        set_quantization(match.bias, Quantization(scales, (0,) * len(scales), 0 if len(scales) > 1 else None), "int32")
    return mended


def per_tensor_types(*, old: bool) -> tuple[str, ...]:
    """Operators whose weights must have one scale for all.

    No runtime looks at a scale per channel in BATCH_MATMUL; those of TensorFlow 2.5's level (``old``) do not in
    FULLY_CONNECTED either. Both load such a file without complaint and compute garbage (measured with LiteRT 2.3 and
    TensorFlow 2.5.3).
    """
    return ("BATCH_MATMUL", "FULLY_CONNECTED") if old else ("BATCH_MATMUL",)


def find_faults(model: Model, float_model: Model, *, per_tensor: Collection[str]) -> list[str]:
    """What is wrong with the integer layers, one line each; empty if all is well.

    Every int32 bias is the float model's within a step, no weight scale is zero, and the weights of the operators in
    ``per_tensor`` have one scale.
    """
    originals = {layer.name: layer for layer in find_layers(float_model)}
    faults = [
        f"{type_of(model, operator)} `{_output_name(model, operator)}` has a scale per channel"
        for operator in model.subgraphs[0].operators
        if type_of(model, operator) in per_tensor and _has_channel_scales(model, operator)
    ]
    for layer in find_layers(model):
        given, scales = quantization_of(layer.input), quantization_of(layer.weights)
        if given is None or scales is None:
            continue  # left in float; judged elsewhere
        if not all(scale > 0 for scale in scales.scale):
            faults.append(f"{layer.type} `{layer.name}` has a weight scale of zero")
            continue
        if layer.bias is None:
            continue
        original = originals.get(layer.name)
        bias = None if original is None or original.bias is None else read_constant(float_model, original.bias)
        stored = read_constant(model, layer.bias)
        if bias is None or stored is None or stored.dtype != np.int32:
            faults.append(f"the bias of {layer.type} `{layer.name}` cannot be compared with the float model's")
            continue
        steps = bias.astype(np.float64) / (float(given.scale[0]) * np.asarray(scales.scale, np.float64))
        away = np.abs(stored.astype(np.float64) - np.rint(steps))
        if not (away <= BIAS_STEPS).all():
            channel = int(np.argmax(away))
            faults.append(
                f"the bias of {layer.type} `{layer.name}`, channel {channel}, is {stored[channel]} and should be "
                f"{steps[channel]:.0f}"
            )
    return faults


def _output_name(model: Model, operator: StoredOperator) -> str:
    return name_of(model.subgraphs[0].tensors[operator.outputs[0]])


def _has_channel_scales(model: Model, operator: StoredOperator) -> bool:
    scales = [quantization_of(model.subgraphs[0].tensors[index]) for index in operator.inputs[:2]]
    return any(quantization is not None and quantization.per_channel for quantization in scales)


@dataclass(frozen=True)
class _Match:
    """A quantized layer with a bias, and the float model's numbers for it."""

    layer: Layer
    bias: StoredTensor
    input_scale: float
    real_bias: np.ndarray
    real_weights: np.ndarray

    @property
    def scales(self) -> Quantization:
        """The weights' as they are now."""
        scales = quantization_of(self.layer.weights)
        assert scales is not None
        return scales


def _match_layers(model: Model, float_model: Model) -> Iterator[_Match]:
    originals = {layer.name: layer for layer in find_layers(float_model)}
    for layer in find_layers(model):
        original = originals.get(layer.name)
        given = quantization_of(layer.input)
        if given is None or quantization_of(layer.weights) is None or layer.bias is None:
            continue
        if original is None or original.bias is None:
            continue
        bias, weights = read_constant(float_model, original.bias), read_constant(float_model, original.weights)
        if bias is not None and weights is not None:
            yield _Match(layer, layer.bias, given.scale[0], bias, weights)


def _store_weights(model: Model, match: _Match, scale: np.ndarray) -> None:
    quantization = Quantization(tuple(float(value) for value in scale), (0,) * scale.size, match.scales.axis)
    # -128 is not used for weights (TensorFlow Lite's specification: symmetric, -127..127).
    stored = np.maximum(quantize(match.real_weights, quantization, "int8"), -127).astype(np.int8)
    write_constant(model, match.layer.weights, stored)
    set_quantization(match.layer.weights, quantization, "int8")
