"""Linear layers over tokens as 1 x 1 convolutions: the same numbers, and products of one row left alone."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from ..onnx_models import apply, check_equal, integers, node, numbers, operators, save

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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.sampled_from([(5, 6), (1, 5, 6)]),
    between=st.lists(st.sampled_from(["Relu", "Erf", "number", "rows", "square", "split", "slice"]), max_size=5),
    read_too=st.booleans(),
)
def test_what_stands_between(shape: tuple[int, ...], between: list[str], read_too: bool, tmp_path: Path) -> None:
    """Number by number on the picture of the tokens, up to what needs their rows."""
    constants = {"w": numbers(6, 8), "n": numbers(1), "r": numbers(5, 8), "f": integers(1), "l": integers(5)}
    constants |= {"e": integers(len(shape) - 1)}
    nodes, name, width = [node("MatMul", "x", "w", "m")], "m", 8
    for place, what in enumerate(between):
        made = f"t{place}"
        if what in ("split", "slice"):
            if width != 8:
                continue
            width = 4
            ends = {"split": [f"{made}a", made], "slice": [made]}[what]
            cut = helper.make_node("Split", [name], ends, name=made, axis=-1)
            nodes.append(cut if what == "split" else node("Slice", name, "f", "l", "e", made))
        elif what == "rows" and width == 8:
            nodes.append(node("Add", name, "r", made))
        else:
            given = {"number": ("Mul", name, "n"), "square": ("Mul", name, name), "Erf": ("Erf", name)}
            nodes.append(node(*given.get(what, ("Relu", name)), made))
        name = made
    nodes.append(node("MatMul", name, "v", "p"))
    constants["v"] = numbers(width, 6)
    nodes.append(node("Add", "p", "p" if not read_too else "q", "y"))
    if read_too:
        constants["u"] = numbers(width, 6)
        nodes.insert(-1, node("MatMul", name, "u", "q"))
    used = {key: array for key, array in constants.items() if any(key in each.input for each in nodes)}
    source = save(tmp_path / "source.onnx", nodes, shape, **used)
    made_model = apply("onnx_convolve_products", source, tmp_path / "made")
    check_equal(source, made_model, shape)
    if "rows" not in between:
        graph = onnx.shape_inference.infer_shapes(onnx.load(made_model.path)).graph
        sizes = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info}
        assert all(sizes[each.output[0]] == 4 for each in graph.node if each.op_type in ("Relu", "Erf", "Mul"))


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((12, 16), (0, 2, -1)), ((2, 6, 16), (0, 0, 2, 16)), ((2, 6, 16), (0, -1, 8)), ((2, 6, 16), (-1, 2))],
)
@pytest.mark.parametrize("computed", [False, True])
def test_a_reshape_behind_that_copies_sizes(
    shape: tuple[int, ...], sizes: tuple[int, ...], computed: bool, tmp_path: Path
) -> None:
    """A size of 0 is that of the rows, not of the picture."""
    wanted = [node("Abs", "sizes", "wanted")] if computed and min(sizes) >= 0 else []
    nodes = [node("MatMul", "x", "w", "m"), node("Relu", "m", "r"), *wanted]
    nodes += [node("Reshape", "r", "wanted" if wanted else "sizes", "s"), node("Softmax", "s", "y", axis=-1)]
    source = save(tmp_path / "source.onnx", nodes, shape, w=numbers(16, 32), sizes=integers(*sizes))
    made = apply("onnx_convolve_products", source, tmp_path / "made")
    assert "MatMul" not in operators(made)
    check_equal(source, made, shape)


def test_a_reshape_behind_whose_sizes_are_free(tmp_path: Path) -> None:
    """One of two sizes that are not known: the activation stays behind the rows."""
    nodes = [node("MatMul", "x", "w", "m"), node("Relu", "m", "r"), node("Cast", "x", "c", to=7)]
    nodes += [
        node("ReduceMax", "c", "t", keepdims=0),
        node("Mul", "t", "none", "z"),
        node("Add", "z", "sizes", "wanted"),
    ]
    nodes += [node("Reshape", "r", "wanted", "y")]
    constants = {"w": numbers(16, 32), "none": integers(0), "sizes": integers(0, 4, 8)}
    source = save(tmp_path / "source.onnx", nodes, (12, 16), **constants)
    made = apply("onnx_convolve_products", source, tmp_path / "made")
    assert "Conv" in operators(made)
    assert onnx.load(made.path).graph.node[-1].input[1] == "wanted"
    check_equal(source, made, (12, 16))
