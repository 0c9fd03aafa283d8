"""Shuffles as convolutions: the same numbers to the bit, and what only looks like a shuffle left alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from edgekit.artifact import Artifact, hash_files
from edgekit.formats import FORMATS, Declared
from edgekit.formats.runner import open_runner
from edgekit.numerics.sqnr import sqnr_db

from ..onnx_models import Node, apply, check_equal, integers, node, numbers, operators, save


def convolve(source: Artifact, folder: Path, **options: object) -> Artifact:
    return apply("onnx_convolve_shuffles", source, folder, **options)


def shuffle(order: tuple[int, ...] | list[int], given_: str = "x", made: str = "y") -> list[Node]:
    return [
        node("Reshape", given_, "high", "r"),
        node("Transpose", "r", "t", perm=list(order)),
        node("Reshape", "t", "low", made),
    ]


@pytest.mark.parametrize(
    ("order", "high", "low", "becomes"),
    [
        ((0, 2, 1, 3, 4), (1, 2, 6, 4, 6), (1, 12, 4, 6), "Conv"),
        ((0, 1, 4, 2, 5, 3), (1, 3, 2, 2, 4, 6), (1, 3, 8, 12), "ConvTranspose"),
        ((0, 3, 4, 1, 5, 2), (1, 2, 2, 3, 4, 6), (1, 3, 8, 12), "ConvTranspose"),
        ((0, 1, 4, 2, 5, 3), (1, 2, 3, 2, 4, 6), (1, 2, 12, 12), "ConvTranspose"),
        ((0, 1, 3, 5, 2, 4), (1, 12, 2, 2, 3, 2), (1, 48, 2, 3), "Conv"),
        ((0, 3, 5, 1, 2, 4), (1, 12, 2, 2, 3, 2), (1, 48, 2, 3), "Conv"),
        ((0, 1, 3, 2, 4), (1, 12, 2, 2, 6), (1, 24, 2, 6), "Conv"),
    ],
    ids=["channel", "pixel", "pixel DCR", "3 x 2", "unshuffle", "unshuffle DCR", "rows"],
)
def test_shuffles(
    order: tuple[int, ...], high: tuple[int, ...], low: tuple[int, ...], becomes: str, tmp_path: Path
) -> None:
    source = save(tmp_path / "s.onnx", shuffle(order), (1, 12, 4, 6), high=integers(*high), low=integers(*low))
    made = convolve(source, tmp_path / "made")
    assert operators(made) == [becomes]
    check_equal(source, made, (1, 12, 4, 6), rounding=False)
    assert operators(convolve(source, tmp_path / "few", most_channels=11)) == operators(source)


HALVES = [
    node("Reshape", "x", "rows", "r"),
    node("Transpose", "r", "t", perm=[1, 0, 2]),
    node("Reshape", "t", "parts", "p"),
    node("Gather", "p", "zero", "even", axis=0),
    node("Gather", "p", "one", "odd", axis=0),
    node("Sub", "even", "odd", "y"),
]


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0), (-1, -2)])
def test_a_shuffle_taken_apart_at_once(first: int, second: int, tmp_path: Path) -> None:
    """As ShuffleNetV2's original code writes it: every second channel for each of two branches."""
    constants = {"rows": integers(6, 2, 24), "parts": integers(2, 1, 6, 4, 6), "zero": np.int64(first)}
    source = save(tmp_path / "s.onnx", HALVES, (1, 12, 4, 6), one=np.int64(second), **constants)
    made = convolve(source, tmp_path / "made")
    assert operators(made) == ["Conv", "Conv", "Sub"]
    check_equal(source, made, (1, 12, 4, 6), rounding=False)


def test_parts_that_are_no_channels(tmp_path: Path) -> None:
    """Rows of the picture that go apart."""
    constants = {"rows": integers(12, 2, 12), "parts": integers(2, 1, 12, 2, 6), "zero": np.int64(0)}
    nodes = [*HALVES[:4], node("Abs", "even", "y")]
    source = save(tmp_path / "s.onnx", nodes, (1, 12, 4, 6), **constants)
    made = convolve(source, tmp_path / "made")
    check_equal(source, made, (1, 12, 4, 6), rounding=False)


