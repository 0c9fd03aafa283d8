"""Products of two computed tensors as multiplications and sums: the same numbers, and what stays."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.artifact import Artifact
from edgekit.devices.limits.tokens import spreads
from edgekit.devices.limits.view import View
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.formats.matching import synthetic_samples
from edgekit.graph import Graph, Operator, TensorInfo
from edgekit.toolchains import find

from ..onnx_models import Node, apply, check_equal, integers, node, numbers, operators, save, to_tflite

SPREAD = "onnx_spread_products"


def attention(path: Path, heads: list[int], rows: int, inner: int, *, opset: int = 17) -> Artifact:
    """`x` [heads, rows, inner] by itself turned, and the softmax of that by `x`."""
    swap = [*range(len(heads)), len(heads) + 1, len(heads)]
    nodes = [
        *[node("Transpose", "x", "t", perm=swap), node("MatMul", "x", "t", "s")],
        *[node("Softmax", "s", "w", axis=-1), node("MatMul", "w", "x", "y")],
    ]
    return save(path, nodes, (*heads, rows, inner), opset=opset)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    heads=st.lists(st.integers(1, 3), max_size=3),
    rows=st.integers(1, 7),
    inner=st.integers(1, 5),
    most=st.integers(1, 100),
    opset=st.sampled_from([11, 12, 13, 17]),
)
def test_the_same_numbers(heads: list[int], rows: int, inner: int, most: int, opset: int, tmp_path: Path) -> None:
    source = attention(tmp_path / "source.onnx", heads, rows, inner, opset=opset)
    made = apply(SPREAD, source, tmp_path / "made", most_numbers=most, most_parts=9)
    each = most // (rows * inner)
    of_a_head = math.ceil(rows / each) if each else 0
    if of_a_head == 1 and rows == inner > 1:
        of_a_head = 2  # n by n by n is not done at once
    parts = math.prod(heads) * of_a_head
    parts = parts if parts <= 9 else 0
    assert operators(made).count("MatMul") == (0 if parts else 2)
    assert operators(made).count("Mul") == operators(made).count("ReduceSum") == 2 * parts
    check_equal(source, made, (*heads, rows, inner))


def test_turned_twice_is_not_turned(tmp_path: Path) -> None:
    """Of the transpose of the last two axes, what was transposed is taken; of another, it is turned back."""
    source = attention(tmp_path / "swap.onnx", [1, 2], 4, 3)
    assert operators(apply(SPREAD, source, tmp_path / "swap")).count("Transpose") == 2, "of the second product's heads"
    turn = [node("Transpose", "x", "t", perm=[0, 2, 3, 1]), node("Transpose", "x", "u", perm=[0, 2, 1, 3])]
    source = save(tmp_path / "turn.onnx", [*turn, node("MatMul", "u", "t", "y")], (1, 4, 2, 3))
    made = apply(SPREAD, source, tmp_path / "turn")
    assert operators(made).count("Transpose") == 2 + 2, "one for each head"
    check_equal(source, made, (1, 4, 2, 3))


@pytest.mark.parametrize("names", [("k", "x"), ("x", "k")])
def test_one_of_them_stored(names: tuple[str, str], tmp_path: Path) -> None:
    """As the queries of a detector that do not depend on the picture."""
    source = save(tmp_path / "source.onnx", [node("MatMul", *names, "y")], (1, 2, 4, 4), k=numbers(1, 2, 4, 4))
    made = apply(SPREAD, source, tmp_path / "made")
    assert "MatMul" not in operators(made)
    check_equal(source, made, (1, 2, 4, 4))


def test_reshapes_before_are_left_out(tmp_path: Path) -> None:
    """The shape of many heads is in the way of devices."""
    nodes = [node("Reshape", "x", "sizes", "r"), node("Reshape", "r", "low", "q"), node("MatMul", "q", "q", "y")]
    source = save(tmp_path / "source.onnx", nodes, (1, 6, 16), sizes=integers(6, 4, 4), low=integers(2, 3, 4, 4))
    made = apply(SPREAD, source, tmp_path / "made")
    reads = [each.input[0] for each in onnx.load(made.path).graph.node if each.op_type == "Reshape"]
    assert len(reads) == 3 and reads[:2] == ["x", "x"], "those before nobody reads"
    check_equal(source, made, (1, 6, 16))


def test_forms_that_the_converter_takes_for_others(
    tmp_path: Path, require: Callable[[str, str], None], sqnr: Callable[..., float]
) -> None:
    """T = D = S, of which it turned one side, and more than four heads of few numbers each, which it cut across."""
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    shapes = [([1], 4, 4), ([1, 2], 6, 6), ([5], 2, 2), ([16, 2], 8, 8), ([8], 7, 5), ([6], 9, 6)]
    sources = [attention(tmp_path / f"{place}.onnx", *shape) for place, shape in enumerate(shapes)]
    spread = [apply(SPREAD, source, tmp_path / f"made{place}") for place, source in enumerate(sources)]
    assert all("MatMul" not in operators(each) for each in spread)
    made = to_tflite([each.path for each in spread], tmp_path)
    for shape, source, each in zip(shapes, sources, made, strict=True):
        assert sqnr(source, each, synthetic_samples(source.io, 4, 0)) >= 60, shape


def test_what_stays(tmp_path: Path) -> None:
    """Constants, other heads, a vector, free sizes, an old opset, and what is to be kept."""
    swapped = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x", "t", "y")]
    vector = [node("ReduceMean", "x", "m", axes=[0, 1], keepdims=0), node("MatMul", "x", "m", "y")]
    once = [node("Reshape", "x", "sizes", "r"), node("Transpose", "r", "t", perm=[1, 0]), node("MatMul", "x", "t", "y")]
    cases: dict[str, tuple[list[Node], tuple[int | str, ...], int, dict[str, object]]] = {
        "constant": ([node("MatMul", "x", "w", "y")], (1, 4, 6), 17, {}),
        "other heads": (once, (1, 4, 6), 17, {}),
        "vector": (vector, (1, 4, 6), 17, {}),
        "free": (swapped, ("N", 4, 6), 17, {}),
        "old": (swapped, (1, 4, 6), 9, {}),
        "kept": (swapped, (1, 4, 6), 17, {"keep": ("MatMul_y",)}),
    }
    constants = {"w": numbers(6, 3), "sizes": integers(4, 6)}
    for name, (nodes, shape, opset, options) in cases.items():
        used = {key: array for key, array in constants.items() if any(key in each.input for each in nodes)}
        source = save(tmp_path / f"{name}.onnx", nodes, shape, opset=opset, **used)
        assert operators(apply(SPREAD, source, tmp_path / name, **options)) == operators(source), name


@pytest.mark.parametrize(
    ("heads", "rows", "inner", "taken"),
    [
        ([3], 197, 64, True),  # ViT-Tiny
        ([1, 6], 197, 64, True),  # DeiT-S
        ([21], 197, 64, True),
        ([22], 197, 64, False),
        ([1], 950, 64, True),
        ([1], 1000, 64, False),
        ([64, 16], 16, 16, False),  # windows
        ([8, 8], 4, 3, True),
        ([8, 8], 4, 4, False),
        ([5, 13], 4, 4, False),
        ([20_000], 2, 2, False),
    ],
)
def test_the_remedy_is_told_where_the_step_takes_it(
    heads: list[int], rows: int, inner: int, taken: bool, tmp_path: Path
) -> None:
    """By the numbers of the Edge TPU's rules and the options that the step has by itself."""
    swap = [*range(len(heads)), len(heads) + 1, len(heads)]
    nodes = [node("Transpose", "x", "t", perm=swap), node("MatMul", "x", "t", "y")]
    source = save(tmp_path / "source.onnx", nodes, (*heads, rows, inner))
    found = operators(apply(SPREAD, source, tmp_path / "made"))
    assert ("MatMul" not in found) == taken
    assert found.count("Mul") <= 64
    shapes = [(*heads, rows, inner), (*heads, inner, rows), (*heads, rows, rows)]
    tensors = tuple(TensorInfo(f"t{place}", shape, "int8") for place, shape in enumerate(shapes))
    product = Operator(0, "BATCH_MATMUL", (0, 1), (2,))
    view = View(Graph("tflite", tensors, (product,), (0, 1), (2,)))
    told = [
        remedy.when["spreads"]
        for cause in load_table().remedies.values()
        for remedy in cause.get("BATCH_MATMUL", ())
        if remedy.step == SPREAD
    ]
    assert len(told) == 2
    assert [spreads(view, product, each) is None for each in told] == [taken, taken]
