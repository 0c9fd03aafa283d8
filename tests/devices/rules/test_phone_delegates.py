"""The rules of Core ML and NNAPI, as TensorFlow Lite's delegates reach them."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Fact, Operators
from edgekit.devices.profiles import load_profiles
from edgekit.devices.rules import RULES
from edgekit.graph import Graph, Operator, Quantization, TensorInfo

IMAGE = (1, 8, 8, 4)


def judge(rules: str, graph: Graph, level: str | None = None) -> Placement:
    stated = None if level is None else Fact[str](value=level, source="test")
    profile = load_profiles()["android-cpu"]
    return RULES.get(rules).place(graph, profile.model_copy(update={"operators": Operators(rules=rules, level=stated)}))


def fed(shape: tuple[int | None, ...] = IMAGE, dtype: str = "float32", **more: Any) -> TensorInfo:
    return TensorInfo("x", shape, dtype, **more)


def stored(
    shape: tuple[int, ...], values: tuple[int, ...] | None = None, dtype: str = "float32", **more: Any
) -> TensorInfo:
    return TensorInfo("stored", shape, dtype, True, values=values, **more)


def one(
    kind: str,
    *inputs: TensorInfo,
    out: TensorInfo | None = None,
    version: int = 1,
    pair: bool = False,
    **attributes: Any,
) -> Graph:
    """An operator, with a RELU behind it if ``pair`` (Core ML takes parts of two)."""
    result = out or TensorInfo("y", IMAGE, "float32")
    tensors = (*inputs, result, TensorInfo("z", result.shape, "float32"))
    place = len(inputs)
    operators = [Operator(0, kind, tuple(range(place)), (place,), version, attributes=attributes)]
    if pair:
        operators.append(Operator(1, "RELU", (place,), (place + 1,), 1))
    fed_places = tuple(index for index, tensor in enumerate(inputs) if not tensor.constant)
    return Graph("tflite", tensors, tuple(operators), fed_places, (place + pair,))


WEIGHTS, BIAS = stored((4, 3, 3, 4)), stored((4,))

CORE_ML = {
    "quantized": (("ADD", fed(), fed()), {}, ("ADD", fed(dtype="int8"), fed(dtype="int8")), {}),
    "weights": (("CONV_2D", fed(), WEIGHTS, BIAS), {}, ("CONV_2D", fed(), fed(), BIAS), {}),
    "version": (("LOGISTIC", fed()), {}, ("LOGISTIC", fed()), {"version": 2}),
    "spread": (("MUL", fed(), fed((1, 1, 1, 4))), {}, ("MUL", fed(), fed((1, 8, 1, 4))), {}),
    "a single number": (("ADD", fed((2, 8, 8, 4)), stored((1,))), {}, ("ADD", fed((2, 8, 8, 4)), fed((1,))), {}),
    "channels": (
        ("CONCATENATION", fed(), fed()),
        {"axis": 3},
        ("CONCATENATION", fed(), fed()),
        {"axis": 1},
    ),
    "mean": (
        ("MEAN", fed(), stored((2,), (1, 2), "int32")),
        {"keep_dims": True},
        ("MEAN", fed(), stored((2,), (1, 2), "int32")),
        {"keep_dims": False},
    ),
    "axes of a mean": (
        ("MEAN", fed(), stored((2,), (1, -2), "int32")),
        {"keep_dims": True},
        ("MEAN", fed(), stored((2,), (2, 3), "int32")),
        {"keep_dims": True},
    ),
    "padding": (
        ("PAD", fed(), stored((4, 2), (0, 0, 1, 1, 1, 1, 0, 0), "int32")),
        {},
        ("PAD", fed(), stored((4, 2), (0, 0, 1, 1, 1, 1, 0, 1), "int32")),
        {},
    ),
    "dense": (
        ("FULLY_CONNECTED", fed((1, 4)), stored((8, 4)), stored((8,))),
        {},
        ("FULLY_CONNECTED", fed((2, 4)), stored((8, 4)), stored((8,))),
        {},
    ),
}


@pytest.mark.parametrize("name", CORE_ML)
def test_core_ml_limits(name: str) -> None:
    kept, kept_more, broken, broken_more = CORE_ML[name]
    assert judge("coreml", one(*kept, pair=True, **kept_more)).verdict() == "fits"
    placement = judge("coreml", one(*broken, pair=True, **broken_more))
    assert [placed.placement for placed in placement.operators] == ["cpu", "cpu"]
    assert [placed.cause for placed in placement.operators] == ["rejected", "downstream"]


def test_core_ml_takes_no_single_operator() -> None:
    (placed,) = judge("coreml", one("RELU", fed())).operators
    assert (placed.placement, placed.cause) == ("cpu", "downstream")
    assert placed.reason is not None and "at least 2" in placed.reason


def test_core_ml_has_no_reshape() -> None:
    placement = judge("coreml", one("RESHAPE", fed(), stored((2,), (1, 256), "int32"), pair=True))
    assert placement.operators[0].cause == "rejected"
    assert placement.verdict() == "partial"


def test_nnapi_never_says_that_it_fits() -> None:
    placement = judge("nnapi", one("CONV_2D", fed(), WEIGHTS, BIAS), "NNAPI 1.3")
    assert (placement.verdict(), placement.operators[0].placement) == ("not_known", "not_known")
    assert any("1 of 1 operators" in note for note in placement.notes)


def test_nnapi_of_unknown_level() -> None:
    placement = judge("nnapi", one("RELU", fed()))
    assert placement.verdict() == "not_known"
    assert placement.notes


PER_CHANNEL = Quantization((0.1, 0.2), (0, 0), 0)
NNAPI = {
    "dilation": (
        "1.1",
        "1.2",
        one("CONV_2D", fed(), WEIGHTS, BIAS, dilation_wfactor=2, dilation_hfactor=2),
    ),
    "scales by channel": (
        "1.1",
        "1.2",
        one("CONV_2D", fed(dtype="uint8"), stored((2, 3, 3, 4), dtype="uint8", quantization=PER_CHANNEL), BIAS),
    ),
    "half-pixel centres": (
        "1.2",
        "1.3",
        one("RESIZE_BILINEAR", fed(), stored((2,), (4, 4), "int32"), half_pixel_centers=True),
    ),
    "ELU": ("1.2", "1.3", one("ELU", fed())),
    "int8 ADD": ("1.0", "1.3", one("ADD", fed(dtype="int32"), fed(dtype="int32"))),
    "TRANSPOSE": ("1.0", "1.1", one("TRANSPOSE", fed(), stored((4,), (0, 3, 1, 2), "int32"))),
    "kept axes": ("1.2", "1.3", one("FULLY_CONNECTED", fed((1, 4)), stored((8, 4)), BIAS, keep_num_dims=True)),
}


@pytest.mark.parametrize("name", NNAPI)
def test_nnapi_levels(name: str) -> None:
    older, newer, graph = NNAPI[name]
    assert judge("nnapi", graph, f"NNAPI {older}").operators[0].placement == "cpu"
    assert judge("nnapi", graph, f"NNAPI {newer}").operators[0].placement == "not_known"


@pytest.mark.parametrize(
    ("kept", "broken"),
    [
        (one("CONV_2D", fed(), WEIGHTS, BIAS), one("CONV_2D", fed(), WEIGHTS)),
        (one("CONCATENATION", fed(), fed()), one("CONCATENATION", fed(), fed(), fused_activation_function="RELU")),
        (one("LOGISTIC", fed()), one("LOGISTIC", fed(dtype="int16"))),
        (one("TOPK_V2", fed(), stored((), (5,), "int32")), one("TOPK_V2", fed(), fed((), "int32"))),
        (one("PACK", fed(), axis=0), one("PACK", fed(), axis=4)),
        (one("RELU", fed()), one("GATHER_ND", fed(), fed())),
    ],
    ids=["bias", "activation", "type", "constant", "axis", "list"],
)
def test_nnapi_limits(kept: Graph, broken: Graph) -> None:
    assert judge("nnapi", kept, "NNAPI 1.3").operators[0].placement == "not_known"
    (placed,) = judge("nnapi", broken, "NNAPI 1.3").operators
    assert (placed.placement, placed.cause) == ("cpu", "rejected")
    assert placed.remedy


@pytest.mark.parametrize(
    ("kept", "broken"),
    [
        (one("Conv", fed(), WEIGHTS, BIAS), one("Conv", fed(), WEIGHTS, fed((4,)))),
        (one("MaxPool", fed()), one("MaxPool", fed((1, 8, 8)))),
        (one("Pow", fed(), fed()), one("Pow", fed(), fed(dtype="float16"))),
        (one("Softmax", fed()), one("TopK", fed(), BIAS)),
    ],
    ids=["bias", "planes", "type", "list"],
)
def test_core_ml_by_onnx_runtime(kept: Graph, broken: Graph) -> None:
    assert judge("onnxruntime_coreml", kept).verdict() == "fits"
    placement = judge("onnxruntime_coreml", broken)
    assert (placement.verdict(), placement.operators[0].placement) == ("partial", "cpu")
    assert placement.operators[0].remedy


def test_core_ml_by_onnx_runtime_where_the_list_does_not_tell() -> None:
    assert judge("onnxruntime_coreml", one("Resize", fed())).verdict() == "not_known"