def test_a_published_detector(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """FastestDet, whose ShuffleNetV2 shuffles thirteen times."""
    path = shared_data("detection/FastestDet.onnx")
    source = Artifact(path, "onnx", *hash_files([path]), FORMATS.get("onnx").read_io(path, Declared()))
    made = convolve(source, tmp_path / "made")
    assert operators(source).count("Gather") == 26
    assert "Gather" not in operators(made)
    sample = {"input.1": np.random.default_rng(0).random((1, 3, 352, 352)).astype(np.float32)}
    (expected,), (found,) = (open_runner(each, 2).run(sample).values() for each in (source, made))
    assert sqnr_db(expected, found) > 120


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str, tmp_path: Path) -> None:
    source = save(tmp_path / "s.onnx", [node("DepthToSpace", "x", "y", blocksize=2, mode=mode)], (1, 12, 4, 6))
    made = convolve(source, tmp_path / "made")
    assert operators(made) == ["ConvTranspose"]
    check_equal(source, made, (1, 12, 4, 6), rounding=False)


def test_behind_a_convolution_its_weights_take_the_order(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x", "w", "bias", "c"),
        node("Clip", "c", "zero", "six", "a"),
        *shuffle((0, 2, 1, 3, 4), "a", "b"),
        node("Conv", "b", "v", "y"),
    ]
    constants = {"w": numbers(12, 3, 1, 1), "bias": numbers(12), "v": numbers(5, 12, 3, 3)}
    constants |= {"zero": np.float32(0), "six": np.float32(6), "high": integers(1, 3, 4, 4, 6)}
    source = save(tmp_path / "s.onnx", nodes, (1, 3, 4, 6), low=integers(1, 12, 4, 6), **constants)
    made = convolve(source, tmp_path / "made")
    assert operators(made) == ["Conv", "Clip", "Identity", "Conv"]
    check_equal(source, made, (1, 3, 4, 6), rounding=False)


def test_two_shuffles_behind_one_convolution(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x", "w", "c"),
        *shuffle((0, 2, 1, 3, 4), "c", "b"),
        node("Reshape", "b", "high", "r2"),
        node("Transpose", "r2", "t2", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t2", "low", "y"),
    ]
    constants = {"w": numbers(12, 3, 1, 1), "high": integers(1, 3, 4, 4, 6), "low": integers(1, 12, 4, 6)}
    source = save(tmp_path / "s.onnx", nodes, (1, 3, 4, 6), **constants)
    check_equal(source, convolve(source, tmp_path / "made"), (1, 3, 4, 6), rounding=False)


@pytest.mark.parametrize("shared", ["by a reader", "in groups"])
def test_weights_that_keep_their_order(shared: str, tmp_path: Path) -> None:
    """Where something else reads the unshuffled channels, or they come in groups, there is a convolution more."""
    groups = {"group": 3} if shared == "in groups" else {}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="first", **groups),
        *shuffle((0, 2, 1, 3, 4), "c", "b"),
        node("Add", "b", "c", "y") if shared == "by a reader" else node("Relu", "b", "y"),
    ]
    constants = {"w": numbers(12, 1 if groups else 3, 1, 1), "high": integers(1, 3, 4, 4, 6)}
    source = save(tmp_path / "s.onnx", nodes, (1, 3, 4, 6), low=integers(1, 12, 4, 6), **constants)
    made = convolve(source, tmp_path / "made")
    assert operators(made) == ["Conv", "Conv", operators(source)[-1]]
    check_equal(source, made, (1, 3, 4, 6), rounding=False)


