from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edgekit.devices.assume import assume_quantized, is_float
from edgekit.devices.judge import judge_graph
from edgekit.devices.memory import parameter_bytes, peak_activation_bytes
from edgekit.devices.placement import Placed, Placement, Violation
from edgekit.devices.profile import Profile
from edgekit.devices.rules import RULES, RuleSet
from edgekit.graph import Graph, Operator, Quantization, TensorInfo

SCALE = Quantization((0.5,), (3,))

FACTS: dict[str, Any] = {
    "name": "board",
    "title": "Board",
    "family": "test",
    "formats": {"value": ["tflite"], "source": "manual"},
    "precisions": {
        "int8": {
            "weights": {"value": "int8", "source": "manual"},
            "activations": {"value": "int8", "source": "manual"},
            "io": {"value": ["int8"], "source": "manual"},
        }
    },
    "routes": {"int8": [{"step": "onnx_to_tflite"}, {"step": "tflite_int8"}]},
    "excluded": {"fp32": {"value": "integers only", "source": "manual p. 1"}},
}


def board(**more: Any) -> Profile:
    return Profile.model_validate({**FACTS, **more})


def network(dtype: str = "float32", batch: int | None = 1, side: int | None = 8) -> Graph:
    """image -> CONV_2D (3x3, 3 to 4 channels, same size) -> SOFTMAX. 1 x 8 x 8 x 3 and two of 1 x 8 x 8 x 4."""
    scale = None if dtype == "float32" else SCALE
    weights, bias = ("float32", "float32") if dtype == "float32" else ("int8", "int32")
    tensors = (
        TensorInfo("image", (batch, side, side, 3), dtype, quantization=scale),
        TensorInfo("w", (4, 3, 3, 3), weights, True, scale),
        TensorInfo("b", (4,), bias, True, scale),
        TensorInfo("features", (batch, side, side, 4), dtype, quantization=scale),
        TensorInfo("scores", (batch, side, side, 4), dtype, quantization=scale),
    )
    operators = (
        Operator(0, "CONV_2D", (0, 1, 2), (3,), macs=8 * 8 * 4 * 27, params=112),
        Operator(1, "SOFTMAX", (3,), (4,)),
    )
    return Graph("tflite", tensors, operators, (0,), (4,))


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A rule set ``tiny``: convolutions of int8 data map, the others are as ``causes`` says (default: rejected)."""
    asked: dict[str, Any] = {"causes": {}, "violations": (), "graph": None}

    def place(graph: Graph, profile: Profile) -> Placement:
        asked["graph"] = graph
        placed = []
        for operator in graph.operators:
            mapped = operator.type == "CONV_2D" and graph.tensors[operator.inputs[0]].dtype == "int8"
            cause = "mapped" if mapped else asked["causes"].get(operator.type, "rejected")
            where = {"mapped": "accelerator", "unknown": "not_known"}.get(cause, "cpu")
            made = {"macs": operator.macs, "params": operator.params}
            placed.append(Placed(operator.index, operator.type, "", where, cause, cause, **made))
        return Placement("predicted", tuple(placed), 1, violations=asked["violations"])

    RULES.names()
    monkeypatch.setitem(RULES._entries, "tiny", RuleSet("tiny", "tflite", place))
    return asked


TINY = {"rules": "tiny"}


def test_quantized_file_is_judged_as_it_is(rules: dict[str, Any]) -> None:
    found = judge_graph(network("int8"), board(operators=TINY))
    assert rules["graph"] == network("int8")
    assert not found.assumed_quantized
    assert found.placement.verdict() == "partial"
    assert found.placement.violations == ()
    assert found.summary() == {"source": "predicted", "verdict": "partial", "mapped_operators": 0.5, "mapped_macs": 1.0}


def test_float_file_on_an_integer_device(rules: dict[str, Any]) -> None:
    found = judge_graph(network(), board(operators=TINY))
    assert rules["graph"] == network()
    assert [(v.rule, v.source) for v in found.placement.violations] == [("precision", "manual p. 1")]
    assert "integers only" in found.placement.violations[0].message
    assert found.placement.verdict() == "violates"


def test_converted_float_file_is_judged_as_if_quantized(rules: dict[str, Any]) -> None:
    found = judge_graph(network(), board(operators=TINY), converted=True)
    judged = rules["graph"]
    assert found.assumed_quantized
    assert found.placement.violations == ()
    assert [tensor.dtype for tensor in judged.tensors] == ["int8", "int8", "int32", "int8", "int8"]
    assert judged.operators == network().operators


def test_assumption_is_what_quantizers_write() -> None:
    """Compare with how TensorFlow Lite's quantization specification lays a convolution and a softmax out."""
    judged = assume_quantized(network())
    _, weights, bias, _, scores = judged.tensors
    assert weights.quantization is not None and weights.quantization.axis == 0
    assert len(weights.quantization.scale) == 4
    assert bias.dtype == "int32"
    assert scores.quantization == Quantization((1 / 256,), (-128,))
    assert not is_float(judged) and is_float(network())


