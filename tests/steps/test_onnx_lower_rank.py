"""Five axes and more, written with at most four: the same numbers to the bit, whatever is between the reshapes."""

from __future__ import annotations

import math
from itertools import permutations
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from edgekit.artifact import Artifact
from edgekit.steps.convert.onnx_transposes import collapse, turns

from ..onnx_models import Node, apply, check_equal, integers, most_axes, node, numbers, operators, save


def lower(source: Artifact, folder: Path, **options: object) -> Artifact:
    return apply("onnx_lower_rank", source, folder, **options)


# --- transposes ------------------------------------------------------------------------------------------------------


@given(st.data())
def test_transposes_in_goes_of_three_axes(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.sampled_from([1, 2, 3]), min_size=1, max_size=6))
    order = data.draw(st.permutations(range(len(sizes))))
    numbers_ = np.arange(math.prod(sizes))
    expected = numbers_.reshape(sizes).transpose(order).reshape(-1)
    merged, moved = collapse(sizes, order)
    np.testing.assert_array_equal(numbers_.reshape(merged).transpose(moved).reshape(-1), expected)
    for go in turns(sizes, order):
        assert 2 <= len(go.sizes) <= 3
        numbers_ = numbers_.reshape(go.sizes).transpose(go.order).reshape(-1)
    np.testing.assert_array_equal(numbers_, expected)


def test_no_go_is_wasted() -> None:
    """By hand: nothing for the identity, one go for up to three blocks, two at most for four."""
    assert turns((2, 1, 3), (1, 0, 2)) == ()
    assert [len(turns((2, 3, 4), order)) for order in permutations(range(3))] == [0, 1, 1, 1, 1, 1]
    assert max(len(turns((2, 3, 4, 5), order)) for order in permutations(range(4))) == 2
    assert len(turns((1, 3, 85, 10, 12), (0, 1, 3, 4, 2))) == 1


# --- patterns --------------------------------------------------------------------------------------------------------

CONVOLUTION = node("Conv", "x", "w", "c")


def between(*nodes: Node) -> list[Node]:
    """Between two convolutions."""
    return [CONVOLUTION, *nodes, node("Conv", "b", "v", "y")]


