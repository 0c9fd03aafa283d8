"""Layer norms in two goes: the same numbers, more of them in 8-bit integers, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from edgekit.artifact import Artifact
from edgekit.toolchains import find

from ..onnx_models import Node, apply, check_equal, node, numbers, operators, run, save, to_tflite

STEP = "onnx_steady_norms"
STEADY = ["Relu", "ReduceMean", "Add", "Sqrt", "Reciprocal", "Mul", "Mul", "Mul", "Mul", "Mul", "ReduceMean", "Add"]


def written_out(opset: int, *, power: bool = False, axis: int = -1, kept: int = 1) -> list[Node]:
    """A layer norm as PyTorch writes it for old opsets."""

    def mean(given: str, made: str) -> Node:
        axes = {"axes": [axis]} if opset < 18 else {}
        return node("ReduceMean", given, *(["axes"] if opset >= 18 else []), made, keepdims=kept, **axes)

    squares = node("Pow", "c", "two", "q") if power else node("Mul", "c", "c", "q")
    return [
        *[mean("x", "m"), node("Sub", "x", "m", "c"), squares, mean("q", "v"), node("Add", "v", "eps", "e")],
        *[node("Sqrt", "e", "r"), node("Div", "c", "r", "y")],
    ]


def constants_of(nodes: list[Node], width: int = 6) -> dict[str, np.ndarray]:
    known = {
        "axes": np.array([-1]),
        "two": np.float32(2),
        "eps": np.float32(1e-5),
        "scale": numbers(width),
        "bias": numbers(width),
    }
    return {name: np.asarray(array) for name, array in known.items() if any(name in each.input for each in nodes)}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    leading=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    bias=st.booleans(),
    counted=st.booleans(),
    epsilon=st.sampled_from([0.0, 1e-12, 1e-5, 0.1]),
)
def test_the_operator(leading: list[int], bias: bool, counted: bool, epsilon: float, tmp_path: Path) -> None:
    names = ["x", "scale", *(["bias"] if bias else [])]
    axis = len(leading) if counted else -1
    norm = helper.make_node("LayerNormalization", names, ["y"], name="norm", axis=axis, epsilon=epsilon)
    source = save(tmp_path / "source.onnx", [norm], (*leading, 6), **constants_of([norm]))
    made = apply(STEP, source, tmp_path / "made")
    rest = ["Sqrt", "Reciprocal", "Mul", "Mul", *(["Add"] if bias else [])]
    assert operators(made) == ["ReduceMean", "Sub", *STEADY, *rest]
    check_equal(source, made, (*leading, 6))


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
@pytest.mark.parametrize("power", [False, True])
def test_written_out(opset: int, power: bool, tmp_path: Path) -> None:
    nodes = written_out(opset, power=power)
    source = save(tmp_path / "source.onnx", nodes, (2, 5, 6), opset=opset, **constants_of(nodes))
    made = apply(STEP, source, tmp_path / "made")
    assert operators(made) == ["ReduceMean", "Sub", *STEADY, "Sqrt", "Reciprocal", "Mul"]
    check_equal(source, made, (2, 5, 6))


def test_rows_that_are_all_the_same(tmp_path: Path) -> None:
    nodes = written_out(17)
    source = save(tmp_path / "source.onnx", nodes, (2, 6), **constants_of(nodes))
    made = apply(STEP, source, tmp_path / "made")
    x = np.array([[3.0] * 6, [1e-4, 0, 0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(run(made, x), run(source, x), rtol=1e-3, atol=1e-6)


def test_what_stays(tmp_path: Path) -> None:
    """Other axes, a root mean square, means that lose their axis, and what is to be kept."""
    operator = node("LayerNormalization", "x", "scale", "y", axis=1)
    uncentred = [
        *[node("Mul", "x", "x", "q"), node("ReduceMean", "q", "v", axes=[-1]), node("Add", "v", "eps", "e")],
        *[node("Sqrt", "e", "r"), node("Div", "x", "r", "y")],
    ]
    cases: dict[str, tuple[list[Node], dict[str, object]]] = {
        "axis": ([operator], {}),
        "other axis": (written_out(17, axis=1), {}),
        "root mean square": (uncentred, {}),
        "kept": (written_out(17), {"keep": ("Div_y",)}),
    }
    for name, (nodes, options) in cases.items():
        constants = constants_of(nodes) | ({"scale": numbers(5, 6)} if nodes == [operator] else {})
        source = save(tmp_path / f"{name}.onnx", nodes, (2, 5, 6), **constants)
        assert operators(apply(STEP, source, tmp_path / name, **options)) == operators(source), name


def test_in_8_bit_integers(
    tmp_path: Path, require: Callable[[str, str], None], run_step: Callable[..., Artifact], sqnr: Callable[..., float]
) -> None:
    """Rows that deviate up to ten times as much as others."""
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    norm = node("LayerNormalization", "x", "scale", "bias", "y")
    source = save(tmp_path / "source.onnx", [norm], (1, 16, 64), **constants_of([norm], 64))
    steady = apply(STEP, source, tmp_path / "steady")
    draw = np.random.default_rng(0)
    deviations = 10 ** draw.uniform(0, 1, (32, 1, 16, 1))
    samples = [{"x": x} for x in (draw.standard_normal((32, 1, 16, 64)) * deviations).astype(np.float32)]
    made = [run_step("tflite_int8", each, samples) for each in to_tflite([source.path, steady.path], tmp_path)]
    plain, better = (sqnr(source, each, samples) for each in made)
    assert better > 18
    assert plain < better - 6