def test_integers_of_a_float_graph_stay() -> None:
    graph = network()
    axes = TensorInfo("axes", (2,), "int32", True, values=(1, 2))
    assert assume_quantized(replace(graph, tensors=(*graph.tensors, axes))).tensors[-1] == axes


def test_an_integer_graph_is_not_assumed_anything(rules: dict[str, Any]) -> None:
    assert not judge_graph(network("int8"), board(operators=TINY), converted=True).assumed_quantized


SHAPES = {
    "static": {"value": True, "source": "manual p. 2"},
    "max_batch": {"value": 1, "source": "manual p. 3"},
    "max_rank": {"value": 3, "source": "manual p. 4"},
}


@pytest.mark.parametrize(
    ("graph", "broken"),
    [
        (network("int8"), []),
        (network("int8", batch=2), ["batch"]),
        (network("int8", side=None), ["dynamic_shape"]),
        (network("int8", batch=None), []),  # a free batch is taken as 1
    ],
)
def test_all_shape_violations_at_once(rules: dict[str, Any], graph: Graph, broken: list[str]) -> None:
    found = judge_graph(graph, board(operators=TINY, shapes=SHAPES)).placement.violations
    assert [violation.rule for violation in found] == broken
    assert all(violation.source and violation.remedy for violation in found)


def test_rank_without_rules() -> None:
    """Where there are rules, they judge each operator by itself, and some of them may stay on the CPU."""
    (found,) = judge_graph(network("int8"), board(shapes=SHAPES)).placement.violations
    assert (found.rule, found.source) == ("rank", "manual p. 4")


@pytest.mark.parametrize(("opset", "broken"), [(9, ["opset"]), (10, []), (13, []), (14, ["opset"]), (None, [])])
def test_opset(rules: dict[str, Any], opset: int | None, broken: list[str]) -> None:
    limits = {"min": {"value": 10, "source": "manual"}, "max": {"value": 13, "source": "manual"}}
    graph = replace(network("int8"), metadata={"opset": opset})
    found = judge_graph(graph, board(operators=TINY, opset=limits)).placement.violations
    assert [violation.rule for violation in found] == broken


def test_a_better_answer_replaces_the_prediction(rules: dict[str, Any]) -> None:
    """Of a file as it is; one that was only assumed to be quantized is no file that anybody could be asked about."""

    def ask(predicted: Placement) -> Placement:
        return replace(predicted, source="compiler", violations=(Violation("size", "too large"),))

    shapes = {"max_batch": SHAPES["max_batch"]}
    found = judge_graph(network("int8", batch=2), board(operators=TINY, shapes=shapes), ask=ask)
    assert found.summary()["source"] == "compiler"
    assert [violation.rule for violation in found.placement.violations] == ["size", "batch"]
    found = judge_graph(network(), board(operators=TINY), converted=True, ask=ask)
    assert found.summary()["source"] == "predicted"


