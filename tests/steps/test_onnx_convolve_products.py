"""Linear layers over tokens as 1 x 1 convolutions: the same numbers, and products of one row left alone."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from ..onnx_models import apply, check_equal, node, numbers, operators, save

CONVOLVED = ["Reshape", "Transpose", "Conv", "Transpose", "Reshape"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(leading=st.lists(st.integers(1, 5), min_size=1, max_size=3), inner=st.integers(1, 6), outputs=st.integers(1, 6))
def test_products_with_constants(leading: list[int], inner: int, outputs: int, tmp_path: Path) -> None:
    shape = (*leading, inner)
    source = save(tmp_path / "source.onnx", [node("MatMul", "x", "w", "y")], shape, w=numbers(inner, outputs))
    made = apply("onnx_convolve_products", source, tmp_path / "made")
    assert operators(made) == (["MatMul"] if set(leading) == {1} else CONVOLVED)
    check_equal(source, made, shape)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 5),
    turned=st.booleans(),
    bias=st.sampled_from([None, (), (1,), (4,), (1, 4), (1, 1)]),
    factors=st.tuples(st.sampled_from([1.0, 0.5]), st.sampled_from([1.0, 2.0])),
)
def test_products_with_a_bias(
    rows: int, turned: bool, bias: tuple[int, ...] | None, factors: tuple[float, float], tmp_path: Path
) -> None:
    constants = {"w": numbers(4, 6) if turned else numbers(6, 4)} | ({} if bias is None else {"b": numbers(*bias)})
    attributes = {"transB": int(turned), "alpha": factors[0], "beta": factors[1]}
    gemm = helper.make_node("Gemm", ["x", *constants], ["y"], name="gemm", **attributes)
    source = save(tmp_path / "source.onnx", [gemm], (rows, 6), **constants)
    made = apply("onnx_convolve_products", source, tmp_path / "made")
    assert operators(made) == (["Gemm"] if rows == 1 else CONVOLVED)
    check_equal(source, made, (rows, 6))


def test_what_stays(tmp_path: Path) -> None:
    """Two computed tensors, a batch of weights, free sizes, a bias for each token, and what is to be kept."""
    gemm = [node("Gemm", "x", "w", "b", "y")]
    source = save(tmp_path / "bias.onnx", gemm, (4, 6), w=numbers(6, 3), b=numbers(4, 3))
    assert operators(apply("onnx_convolve_products", source, tmp_path / "bias")) == ["Gemm"]
    nodes = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x", "t", "y")]
    source = save(tmp_path / "computed.onnx", nodes, (1, 4, 6))
    assert operators(apply("onnx_convolve_products", source, tmp_path / "computed")) == operators(source)
    source = save(tmp_path / "batch.onnx", [node("MatMul", "x", "w", "y")], (2, 4, 6), w=numbers(2, 6, 3))
    assert operators(apply("onnx_convolve_products", source, tmp_path / "batch")) == ["MatMul"]
    source = save(tmp_path / "free.onnx", [node("MatMul", "x", "w", "y")], ("N", 4, 6), w=numbers(6, 3))
    assert operators(apply("onnx_convolve_products", source, tmp_path / "free")) == ["MatMul"]
    source = save(tmp_path / "kept.onnx", [node("MatMul", "x", "w", "y")], (1, 4, 6), w=numbers(6, 3))
    assert operators(apply("onnx_convolve_products", source, tmp_path / "kept", keep=("MatMul_y",))) == ["MatMul"]
