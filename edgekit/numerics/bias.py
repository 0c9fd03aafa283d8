"""Biases of integer convolutions and matrix products: stored = bias / (input scale * weight scale), as int32.

Source: TensorFlow Lite 8-bit quantization specification (bias: scale = input scale * weight scale, zero point 0).
"""

from __future__ import annotations

import numpy as np

#: A bias above this leaves too little of int32 for the sum of products that is added to it.
LARGEST_BIAS = 2**30
#: What a bias that was too large is brought to: exact in float32, which some kernels go through.
ROOMY_BIAS = 2**24


def quantize_bias(bias: np.ndarray, input_scale: float, weight_scale: np.ndarray) -> np.ndarray:
    """int32 biases [channels]; ``weight_scale`` holds one scale, or one per channel.

    The division is in float64: in float32 a bias above 2^24 would be off by several steps. Saturates at int32's range.
    """
    limits = np.iinfo(np.int32)
    steps = bias.astype(np.float64) / _bias_scale(input_scale, weight_scale)
    return np.clip(np.rint(steps), limits.min, limits.max).astype(np.int32)


def raise_weight_scales(bias: np.ndarray, input_scale: float, weight_scale: np.ndarray) -> np.ndarray:
    """The weight scales with which no bias overflows: float32, of the same shape as ``weight_scale``.

    Where a channel's weights are nearly zero ("dead") its scale is so small that the bias, which is then all that the
    channel computes, does not fit into int32. Such a channel gets the scale under which its bias is ``ROOMY_BIAS``;
    what its weights lose by it is far below a step of the output. With one scale for all channels the largest bias
    decides.
    """
    scale = np.asarray(weight_scale, np.float64)
    with np.errstate(divide="ignore"):
        steps = np.abs(bias.astype(np.float64)) / _bias_scale(input_scale, scale)
    needed = np.abs(bias.astype(np.float64)) / (ROOMY_BIAS * float(input_scale))
    if scale.size == 1:
        steps, needed = steps.max(initial=0.0, keepdims=True), needed.max(initial=0.0, keepdims=True)
    return np.where(steps > LARGEST_BIAS, needed, scale).astype(np.float32).reshape(np.shape(weight_scale))


def _bias_scale(input_scale: float, weight_scale: np.ndarray) -> np.ndarray:
    return float(input_scale) * np.asarray(weight_scale, np.float64)