def test_unknown_limits_violate_nothing(rules: dict[str, Any]) -> None:
    shapes = {name: {"unknown": "the manual"} for name in SHAPES}
    found = judge_graph(network("int8", batch=9, side=None), board(operators=TINY, shapes=shapes))
    assert found.placement.violations == ()


def test_what_the_rule_set_says_is_not_said_twice(rules: dict[str, Any]) -> None:
    rules["violations"] = (Violation("batch", "the rules' own"),)
    found = judge_graph(network("int8", batch=2), board(operators=TINY, shapes=SHAPES)).placement.violations
    assert [violation.message for violation in found] == ["the rules' own"]


def test_bytes_by_hand() -> None:
    assert parameter_bytes(network("int8")) == 4 * 27 + 4 * 4
    assert parameter_bytes(network()) == 4 * (4 * 27 + 4)
    # image (192) and features (256) while the convolution runs; features and scores (256 each) while softmax does.
    assert peak_activation_bytes(network("int8")) == 512
    assert peak_activation_bytes(network()) == 4 * 512
    assert peak_activation_bytes(network("int8", side=None)) is None


def test_tensor_is_held_until_its_last_reader() -> None:
    sizes = (100, 10, 10, 50)
    tensors = tuple(TensorInfo(str(index), (size,), "int8") for index, size in enumerate(sizes))
    chain = (Operator(0, "A", (0,), (1,)), Operator(1, "B", (1,), (2,)), Operator(2, "C", (2,), (3,)))
    skip = (*chain[:2], Operator(2, "C", (2, 0), (3,)))
    assert peak_activation_bytes(Graph("tflite", tensors, chain, (0,), (3,))) == 110
    assert peak_activation_bytes(Graph("tflite", tensors, skip, (0,), (3,))) == 160


@pytest.mark.parametrize(("has", "exceeds", "violates"), [(636, False, False), (635, True, True), (None, None, False)])
def test_memory_of_the_device(rules: dict[str, Any], has: int | None, exceeds: bool | None, violates: bool) -> None:
    """124 bytes of parameters and 512 of activations."""
    fact = {"unknown": "the manual"} if has is None else {"value": has, "source": "manual"}
    found = judge_graph(network("int8"), board(operators=TINY, memory={"total_bytes": fact}))
    assert found.memory_dict()["total_bytes"]["exceeds"] is exceeds
    assert found.memory_dict()["total_bytes"]["needs"] == 636
    assert any(violation.rule == "memory" for violation in found.placement.violations) is violates


def test_what_a_device_holds_in_half_precision_is_counted_so(rules: dict[str, Any]) -> None:
    """Weights of 108 numbers and 4 biases; 256 features in half precision beside the output's 256 in float32."""
    fact = {"value": "float16", "source": "manual"}
    half = {"weights": fact, "activations": fact, "io": fact | {"value": ["float32"]}}
    more = {"precisions": {"fp16": half}, "routes": {"fp16": [{"step": "tflite_fp16"}]}, "excluded": {}}
    memory = judge_graph(network(), board(operators=TINY, **more)).memory
    assert [(need.needs, need.counted_as) for need in memory] == [(2 * 112, "float16"), (2 * 256 + 4 * 256, "float16")]
    memory = judge_graph(network("int8"), board(operators=TINY)).memory
    assert [(need.needs, need.counted_as) for need in memory] == [(108 + 4 * 4, None), (512, None)]


def test_a_file_that_is_still_to_be_made_smaller_is_not_too_large(rules: dict[str, Any]) -> None:
    fact = {"value": 700, "source": "manual"}
    half = {"weights": fact | {"value": "float16"}, "activations": fact | {"value": "float16"}}
    half["io"] = fact | {"value": ["float32"]}
    more = {"precisions": {"fp16": half}, "routes": {"fp16": [{"step": "tflite_fp16"}]}, "excluded": {}}
    profile = board(operators=TINY, memory={"total_bytes": fact}, **more)
    found = judge_graph(network(), profile, converted=True)
    assert not found.assumed_quantized
    assert found.memory_dict()["total_bytes"]["exceeds"]
    assert found.placement.violations == ()
    assert judge_graph(network(), profile).placement.violations[0].rule == "memory"


