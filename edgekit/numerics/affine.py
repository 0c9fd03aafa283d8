"""Affine quantization: real = scale * (stored - zero_point).

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(CVPR 2018), equation 1; rounding is half away from zero as in TensorFlow Lite's reference kernel ``AffineQuantize``.
"""

from __future__ import annotations

import numpy as np

from edgekit.graph import Quantization


def quantize(array: np.ndarray, quantization: Quantization, dtype: str) -> np.ndarray:
    """Stored integers of type ``dtype`` for real numbers, saturated at the type's range."""
    scale, zero_point = _broadcast(quantization, array.ndim)
    limits = np.iinfo(dtype)
    # The division in float32 as the runtime does it: float64 would round some values near .5 to another step.
    scaled = array.astype(np.float32, copy=False) / scale
    rounded = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))
    return np.clip(rounded + zero_point, limits.min, limits.max).astype(dtype)


def dequantize(array: np.ndarray, quantization: Quantization) -> np.ndarray:
    """Real numbers (float32) for stored integers."""
    scale, zero_point = _broadcast(quantization, array.ndim)
    return (array.astype(np.float32) - zero_point) * scale


def _broadcast(quantization: Quantization, rank: int) -> tuple[np.ndarray, np.ndarray]:
    scale = np.asarray(quantization.scale, np.float32)
    zero_point = np.asarray(quantization.zero_point, np.float32)
    if quantization.axis is None:
        return scale.reshape(()), zero_point.reshape(())
    shape = [1] * rank
    shape[quantization.axis] = -1
    return scale.reshape(shape), zero_point.reshape(shape)


def choose_quantization(lowest: float, highest: float, dtype: str) -> Quantization:
    """The per-tensor scale and zero point under which ``dtype`` spans [lowest, highest] and 0 is stored exactly."""
    limits = np.iinfo(dtype)
    lowest, highest = min(float(lowest), 0.0), max(float(highest), 0.0)
    # Of a range near float32's smallest number the exact scale would be subnormal and so have few bits, or none.
    smallest = float(np.finfo(np.float32).tiny)
    scale = (
        max(float(np.float32((highest - lowest) / (limits.max - limits.min))), smallest) if highest > lowest else 1.0
    )
    zero_point = int(np.clip(np.rint(limits.min - lowest / scale), limits.min, limits.max))
    return Quantization((scale,), (zero_point,))
