"""Whether the numbers that a model carries can be meant."""

from __future__ import annotations

import numpy as np


def is_broken(array: np.ndarray) -> bool:
    """Whether a constant holds NaN, or infinity other than as a mask.

    A mask is minus infinity beside one other value, as attention adds it where it must not look.
    """
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return False
    if np.isnan(array).any() or (array == np.inf).any():
        return True
    others = array[np.isfinite(array)]
    return bool(others.size and (others != others.flat[0]).any())