def test_a_free_batch_is_one_where_the_device_takes_no_other(rules: dict[str, Any]) -> None:
    for more, needs in (({}, None), ({"shapes": {"max_batch": {"value": 1, "source": "manual"}}}, 512)):
        found = judge_graph(network("int8", batch=None), board(operators=TINY, **more))
        assert found.memory_dict()["activation_bytes"]["needs"] == needs


def test_what_is_not_settled(rules: dict[str, Any]) -> None:
    """A room that the profile calls unknown, or a need that is not known; not what the device's compiler took."""
    unknown = {"activation_bytes": {"unknown": "the manual"}}
    found = judge_graph(network("int8"), board(operators=TINY, memory=unknown))
    assert [need.name for need in found.unsettled()] == ["activation_bytes"]
    assert replace(found, placement=replace(found.placement, source="compiler")).unsettled() == ()
    known = {"activation_bytes": {"value": 1000, "source": "manual"}}
    assert judge_graph(network("int8"), board(operators=TINY, memory=known)).unsettled() == ()
    free = judge_graph(network("int8", side=None), board(operators=TINY, memory=known))
    assert [need.name for need in free.unsettled()] == ["activation_bytes"]
    assert judge_graph(network("int8"), board(operators=TINY)).unsettled() == ()


def test_parameters_beyond_the_fast_store_still_run(rules: dict[str, Any]) -> None:
    memory = {"parameter_bytes": {"value": 100, "source": "manual"}}
    found = judge_graph(network("int8"), board(operators=TINY, memory=memory))
    assert found.memory_dict()["parameter_bytes"] == {"needs": 124, "has": 100, "exceeds": True, "source": "manual"}
    assert found.placement.violations == ()


def test_without_rules_nothing_is_known() -> None:
    found = judge_graph(network("int8"), board())
    assert found.placement.verdict() == "not_known"
    assert found.mapped_range("mapped_operators") == (0.0, 1.0)
    assert found.summary()["mapped_operators"] is None
    shares = dict.fromkeys(("accelerator", "mapped_operators", "mapped_macs", "mapped_params"))
    assert found.placement.totals() == {"operators": 2, "not_known": 2, **shares}
    assert {placed.placement for placed in found.placement.operators} == {"not_known"}


def test_without_rules_what_the_profile_refuses_is_known() -> None:
    refused = {"refused": {"value": ["SOFTMAX"], "source": "manual p. 5"}}
    found = judge_graph(network("int8"), board(operators=refused)).placement
    assert [placed.placement for placed in found.operators] == ["not_known", "unsupported"]
    assert found.operators[1].reason is not None and "manual p. 5" in found.operators[1].reason
    assert found.verdict() == "violates"


def test_what_is_not_known_lies_between(rules: dict[str, Any]) -> None:
    rules["causes"] = {"SOFTMAX": "unknown"}
    found = judge_graph(network("int8"), board(operators=TINY))
    assert found.mapped_range("mapped_operators") == (0.5, 1.0)
    totals = found.placement.totals()
    assert [totals[name] for name in ("accelerator", "not_known", "mapped_operators")] == [None, 1, None]
    assert (totals["mapped_macs"], totals["mapped_params"]) == (1.0, 1.0)  # the softmax has neither
    assert found.mapped_range("mapped_macs") == (1.0, 1.0)
    assert found.summary() == {
        "source": "predicted",
        "verdict": "not_known",
        "mapped_operators": None,
        "mapped_macs": 1.0,
    }


def test_a_graph_of_nothing(rules: dict[str, Any]) -> None:
    found = judge_graph(Graph("tflite", (), (), (), ()), board(operators=TINY))
    assert found.mapped_range("mapped_macs") is None
    assert found.summary() == {"source": "predicted", "verdict": "fits", "mapped_operators": None, "mapped_macs": None}
