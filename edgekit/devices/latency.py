"""Graph + profile -> how long one inference takes, estimated: work by class of operator times the device's rates.

The rates were fitted on published benchmarks (``benchmarks/latency_estimates.py``) and stand in ``latency.yaml`` with
their sources and with the errors of leave-one-out: each published model estimated from all the others. A device with
too few figures, or a model of which part would run nowhere, gets no estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import floor, log10, prod
from pathlib import Path
from typing import Any

from edgekit.devices.assume import is_float
from edgekit.devices.judge import is_integer
from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.graph import Graph, Operator, TensorInfo

#: What a rate is the time of: a million of each feature but for these, which are counted one by one.
MILLION = 1e6
_COUNTED = frozenset({"layers", "inference"})

_CONVOLUTIONS = frozenset({"CONV_2D", "TRANSPOSE_CONV", "DEPTHWISE_CONV_2D", "Conv", "ConvTranspose"})
#: Format -> which axes of a convolution's weights are those of its window.
_WINDOW = {"tflite": slice(1, 3), "onnx": slice(2, None)}
#: Part of the operator before them, or nothing but another look at the same numbers.
_FREE = frozenset(
    {"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE", "DEQUANTIZE", "RELU", "RELU6", "SHAPE", "RELU_N1_TO_1"}
    | {"LEAKY_RELU", "PRELU", "LOGISTIC", "TANH", "HARD_SWISH"}
    | {"Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Reshape", "Flatten"}
    | {"Squeeze", "Unsqueeze", "Identity", "Constant", "Cast", "Shape", "QuantizeLinear", "DequantizeLinear", "Dropout"}
)
#: Beside a constant they are a bias of the operator before them.
_BIAS = frozenset({"ADD", "SUB", "Add", "Sub"})


#: How long these take depends on the numbers, or on a loop or an operator that nothing describes.
_DATA_DEPENDENT = frozenset(
    {"NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "TFLite_Detection_PostProcess", "CUSTOM", "WHILE", "IF"}
    | {"NonMaxSuppression", "NonZero", "Loop", "If", "Scan"}
)
#: Products of two computed matrices (attention): none of the published models has one, so their figures tell nothing.
_PRODUCTS = frozenset({"BATCH_MATMUL", "FULLY_CONNECTED", "MatMul", "Gemm"})
#: The layers that the published models have (benchmarks/published_models.py), in the words of both formats.
_SHOWN = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN"}
    | {"ADD", "MUL", "CONCATENATION", "SPLIT", "PAD", "SPACE_TO_DEPTH", "RESIZE_NEAREST_NEIGHBOR", "RESIZE_BILINEAR"}
    | {"Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool", "GlobalAveragePool", "MaxPool", "ReduceMean", "Pad"}
    | {"Add", "Mul", "Concat", "Split", "Slice", "SpaceToDepth", "Resize", "BatchNormalization"}
    | {"SOFTMAX", "Softmax"}
)
#: Beyond so many times the slowest published model the error is that of the worst of them; from the second factor on,
#: and below half of the fastest, there is no estimate.
_SLOW, _TOO_SLOW, _TOO_FAST = 2, 10, 0.5
#: The share of the time that operators on the CPU may take of which the published models have none.
_LITTLE = 0.1
#: The same of the device itself: more than that, and the model is of another kind (attention, written with products and
#: sums of whole tensors), of which the published times tell nothing.
_UNLIKE = 0.25


@dataclass(frozen=True)
class Rates:
    """The rates of one device at one precision: ``ms`` by feature, for a million of it (of layers and inferences: for
    one). ``errors``: shares of the published time, of the typical (median) and of the worst published model left out.

    ``cache_bytes``: of parameters, those beyond it are fetched for every inference (None: there is no such store).
    ``depthwise``: whether the published models tell what depthwise convolutions cost; where not, a model with some gets
    no estimate (on GPUs one multiply-accumulate of theirs costs as much as a hundred others).
    ``fastest``, ``slowest``: the published times in ms, from the least to the most.
    ``operators``: the types that the published models have; an estimate rests on them (those of a CPU alone are told).
    ``host``: the rates of the CPU beside the accelerator, for operators that are left to it (None: not known).
    """

    ms: Mapping[str, float]
    typical_error: float
    worst_error: float
    models: int
    conditions: str
    source: str
    fastest: float
    slowest: float
    depthwise: bool
    operators: frozenset[str] | None = None
    cache_bytes: int | None = None
    host: Rates | None = None


@dataclass(frozen=True)
class Estimate:
    """Milliseconds per inference, and the errors of such estimates for the published models (shares: 0.2 is 20 %)."""

    ms: float
    typical_error: float
    worst_error: float
    models: int
    conditions: str
    source: str

    @property
    def text(self) -> str:
        """``about 42 ms (estimate, typical error 12 %)``; where the error is that of the worst model, because there are
        few or the time is far beyond theirs, ``about 42 ms (estimate, of 4 models, worst error 18 %)``."""
        about = f"about {_two_digits(self.ms)} ms (estimate"
        if self.typical_error == self.worst_error:
            return f"{about}, of {self.models} models, worst error {100 * self.worst_error:.0f} %)"
        return f"{about}, typical error {100 * self.typical_error:.0f} %)"

    def to_dict(self) -> dict[str, Any]:
        return {
            "ms": round(self.ms, 3),
            "typical_error": self.typical_error,
            "worst_error": self.worst_error,
            "models": self.models,
            "conditions": self.conditions,
            "source": self.source,
            "text": self.text,
        }


def estimate(
    graph: Graph, profile: Profile, placement: Placement | None = None, *, precision: str | None = None
) -> Estimate | None:
    """How long one inference takes on the device at ``precision`` (default: the profile's first).

    None where that cannot be told: too few published figures of the device; a graph in integers where the figures are
    of floating point; sizes that are not known; operators that run nowhere, or on a CPU whose rates are not known, or
    of a kind whose time does not follow from sizes; attention and other layers which no published model has; a time far
    beyond the published ones.
    """
    precision = precision or profile.default_precision
    rates = load_rates().get(profile.name, {}).get(precision)
    if rates is None or (placement is not None and placement.verdict() == "violates"):
        return None
    if not is_integer(profile, precision) and not is_float(graph):
        return None
    here = _split(graph, placement)
    if here is None:
        return None
    on_device, on_host = here
    on_host = [operator for operator in on_host if is_layer(graph, operator)]
    if _share_unlike(graph, on_device, rates) > _UNLIKE:
        return None
    ms = _time(graph, on_device, streamed_bytes(graph, placement, rates.cache_bytes), rates)
    if ms is None or not on_host:
        return None if ms is None else _conclude(ms, [rates])
    on_cpu = _time(graph, on_host, 0, rates.host)
    if on_cpu is None or rates.host is None or rates.host.operators is None:
        return None
    unseen = _time(graph, [one for one in on_host if one.type not in rates.host.operators], 0, rates.host)
    if unseen is None or unseen > _LITTLE * (ms + on_cpu):
        return None
    return _conclude(ms + on_cpu, [rates, rates.host])


def _conclude(ms: float, used: list[Rates]) -> Estimate | None:
    """``used`` begins with the device's own rates."""
    rates = used[0]
    if not rates.fastest * _TOO_FAST <= ms <= rates.slowest * _TOO_SLOW:
        return None
    typical, worst = max(one.typical_error for one in used), max(one.worst_error for one in used)
    beyond = ms > rates.slowest * _SLOW
    return Estimate(ms, worst if beyond else typical, worst, rates.models, rates.conditions, rates.source)


def measure(graph: Graph, operators: Iterable[Operator], streamed: int = 0) -> dict[str, float]:
    """The features of these operators: multiply-accumulates, all of them as ``macs``, and by class ``spatial_macs``
    (convolutions with a window), ``pointwise_macs`` (1x1 convolutions and matrix products) and ``depthwise_macs``;
    ``weights`` (numbers), ``streamed`` (bytes), ``activations`` (numbers read and written by layers), ``layers``, and 1
    ``inference``.

    Raises:
        ValueError: a size is not known (a batch that is not is 1).
    """
    found = dict.fromkeys(
        ("macs", "spatial_macs", "pointwise_macs", "depthwise_macs", "weights", "activations", "layers"), 0.0
    )
    fixed = _constants(graph)
    for operator in operators:
        found["macs"] += operator.macs
        found["weights"] += operator.params
        found[_kind_of_macs(graph, operator)] += operator.macs
        if not is_layer(graph, operator):
            continue
        found["layers"] += 1
        flowing = [index for index in (*operator.inputs, *operator.outputs) if index >= 0 and index not in fixed]
        found["activations"] += sum(_elements(graph.tensors[index]) for index in flowing)
    return {**found, "streamed": float(streamed), "inference": 1.0}


def is_layer(graph: Graph, operator: Operator) -> bool:
    """Whether a device spends a pass over memory on it: not on activation functions, biases and reshapes."""
    if operator.type in _BIAS:
        return not any(index >= 0 and graph.tensors[index].constant for index in operator.inputs)
    return operator.type not in _FREE


def streamed_bytes(graph: Graph, placement: Placement | None, cache: int | None) -> int:
    """The bytes of parameters that are fetched for every inference: what the placement says; where it does not know, or
    there is none, all that the device's store of ``cache`` bytes does not hold, at a byte for each."""
    if cache is None:
        return 0
    told = placement.memory if placement is not None else {}
    known = told.get("streamed_parameter_bytes")
    if known is not None:
        return known
    total = told.get("parameter_bytes")
    return max(0, (sum(operator.params for operator in graph.operators) if total is None else total) - cache)


def unit_of(feature: str) -> float:
    """How many of a feature its rate is the time of."""
    return 1.0 if feature in _COUNTED else MILLION


@cache
def load_rates() -> dict[str, dict[str, Rates]]:
    """{profile: {precision: rates}} of the table beside this module."""
    from ruamel.yaml import YAML

    stored = YAML(typ="safe", pure=True).load(Path(__file__).with_name("latency.yaml"))
    return {
        profile: {precision: _read(entry) for precision, entry in precisions.items()}
        for profile, precisions in stored["profiles"].items()
    }


def _read(entry: dict[str, Any]) -> Rates:
    host = entry.get("host")
    return Rates(
        ms=dict(entry["ms"]),
        typical_error=entry["typical_error"],
        worst_error=entry["worst_error"],
        models=entry["models"],
        conditions=entry["conditions"],
        source=entry["source"],
        fastest=entry["fastest"],
        slowest=entry["slowest"],
        depthwise=entry["depthwise"],
        operators=frozenset(entry["operators"]) if "operators" in entry else None,
        cache_bytes=entry.get("cache_bytes"),
        host=None if host is None else _read(host),
    )


def _split(graph: Graph, placement: Placement | None) -> tuple[list[Operator], list[Operator]] | None:
    """Operators of the device and of the CPU beside it; None for a placement of other operators than the graph's."""
    if placement is None or placement.cpu_only:
        return list(graph.operators), []
    cpu = {placed.index for placed in placement.operators if placed.placement == "cpu"}
    if {placed.index for placed in placement.operators} != {operator.index for operator in graph.operators}:
        return None
    on_device = [operator for operator in graph.operators if operator.index not in cpu]
    return on_device, [operator for operator in graph.operators if operator.index in cpu]


def _time(graph: Graph, operators: Sequence[Operator], streamed: int, rates: Rates | None) -> float | None:
    """Milliseconds; None where the rates, a size, or the cost of a class of operators are not known."""
    if rates is None or any(operator.type in _DATA_DEPENDENT for operator in operators):
        return None
    fixed = _constants(graph)
    if any(operator.type in _PRODUCTS and fixed.isdisjoint(operator.inputs[:2]) for operator in operators):
        return None
    try:
        features = measure(graph, operators, streamed)
    except ValueError:
        return None
    if features["depthwise_macs"] and not rates.depthwise:
        return None
    return sum(rate * features[name] / unit_of(name) for name, rate in rates.ms.items())


def _share_unlike(graph: Graph, operators: Sequence[Operator], rates: Rates) -> float:
    """Which share of the time goes to layers of types that no published model has; 0 where no time is known."""
    by_work = replace(rates, ms={name: rate for name, rate in rates.ms.items() if name != "inference"})
    unlike = [one for one in operators if one.type not in _SHOWN and is_layer(graph, one)]
    whole, part = (_time(graph, group, 0, by_work) for group in (operators, unlike))
    return part / whole if part and whole else 0.0


def _constants(graph: Graph) -> frozenset[int]:
    """The tensors that do not change: constants, and what is only another form of them (weights in half precision stand
    behind a DEQUANTIZE)."""
    found = {index for index, tensor in enumerate(graph.tensors) if tensor.constant}
    for operator in graph.operators:
        inputs = [index for index in operator.inputs if index >= 0]
        if operator.type in _FREE and inputs and found.issuperset(inputs):
            found.update(operator.outputs)
    return frozenset(found)


def _kind_of_macs(graph: Graph, operator: Operator) -> str:
    if operator.type not in _CONVOLUTIONS or len(operator.inputs) < 2:
        return "pointwise_macs"
    weights = graph.tensors[operator.inputs[1]].shape
    if operator.type == "DEPTHWISE_CONV_2D" or (graph.format == "onnx" and weights[1] == 1 and weights[0] != 1):
        return "depthwise_macs"
    window = weights[_WINDOW.get(graph.format, slice(2, None))]
    return "spatial_macs" if prod(size or 1 for size in window) > 1 else "pointwise_macs"


def _elements(tensor: TensorInfo) -> int:
    sizes = tensor.shape if tensor.shape[:1] != (None,) else (1, *tensor.shape[1:])
    if None in sizes:
        raise ValueError(f"a size of `{tensor.name}` is not known")
    return prod(size or 0 for size in sizes)


def _two_digits(ms: float) -> str:
    """Two significant digits: 0.85, 4.2, 42, 420."""
    if ms <= 0:
        return "0"
    rounded = float(f"{ms:.1e}")
    return f"{rounded:.{max(0, 1 - floor(log10(rounded)))}f}"
