"""Signal-to-quantization-noise ratio: 10 log10(sum ref^2 / sum (ref - x)^2), in dB.

Clipped to [-100, 200]; identical arrays give 200, so that the figure is always finite.
"""

from __future__ import annotations

import math

import numpy as np

LOWEST_DB, HIGHEST_DB = -100.0, 200.0


def signal_and_noise(reference: np.ndarray, array: np.ndarray) -> tuple[float, float]:
    """(sum of reference^2, sum of (reference - array)^2), in float64. Shapes must be equal."""
    signals, noises = signals_and_noises(reference[None], array[None])
    return float(signals[0]), float(noises[0])


def signals_and_noises(references: np.ndarray, arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``signal_and_noise`` of each sample along the first axis: two float64 arrays of that length."""
    if references.shape != arrays.shape:
        raise ValueError(f"shapes differ: {references.shape[1:]} and {arrays.shape[1:]}")
    exact = references.astype(np.float64).reshape(len(references), -1)
    difference = exact - arrays.astype(np.float64).reshape(len(arrays), -1)
    return _powers(exact), _powers(difference)


def _powers(rows: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", rows, rows)


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
