"""Latency estimates: the published architectures, the fit, and what an estimate says (no time is measured here)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgekit.devices import load_profiles
from edgekit.devices.assume import assume_quantized
from edgekit.devices.latency import _SHOWN, Estimate, estimate, is_layer, load_rates, measure
from edgekit.devices.placement import Placed, Placement, Violation
from edgekit.graph import Graph, Operator, TensorInfo

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

#: Parameters and multiply-accumulates in millions, as published: torchvision's model pages; TensorFlow's model page of
#: MobileNet v1; timm's of Inception v4, Inception-ResNet v2 and EfficientNet-EdgeTpu; half of the FLOPs that
#: the makers of YOLOX and YOLOv8 give.
PUBLISHED = {
    "alexnet": (61.100840, 714),
    "vgg11": (132.863336, 7609),
    "vgg13": (133.047848, 11308),
    "vgg16": (138.357544, 15470),
    "vgg19": (143.667240, 19632),
    "mobilenet_v1": (4.24, 569),
    "mobilenet_v1_0.25_128": (0.47, 14),
    "mobilenet_v1_0.5_160": (1.34, 77),
    "mobilenet_v2": (3.504872, 301),
    "mobilenet_v3_large": (5.483032, 217),
    "mobilenet_v3_small": (2.542856, 57),
    "mnasnet_0.5": (2.218512, 104),
    "mnasnet_0.75": (3.170208, 215),
    "mnasnet_1.0": (4.383312, 314),
    "mnasnet_1.3": (6.282256, 526),
    "squeezenet_1.0": (1.248424, 819),
    "squeezenet_1.1": (1.235496, 349),
    "resnet18": (11.689512, 1814),
    "resnet34": (21.797672, 3664),
    "resnet50": (25.557032, 4089),
    "resnet101": (44.549160, 7801),
    "resnet152": (60.192808, 11514),
    "densenet121": (7.978856, 2834),
    "densenet161": (28.681000, 7728),
    "densenet169": (14.149480, 3360),
    "densenet201": (20.013928, 4291),
    "inception_v1": (6.624904, 1498),
    "inception_v3": (23.8138248, 5713),
    "inception_v4": (42.679816, 12270),
    "inception_resnet_v2": (55.843464, 13180),
    "efficientnet_edgetpu_s": (5.438392, 1810),
    "efficientnet_edgetpu_m": (6.899496, 3040),
    "efficientnet_edgetpu_l": (10.589712, 8000),
    "yolox_s_640": (8.968255, 13400),
    "yolox_m_640": (25.3, 36900),
    "yolox_l_640": (54.2, 77800),
    "yolov8n_640": (3.2, 4350),
    "yolov8s_640": (11.2, 14300),
    "yolov8m_640": (25.9, 39450),
}
#: Half a unit of the last digit that was published, where that is more than rounding to a thousandth.
ROUNDED = {
    "mobilenet_v1_0.25_128": (0.005, 0.5),
    "mobilenet_v1_0.5_160": (0.005, 0.5),
    "efficientnet_edgetpu_s": (0, 5),
    "yolox_m_640": (0.05, 25),
    "yolox_l_640": (0.05, 25),
    "yolov8n_640": (0.05, 25),
    "yolov8s_640": (0.05, 25),
    "yolov8m_640": (0.05, 25),
}


@pytest.fixture(scope="module")
def benchmarks() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import latency_estimates

        yield latency_estimates
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("name", PUBLISHED)
def test_layer_tables_have_the_published_counts(benchmarks: ModuleType, name: str) -> None:
    graph = benchmarks.build(name)
    params, macs = PUBLISHED[name]
    more_params, more_macs = ROUNDED.get(name, (0, 0.5))
    assert graph.params / 1e6 == pytest.approx(params, rel=0.01, abs=0.01 * params + more_params)
    assert graph.macs / 1e6 == pytest.approx(macs, rel=0.01, abs=0.01 * macs + more_macs)


def test_refitting_gives_the_committed_rates(benchmarks: ModuleType) -> None:
    from ruamel.yaml import YAML

    committed = YAML(typ="safe", pure=True).load(benchmarks.RATES)["profiles"]
    fitted = benchmarks.fit_all()
    assert fitted.keys() == committed.keys()
    for profile, precisions in fitted.items():
        assert precisions.keys() == committed[profile].keys()
        for precision, entry in precisions.items():
            _same(entry, committed[profile][precision])


def _same(fitted: dict[str, Any], committed: dict[str, Any]) -> None:
    assert fitted.keys() == committed.keys()
    for name, value in fitted.items():
        if name == "host":
            _same(value, committed["host"])
        elif name == "ms":
            assert value == pytest.approx(committed["ms"], rel=1e-2, abs=1e-6)
        elif isinstance(value, float):
            assert value == pytest.approx(committed[name], abs=2e-3)
        else:
            assert value == committed[name]


def test_the_fit_finds_rates_that_explain_every_time_but_one(benchmarks: ModuleType) -> None:
    rows = [{"macs": float(macs), "inference": 1.0} for macs in (10, 100, 400, 1000, 3000, 9000, 20000)]
    times = [2.0 + 0.004 * row["macs"] for row in rows]
    times[4] *= 3
    assert benchmarks.fit(rows, times) == pytest.approx({"macs": 0.004, "inference": 2.0}, rel=0.05)


def test_the_figures_are_those_of_the_profiles(benchmarks: ModuleType) -> None:
    """By hand: the README of kentaroy47 has 18, 30, 42 ms; a model that is excluded or has no layer table is out."""
    figures = benchmarks.load_figures()
    nano = figures["jetson-nano"]["fp16"]["figures"]
    assert [nano[f"resnet{depth}_256"] for depth in (18, 34, 50)] == [18, 30, 42]
    assert "github.com/kentaroy47/" in figures["jetson-nano"]["fp16"]["source"]
    assert "efficientnet_edgetpu_s" in figures["coral"]["int8"]["figures"]
    assert "efficientnet_edgetpu_s" not in figures["coral"]["int8"]["host"]["figures"]
    assert len(figures["oak"]["fp16"]["figures"]) == 6  # of nine models


def test_figures_of_others_are_not_fitted_on_and_their_distance_is_told(benchmarks: ModuleType) -> None:
    entry = benchmarks.load_figures()["jetson-orin-nano"]["fp16"]
    assert not set(entry["against"]) & set(entry["figures"])
    errors = sorted(abs(error) for _, _, error in benchmarks.others(entry))
    assert len(errors) == 3
    assert benchmarks.conditions_of(entry).endswith(
        f"3 figures by others, taken otherwise, are {100 * errors[1]:.0f} % off"
    )
    assert load_rates()["jetson-orin-nano"]["fp16"].conditions == benchmarks.conditions_of(entry)
    nano = benchmarks.load_figures()["jetson-nano"]["fp16"]
    assert benchmarks.conditions_of(nano) == nano["conditions"]


def test_two_latencies_of_one_model_are_not_chosen_among(benchmarks: ModuleType) -> None:
    nano = load_profiles()["jetson-nano"]
    entry = {"figures": ["TensorRT, FP16", "TensorRT, FP32"]}
    with pytest.raises(ValueError, match="two latencies of ResNet-18 256"):
        benchmarks._take_figures(entry, nano, {"ResNet-18 256": "resnet18_256"})
    with pytest.raises(ValueError, match="no latency under"):
        benchmarks._take_figures({"figures": ["on the moon"]}, nano, {})


def test_what_was_reached(benchmarks: ModuleType) -> None:
    """The aim of 25 % median for the USB accelerator and the Jetson Nano; others that came below it."""
    rates = load_rates()
    for name in ("jetson-xavier-nx", "jetson-orin-nano", "jetson-agx-orin", "raspberry-pi-4", "raspberry-pi-5"):
        assert rates[name]["fp16"].typical_error <= 0.25 and rates[name]["fp16"].models >= 6
    assert rates["coral"]["int8"].typical_error <= 0.25
    assert rates["jetson-nano"]["fp16"].typical_error <= 0.25


def test_every_profile_of_the_table_exists_and_has_that_precision() -> None:
    profiles = load_profiles()
    for name, precisions in load_rates().items():
        assert set(precisions) <= set(profiles[name].precisions)


def test_features_of_a_small_network_by_hand() -> None:
    graph = _network()
    assert measure(graph, graph.operators, 7) == {
        "macs": 13824 + 1152 + 1280,
        "spatial_macs": 13824,
        "depthwise_macs": 1152,
        "pointwise_macs": 1280,
        "weights": 224 + 80 + 1290,
        "activations": (192 + 512) + (512 + 128) + (128 + 10),  # the activation function and the reshape are free
        "layers": 3,
        "streamed": 7,
        "inference": 1,
    }


def test_a_free_batch_counts_as_one_and_another_free_size_as_not_known(benchmarks: ModuleType) -> None:
    graph, profile = benchmarks.build("mobilenet_v2"), load_profiles()["raspberry-pi-4"]
    found = estimate(graph, profile)
    assert found is not None and found == estimate(_with_input(graph, (None, 224, 224, 3)), profile)
    assert estimate(_with_input(graph, (1, None, 224, 3)), profile) is None


def test_half_precision_weights_behind_a_dequantize_are_no_activations() -> None:
    graph = _network()
    tensors = (*graph.tensors, TensorInfo("half", (8, 3, 3, 3), "float16", True))
    tensors = (tensors[0], replace(tensors[1], constant=False), *tensors[2:])
    first = Operator(9, "DEQUANTIZE", (len(tensors) - 1,), (1,))
    stored = replace(graph, tensors=tensors, operators=(first, *graph.operators))
    assert measure(stored, stored.operators) == measure(graph, graph.operators)


def test_onnx_weights_have_their_window_behind_the_channels() -> None:
    tensors = (
        TensorInfo("x", (1, 8, 4, 4), "float32"),
        TensorInfo("w", (8, 1, 3, 3), "float32", True),
        TensorInfo("y", (1, 8, 4, 4), "float32"),
        TensorInfo("v", (4, 8, 1, 1), "float32", True),
        TensorInfo("z", (1, 4, 4, 4), "float32"),
    )
    operators = (Operator(0, "Conv", (0, 1), (2,), macs=1152), Operator(1, "Conv", (2, 3), (4,), macs=512))
    found = measure(Graph("onnx", tensors, operators, (0,), (4,)), operators)
    assert (found["depthwise_macs"], found["pointwise_macs"], found["spatial_macs"]) == (1152, 512, 0)


def test_the_text_names_the_error() -> None:
    assert Estimate(42.31, 0.118, 0.4, 17, "", "").text == "about 42 ms (estimate, typical error 12 %)"
    assert Estimate(0.8512, 0.3, 0.4, 17, "", "").text == "about 0.85 ms (estimate, typical error 30 %)"
    assert Estimate(1234.0, 0.3, 0.4, 17, "", "").text == "about 1200 ms (estimate, typical error 30 %)"
    assert Estimate(9.96, 0.3, 0.4, 17, "", "").text == "about 10 ms (estimate, typical error 30 %)"
    assert Estimate(42.0, 0.18, 0.18, 4, "", "").text == "about 42 ms (estimate, of 4 models, worst error 18 %)"


def test_a_device_without_figures_or_without_that_precision_has_no_estimate(benchmarks: ModuleType) -> None:
    graph, profiles = benchmarks.build("mobilenet_v2"), load_profiles()
    assert estimate(graph, profiles["kirin-970"]) is None
    assert estimate(graph, profiles["raspberry-pi-4"], precision="int8") is None
    assert estimate(assume_quantized(graph), profiles["raspberry-pi-4"]) is None


def test_no_estimate_for_what_would_not_run(benchmarks: ModuleType) -> None:
    graph, profile = benchmarks.build("mobilenet_v2"), load_profiles()["coral"]
    placed = tuple(_placed(operator, "accelerator") for operator in graph.operators)
    assert estimate(graph, profile, Placement("predicted", placed)) is not None
    assert estimate(graph, profile, Placement("predicted", placed, violations=(Violation("rank", "no"),))) is None
    assert estimate(graph, profile, Placement("predicted", placed[1:])) is None


def test_no_estimate_far_from_the_published_times(benchmarks: ModuleType) -> None:
    graph, profiles = benchmarks.build("vgg19"), load_profiles()
    assert estimate(graph, profiles["android-cpu"]) is None
    assert estimate(_network(), profiles["coral"]) is None


def test_no_estimate_for_attention_which_no_published_model_has(benchmarks: ModuleType) -> None:
    graph, profile = benchmarks.build("mobilenet_v2"), load_profiles()["raspberry-pi-4"]
    assert estimate(graph, profile) is not None
    side = (1, 64, 64)
    for constant in (True, False):
        new = (TensorInfo("q", side, "float32"), TensorInfo("k", side, "float32", constant), TensorInfo("s", side, ""))
        first = len(graph.tensors)
        product = Operator(len(graph.operators), "BATCH_MATMUL", (first, first + 1), (first + 2,), macs=64**3)
        more = replace(graph, tensors=(*graph.tensors, *new), operators=(*graph.operators, product))
        assert (estimate(more, profile) is not None) == constant


def test_no_estimate_where_much_of_the_time_goes_to_layers_that_no_published_model_has(benchmarks: ModuleType) -> None:
    graph, profile = benchmarks.build("mobilenet_v2"), load_profiles()["coral"]

    def with_sums(count: int) -> Graph:
        last = len(graph.tensors)
        pictures = [TensorInfo(f"p{place}", (1, 56, 56, 64), "float32") for place in range(2 * count)]
        added = [Operator(len(graph.operators) + n, "SUM", (last + 2 * n,), (last + 2 * n + 1,)) for n in range(count)]
        return replace(graph, tensors=(*graph.tensors, *pictures), operators=(*graph.operators, *added))

    assert estimate(with_sums(2), profile) is not None
    assert estimate(with_sums(60), profile) is None


def test_published_models_have_the_layers_that_an_estimate_rests_on(benchmarks: ModuleType) -> None:
    for name in PUBLISHED:
        graph = benchmarks.build(name)
        assert {one.type for one in graph.operators if is_layer(graph, one)} <= _SHOWN, name


def test_beyond_the_published_times_the_error_is_the_worst(benchmarks: ModuleType) -> None:
    profile, rates = load_profiles()["oak"], load_rates()["oak"]["fp16"]
    near, far = (estimate(benchmarks.build(name), profile) for name in ("resnet50", "yolov8m_640"))
    assert near is not None and near.typical_error == rates.typical_error < near.worst_error
    assert far is not None and far.ms > 2 * rates.slowest
    assert far.typical_error == far.worst_error == rates.worst_error


def test_of_few_models_the_error_is_that_of_the_worst() -> None:
    for precisions in load_rates().values():
        for rates in precisions.values():
            assert rates.typical_error <= rates.worst_error
            assert rates.models >= 6 or rates.typical_error == rates.worst_error


def test_operators_on_the_cpu_take_its_time(benchmarks: ModuleType) -> None:
    graph, profile = benchmarks.build("mobilenet_v2"), load_profiles()["coral"]
    host = load_rates()["coral"]["int8"].host
    tail = graph.operators[-6:]
    fast, slow = estimate(graph, profile, _on_cpu(graph, ())), estimate(graph, profile, _on_cpu(graph, tail))
    assert host is not None and fast is not None and slow is not None
    moved = measure(graph, tail)
    there = (host.ms["macs"] * moved["macs"] + host.ms["activations"] * moved["activations"]) / 1e6
    assert slow.ms > max(there, fast.ms)
    assert slow.worst_error >= host.worst_error


def test_kinds_that_no_published_model_has_on_the_cpu_may_take_little_time(benchmarks: ModuleType) -> None:
    graph, profile = benchmarks.build("mobilenet_v2"), load_profiles()["coral"]

    def with_last(kind: str, sides: int) -> Graph:
        last = len(graph.tensors)
        pictures = [TensorInfo(f"p{side}", (1, sides, sides, 21), "float32") for side in range(2)]
        added = Operator(len(graph.operators), kind, (last,), (last + 1,))
        return replace(graph, tensors=(*graph.tensors, *pictures), operators=(*graph.operators, added))

    small, large, boxes = with_last("ARG_MAX", 4), with_last("ARG_MAX", 512), with_last("CUSTOM", 4)
    assert estimate(small, profile, _on_cpu(small, small.operators[-1:])) is not None
    assert estimate(large, profile, _on_cpu(large, large.operators[-1:])) is None
    assert estimate(boxes, profile, _on_cpu(boxes, boxes.operators[-1:])) is None


def test_parameters_beyond_the_chips_store_are_streamed(benchmarks: ModuleType) -> None:
    graph, profile = benchmarks.build("mobilenet_v2"), load_profiles()["coral"]
    rates = load_rates()["coral"]["int8"]
    placement = _on_cpu(graph, ())
    small, large = (
        estimate(graph, profile, replace(placement, memory={"streamed_parameter_bytes": count}))
        for count in (0, 10_000_000)
    )
    assert small is not None and large is not None
    assert large.ms - small.ms == pytest.approx(10 * rates.ms["streamed"])


def test_the_smaller_board_is_slower(benchmarks: ModuleType) -> None:
    """The Nano has half of the TX2's cores, and its rates come from other people's figures."""
    profiles = load_profiles()
    for name in ("inception_v3", "resnet50", "vgg16", "mobilenet_v1"):
        nano, tx2 = (estimate(benchmarks.build(name), profiles[board]) for board in ("jetson-nano", "jetson-tx2"))
        assert nano is not None and tx2 is not None and nano.ms > tx2.ms


def _placed(operator: Operator, where: Any) -> Placed:
    cause: Any = "mapped" if where == "accelerator" else "rejected"
    return Placed(operator.index, operator.type, operator.name, where, "", cause, macs=operator.macs)


def _on_cpu(graph: Graph, tail: Sequence[Operator]) -> Placement:
    left = {operator.index for operator in tail}
    placed = (_placed(operator, "cpu" if operator.index in left else "accelerator") for operator in graph.operators)
    return Placement("predicted", tuple(placed))


def _network() -> Graph:
    """8x8x3 -> 3x3 convolution to 8 channels -> ReLU -> 3x3 depthwise, stride 2 -> fully connected to 10."""
    tensors = (
        TensorInfo("x", (1, 8, 8, 3), "float32"),
        TensorInfo("w1", (8, 3, 3, 3), "float32", True),
        TensorInfo("b1", (8,), "float32", True),
        TensorInfo("y1", (1, 8, 8, 8), "float32"),
        TensorInfo("r1", (1, 8, 8, 8), "float32"),
        TensorInfo("w2", (1, 3, 3, 8), "float32", True),
        TensorInfo("y2", (1, 4, 4, 8), "float32"),
        TensorInfo("flat", (1, 128), "float32"),
        TensorInfo("w3", (10, 128), "float32", True),
        TensorInfo("y3", (1, 10), "float32"),
    )
    operators = (
        Operator(0, "CONV_2D", (0, 1, 2), (3,), macs=13824, params=224),
        Operator(1, "RELU", (3,), (4,)),
        Operator(2, "DEPTHWISE_CONV_2D", (4, 5), (6,), macs=1152, params=80),
        Operator(3, "RESHAPE", (6,), (7,)),
        Operator(4, "FULLY_CONNECTED", (7, 8), (9,), macs=1280, params=1290),
    )
    return Graph("tflite", tensors, operators, (0,), (9,))


def _with_input(graph: Graph, shape: tuple[int | None, ...]) -> Graph:
    return replace(graph, tensors=(replace(graph.tensors[0], shape=shape), *graph.tensors[1:]))
