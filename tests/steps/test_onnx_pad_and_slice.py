"""Joins with constants as padding, picks of neighbours as slices: the same numbers, and what stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.steps import STEPS

from ..onnx_models import apply, check_equal, node, numbers, operators, save

STEP = "onnx_pad_and_slice"
SHAPE = (1, 4, 5, 6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axis=st.sampled_from([1, 2, 3, -1, -3]),
    before=st.lists(st.integers(1, 3), max_size=2),
    after=st.lists(st.integers(1, 3), max_size=2),
    zeros=st.booleans(),
)
def test_joins(axis: int, before: list[int], after: list[int], zeros: bool, tmp_path: Path) -> None:
    constants = {}
    for name, size in [(f"b{i}", n) for i, n in enumerate(before)] + [(f"a{i}", n) for i, n in enumerate(after)]:
        shape = list(SHAPE)
        shape[axis] = size
        constants[name] = np.zeros(shape, np.float32) if zeros else numbers(*shape)
    names = [*(name for name in constants if name[0] == "b"), "x", *(name for name in constants if name[0] == "a")]
    source = save(tmp_path / "source.onnx", [node("Concat", *names, "y", axis=axis)], SHAPE, **constants)
    made = apply(STEP, source, tmp_path / "made")
    assert operators(made) == (["Concat"] if not constants else ["Pad"] if zeros else ["Pad", "Add"])
    check_equal(source, made, SHAPE, rounding=False)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    ("places", "kept"),
    [(0, False), (-1, False), ([2], False), ([1, 2, 3], False), ([-2, -1], False), ([3, 2], True), ([0, 2], True)],
)
def test_picks(axis: int, places: int | list[int], kept: bool, tmp_path: Path) -> None:
    shape = (4, 4, 4)
    gather = node("Gather", "x", "places", "y", axis=axis)
    source = save(tmp_path / "source.onnx", [gather], shape, places=np.array(places, np.int64))
    made = apply(STEP, source, tmp_path / "made")
    assert operators(made)[0] == ("Gather" if kept else "Slice")
    check_equal(source, made, shape, rounding=False)


def test_what_stays(tmp_path: Path) -> None:
    """Joins along the batch and of two computed tensors, picks from constants, an old opset, and what is to be kept."""
    joined = node("Concat", "k", "x", "y", axis=1)
    cases = {
        "batch": ([node("Concat", "k", "x", "y", axis=0)], 17, {"k": numbers(1, 4, 5, 6)}, {}),
        "two": ([node("Relu", "x", "r"), node("Concat", "k", "x", "r", "y", axis=1)], 17, {"k": numbers(*SHAPE)}, {}),
        "rows": (
            [node("Cast", "x", "i", to=7), node("Gather", "k", "i", "y", axis=0)],
            17,
            {"k": numbers(9, 2)},
            {},
        ),
        "old": ([joined], 10, {"k": numbers(*SHAPE)}, {}),
        "kept": ([joined], 17, {"k": numbers(*SHAPE)}, {"keep": ("Concat_y",)}),
    }
    for name, (nodes, opset, constants, options) in cases.items():
        source = save(tmp_path / f"{name}.onnx", nodes, SHAPE, opset=opset, **constants)
        assert operators(apply(STEP, source, tmp_path / name, **options)) == operators(source), name


def test_what_stays_adds_nothing(tmp_path: Path) -> None:
    """A pick of one place whose sizes are free, beside one that becomes a slice."""
    nodes = [node("Gather", "x", "one", "a", axis=1), node("Gather", "x", "some", "b", axis=1)]
    nodes += [node("Unsqueeze", "a", "axes", "c"), node("Add", "c", "b", "y")]
    constants = {"one": np.array(2), "some": np.array([1]), "axes": np.array([1])}
    source = save(tmp_path / "source.onnx", nodes, ("N", 4, 5), **constants)
    model = onnx.load(source.path)
    onnx_pad_and_slice = STEPS.get(STEP).run.__wrapped__
    onnx_pad_and_slice(model, STEPS.get(STEP).options())
    assert [each.op_type for each in model.graph.node] == ["Gather", "Slice", "Unsqueeze", "Add"]
    read = {name for each in model.graph.node for name in each.input}
    assert {tensor.name for tensor in model.graph.initializer} <= read
    check_equal(source, apply(STEP, source, tmp_path / "made"), (3, 4, 5), rounding=False)
