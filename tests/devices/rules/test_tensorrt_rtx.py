"""TensorRT-RTX's rules, against answers of its parser (1.7.1, recorded: the package is not among edgekit's)."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.devices import load_profiles
from edgekit.devices.judge import judge_graph
from edgekit.devices.placement import Placement
from edgekit.devices.rules.table import load_table
from edgekit.graph import Graph, Operator, TensorInfo

RTX = load_profiles()["rtx"]
#: supports_operator said so.
NAMED = ("Conv", "HardSwish", "Gelu", "LayerNormalization", "GridSample", "RoiAlign", "Attention", "QuantizeLinear")
UNNAMED = ("DeformConv", "QLinearConv", "BitShift", "Unique", "Col2Im")


def placed(kind: str, dtype: str = "float32", opset: int = 18, **attributes: Any) -> Placement:
    """One operator, of two inputs: a computed and a stored tensor."""
    shape = (1, 8, 4, 4)
    tensors = (TensorInfo("x", shape, dtype), TensorInfo("w", shape, dtype, True), TensorInfo("y", shape, dtype))
    graph = Graph(
        "onnx", tensors, (Operator(0, kind, (0, 1), (2,), attributes=attributes),), (0,), (2,), {"opset": opset}
    )
    return judge_graph(graph, RTX).placement


def test_what_the_parser_names() -> None:
    table = load_table("tensorrt_rtx")
    assert set(NAMED) <= set(table.entries) and not set(UNNAMED) & set(table.entries)
    assert len(table.entries) == 157


@pytest.mark.parametrize("kind", UNNAMED)
def test_what_it_does_not_name_is_unsupported(kind: str) -> None:
    placement = placed(kind)
    assert placement.verdict() == "violates"
    assert placement.operators[0].reason == "TensorRT-RTX does not list it"


def test_what_it_names_within_the_limits_of_tensorrt_runs() -> None:
    assert placed("Add").verdict() == "fits"
    assert placed("HardSwish").verdict() == "fits"


def test_what_it_names_beyond_them_is_not_known() -> None:
    """Attention is in no list of TensorRT's; nor is an absolute value of booleans."""
    for placement in (placed("Attention"), placed("Abs", dtype="bool")):
        assert placement.verdict() == "not_known"
        assert (placement.operators[0].reason or "").startswith(
            "TensorRT-RTX names it; TensorRT would not take it so: "
        )


def test_what_the_parser_refused_of_onnx_own_test_models() -> None:
    """test_lppool_2d_default, test_batchnorm_epsilon_training_mode, test_scatter_elements_with_reduction_max,
    test_roialign_mode_max; each has a sister model that it read."""
    for kind, good, bad in (
        ("LpPool", {"p": 2}, {"p": 3}),
        ("BatchNormalization", {"training_mode": 0}, {"training_mode": 1}),
        ("ScatterElements", {"reduction": "none"}, {"reduction": "max"}),
    ):
        assert placed(kind, **bad).verdict() == "violates"
        assert placed(kind, **good).verdict() != "violates"
    assert "plugin" in (placed("RoiAlign").operators[0].reason or "")


def test_opsets() -> None:
    assert [violation.rule for violation in placed("Add", opset=28).violations] == ["opset"]
    assert placed("Add", opset=27).violations == () == placed("Add", opset=9).violations
    assert [violation.rule for violation in placed("Add", opset=8).violations] == ["opset"]
