"""TensorRT's rules: models built by onnx and described as any other, judged at the releases where the table changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.devices.placement import Placed, Placement
from edgekit.devices.profile import Fact, Operators, Profile
from edgekit.devices.profiles import load_profiles
from edgekit.devices.rules import RULES
from edgekit.formats.onnx_graph import describe_model
from edgekit.graph import Graph

FLOAT, INT8, UINT8, INT64, BOOL = (
    TensorProto.FLOAT,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT64,
    TensorProto.BOOL,
)


def profile(level: str | None, **changes: Any) -> Profile:
    """Some profile whose device has that TensorRT."""
    stated = None if level is None else Fact[str](value=level, source="test")
    operators = Operators(rules="tensorrt", level=stated)
    return load_profiles()["onnxruntime-cpu"].model_copy(update={"operators": operators, **changes})


def judge(graph: Graph, level: str | None = "TensorRT 8.2", **changes: Any) -> Placement:
    return RULES.get("tensorrt").place(graph, profile(level, **changes))


def one(
    kind: str,
    *shapes: tuple[int | None, ...],
    dtype: int = FLOAT,
    constants: dict[int, np.ndarray] | None = None,
    outputs: int = 1,
    opset: int = 13,
    domain: str = "",
    output_type: int | None = None,
    **attributes: Any,
) -> Graph:
    """A model of one operator: ``shapes`` are of the inputs that are fed, ``constants`` the stored ones by position."""
    constants = constants or {}
    fed = iter(enumerate(shapes))
    names, inputs = [], []
    for position in range(len(shapes) + len(constants)):
        if position in constants:
            names.append(f"stored{position}")
            continue
        index, shape = next(fed)
        names.append(f"x{index}")
        inputs.append(helper.make_tensor_value_info(f"x{index}", dtype, shape))
    made = [f"y{index}" for index in range(outputs)]
    node = helper.make_node(kind, names, made, domain=domain, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        inputs,
        [helper.make_tensor_value_info(name, output_type or dtype, None) for name in made],
        [numpy_helper.from_array(array, f"stored{position}") for position, array in constants.items()],
    )
    return describe_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid(name, opset) for name in {"", domain}])
    )


def only(placement: Placement) -> Placed:
    (placed,) = placement.operators
    return placed


IMAGE = (1, 8, 16, 16)
WEIGHTS = np.ones((4, 8, 3, 3), np.float32)


def test_operators_of_the_list_are_mapped() -> None:
    placement = judge(one("Conv", IMAGE, constants={1: WEIGHTS}))
    assert only(placement).placement == "accelerator"
    assert (only(placement).reason, only(placement).remedy) == (None, None)
    assert (placement.verdict(), placement.subgraphs) == ("fits", 1)


@pytest.mark.parametrize(
    ("kind", "opset", "before", "since"),
    [
        ("GridSample", 16, "8.4", "8.5"),
        ("LayerNormalization", 17, "8.5", "8.6"),
        ("HardSwish", 14, "8.2", "8.4"),
        ("Trilu", 14, "8.4", "8.5"),
        ("Gelu", 20, "8.6", "10.0"),
    ],
)
def test_an_operator_that_a_later_release_has(kind: str, opset: int, before: str, since: str) -> None:
    inputs = {"GridSample": (IMAGE, (1, 4, 4, 2)), "LayerNormalization": (IMAGE, (16,))}
    graph = one(kind, *inputs.get(kind, (IMAGE,)), opset=opset)
    refused = only(judge(graph, f"TensorRT {before}"))
    assert refused.placement == "unsupported"
    assert refused.remedy is not None and f"TensorRT {since} has it" in refused.remedy
    assert only(judge(graph, f"TensorRT {since}")).placement == "accelerator"


@pytest.mark.parametrize(("level", "most"), [("TensorRT 8.2.1", 13), ("TensorRT 8.5", 17), ("TensorRT 10.3", 20)])
def test_opset(level: str, most: int) -> None:
    assert judge(one("Relu", IMAGE, opset=most), level).violations == ()
    (violation,) = judge(one("Relu", IMAGE, opset=most + 1), level).violations
    assert violation.rule == "opset"
    assert f"opset {most + 1}" in violation.message and f"up to opset {most}" in violation.message
    assert violation.source is not None and violation.remedy is not None


def test_opset_too_old_for_ten() -> None:
    graph = one("Relu", IMAGE, opset=8)
    assert judge(graph, "TensorRT 8.2").violations == ()
    assert [violation.rule for violation in judge(graph, "TensorRT 10.1").violations] == ["opset"]


def test_a_patch_release_is_its_release_and_an_unlisted_one_the_nearest() -> None:
    assert judge(one("Relu", IMAGE), "TensorRT 8.2.1").notes == ()
    (note,) = judge(one("Relu", IMAGE), "TensorRT 10.3").notes
    assert "10.1" in note and "10.3" in note


@pytest.mark.parametrize("level", [None, "TensorRT 7.1"])
def test_a_release_without_a_list_is_not_known(level: str | None) -> None:
    placement = judge(one("Relu", IMAGE), level)
    assert (only(placement).placement, placement.verdict()) == ("not_known", "not_known")
    assert placement.totals()["mapped_operators"] is None
    assert placement.notes


def test_types() -> None:
    graph = one("ReduceProd", IMAGE, dtype=INT64, axes=[1])
    refused = only(judge(graph))
    assert (refused.placement, refused.status) == ("unsupported", "type not supported")
    assert refused.reason is not None and "int64" in refused.reason
    assert only(judge(graph, "TensorRT 10.0")).placement == "accelerator"


def test_narrow_types() -> None:
    """8.x reads INT64 as INT32, so an Add of them is one of INT32."""
    assert only(judge(one("Add", (4,), (4,), dtype=INT64))).placement == "accelerator"
    assert only(judge(one("And", (4,), (4,), dtype=BOOL))).placement == "accelerator"
    assert only(judge(one("Add", (4,), (4,), dtype=TensorProto.INT16))).placement == "unsupported"


def test_cast_is_judged_by_both_types() -> None:
    graph = one("Cast", IMAGE, output_type=UINT8, to=UINT8)
    assert only(judge(graph, "TensorRT 8.2")).status == "type not supported"
    assert only(judge(graph, "TensorRT 8.6")).placement == "accelerator"


def test_uint8_inputs_since_ten() -> None:
    graph = one("Cast", IMAGE, dtype=UINT8, output_type=FLOAT, to=FLOAT)
    assert "input_type" in [violation.rule for violation in judge(graph, "TensorRT 8.6").violations]
    assert judge(graph, "TensorRT 10.0").verdict() == "fits"


LIMITS: dict[str, tuple[str, Graph, Graph]] = {
    "weights of 8.2 are constants": (
        "8.2",
        one("Conv", IMAGE, constants={1: WEIGHTS}),
        one("Conv", IMAGE, (4, 8, 3, 3)),
    ),
    "1-D convolution": (
        "8.2",
        one("Conv", IMAGE, constants={1: WEIGHTS}),
        one("Conv", (1, 8, 16), constants={1: WEIGHTS[..., 0]}),
    ),
    "indices of max pooling": (
        "8.2",
        one("MaxPool", IMAGE, kernel_shape=[2, 2]),
        one("MaxPool", IMAGE, kernel_shape=[2, 2], outputs=2),
    ),
    "dilated pooling": (
        "10.0",
        one("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[1, 1]),
        one("MaxPool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2]),
    ),
    "zero points": (
        "8.2",
        one("QuantizeLinear", IMAGE, constants={1: np.float32(0.1), 2: np.int8(0)}, output_type=INT8),
        one("QuantizeLinear", IMAGE, constants={1: np.float32(0.1), 2: np.int8(3)}, output_type=INT8),
    ),
    "K is a constant": (
        "8.2",
        one("TopK", (1, 8), constants={1: np.array([3])}, outputs=2),
        one("TopK", (1, 8), (1,), outputs=2),
    ),
    "K below 3840": (
        "10.1",
        one("TopK", (1, 8000), constants={1: np.array([3839])}, outputs=2),
        one("TopK", (1, 8000), constants={1: np.array([3840])}, outputs=2),
    ),
    "cubic resize": (
        "8.2",
        one("Resize", IMAGE, constants={1: np.float32([]), 2: np.float32([1, 1, 2, 2])}, mode="linear"),
        one("Resize", IMAGE, constants={1: np.float32([]), 2: np.float32([1, 1, 2, 2])}, mode="cubic"),
    ),
    "antialias": (
        "10.0",
        one("Resize", IMAGE, constants={1: np.float32([]), 2: np.float32([1, 1, 2, 2])}, opset=18, antialias=0),
        one("Resize", IMAGE, constants={1: np.float32([]), 2: np.float32([1, 1, 2, 2])}, opset=18, antialias=1),
    ),
    "resize of some axes": (
        "10.0",
        one("Resize", IMAGE, constants={1: np.float32([]), 2: np.float32([1, 1, 2, 2])}, opset=18, axes=[0, 1, 2, 3]),
        one("Resize", IMAGE, constants={1: np.float32([]), 2: np.float32([2, 2])}, opset=18, axes=[2, 3]),
    ),
    "einsum: a diagonal": (
        "8.2",
        one("Einsum", (4, 8), (8, 4), equation="ij,jk->ik"),
        one("Einsum", (4, 4), (4, 4), equation="ii,jk->ik"),
    ),
    "einsum: an ellipsis": (
        "8.2",
        one("Einsum", (4, 8), (8, 4), equation="ij,jk->ik"),
        one("Einsum", (4, 8), (8, 4), equation="...j,jk->...k"),
    ),
    "reduction of ScatterND": (
        "10.0",
        one("ScatterND", (4, 4), constants={1: np.array([[0]]), 2: np.ones((1, 4), np.float32)}, opset=18),
        one(
            "ScatterND",
            (4, 4),
            constants={1: np.array([[0]]), 2: np.ones((1, 4), np.float32)},
            opset=18,
            reduction="add",
        ),
    ),
    "axes are constants": (
        "10.0",
        one("ReduceSum", IMAGE, constants={1: np.array([1])}),
        one("ReduceSum", IMAGE, (1,)),
    ),
}


@pytest.mark.parametrize(("release", "kept", "broken"), LIMITS.values(), ids=LIMITS.keys())
def test_limits(release: str, kept: Graph, broken: Graph) -> None:
    assert only(judge(kept, f"TensorRT {release}")).placement == "accelerator"
    refused = only(judge(broken, f"TensorRT {release}"))
    assert (refused.placement, refused.status) == ("unsupported", "limit not kept")
    assert refused.reason


@pytest.mark.parametrize("case", ["weights of 8.2 are constants", "1-D convolution"])
def test_limits_that_a_later_release_dropped(case: str) -> None:
    assert only(judge(LIMITS[case][2], "TensorRT 8.5")).placement == "accelerator"


def test_weights_behind_a_dequantize_are_constants() -> None:
    weights = np.ones((4, 8, 3, 3), np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wf"]),
        helper.make_node("Conv", ["x", "wf"], ["y"]),
    ]
    stored = {"w": weights, "s": np.float32(0.1), "z": np.int8(0)}
    graph = helper.make_graph(
        nodes,
        "qdq",
        [helper.make_tensor_value_info("x", FLOAT, IMAGE)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    model = describe_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
    assert judge(model).verdict() == "fits"


def test_a_quantized_model_on_a_device_without_int8() -> None:
    graph = LIMITS["zero points"][1]
    assert judge(graph).verdict() == "fits"
    why = {"int8": Fact[str](value="its GPU has no INT8", source="a page")}
    left = {name: precision for name, precision in profile(None).precisions.items() if name != "int8"}
    (violation,) = judge(graph, excluded=why, precisions=left).violations
    assert (violation.rule, violation.source) == ("precision", "a page")
    assert "its GPU has no INT8" in violation.message


def test_an_operator_of_another_domain() -> None:
    refused = only(judge(one("Gelu", IMAGE, domain="com.microsoft", output_type=FLOAT), "TensorRT 10.0"))
    assert refused.placement == "unsupported"
    assert refused.reason is not None and "com.microsoft" in refused.reason


def test_what_a_graph_does_not_hold_is_not_known() -> None:
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["out"], value_float=1.0)],
        "branch",
        [],
        [helper.make_tensor_value_info("out", FLOAT, ())],
    )
    graph = one("If", (), dtype=BOOL, output_type=FLOAT, then_branch=branch, else_branch=branch)
    assert judge(graph).verdict() == "not_known"


def test_a_detector(shared_data: Any) -> None:
    """FastestDet: convolutions, pooling, a resize, concatenations; no operator that a Jetson Nano lacks."""
    path: Path = shared_data("detection/FastestDet.onnx")
    placement = judge(describe_model(onnx.load(path)))
    assert placement.verdict() == "fits", [placed for placed in placement.operators if placed.cause != "mapped"]
