"""Myriad's rules: what was compiled for it, what was refused, and what nobody tried."""

from __future__ import annotations

import pytest

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Fact, Operators
from edgekit.devices.profiles import load_profiles
from edgekit.devices.rules import RULES
from edgekit.graph import Graph, Operator, TensorInfo

IMAGE = (1, 8, 16, 16)


def judge(graph: Graph, level: str | None = "OpenVINO 2021.4.2") -> Placement:
    stated = None if level is None else Fact[str](value=level, source="test")
    profile = load_profiles()["onnxruntime-cpu"]
    changed = profile.model_copy(update={"operators": Operators(rules="myriad", level=stated)})
    return RULES.get("myriad").place(graph, changed)


def one(
    kind: str,
    *shapes: tuple[int | None, ...],
    opset: int = 13,
    dtype: str = "float32",
    stored: bool = False,
    **attributes,
) -> Graph:
    """An operator on inputs of those shapes; ``stored``: they are constants."""
    tensors = [TensorInfo(f"x{place}", shape, dtype, stored) for place, shape in enumerate(shapes or (IMAGE,))]
    inputs = tuple(range(len(tensors)))
    operator = Operator(0, kind, inputs, (len(tensors),), opset, attributes=attributes)
    tensors.append(TensorInfo("y", IMAGE, "float32"))
    return Graph("onnx", tuple(tensors), (operator,), () if stored else inputs, (len(inputs),), {"opset": opset})


@pytest.mark.parametrize(
    "kind", ["Conv", "Relu", "Sigmoid", "Clip", "Softmax", "MatMul", "Erf", "DepthToSpace", "TopK"]
)
def test_compiled(kind: str) -> None:
    assert judge(one(kind)).verdict() == "fits"


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("HardSwish", "Clip"),
        ("LayerNormalization", "ReduceMean"),
        ("Abs", "Max"),
        ("Gelu", "Erf"),
        ("QuantizeLinear", "float"),
    ],
)
def test_refused(kind: str, remedy: str) -> None:
    placement = judge(one(kind))
    (placed,) = placement.operators
    assert (placement.verdict(), placed.placement) == ("violates", "unsupported")
    assert placed.reason
    assert placed.remedy is not None and remedy in placed.remedy


def test_what_nobody_tried_is_not_known() -> None:
    placement = judge(one("DeformConv"))
    assert (placement.verdict(), placement.operators[0].cause) == ("not_known", "unknown")
    assert placement.totals()["mapped_operators"] is None


@pytest.mark.parametrize("level", [None, "OpenVINO 2020.3"])
def test_an_older_plugin_is_not_known(level: str | None) -> None:
    assert judge(one("Relu"), level).verdict() == "not_known"


@pytest.mark.parametrize(
    ("kept", "broken"),
    [
        (one("Conv", (1, 8, 16, 16)), one("Conv", (1, 8, 4, 16, 16))),
        (one("Conv", (1, 8, 16)), one("Conv", (1, 8, 4, 16, 16))),
        (one("Pad", (1, 8, 16, 16)), one("Pad", (1, 8, 16))),
        (one("Resize", mode="linear"), one("Resize", mode="cubic")),
        (one("DequantizeLinear", (8, 3, 3, 3), dtype="int8", stored=True), one("DequantizeLinear")),
    ],
    ids=["axes of a convolution", "1-D convolution", "axes of a padding", "resize", "stored weights"],
)
def test_limits(kept: Graph, broken: Graph) -> None:
    assert judge(kept).verdict() == "fits"
    assert judge(broken).verdict() == "violates"


@pytest.mark.parametrize(
    ("graph", "rule"),
    [
        (one("Relu", opset=14), "opset"),
        (one("Relu", (None, 8, 16, 16)), "dynamic_shape"),
        (one("Relu", dtype="int64"), "input_type"),
    ],
)
def test_violations(graph: Graph, rule: str) -> None:
    placement = judge(graph)
    (violation,) = placement.violations
    assert violation.rule == rule
    assert violation.remedy and violation.source
    assert placement.verdict() == "violates"
