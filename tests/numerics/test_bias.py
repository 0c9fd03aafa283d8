"""Integer biases: the formula by hand, and the channels whose weights are nearly zero."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgekit.numerics.bias import LARGEST_BIAS, ROOMY_BIAS, quantize_bias, raise_weight_scales


def test_by_hand():
    # 0.5 / (0.1 * 0.02) = 250; -0.25 / (0.1 * 0.01) = -250
    stored = quantize_bias(np.array([0.5, -0.25], np.float32), 0.1, np.array([0.02, 0.01]))
    assert stored.tolist() == [250, -250]
    assert stored.dtype == np.int32


def test_a_scale_for_all():
    assert quantize_bias(np.array([1.0, 2.0, -4.0], np.float32), 0.5, np.array([0.5])).tolist() == [4, 8, -16]


def test_it_saturates_instead_of_wrapping_round():
    assert quantize_bias(np.array([0.48, -0.48], np.float32), 1e-2, np.array([1e-12, 1e-12])).tolist() == [
        2**31 - 1,
        -(2**31),
    ]


def test_a_dead_channel_gets_a_scale_under_which_its_bias_fits():
    bias, scales = np.array([0.48, 0.48], np.float32), np.array([0.01, 1e-9], np.float32)
    raised = raise_weight_scales(bias, 0.02, scales)
    assert raised[0] == scales[0]
    assert quantize_bias(bias, 0.02, raised).tolist() == [2400, ROOMY_BIAS]


def test_one_scale_for_all_follows_the_largest_bias():
    raised = raise_weight_scales(np.array([0.1, 0.48], np.float32), 0.02, np.array([1e-12], np.float32))
    assert raised.shape == (1,)
    assert quantize_bias(np.array([0.48], np.float32), 0.02, raised).tolist() == [ROOMY_BIAS]


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=8),
    st.floats(1e-6, 1.0),
    st.floats(1e-30, 1e-1),
)
def test_no_bias_is_lost(biases: list[float], input_scale: float, weight_scale: float):
    bias = np.array(biases, np.float32)
    scales = raise_weight_scales(bias, input_scale, np.full(bias.shape, weight_scale, np.float32))
    stored = quantize_bias(bias, input_scale, scales)
    assert np.abs(stored.astype(np.int64)).max() <= LARGEST_BIAS
    steps = input_scale * scales.astype(np.float64)
    assert np.all(np.abs(stored * steps - bias) <= np.maximum(steps * 0.5001, np.abs(bias) * 1e-6))


def test_a_channel_of_zeros_stays_as_it_is():
    raised = raise_weight_scales(np.zeros(2, np.float32), 0.02, np.array([0.01, 1e-30], np.float32))
    assert raised.tolist() == np.array([0.01, 1e-30], np.float32).tolist()
