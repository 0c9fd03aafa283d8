"""Models that are degenerate, of other kinds than usual, or large: the Edge TPU's predictor says what is documented of
them, and never fails."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.devices.placement import Placement
from edgekit.devices.rules.edgetpu import predict
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model

ROOT = Path(__file__).resolve().parents[3]
models = SimpleNamespace(**run_path(str(ROOT / "tests" / "tflite_models.py")))
ops = SimpleNamespace(**run_path(str(ROOT / "tests" / "edgetpu_operators.py")))
models.TYPES.update(int16=7)
TABLE = load_table()
STATUS = TABLE.statuses
CUBE = (1, 8, 8, 4)


def judged(data: bytes) -> Placement:
    return predict(describe_model(parse_model(data)))


def statuses(placement: Placement) -> list[str]:
    named = {words: name for name, words in STATUS.items()}
    return [named[one.status] for one in placement.operators]


def convolved(model: Any, x: int, dtype: str = "int8", bias: str = "int32") -> int:
    made = ops.options("Conv2D", strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
    parameters = [model.constant(ops.weights(4, 1, 1, 4)), model.constant(np.zeros(4, bias))]
    return model.add("CONV_2D", [x, *parameters], CUBE, made, dtype=dtype)


KINDS = sorted([*TABLE.rows, "TOPK_V2", "WHILE", "IF", "CALL_ONCE", "SVDF", "DEQUANTIZE", "BATCH_MATMUL"])


@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_operators_are_placed(kind: str):
    """Without inputs or outputs, with optional inputs left out, of scalars, of tensors without elements."""
    shapes: list[list[tuple[int, ...]]] = [[], [()], [(0,)], [(1,)], [(1, 4)] * 3, [(1, 0, 4)] * 4]
    for given in shapes:
        model = models.Builder()
        inputs = [model.input(f"x{place}", shape, "int8") for place, shape in enumerate(given)]
        output = model.add(kind, inputs, given[0] if given else (), dtype="int8")
        assert len(judged(model.finish([output])).operators) == 1
    for inputs in ([-1], [-1, -1, -1], [0, -1, -1]):
        for outputs in (None, [], [-1]):
            model = models.Builder()
            model.input("x", (1, 4), "int8")
            made = model.add(kind, inputs, (1, 4), dtype="int8")
            if outputs is not None:
                model.graph.operators[0].outputs = outputs
            assert len(judged(model.finish([made])).operators) == 1


def test_graphs_without_operators_or_outputs():
    empty = models.Builder()
    assert judged(empty.finish([])).subgraphs == 0
    through = models.Builder()
    assert judged(through.finish([through.input("x", (1, 4), "int8")])).operators == ()
    constant = models.Builder()
    assert judged(constant.finish([constant.constant(np.zeros((1, 4), np.int8))])).operators == ()
    unread = models.Builder()
    convolved(unread, unread.input("x", CUBE, "int8"))
    assert statuses(judged(unread.finish([]))) == ["mapped"]


def test_outputs_that_are_read_on_and_outputs_given_twice():
    model = models.Builder()
    inner = convolved(model, model.input("x", CUBE, "int8"))
    outer = model.add("LOGISTIC", [inner], CUBE, dtype="int8")
    assert statuses(judged(model.finish([inner, outer, outer]))) == ["mapped", "mapped"]


def test_operators_that_lead_nowhere_and_constants_alone():
    model = models.Builder()
    constant = model.constant(np.zeros((1, 4), np.int8))
    model.add("LOGISTIC", [constant], (1, 4), dtype="int8")
    model.add("FLOOR", [constant], (1, 4), dtype="int8")
    output = model.add("LOGISTIC", [model.input("x", (1, 4), "int8")], (1, 4), dtype="int8")
    assert statuses(judged(model.finish([output]))) == ["mapped", "operator", "mapped"]


@pytest.mark.parametrize(
    ("dtype", "bias", "status"),
    [
        ("uint8", "int32", "mapped"),
        ("int8", "int32", "mapped"),
        ("int16", "int64", "data_type"),  # 16-bit activations
        ("float32", "int32", "data_type"),  # dynamic range: float activations, integer weights
    ],
)
def test_ways_of_quantization(dtype: str, bias: str, status: str):
    model = models.Builder()
    assert statuses(judged(model.finish([convolved(model, model.input("x", CUBE, dtype), dtype, bias)]))) == [status]


def test_a_float_island_ends_the_subgraph():
    model = models.Builder()
    x = convolved(model, model.input("x", CUBE, "int8"))
    x = model.add("QUANTIZE", [model.add("DEQUANTIZE", [x], CUBE)], CUBE, dtype="int8")
    placement = judged(model.finish([model.add("LOGISTIC", [x], CUBE, dtype="int8")]))
    assert statuses(placement) == ["mapped", "data_type", "limited", "downstream"]
    assert [one.cause for one in placement.operators] == ["mapped", "rejected", "rejected", "downstream"]


def test_a_loop_ends_the_subgraph_and_other_subgraphs_are_not_judged():
    model = models.Builder()
    x = convolved(model, model.input("x", CUBE, "int8"))
    x = model.add("WHILE", [x], CUBE, dtype="int8")
    output = model.add("LOGISTIC", [x], CUBE, dtype="int8")
    body = schema.SubGraphT()
    body.tensors, body.operators, body.inputs, body.outputs = [], [], [], []
    model.model.subgraphs.append(body)
    assert statuses(judged(model.finish([output]))) == ["mapped", "operator", "downstream"]


def test_several_inputs_and_a_variable_tensor():
    model = models.Builder()
    state = model.tensor("state", (1, 4), "int8")
    model.graph.tensors[state].isVariable = True
    first, second = (model.input(name, (1, 4), "int8") for name in "ab")
    joined = model.add("ADD", [first, second], (1, 4), dtype="int8")
    assert statuses(judged(model.finish([model.add("ADD", [joined, state], (1, 4), dtype="int8")]))) == ["mapped"] * 2


def test_sparse_weights():
    """Whose values an operator unpacks are computed, not constant."""
    model = models.Builder()
    unpacked = model.add("DENSIFY", [model.constant(ops.weights(8, 4))], (8, 4), dtype="int8")
    output = model.add("FULLY_CONNECTED", [model.input("x", (1, 4), "int8"), unpacked, -1], (1, 8), dtype="int8")
    assert statuses(judged(model.finish([output]))) == ["operator", "constant"]


def test_ten_thousand_operators():
    deep = models.Builder()
    x = deep.input("x", (1, 4), "int8")
    column, row = (deep.constant(np.array(shape, np.int32)) for shape in ((4, 1), (1, 4)))
    for _ in range(5000):
        x = deep.add("RESHAPE", [x, column], (4, 1), dtype="int8")
        x = deep.add("RESHAPE", [x, row], (1, 4), dtype="int8")
    placement = judged(deep.finish([x]))
    assert placement.subgraphs == 1 and placement.totals()["accelerator"] == 10_000


def test_a_graph_that_never_starts():
    model = models.Builder()
    x = model.input("x", (1, 4), "int8")
    first = model.add("ADD", [x, x], (1, 4), dtype="int8")
    second = model.add("ADD", [first, x], (1, 4), dtype="int8")
    model.graph.operators[0].inputs = [x, second]
    placement = judged(model.finish([second]))
    assert placement.subgraphs == 0 and statuses(placement) == ["downstream", "downstream"]
