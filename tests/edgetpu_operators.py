"""TensorFlow Lite models of one operator for the Edge TPU's rules: what ``edgetpu_compiler`` was seen to judge.

Shapes are of computed tensors, arrays are constants; data is int8 unless named otherwise. Sizes that
decide nothing are small.
"""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

models = SimpleNamespace(**run_path(str(Path(__file__).with_name("tflite_models.py"))))


def options(kind: str, **fields: Any) -> Any:
    made = getattr(schema, f"{kind}OptionsT")()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def single(
    kind: str,
    inputs: list[tuple[int, ...] | np.ndarray],
    output: tuple[int, ...],
    made: object | None = None,
    *,
    version: int = 1,
    dtype: str = "int8",
    out: str | None = None,
) -> bytes:
    """A model of one operator: shapes are computed inputs, arrays constants."""
    model = models.Builder()
    tensors = [
        model.constant(given) if isinstance(given, np.ndarray) else model.input(f"x{place}", given, dtype)
        for place, given in enumerate(inputs)
    ]
    return model.finish([model.add(kind, tensors, output, made, version=version, dtype=out or dtype)])


def ints(*values: Any) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, np.int32)


def weights(*shape: int) -> np.ndarray:
    return np.ones(shape, np.int8)


def bias(count: int) -> np.ndarray:
    return np.zeros(count, np.int32)


def conv(window: int, *, across: int = 1, down: int = 1, computed: bool = False, batch: int = 1) -> bytes:
    made = options("Conv2D", strideW=1, strideH=1, dilationWFactor=across, dilationHFactor=down)
    filters: Any = (4, window, window, 4) if computed else weights(4, window, window, 4)
    return single("CONV_2D", [(batch, 64, 64, 4), filters, bias(4)], (batch, 64, 64, 4), made)


def depthwise(*, across: int = 1, down: int = 1, computed: bool = False, batch: int = 1) -> bytes:
    made = options(
        "DepthwiseConv2D", strideW=1, strideH=1, depthMultiplier=1, dilationWFactor=across, dilationHFactor=down
    )
    filters: Any = (1, 3, 3, 4) if computed else weights(1, 3, 3, 4)
    return single("DEPTHWISE_CONV_2D", [(batch, 8, 8, 4), filters, bias(4)], (batch, 8, 8, 4), made)


def dense(outputs: int, *, rows: int = 1, shuffled: int = 0, computed: bool = False) -> bytes:
    made = options("FullyConnected", weightsFormat=shuffled)
    filters: Any = (outputs, 4) if computed else weights(outputs, 4)
    return single("FULLY_CONNECTED", [(rows, 4), filters, bias(outputs)], (rows, outputs), made)


def pool(kind: str, activation: int) -> bytes:
    made = options("Pool2D", strideW=2, strideH=2, filterWidth=2, filterHeight=2, fusedActivationFunction=activation)
    return single(kind, [(1, 8, 8, 4)], (1, 4, 4, 4), made)


def concatenated(inputs: list[Any], output: tuple[int, ...], activation: int = 0, axis: int = -1) -> bytes:
    made = options("Concatenation", axis=axis, fusedActivationFunction=activation)
    return single("CONCATENATION", inputs, output, made)


def reduced(kind: str, axes: list[int], shape: tuple[int, ...] = (1, 8, 8, 6)) -> bytes:
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes and axis - len(shape) not in axes)
    return single(kind, [shape, ints(axes)], kept or (1,), options("Reducer", keepDims=False))


def sliced(shape: tuple[int, ...], output: tuple[int, ...], **masks: int) -> bytes:
    ends = [ints([0] * len(shape)), ints(list(output)), ints([1] * len(shape))]
    return single("STRIDED_SLICE", [shape, *ends], output, options("StridedSlice", **masks))


def strided(shape: tuple[int, ...], output: tuple[int, ...], steps: tuple[int, ...]) -> bytes:
    ends = [ints([0] * len(shape)), ints(list(shape)), ints(list(steps))]
    return single("STRIDED_SLICE", [shape, *ends], output, options("StridedSlice"))


def split(axis: int, shape: tuple[int, ...]) -> bytes:
    return single("SPLIT", [ints(axis), shape], shape, options("Split", numSplits=1), version=2)


def upconvolved(side: int, channels: int, outputs: int, window: int = 3) -> bytes:
    made, output = options("TransposeConv", strideW=2, strideH=2), (1, 2 * side, 2 * side, outputs)
    inputs = [ints(list(output)), weights(outputs, window, window, channels), (1, side, side, channels)]
    return single("TRANSPOSE_CONV", inputs, output, made)


def upconvolved_by_computed_weights() -> bytes:
    made = options("TransposeConv", strideW=2, strideH=2)
    return single("TRANSPOSE_CONV", [ints([1, 8, 8, 4]), (1, 2, 2, 4), (1, 4, 4, 4)], (1, 8, 8, 4), made)


def recurrent(features: int) -> bytes:
    gates = [weights(8, features)] * 4 + [weights(8, 8)] * 4
    made = options("UnidirectionalSequenceLSTM", fusedActivationFunction=4)
    return single("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 5, features), *gates], (1, 5, 8), made)


def same(kind: str, shape: tuple[int, ...]) -> bytes:
    return single(kind, [shape], shape)


def transposed(shape: tuple[int, ...]) -> bytes:
    return single("TRANSPOSE", [shape, ints(0, 3, 1, 2)], (1, shape[3], shape[1], shape[2]))


def reshaped(shape: tuple[int, ...], output: tuple[int, ...]) -> bytes:
    return single("RESHAPE", [shape, ints(list(output))], output)


def resized(kind: str, shape: tuple[int, ...], side: int) -> bytes:
    return single(kind, [shape, ints(side, side)], (1, side, side, shape[3]))


def padded(before: int) -> bytes:
    return single("PAD", [(1, 4, 4, 4), ints([[before, 0], [1, 1], [1, 1], [0, 0]])], (1 + before, 6, 6, 4))


def packed(axis: int) -> bytes:
    output = (2, 3, 4) if axis == 0 else (3, 2, 4)
    return single("PACK", [(3, 4), (3, 4)], output, options("Pack", valuesCount=2, axis=axis))


def squeezed(shape: tuple[int, ...], axes: list[int], output: tuple[int, ...]) -> bytes:
    return single("SQUEEZE", [shape], output, options("Squeeze", squeezeDims=axes))


def paired(kind: str, shape: tuple[int, ...]) -> bytes:
    return single(kind, [shape, shape], shape)


def custom(name: str, shape: tuple[int, ...], *, out: str = "int8") -> bytes:
    """A LOGISTIC, and a custom operator that reads it."""
    model = models.Builder()
    x = model.add("LOGISTIC", [model.input("x", shape, "int8")], shape, dtype="int8")
    y = model.add("CUSTOM", [x], shape, dtype=out)
    model.model.operatorCodes[-1].customCode = name.encode()
    return model.finish([y])
