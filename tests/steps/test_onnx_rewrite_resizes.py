"""Resizes in parts, or as transposed convolution: the same picture to float rounding, and others left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from onnx import helper

from edgekit.artifact import Artifact

from ..onnx_models import Node, apply, check_equal, operators, save

BILINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
REPEATED = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def rewrite(source: Artifact, folder: Path, **options: object) -> Artifact:
    return apply("onnx_rewrite_resizes", source, folder, **options)


def resize(**attributes: object) -> list[Node]:
    return [helper.make_node("Resize", ["x", "", "scales"], ["y"], name="resize", **attributes)]


def scales(*factors: float) -> np.ndarray:
    return np.array([1, 1, *factors], np.float32)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    channels=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    factors=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kind=st.sampled_from([BILINEAR, REPEATED, {"mode": "nearest"}]),
    most=st.integers(20, 4000),
    opset=st.sampled_from([13, 18]),
)
def test_every_enlargement(
    channels: int,
    height: int,
    width: int,
    factors: tuple[int, int],
    kind: dict[str, str],
    most: int,
    opset: int,
    tmp_path: Path,
) -> None:
    shape = (1, channels, height, width)
    source = save(tmp_path / "source.onnx", resize(**kind), shape, opset=opset, scales=scales(*factors))
    made = rewrite(source, tmp_path / "made", most_elements=most)
    if kind is BILINEAR and max(factors) > 4 and (height, width) != (1, 1):
        assert "ConvTranspose" in operators(made)
    check_equal(source, made, shape, rounding=kind is BILINEAR)


@pytest.mark.parametrize(
    "kind",
    [
        BILINEAR,
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "cubic", "coordinate_transformation_mode": "half_pixel"},
    ],
    ids=["half_pixel", "align_corners", "cubic"],
)
def test_a_single_pixel(kind: dict[str, str], tmp_path: Path) -> None:
    """As a network of segmentation looks at its whole picture: resizes by 4 times at most, and no weights."""
    source = save(tmp_path / "s.onnx", resize(**kind), (1, 10, 1, 1), scales=scales(33, 12))
    made = rewrite(source, tmp_path / "made")
    assert operators(made) == ["Resize", "Resize", "Resize"]
    check_equal(source, made, (1, 10, 1, 1), rounding=True)
    sliced = rewrite(source, tmp_path / "sliced", most_elements=33 * 12 * 8)
    assert operators(sliced) == [*["Slice", "Resize", "Resize", "Resize"] * 2, "Concat"]
    check_equal(source, sliced, (1, 10, 1, 1), rounding=True)
    near = save(tmp_path / "n.onnx", resize(**kind), (1, 10, 1, 1), scales=scales(4, 1))
    assert operators(rewrite(near, tmp_path / "near")) == ["Resize"]


def test_slices_of_channels(tmp_path: Path) -> None:
    source = save(tmp_path / "s.onnx", resize(**BILINEAR), (1, 10, 4, 4), scales=scales(2, 2))
    made = rewrite(source, tmp_path / "made", most_elements=12 * 64 - 1)
    assert operators(made) == ["Slice", "Resize", "Slice", "Resize", "Concat"]
    check_equal(source, made, (1, 10, 4, 4), rounding=False)
    assert operators(rewrite(source, tmp_path / "whole", most_elements=12 * 64)) == ["Resize"]


def test_too_few_channels_for_slices(tmp_path: Path) -> None:
    source = save(tmp_path / "b.onnx", resize(**BILINEAR), (1, 3, 6, 4), scales=scales(2, 2))
    made = rewrite(source, tmp_path / "bilinear", most_elements=200)
    assert operators(made)[-2:] == ["Transpose", "ConvTranspose"]
    source = save(tmp_path / "n.onnx", resize(**REPEATED), (1, 3, 6, 4), scales=scales(2, 2))
    made = rewrite(source, tmp_path / "nearest", most_elements=200)
    assert operators(made) == ["ConvTranspose"]
    check_equal(source, made, (1, 3, 6, 4), rounding=False)


def test_a_large_factor(tmp_path: Path) -> None:
    """With a border, in slices of at most 32 channels."""
    source = save(tmp_path / "s.onnx", resize(**BILINEAR), (1, 40, 5, 3), scales=scales(8, 5))
    made = rewrite(source, tmp_path / "made")
    slice_ = [
        "Slice",
        "Transpose",
        "Squeeze",
        *["Slice", "Slice", "Concat"] * 2,
        "Unsqueeze",
        "Transpose",
        "ConvTranspose",
    ]
    assert operators(made) == [*slice_, *slice_, "Concat"]
    check_equal(source, made, (1, 40, 5, 3))


@pytest.mark.parametrize(
    "kind",
    [
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
        {"mode": "cubic"},
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "round_prefer_floor"},
    ],
    ids=str,
)
def test_what_stays(kind: dict[str, str], tmp_path: Path) -> None:
    """Other ways of resizing: no convolution does the same, slices of the channels do."""
    source = save(tmp_path / "s.onnx", resize(**kind), (1, 4, 6, 4), scales=scales(8, 8))
    assert operators(rewrite(source, tmp_path / "stays", most_elements=100)) == ["Resize"]
    source = save(tmp_path / "c.onnx", resize(**kind), (1, 8, 6, 4), scales=scales(8, 8))
    made = rewrite(source, tmp_path / "channels", most_elements=8 * 48 * 32 // 2)
    assert operators(made) == ["Slice", "Resize", "Slice", "Resize", "Concat"]
    check_equal(source, made, (1, 8, 6, 4))


def test_factors_that_are_not_whole(tmp_path: Path) -> None:
    source = save(tmp_path / "s.onnx", resize(**BILINEAR), (1, 3, 6, 4), scales=scales(6.5, 8))
    assert operators(rewrite(source, tmp_path / "made", most_elements=100)) == ["Resize"]


PLACES = ("half_pixel", "pytorch_half_pixel", "asymmetric")
ROUNDING = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@pytest.mark.parametrize(("shape", "factor"), [((1, 8, 20, 20), 6.02), ((1, 3, 5, 7), 0.55), ((1, 2, 1, 3), 1.4)])
@pytest.mark.parametrize("kind", [BILINEAR, REPEATED])
def test_factors_that_the_sizes_do_not_tell(
    kind: dict[str, str], shape: tuple[int, ...], factor: float, tmp_path: Path
) -> None:
    """20 pixels by 6.02 are 120, as by 6, but each lies elsewhere: weights of each pixel in each say where."""
    source = save(tmp_path / "s.onnx", resize(**kind), shape, scales=scales(factor, factor))
    made = rewrite(source, tmp_path / "made")
    assert operators(made) == ["Transpose", "Conv", "Transpose", "Conv", "Transpose"]
    check_equal(source, made, shape, rounding=kind is BILINEAR)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(size=(10, 1), factors=(1.9, 1.0), mode="linear", places="half_pixel", nearest="floor")
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    factors=st.tuples(st.floats(0.3, 7), st.floats(0.3, 7)),
    mode=st.sampled_from(["linear", "nearest"]),
    places=st.sampled_from(PLACES),
    nearest=st.sampled_from(ROUNDING),
)
def test_every_factor(
    size: tuple[int, int], factors: tuple[float, float], mode: str, places: str, nearest: str, tmp_path: Path
) -> None:
    """As ONNX Runtime computes it, to the pixel that is nearest."""
    shape, given_factors = (1, 2, *size), [float(np.float32(factor)) for factor in factors]
    assume(all(int(np.float32(n) * np.float32(f)) > 0 for n, f in zip(size, given_factors, strict=True)))
    kind = {"mode": mode, "coordinate_transformation_mode": places, "nearest_mode": nearest}
    source = save(tmp_path / "s.onnx", resize(**kind), shape, scales=scales(*given_factors))
    made = rewrite(source, tmp_path / "made")
    check_equal(source, made, shape, rounding=mode == "linear")


@pytest.mark.parametrize(
    "kind", [{"mode": "cubic"}, {**BILINEAR, "coordinate_transformation_mode": "align_corners"}], ids=str
)
def test_other_resizes_by_such_factors_stay(kind: dict[str, str], tmp_path: Path) -> None:
    source = save(tmp_path / "s.onnx", resize(**kind), (1, 8, 5, 7), scales=scales(0.5, 0.5))
    assert operators(rewrite(source, tmp_path / "made", most_elements=8)) == ["Resize"]
