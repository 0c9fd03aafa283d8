"""Intervals at 95 %: Wilson's for a proportion, a paired bootstrap for a difference, a bootstrap for a mean.

Sources: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927);
B. Efron, R. J. Tibshirani, "An Introduction to the Bootstrap" (1993), section 13.3 (percentile interval).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

RESAMPLES = 10_000
# The 97.5 % quantile of the normal distribution.
_Z = 1.959963984540054
# Numbers drawn at once: bounds memory (8 MB) whatever the number of samples.
_DRAWN_AT_ONCE = 1_000_000

Interval = tuple[float, float]


def wilson(successes: float, total: int) -> Interval:
    """The 95 % interval of a proportion; (0, 1) of nothing."""
    if total <= 0:
        return 0.0, 1.0
    share = successes / total
    spread = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2))
    center = share + _Z**2 / (2 * total)
    scale = 1 + _Z**2 / total
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes <= 0 else max(0.0, (center - spread) / scale)
    high = 1.0 if successes >= total else min(1.0, (center + spread) / scale)
    return low, high


def bootstrap(
    scores: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The percentile interval of a statistic of mean scores.

    ``scores`` is (samples, columns); ``statistic`` takes means (resamples, columns) to (resamples). Columns of one
    row stay together, so that a statistic of a reference's columns minus an artifact's is a paired one. Memory is
    bounded.
    """
    means = resampled_means(scores, resamples, seed)
    low, high = np.percentile(statistic(means), [2.5, 97.5])
    return float(low), float(high)


def resampled_means(scores: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Means (resamples, columns) of samples drawn with replacement: the same draws for the same seed and number of
    samples."""
    count, columns = scores.shape
    generator = np.random.default_rng(seed)
    # Equal rows are interchangeable: to draw from a few kinds of row, their multinomial counts are enough.
    kinds, frequencies = np.unique(scores, axis=0, return_counts=True)
    if len(kinds) <= 64:
        drawn = generator.multinomial(count, frequencies / count, size=resamples)
        return drawn @ kinds / count
    means = np.empty((resamples, columns))
    step = max(1, _DRAWN_AT_ONCE // count)
    for start in range(0, resamples, step):
        stop = min(resamples, start + step)
        weights = _draw_counts(generator, count, stop - start)
        means[start:stop] = weights @ scores / count
    return means


def _draw_counts(generator: np.random.Generator, count: int, resamples: int) -> np.ndarray:
    """How often each sample is drawn, (resamples, count)."""
    drawn = generator.integers(0, count, size=(resamples, count))
    drawn += np.arange(resamples)[:, None] * count
    return np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count).astype(np.float64)