PATTERNS: dict[str, tuple[list[Node], list[str], dict[str, np.ndarray]]] = {
    "channel shuffle": (
        between(
            node("Reshape", "c", "high", "r"),
            node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "t", "low", "b"),
        ),
        ["Conv", "Transpose", "Reshape", "Transpose", "Reshape", "Transpose", "Conv"],
        {
            "w": numbers(24, 3, 1, 1),
            "v": numbers(5, 24, 1, 1),
            "high": integers(1, 2, 12, 8, 6),
            "low": integers(1, 24, 8, 6),
        },
    ),
    "pixel shuffle": (
        between(
            node("Reshape", "c", "high", "r"),
            node("Transpose", "r", "t", perm=[0, 1, 4, 2, 5, 3]),
            node("Reshape", "t", "low", "b"),
        ),
        ["Conv", "Transpose", "Reshape", "Transpose", "Reshape", "Transpose", "Reshape", "Transpose", "Conv"],
        {
            "w": numbers(24, 3, 1, 1),
            "v": numbers(5, 6, 1, 1),
            "high": integers(1, 6, 2, 2, 8, 6),
            "low": integers(1, 6, 16, 12),
        },
    ),
    "detector's head": (
        [
            CONVOLUTION,
            node("Reshape", "c", "high", "r"),
            node("Transpose", "r", "t", perm=[0, 1, 3, 4, 2]),
            node("Sigmoid", "t", "s"),
            node("Reshape", "s", "low", "y"),
        ],
        ["Conv", "Sigmoid", "Transpose", "Reshape", "Transpose", "Reshape"],
        {"w": numbers(3 * 85, 3, 1, 1), "high": integers(1, 3, 85, 8, 6), "low": integers(1, -1, 85)},
    ),
    "detector's head with decoding": (
        [
            CONVOLUTION,
            node("Reshape", "c", "high", "r"),
            node("Transpose", "r", "t", perm=[0, 1, 3, 4, 2]),
            node("Sigmoid", "t", "s"),
            helper.make_node("Split", ["s", "parts"], ["centre", "size", "rest"], axis=4),
            node("Add", "centre", "grid", "placed"),
            node("Mul", "placed", "stride", "scaled"),
            node("Mul", "size", "size", "square"),
            node("Mul", "square", "anchors", "sized"),
            node("Concat", "scaled", "sized", "rest", "joined", axis=-1),
            node("Reshape", "joined", "low", "y"),
        ],
        [
            *["Conv", "Sigmoid", "Transpose", "Reshape", "Transpose"],
            *["Slice", "Slice", "Slice", "Add", "Mul", "Mul", "Mul", "Concat", "Reshape"],
        ],
        {
            "w": numbers(3 * 9, 3, 1, 1),
            "high": integers(1, 3, 9, 8, 6),
            "low": integers(1, 144, 9),
            "parts": integers(2, 2, 5),
            "grid": numbers(1, 1, 8, 6, 2),
            "stride": np.float32(8),
            "anchors": numbers(1, 3, 1, 1, 2),
        },
    ),
    "detector's head that stays": (
        [CONVOLUTION, node("Reshape", "c", "high", "r"), node("Transpose", "r", "y", perm=[0, 1, 3, 4, 2])],
        ["Conv", "Transpose", "Reshape", "Transpose", "Reshape"],
        {"w": numbers(3 * 85, 3, 1, 1), "high": integers(1, 3, 85, 8, 6)},
    ),
    "heads of attention": (
        [
            node("Reshape", "x", "tokens", "f"),
            node("MatMul", "f", "w", "c"),
            node("Reshape", "c", "high", "r"),
            node("Transpose", "r", "t", perm=[2, 0, 3, 1, 4]),
            node("Gather", "t", "zero", "q", axis=0),
            node("Gather", "t", "last", "k", axis=0),
            node("MatMul", "q", "turned", "y"),
            node("Transpose", "k", "turned", perm=[0, 1, 3, 2]),
        ],
        ["Reshape", "MatMul", *["Slice", "Reshape", "Transpose", "Identity"] * 2, "Transpose", "MatMul"],
        {
            "tokens": integers(1, 24, 6),
            "w": numbers(6, 24),
            "high": integers(1, 24, 3, 4, 2),
            "zero": np.int64(0),
            "last": np.int64(-1),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name: str, tmp_path: Path) -> None:
    nodes, becomes, constants = PATTERNS[name]
    if name == "heads of attention":
        nodes = [*nodes[:-2], nodes[-1], nodes[-2]]
    source = save(tmp_path / "source.onnx", nodes, (1, 3, 8, 6), **constants)
    made = lower(source, tmp_path / "made")
    assert operators(made) == becomes
    assert most_axes(made) <= 4
    check_equal(source, made, (1, 3, 8, 6), rounding=False)


def test_for_a_runtime_with_channels_first(tmp_path: Path) -> None:
    """There is no layout to make use of: one transpose less at each end."""
    nodes, _, constants = PATTERNS["channel shuffle"]
    source = save(tmp_path / "source.onnx", nodes, (1, 3, 8, 6), **constants)
    made = lower(source, tmp_path / "made", layout="channel_first")
    assert operators(made) == ["Conv", "Reshape", "Transpose", "Reshape", "Conv"]
    check_equal(source, made, (1, 3, 8, 6), rounding=False)


def test_what_stays(tmp_path: Path) -> None:
    """Up to four axes, the first of them 1 or a batch; free sizes; what there is no rule for, in front of which the
    shape of five axes comes back."""
    four = [node("Reshape", "x", "s", "r"), node("Transpose", "r", "y", perm=[0, 2, 1, 3])]
    source = save(tmp_path / "four.onnx", four, (1, 4, 6), s=integers(1, 2, 4, 3))
    assert operators(lower(source, tmp_path / "four")) == operators(source)
    source = save(tmp_path / "batch.onnx", four, (2, 4, 6), s=integers(2, 2, 4, 3))
    assert operators(lower(source, tmp_path / "batch")) == operators(source)
    free = [node("Reshape", "x", "s", "r"), node("Transpose", "r", "y", perm=[0, 2, 1, 3, 4])]
    source = save(tmp_path / "free.onnx", free, ("N", 4, 6), s=integers(0, 2, 2, 2, 3))
    assert operators(lower(source, tmp_path / "free")) == operators(source)
    nodes = [
        node("Reshape", "x", "s", "r"),
        node("Relu", "r", "a"),
        node("CumSum", "a", "axis", "c"),
        node("Neg", "c", "n"),
        node("Reshape", "n", "l", "y"),
    ]
    constants = {"s": integers(1, 2, 2, 2, 3), "axis": np.int64(3), "l": integers(4, 6)}
    source = save(tmp_path / "cumulative.onnx", nodes, (1, 4, 6), **constants)
    made = lower(source, tmp_path / "cumulative")
    assert operators(made) == ["Relu", "Reshape", "CumSum", "Reshape", "Neg", "Reshape"]
    check_equal(source, made, (1, 4, 6), rounding=False)


@pytest.mark.parametrize(
    ("repeats", "numbers_"),
    [((2, 1, 3, 1, 2), 36), ((1, 3, 3, 1, 1), 9), ((3, 1, 1), 3), ((2, 3, 3, 2, 2), 72), ((1, 1, 1, 1, 2), 2)],
)
def test_constants_are_spread_only_where_they_must(repeats: tuple[int, ...], numbers_: int, tmp_path: Path) -> None:
    """[1, a, b, c] has room for three groups of axes: [2,1,3,1,2] of [2,3,3,2,2] is five, three are merged."""
    nodes = [node("Reshape", "x", "s", "r"), node("Sub", "k", "r", "d"), node("Reshape", "d", "l", "y")]
    constants = {"s": integers(2, 3, 3, 2, 2), "k": numbers(*repeats), "l": integers(72)}
    source = save(tmp_path / "source.onnx", nodes, (1, 72), **constants)
    made = lower(source, tmp_path / "made")
    (constant,) = (each for each in onnx.load(made.path).graph.initializer if each.data_type == onnx.TensorProto.FLOAT)
    assert math.prod(constant.dims) == numbers_
    check_equal(source, made, (1, 72), rounding=False)


# --- chains of anything ----------------------------------------------------------------------------------------------


class Chain:
    """Operators one after the other on a tensor of five or six axes."""

    def __init__(self, sizes: list[int], draw: st.DrawFn) -> None:
        self.sizes, self.draw = sizes, draw
        self.nodes: list[Node] = [node("Reshape", "a0", "start", "a1")]
        self.constants: dict[str, np.ndarray] = {"start": integers(*sizes)}

    @property
    def last(self) -> str:
        return self.nodes[-1].output[0]

    def constant(self, array: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = array
        return name

    def add(self, type_: str, *others: str, before: bool = False, **attributes: object) -> None:
        given = (*others, self.last) if before else (self.last, *others)
        self.nodes.append(node(type_, *given, f"a{len(self.nodes) + 1}", **attributes))

    def resize(self, axis: int, *sizes: int) -> None:
        self.sizes = [*self.sizes[:axis], *sizes, *self.sizes[axis + 1 :]]

    def turn(self, axis: int) -> None:
        order = self.draw(st.permutations(range(len(self.sizes))))
        self.add("Transpose", perm=order)
        self.sizes = [self.sizes[at] for at in order]

    def sign(self, axis: int) -> None:
        self.add(self.draw(st.sampled_from(["Neg", "Abs", "Relu", "Identity"])))

    def number(self, axis: int) -> None:
        self.add("Sub", self.constant(np.float32(self.draw(st.integers(-2, 2)))), before=self.draw(st.booleans()))

    def array(self, axis: int) -> None:
        shape = [size if self.draw(st.booleans()) else 1 for size in self.sizes][self.draw(st.integers(0, 2)) :]
        type_ = self.draw(st.sampled_from(["Add", "Sub", "Max"]))
        self.add(type_, self.constant(numbers(*shape)), before=self.draw(st.booleans()))

    def twice(self, axis: int) -> None:
        self.add("Add", self.last)

    def cut(self, axis: int) -> None:
        if self.sizes[axis] > 1:
            first, last = self.draw(st.integers(0, self.sizes[axis] - 2)), self.sizes[axis] - 1
            self.add("Slice", *(self.constant(integers(at)) for at in (first, last, axis - len(self.sizes))))
            self.resize(axis, last - first)

    def place(self, axis: int) -> None:
        if len(self.sizes) > 5:
            index = self.draw(st.integers(-self.sizes[axis], self.sizes[axis] - 1))
            self.add("Gather", self.constant(np.int64(index)), axis=axis)
            self.resize(axis)

    def join(self, axis: int) -> None:
        self.add("Concat", self.last, axis=axis)
        self.resize(axis, 2 * self.sizes[axis])

    def softmax(self, axis: int) -> None:
        self.add("Softmax", axis=axis)

    def view(self, axis: int) -> None:
        merged = [*self.sizes[:axis], math.prod(self.sizes[axis : axis + 2]), *self.sizes[axis + 2 :]]
        self.sizes = [*merged, *[1] * (5 - len(merged))]
        self.add("Reshape", self.constant(integers(*self.sizes)))


KINDS = ("turn", "turn", "sign", "number", "array", "twice", "cut", "place", "join", "softmax", "view")


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    sizes = draw(st.lists(st.sampled_from([1, 2, 3]), min_size=5, max_size=6))
    chain = Chain([1, *sizes[1:]] if draw(st.booleans()) else sizes, draw)
    for _ in range(draw(st.integers(1, 6))):
        getattr(chain, draw(st.sampled_from(KINDS)))(draw(st.integers(0, len(chain.sizes) - 1)))
    if draw(st.booleans()):
        chain.add("Flatten", axis=draw(st.integers(0, len(chain.sizes))))
    return chain


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chain=chains(), layout=st.sampled_from(["channel_last", "channel_first"]))
def test_every_chain(chain: Chain, layout: str, tmp_path: Path) -> None:
    """From a picture, so that the layout counts."""
    start = chain.constants["start"]
    shape = (1, int(start[:3].prod()), int(start[3]), int(start[4:].prod()))
    nodes = [node("MaxPool", "x", "a0", kernel_shape=[1, 1]), *chain.nodes]
    nodes[-1].output[0] = "y"
    source = save(tmp_path / "source.onnx", nodes, shape, **chain.constants)
    made = lower(source, tmp_path / "made", layout=layout)
    assert most_axes(made) <= 4
    check_equal(source, made, shape)


def test_four_axes_whose_first_is_no_batch(tmp_path: Path) -> None:
    """Keys and values of one layer, as PyTorch's attention takes them apart."""
    nodes = [
        *[node("Reshape", "x", "high", "r"), node("Transpose", "r", "t", perm=[3, 1, 2, 0, 4])],
        *[node("Squeeze", "t", "third", "s"), node("Gather", "s", "zero", "k", axis=0)],
        *[node("Gather", "s", "one", "v", axis=0), node("Mul", "k", "v", "y")],
    ]
    constants = {"high": integers(1, 8, 1, 2, 6), "third": integers(3), "zero": np.array(0), "one": np.array(1)}
    source = save(tmp_path / "source.onnx", nodes, (8, 1, 12), **constants)
    made = lower(source, tmp_path / "made")
    assert operators(made).count("Gather") == 2, "the first axis of the input is taken for a batch"
    unbatched = save(tmp_path / "unbatched.onnx", nodes, (1, 8, 12), **constants)
    made = lower(unbatched, tmp_path / "unbatched")
    graph = onnx.shape_inference.infer_shapes(onnx.load(made.path)).graph
    shapes = [[size.dim_value for size in value.type.tensor_type.shape.dim] for value in graph.value_info]
    assert all(len(shape) < 4 or shape[0] == 1 for shape in shapes)
    check_equal(unbatched, made, (1, 8, 12), rounding=False)