@pytest.mark.parametrize(
    "other",
    [
        [node("Reshape", "r", "low", "o")],
        [node("Reshape", "t", "low", "o")],
        [node("Transpose", "r", "t2", perm=[0, 2, 1, 3, 4]), node("Reshape", "t2", "low", "o")],
        [node("Relu", "t", "t2"), node("Reshape", "t2", "low", "o")],
    ],
    ids=["the reshape", "the transpose", "a second shuffle", "an activation of the transpose"],
)
def test_weights_keep_their_order_for_who_reads_inside_the_shuffle(other: list[Node], tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x", "w", "c"),
        node("Reshape", "c", "high", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t", "low", "b"),
        *other,
        node("Mul", "o", "two", "p"),
        node("Add", "b", "p", "y"),
    ]
    constants = {"w": numbers(12, 3, 1, 1), "high": integers(1, 3, 4, 4, 6), "two": np.float32(2)}
    source = save(tmp_path / "s.onnx", nodes, (1, 3, 4, 6), low=integers(1, 12, 4, 6), **constants)
    check_equal(source, convolve(source, tmp_path / "made"), (1, 3, 4, 6), rounding=False)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_transpose_is_a_shuffle_or_stays(data: st.DataObject, tmp_path: Path) -> None:
    """Orders of six axes: few of them are shuffles; whatever the step makes of one is equal."""
    sizes = data.draw(st.tuples(*[st.integers(1, 3)] * 5))
    order = (0, *data.draw(st.sampled_from(list(permutations(range(1, 6))))))
    after = [(1, *sizes)[axis] for axis in order]
    cuts = sorted(data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=2)))
    low = [
        int(np.prod(part)) for part in (after[1 : cuts[0] + 1], after[cuts[0] + 1 : cuts[1] + 1], after[cuts[1] + 1 :])
    ]
    shape = (1, sizes[0] * sizes[1], sizes[2], sizes[3] * sizes[4])
    source = save(tmp_path / "s.onnx", shuffle(order), shape, high=integers(1, *sizes), low=integers(1, *low))
    made = convolve(source, tmp_path / "made")
    check_equal(source, made, shape, rounding=False)


def test_what_stays(tmp_path: Path) -> None:
    """Batches, integers, and a transpose that mixes height and width."""
    high, low = integers(2, 2, 6, 4, 6), integers(2, 12, 4, 6)
    source = save(tmp_path / "batch.onnx", shuffle((0, 2, 1, 3, 4)), (2, 12, 4, 6), high=high, low=low)
    assert operators(convolve(source, tmp_path / "batch")) == operators(source)
    constants = {"high": integers(1, 12, 4, 6), "low": integers(1, 12, 6, 4)}
    source = save(tmp_path / "turn.onnx", shuffle((0, 1, 3, 2)), (1, 12, 4, 6), **constants)
    assert operators(convolve(source, tmp_path / "turn")) == operators(source)
    nodes = [node("Cast", "x", "i", to=onnx.TensorProto.INT32), *shuffle((0, 2, 1, 3, 4), "i", "j")]
    nodes.append(node("Cast", "j", "y", to=onnx.TensorProto.FLOAT))
    constants = {"high": integers(1, 2, 6, 4, 6), "low": integers(1, 12, 4, 6)}
    source = save(tmp_path / "integers.onnx", nodes, (1, 12, 4, 6), **constants)
    assert operators(convolve(source, tmp_path / "integers")) == operators(source)


def test_the_weights_are_zeros_and_ones(tmp_path: Path) -> None:
    constants = {"high": integers(1, 2, 6, 4, 6), "low": integers(1, 12, 4, 6)}
    source = save(tmp_path / "s.onnx", shuffle((0, 2, 1, 3, 4)), (1, 12, 4, 6), **constants)
    (weights,) = onnx.load(convolve(source, tmp_path / "made").path).graph.initializer
    array = numpy_helper.to_array(weights).reshape(12, 12)
    assert set(array.reshape(-1)) == {0.0, 1.0}
    assert array.sum(0).tolist() == array.sum(1).tolist() == [1] * 12
