"""Signal-to-quantization-noise ratio: 10 log10(sum ref^2 / sum (ref - x)^2), in dB.

Clipped to [-100, 200]; identical arrays give 200, so that the figure is always finite.
"""

from __future__ import annotations

import math

import numpy as np

LOWEST_DB, HIGHEST_DB = -100.0, 200.0


def signal_and_noise(reference: np.ndarray, array: np.ndarray) -> tuple[float, float]:
    """(sum of reference^2, sum of (reference - array)^2), in float64. Shapes must be equal."""
    if reference.shape != array.shape:
        raise ValueError(f"shapes differ: {reference.shape} and {array.shape}")
    exact = reference.astype(np.float64).ravel()
    difference = exact - array.astype(np.float64).ravel()
    return float(exact @ exact), float(difference @ difference)


def decibels(signal: float, noise: float) -> float:
    """The ratio in dB for the two powers; noise that is not a number counts as the lowest value."""
    if noise == 0.0:
        return HIGHEST_DB
    if signal <= 0.0 or not math.isfinite(noise) or not math.isfinite(signal):
        return LOWEST_DB
    return min(HIGHEST_DB, max(LOWEST_DB, 10.0 * math.log10(signal / noise)))


def sqnr_db(reference: np.ndarray, array: np.ndarray) -> float:
    """The SQNR of ``array`` against ``reference`` in dB."""
    return decibels(*signal_and_noise(reference, array))
