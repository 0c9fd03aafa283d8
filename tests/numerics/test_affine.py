"""Choosing scale and zero point for a range: the specification's rules, as properties and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgekit.numerics.affine import choose_quantization, dequantize, quantize


@pytest.mark.parametrize(
    ("lowest", "highest", "scale", "zero_point"),
    [
        (0.0, 255.0, 1.0, -128),
        (-128.0, 127.0, 1.0, 0),
        (-1.0, 1.55, 0.01, -28),
        (2.0, 5.1, 0.02, -128),
        (0.0, 0.0, 1.0, -128),
    ],
)
def test_by_hand(lowest: float, highest: float, scale: float, zero_point: int):
    chosen = choose_quantization(lowest, highest, "int8")
    assert chosen.scale[0] == pytest.approx(scale)
    assert chosen.zero_point == (zero_point,)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
@example(0.0, 3.762293510446535e-43)
def test_zero_is_exact_and_the_range_is_covered(first: float, second: float):
    lowest, highest = min(first, second), max(first, second)
    chosen = choose_quantization(lowest, highest, "int8")
    stored = quantize(np.array([0.0, lowest, highest], np.float32), chosen, "int8")
    real = dequantize(stored, chosen)
    assert real[0] == 0
    np.testing.assert_allclose(real[1:], [lowest, highest], atol=chosen.scale[0] * 1.01)
