"""Preprocessing against stored pixels, formulas worked by hand, and a resize written from its definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.datasets.preprocess import apply_head, apply_tail, channel_axis, lookup_table, split_words
from edgekit.errors import InputError

EXPECTED = Path(__file__).with_name("expected_pixels.npz")


def prepared(picture: np.ndarray, words: list) -> np.ndarray:
    head, tail = split_words(words)
    return apply_tail(apply_head(picture, head), tail)


def numbered(height: int, width: int, channels: int = 3) -> np.ndarray:
    return (np.arange(height * width * channels) % 251).astype(np.uint8).reshape(height, width, channels)


@pytest.mark.parametrize(
    ("name", "interpolation", "tail"),
    [
        ("efficientnet_lite", "bicubic", [{"normalize": {"mean": 127.0, "std": 128.0}}]),
        (
            "imagenet",
            "bilinear",
            [
                {"scale": {"divide": 255.0}},
                {"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
            ],
        ),
    ],
)
def test_pixels_are_those_of_a_plain_pillow_script(name: str, interpolation: str, tail: list) -> None:
    """The stored arrays were made by Pillow and NumPy alone: resize of the short side of an 83x61 picture to 48 (so
    65x48), rows 4:44 and columns 12:52 of that, the arithmetic in float32."""
    with np.load(EXPECTED) as stored:
        words = [{"resize": {"short_side": 48, "interpolation": interpolation}}, {"crop": {"center": 40}}, *tail]
        result = prepared(stored["picture"], words).transpose(2, 0, 1)
        np.testing.assert_array_equal(result, stored[name])


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -1/2."""
    x = np.abs(x)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def weights(old: int, new: int) -> np.ndarray:
    """(new, old): each new pixel from old ones, the kernel stretched when shrinking (so that nothing aliases)."""
    ratio = max(1.0, old / new)
    centers = (np.arange(new) + 0.5) * old / new
    matrix = cubic((np.arange(old)[None] + 0.5 - centers[:, None]) / ratio)
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("size", [[20, 31], [61, 40], [90, 90]])
def test_bicubic_is_the_antialiased_keys_kernel(size: list[int]) -> None:
    with np.load(EXPECTED) as stored:
        picture = stored["picture"]
    result = apply_head(picture, [{"resize": {"size": size, "interpolation": "bicubic"}}])
    # Columns first, rounded to 8 bits in between, as Pillow does.
    between = np.clip(np.rint(np.einsum("bw,hwc->hbc", weights(83, size[1]), picture.astype(float))), 0, 255)
    exact = np.clip(np.rint(np.einsum("ah,hwc->awc", weights(61, size[0]), between)), 0, 255)
    assert np.abs(exact - result).max() <= 1


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"short_side": 10}, (10, 13)),  # 20 x 27: int(10 * 27 / 20) = 13
        ({"long_side": 9}, (6, 9)),  # int(9 * 20 / 27) = 6
        ({"size": 8}, (8, 8)),
        ({"size": [5, 7]}, (5, 7)),
    ],
)
def test_resize_sizes(options: dict, shape: tuple[int, int]) -> None:
    assert apply_head(numbered(20, 27), [{"resize": options}]).shape == (*shape, 3)


def test_resize_of_a_tall_picture() -> None:
    assert apply_head(numbered(27, 20), [{"resize": {"short_side": 10}}]).shape == (13, 10, 3)


def test_crop_center_takes_the_middle() -> None:
    picture = numbered(10, 9)
    np.testing.assert_array_equal(apply_head(picture, [{"crop": {"center": [4, 5]}}]), picture[3:7, 2:7])


def test_crop_fraction_is_tensorflows_central_crop() -> None:
    """tf.image.central_crop on 33 x 20 with 0.875: starts int(2.06) = 2 and int(1.25) = 1."""
    picture = numbered(33, 20)
    np.testing.assert_array_equal(apply_head(picture, [{"crop": {"fraction": 0.875}}]), picture[2:31, 1:19])


def test_crop_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(InputError, match=r"30x30 pixels .* of a picture of 20x27"):
        apply_head(numbered(20, 27), [{"crop": {"center": 30}}])


def test_letterbox_keeps_the_aspect_and_pads_evenly() -> None:
    picture = np.full((10, 20, 3), 200, np.uint8)
    result = apply_head(picture, [{"letterbox": {"size": 41, "fill": [1, 2, 3]}}])
    assert result.shape == (41, 41, 3)
    # 20 -> 41 wide, 10 -> round(20.5) = 20 high: 10 rows above, 11 below.
    assert (result[10:30] == 200).all()
    assert (result[:10] == [1, 2, 3]).all()
    assert (result[30:] == [1, 2, 3]).all()


