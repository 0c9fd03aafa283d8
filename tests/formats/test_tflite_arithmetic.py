"""Divisions, negations and powers written as MUL and RSQRT: the same numbers, of operators with integer kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_arithmetic import multiply_instead
from edgekit.formats.tflite_flatbuffer import parse_model

models = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "tflite_models.py")))
SHAPE = (1, 5, 8)
ROWS = (1, 5, 1)
Build = Callable[[Any, int], Sequence[int]]


def number(value: float | np.ndarray) -> np.ndarray:
    return np.asarray(value, np.float32)


def sums(model: Any, x: int) -> int:
    """The sum of squares of each row, which is positive."""
    options = schema.ReducerOptionsT()
    options.keepDims = True
    squares = model.add("MUL", [x, x], SHAPE, schema.MulOptionsT())
    return int(model.add("SUM", [squares, model.constant(np.array([2], np.int32))], ROWS, options))


def root(model: Any, x: int) -> int:
    return int(model.add("SQRT", [sums(model, x)], ROWS))


def divide(model: Any, x: int, divisor: int, shape: Sequence[int] = SHAPE, activation: int = 0) -> int:
    options = schema.DivOptionsT()
    options.fusedActivationFunction = activation
    return int(model.add("DIV", [x, divisor], shape, options))


def by_root(model: Any, x: int) -> list[int]:
    return [divide(model, x, root(model, x))]


def by_root_fused(model: Any, x: int) -> list[int]:
    return [divide(model, x, root(model, x), activation=1)]


def by_root_repeated(model: Any, x: int) -> list[int]:
    """As onnx2tf writes a division by a norm that is kept above a least one and expanded."""
    bounded = model.add("RELU", [root(model, x)], ROWS)
    ones = model.constant(np.ones(SHAPE, np.float32))
    return [divide(model, x, model.add("MUL", [bounded, ones], SHAPE, schema.MulOptionsT()))]


def twice_by_root(model: Any, x: int) -> list[int]:
    divisor = root(model, x)
    return [divide(model, x, divisor), divide(model, x, divisor)]


def root_read_elsewhere(model: Any, x: int) -> list[int]:
    divisor = root(model, x)
    return [divide(model, x, divisor), divisor]


def one_by_root(model: Any, x: int) -> list[int]:
    return [divide(model, model.constant(number([1.0])), root(model, x), ROWS)]


def by_constant(model: Any, x: int) -> list[int]:
    return [divide(model, x, model.constant(number(np.arange(1, 9))))]


def negative(model: Any, x: int) -> list[int]:
    return [model.add("NEG", [x], SHAPE)]


def square(model: Any, x: int) -> list[int]:
    return [model.add("SQUARE", [x], SHAPE)]


def power(exponent: float) -> Build:
    def build(model: Any, x: int) -> list[int]:
        return [model.add("POW", [sums(model, x), model.constant(number(exponent))], ROWS)]

    return build


def by_zero(model: Any, x: int) -> list[int]:
    return [divide(model, x, model.constant(number([0.0])))]


def by_computed(model: Any, x: int) -> list[int]:
    return [divide(model, x, sums(model, x))]


def root_alone(model: Any, x: int) -> list[int]:
    return [root(model, x)]


def network(build: Build) -> bytes:
    model = models.Builder()
    return bytes(model.finish(list(build(model, model.input("x", SHAPE)))))


def run(data: bytes, x: np.ndarray | None = None) -> list[np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32) if x is None else x
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def types_of(data: bytes) -> list[str]:
    return [operator.type for operator in describe_model(parse_model(data)).operators]


@pytest.mark.parametrize(
    ("build", "types"),
    [
        (by_root, ["MUL", "SUM", "RSQRT", "MUL"]),
        (by_root_fused, ["MUL", "SUM", "RSQRT", "MUL"]),
        (by_root_repeated, ["MUL", "SUM", "RSQRT", "RELU", "MUL"]),
        (twice_by_root, ["MUL", "SUM", "RSQRT", "MUL", "MUL"]),
        (root_read_elsewhere, ["MUL", "SUM", "SQRT", "RSQRT", "MUL"]),
        (one_by_root, ["MUL", "SUM", "RSQRT"]),
        (by_constant, ["MUL"]),
        (negative, ["MUL"]),
        (square, ["MUL"]),
        (power(2.0), ["MUL", "SUM", "MUL"]),
        (power(-0.5), ["MUL", "SUM", "RSQRT"]),
    ],
)
def test_same_numbers_of_other_operators(build: Build, types: list[str]) -> None:
    before = network(build)
    after = multiply_instead(before)
    assert types_of(after) == types
    for expected, found in zip(run(before), run(after), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("build", [by_zero, by_computed, root_alone, power(3.0), power(0.5)])
def test_what_stays_as_it_is(build: Build) -> None:
    data = network(build)
    assert multiply_instead(data) == data


def number_by_root(epsilon: float) -> Build:
    def build(model: Any, x: int) -> list[int]:
        total = model.add("ADD", [sums(model, x), model.constant(number(epsilon))], ROWS, schema.AddOptionsT())
        return [divide(model, model.constant(number([3.0])), model.add("SQRT", [total], ROWS), ROWS)]

    return build


def test_a_root_of_zero() -> None:
    """What the module says of it: a norm of 0 is NaN in either form, a number by 0 is infinite as DIV and is not finite
    or the largest float otherwise; an epsilon keeps both finite and equal."""
    x = np.zeros(SHAPE, np.float32)
    x[:, 0] = 1.0  # the rows behind it have a root of 0
    for build in (by_root, number_by_root(0.0), number_by_root(1e-6)):
        (before,), (after,) = run(network(build), x), run(multiply_instead(network(build)), x)
        np.testing.assert_allclose(after[:, 0], before[:, 0], rtol=1e-6)
        if build is by_root:
            assert np.isnan(before[:, 1:]).all() and np.isnan(after[:, 1:]).all()
    np.testing.assert_allclose(after, before, rtol=1e-5)
    assert np.isfinite(after).all()
    (before,), (after,) = (
        run(data, x) for data in (network(number_by_root(0.0)), multiply_instead(network(number_by_root(0.0))))
    )
    largest = np.finfo(np.float32).max
    assert (before[:, 1:] >= largest).all() and not (after[:, 1:] < largest).any()
