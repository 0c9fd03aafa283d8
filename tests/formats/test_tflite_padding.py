"""Padding before a maximum: zeros where what is padded is never negative, and the same numbers."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model
from edgekit.formats.tflite_padding import pad_with_zeros

models = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "tflite_models.py")))
LOWEST = np.array([np.finfo(np.float32).min], np.float32)


def network(activation: int = 1, number: np.ndarray = LOWEST, *, between: bool = False, read: bool = False) -> bytes:
    """[1, 8, 8, 3] -> convolution -> (concatenation with itself) -> PADV2 -> MAX_POOL_2D, 3 x 3 with a stride of 2."""
    from ai_edge_litert import schema_py_generated as schema

    draw = np.random.default_rng(0)
    model = models.Builder()
    weights = draw.standard_normal((4, 3, 3, 3)).astype(np.float32)
    x = model.conv(model.input("x", (1, 8, 8, 3)), weights, np.zeros(4, np.float32), activation=activation)
    if between:
        options = schema.ConcatenationOptionsT()
        options.axis = 3
        x = model.add("CONCATENATION", [x, x], (1, 8, 8, 8), options)
    channels = model.shape(x)[3]
    sides = model.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    padded = model.add("PADV2", [x, sides, model.constant(number)], (1, 10, 10, channels), schema.PadV2OptionsT())
    pool = schema.Pool2DOptionsT()
    pool.padding, pool.strideH, pool.strideW, pool.filterHeight, pool.filterWidth = 1, 2, 2, 3, 3
    pooled = model.add("MAX_POOL_2D", [padded], (1, 4, 4, channels), pool)
    return bytes(model.finish([pooled, *([padded] if read else [])]))


def run(data: bytes) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    x = np.random.default_rng(1).standard_normal((1, 8, 8, 3)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def types_of(data: bytes) -> list[str]:
    return [operator.type for operator in describe_model(parse_model(data)).operators]


@pytest.mark.parametrize("activation", [1, 3])
@pytest.mark.parametrize("between", [False, True])
def test_zeros_around_what_is_never_negative(activation: int, between: bool) -> None:
    before = network(activation, between=between)
    after = pad_with_zeros(before)
    assert types_of(after) == [kind.replace("PADV2", "PAD") for kind in types_of(before)]
    for expected, found in zip(run(before), run(after), strict=True):
        assert np.array_equal(expected, found)


def test_padding_with_zeros_by_its_other_name() -> None:
    before = network(0, np.zeros(1, np.float32), read=True)
    after = pad_with_zeros(before)
    assert types_of(after) == ["CONV_2D", "PAD", "MAX_POOL_2D"]
    assert all(np.array_equal(expected, found) for expected, found in zip(run(before), run(after), strict=True))


@pytest.mark.parametrize(
    "data",
    [network(0), network(2), network(read=True), network(number=np.array([0.5], np.float32)), models.classifier()],
    ids=["linear", "relu_n1_to_1", "read elsewhere", "a number that may win", "no padding"],
)
def test_what_stays_as_it_is(data: bytes) -> None:
    assert pad_with_zeros(data) == data
