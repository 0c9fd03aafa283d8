"""Layers in parts: the same numbers, and what is small enough or cannot be split left alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from edgekit.artifact import Artifact

from ..onnx_models import apply, check_equal, node, numbers, operators, run, save


def split(source: Artifact, folder: Path, **options: object) -> Artifact:
    return apply("onnx_split_large", source, folder, **options)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    outputs=st.integers(2, 40),
    most=st.integers(1, 45),
    turned=st.booleans(),
    bias=st.sampled_from([(), (1,), ("n",), (1, "n"), None]),
)
def test_fully_connected(
    outputs: int, most: int, turned: bool, bias: tuple[object, ...] | None, tmp_path: Path
) -> None:
    constants = {"w": numbers(outputs, 6) if turned else numbers(6, outputs)}
    inputs = ["x", "w"]
    if bias is not None:
        inputs.append("b")
        constants["b"] = numbers(*(outputs if size == "n" else 1 for size in bias))
    product = helper.make_node("Gemm", inputs, ["y"], name="product", transB=int(turned), alpha=0.5, beta=2.0)
    source = save(tmp_path / "source.onnx", [product], (2, 6), **constants)
    made = split(source, tmp_path / "made", most_outputs=most)
    assert (operators(made)[-1] == "Concat") == (outputs > most)
    parts = [each for each in onnx.load(made.path).graph.initializer if len(each.dims) == 2 and 6 in each.dims]
    assert all(math.prod(part.dims) <= 6 * most for part in parts)
    check_equal(source, made, (2, 6))


@pytest.mark.parametrize("shape", [(2, 6), (1, 3, 6)])
def test_matrix_product(shape: tuple[int, ...], tmp_path: Path) -> None:
    source = save(tmp_path / "source.onnx", [node("MatMul", "x", "w", "y")], shape, w=numbers(6, 7))
    made = split(source, tmp_path / "made", most_outputs=3)
    assert operators(made) == ["MatMul", "MatMul", "MatMul", "Concat"]
    check_equal(source, made, shape)


def test_a_matrix_product_of_unknown_rank_stays(tmp_path: Path) -> None:
    nodes = [node("Unique", "s", "u"), node("Reshape", "x", "u", "r"), node("MatMul", "r", "w", "y")]
    source = save(tmp_path / "s.onnx", nodes, (2, 3, 6), w=numbers(6, 7), s=np.array([1, 2, 3, 6]))
    made = split(source, tmp_path / "made", most_outputs=3)
    assert operators(made) == operators(source)
    np.testing.assert_array_equal(run(made, x := numbers(2, 3, 6)), run(source, x))


@pytest.mark.parametrize("biased", [False, True])
def test_transposed_convolution(biased: bool, tmp_path: Path) -> None:
    inputs = ["x", "w", *(["b"] if biased else [])]
    nodes = [helper.make_node("ConvTranspose", inputs, ["y"], name="up", strides=[2, 2], pads=[1, 0, 1, 0])]
    constants = {"w": numbers(6, 5, 3, 2), **({"b": numbers(5)} if biased else {})}
    source = save(tmp_path / "source.onnx", nodes, (1, 6, 4, 3), **constants)
    made = split(source, tmp_path / "made", most_weights=80)
    assert operators(made) == ["ConvTranspose", "ConvTranspose", "ConvTranspose", "Concat"]
    check_equal(source, made, (1, 6, 4, 3))
    assert operators(split(source, tmp_path / "fits", most_weights=180)) == ["ConvTranspose"]
    assert operators(split(source, tmp_path / "never", most_weights=35)) == ["ConvTranspose"], "one output is too much"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(4)), sizes=st.tuples(*[st.integers(1, 6)] * 4), most=st.integers(1, 200))
def test_transposes(order: list[int], sizes: tuple[int, ...], most: int, tmp_path: Path) -> None:
    source = save(tmp_path / "source.onnx", [node("Transpose", "x", "y", perm=order)], sizes)
    made = split(source, tmp_path / "made", most_moved=most)
    if tuple(order) in ((0, 2, 3, 1), (0, 3, 1, 2)) or np.prod(sizes) <= most:
        assert operators(made) == ["Transpose"]
    check_equal(source, made, sizes, rounding=False)


def test_what_stays(tmp_path: Path) -> None:
    """Computed weights, and groups, whose outputs belong to some inputs only."""
    nodes = [node("Neg", "v", "w"), node("MatMul", "x", "w", "y")]
    source = save(tmp_path / "computed.onnx", nodes, (2, 6), v=numbers(6, 7))
    assert operators(split(source, tmp_path / "computed", most_outputs=3)) == ["Neg", "MatMul"]
    nodes = [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", group=2)]
    source = save(tmp_path / "groups.onnx", nodes, (1, 6, 4, 3), w=numbers(6, 5, 3, 2))
    assert operators(split(source, tmp_path / "groups", most_weights=80)) == ["ConvTranspose"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    window=st.lists(st.integers(1, 9), min_size=1, max_size=2),
    most=st.integers(2, 5),
    pads=st.lists(st.integers(0, 6), min_size=4, max_size=4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    groups=st.sampled_from([1, 2]),
    bias=st.booleans(),
)
def test_windows(
    window: list[int], most: int, pads: list[int], stride: int, dilation: int, groups: int, bias: bool, tmp_path: Path
) -> None:
    """Parts that see padding only are left out; there may be more padding than window."""
    axes, size = len(window), 11
    sides = pads[: 2 * axes]
    seen = [size + sides[a] + sides[a + axes] - dilation * (window[a] - 1) for a in range(axes)]
    if min(seen) < 1:
        return
    constants = {"w": numbers(4, 4 // groups, *window)} | ({"b": numbers(4)} if bias else {})
    attributes: dict[str, Any] = {
        "pads": sides,
        "strides": [stride] * axes,
        "dilations": [dilation] * axes,
        "group": groups,
    }
    convolution = helper.make_node("Conv", ["x", *constants], ["y"], name="convolution", **attributes)
    source = save(tmp_path / "source.onnx", [convolution], (2, 4, *[size] * axes), **constants)
    made = split(source, tmp_path / "made", most_window=most)
    parts = [each for each in onnx.load(made.path).graph.node if each.op_type == "Conv"]
    assert (len(parts) == 1) == (max(window) <= most) or any(dilation * (one - 1) >= size for one in window)
    assert all(
        max(helper.get_attribute_value(a)) <= most for p in parts for a in p.attribute if a.name == "kernel_shape"
    )
    check_equal(source, made, (2, 4, *[size] * axes))


def test_windows_that_stay(tmp_path: Path) -> None:
    """Computed weights, padding that is not spelled out, and small ones."""
    plain = node("Conv", "x", "w", "y")
    same = helper.make_node("Conv", ["x", "w"], ["y"], name="same", auto_pad="SAME_UPPER")
    computed = [node("Relu", "w", "r"), node("Conv", "x", "r", "y")]
    for place, (nodes, most) in enumerate((([plain], 3), ([same], 2), (computed, 2))):
        source = save(tmp_path / f"{place}.onnx", nodes, (1, 2, 9), w=numbers(4, 2, 3))
        assert operators(split(source, tmp_path / str(place), most_window=most)) == operators(source)