def test_letterbox_of_one_channel() -> None:
    result = apply_head(np.full((2, 4, 1), 9, np.uint8), [{"letterbox": {"size": 4, "fill": 7}}])
    assert result[:, 0, 0].tolist() == [7, 9, 9, 7]
    with pytest.raises(InputError, match="fills with 3 numbers in a picture of 1 channel"):
        apply_head(np.zeros((2, 4, 1), np.uint8), [{"letterbox": {"size": 4, "fill": [1, 2, 3]}}])


def test_color_orders() -> None:
    picture = numbered(3, 4)
    np.testing.assert_array_equal(apply_head(picture, [{"color": {"order": "bgr"}}]), picture[:, :, [2, 1, 0]])
    gray = apply_head(picture, [{"color": {"order": "gray"}}])
    luma = picture @ np.array([0.299, 0.587, 0.114])
    assert gray.shape == (3, 4, 1)
    assert np.abs(gray[:, :, 0] - luma).max() <= 0.51


def test_gray_of_gray_is_itself() -> None:
    one = numbered(5, 6, 1)
    three = apply_head(one, [{"color": {"order": "rgb"}}])
    assert three.shape == (5, 6, 3)
    np.testing.assert_array_equal(apply_head(three, [{"color": {"order": "gray"}}]), one)
    np.testing.assert_array_equal(apply_head(one, [{"color": {"order": "gray"}}]), one)
    assert apply_head(one, [{"resize": {"size": [10, 12]}}]).shape == (10, 12, 1)


def test_tail_in_the_units_it_receives() -> None:
    picture = np.array([[[0, 51, 255]]], np.uint8)
    words = [{"scale": {"divide": 255}}, {"normalize": {"mean": [0.5, 0.1, 0.0], "std": [0.5, 0.1, 2.0]}}]
    np.testing.assert_allclose(prepared(picture, words), [[[-1.0, 1.0, 0.5]]], atol=1e-6)


@given(
    mean=st.lists(st.floats(-300, 300, width=32), min_size=3, max_size=3),
    std=st.lists(st.floats(0.0078125, 300, width=32), min_size=3, max_size=3),
    divide=st.floats(0.0078125, 300, width=32),
)
@settings(max_examples=50, deadline=None)
def test_table_is_the_tail_exactly(mean: list[float], std: list[float], divide: float) -> None:
    tail = [{"scale": {"divide": divide}}, {"normalize": {"mean": mean, "std": std}}]
    picture = numbered(16, 17)
    table = lookup_table(3, tail)
    looked_up = np.stack([table[channel][picture[:, :, channel]] for channel in range(3)], axis=-1)
    np.testing.assert_array_equal(looked_up, apply_tail(picture, tail))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([{"scale": {"divide": 255}}, {"resize": {"size": 8}}], "`resize` comes after `scale`"),
        ([{"rezise": {"size": 8}}], "is not one word"),
        ([{"crop": {"center": 8}, "resize": {"size": 8}}], "is not one word"),
    ],
)
def test_words_out_of_order_or_unknown(words: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_words(words)


def test_means_for_another_number_of_channels() -> None:
    with pytest.raises(InputError, match="3 numbers for samples of 1 channels"):
        prepared(numbered(4, 4, 1), [{"normalize": {"mean": [1, 2, 3], "std": 1.0}}])


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_the_axis_of_the_channels(axis: int) -> None:
    array = np.random.default_rng(0).normal(size=(3, 3, 3))
    tail = [{"scale": {"divide": 2.0}}, {"normalize": {"mean": [1.0, 2.0, 3.0], "std": [4.0, 5.0, 6.0]}}]
    result = apply_tail(array, tail, axis)
    for channel in range(3):
        expected = (array.take(channel, axis).astype(np.float32) / 2 - (channel + 1)) / np.float32(channel + 4)
        np.testing.assert_array_equal(result.take(channel, axis), expected)


@pytest.mark.parametrize(
    ("layout", "axes", "picture", "axis"),
    [
        ("NCHW", 3, False, 0), ("NHWC", 3, False, 2), ("NCW", 2, False, 0), ("NWC", 2, False, 1), ("NC", 1, False, 0),
        (None, 1, False, 0), (None, 2, False, None), (None, 0, False, None), ("NCHW", 2, False, None),
        ("NCHW", 3, True, -1), ("NHWC", 3, True, -1),
    ],
)  # fmt: skip
def test_which_axis_has_the_channels(layout: str | None, axes: int, picture: bool, axis: int | None) -> None:
    assert channel_axis(layout, axes, picture=picture) == axis


def test_unknown_interpolation_and_order() -> None:
    with pytest.raises(InputError, match="no interpolation"):
        apply_head(numbered(4, 4), [{"resize": {"size": 3, "interpolation": "cubic"}}])
    with pytest.raises(InputError, match="no order"):
        apply_head(numbered(4, 4), [{"color": {"order": "hsv"}}])
