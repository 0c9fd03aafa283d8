"""What `check` says of the quantizing step is what that step and its library do."""

from __future__ import annotations

import pytest

from edgekit.devices import load_profiles
from edgekit.devices.judge import judge_graph
from edgekit.formats.tflite_islands import _COMPUTES, _MOVES, INTEGER_FORMS, without_integer_form
from edgekit.graph import Graph, Operator, TensorInfo
from edgekit.planning.quantizing import judge_quantizer


def network(kind: str, dtype: str = "float32") -> Graph:
    tensors = (TensorInfo("x", (1, 8, 4), dtype, False), TensorInfo("y", (1, 8, 4), dtype, False))
    return Graph("tflite", tensors, (Operator(0, kind, (0,), (1,)),), (0,), (1,))


def judged(kind: str, target: str) -> tuple[list[str], list[str]]:
    """(messages of the quantizer's violations, notes that name it)."""
    profile = load_profiles().find(target)
    graph = network(kind)
    found = judge_graph(graph, profile, precision="int8", converted=True)
    placement = judge_quantizer(found, graph, profile, "int8").placement
    messages = [violation.message for violation in placement.violations if violation.rule == "quantizer"]
    return messages, [note for note in placement.notes if "tflite_int8" in note]


def test_what_stays_in_float_is_refused_for_the_edge_tpu() -> None:
    messages, notes = judged("UNIDIRECTIONAL_SEQUENCE_LSTM", "coral")
    assert len(messages) == 1 and messages[0].startswith("UNIDIRECTIONAL_SEQUENCE_LSTM (operator 0) has no int8 form")
    assert notes == []


def test_what_stays_in_float_is_told_elsewhere() -> None:
    messages, notes = judged("UNIDIRECTIONAL_SEQUENCE_LSTM", "android-cpu")
    assert messages == []
    assert len(notes) == 1 and "UNIDIRECTIONAL_SEQUENCE_LSTM" in notes[0]


@pytest.mark.parametrize("target", ["coral", "android-cpu"])
@pytest.mark.parametrize("kind", ["RELU", "PRELU", "QUANTIZE"])
def test_what_becomes_an_integer_is_not(target: str, kind: str) -> None:
    assert judged(kind, target) == ([], [])


def test_operators_on_integers_alone_stay_as_they_are() -> None:
    assert len(without_integer_form(network("CAST"))) == 1
    assert without_integer_form(network("CAST", "int32")) == []


def test_the_table_is_that_of_the_library() -> None:
    """Its policy for static int8, with the operators that edgekit turns itself."""
    from ai_edge_litert import schema_py_generated as schema
    from litert_quantizer import default_policy, qtyping
    from litert_quantizer.utils.tfl_flatbuffer_utils import TFL_OP_NAME_TO_CODE

    def tensor(symmetric: bool, granularity: str) -> qtyping.TensorQuantizationConfig:
        return qtyping.TensorQuantizationConfig(8, symmetric, qtyping.QuantGranularity[granularity])

    static = qtyping.OpQuantizationConfig(
        activation_tensor_config=tensor(False, "TENSORWISE"),
        weight_tensor_config=tensor(True, "CHANNELWISE"),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    quantized = {
        names[TFL_OP_NAME_TO_CODE[name]]
        for name, configurations in default_policy.DEFAULT_CONFIG_CHECK_POLICY.items()
        if static in configurations and name in TFL_OP_NAME_TO_CODE
    }
    assert quantized | _MOVES | _COMPUTES == INTEGER_FORMS
    assert len(quantized) == 47
