"""Layers in parts: the same numbers, and what is small enough or cannot be split left alone."""

from __future__ import annotations

import math
from pathlib import Path

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
