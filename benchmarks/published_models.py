"""Published architectures as graphs: the layer tables of the papers and of their reference code, with no weights.

Operators and layouts are those of TensorFlow Lite (NHWC, float32); batch normalization that follows a convolution is
folded into its bias, activation functions are part of the operator before them. ``tests/devices/test_latency.py`` holds
parameters and multiply-accumulates against the published counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import ceil, prod

from edgekit.graph import Graph, Operator, TensorInfo

Same = "same"
Valid = "valid"


@dataclass
class Net:
    """A graph under construction. Every layer takes and gives the index of a tensor [1, height, width, channels]."""

    side: int
    tensors: list[TensorInfo] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tensor((1, self.side, self.side, 3))

    def graph(self, *outputs: int) -> Graph:
        return Graph("tflite", tuple(self.tensors), tuple(self.operators), (0,), outputs)

    def tensor(self, shape: Sequence[int], *, constant: bool = False) -> int:
        self.tensors.append(TensorInfo(f"t{len(self.tensors)}", tuple(shape), "float32", constant))
        return len(self.tensors) - 1

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(size or 1 for size in self.tensors[index].shape)

    def channels(self, index: int) -> int:
        return self.shape(index)[-1]

    def add(self, kind: str, inputs: Sequence[int], shape: Sequence[int], *, macs: int = 0, params: int = 0) -> int:
        output = self.tensor(shape)
        self.operators.append(
            Operator(len(self.operators), kind, tuple(inputs), (output,), 1, f"op{output}", {}, macs, params)
        )
        return output

    def conv(
        self,
        x: int,
        out: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: str | int = Same,
        *,
        depthwise: bool = False,
    ) -> int:
        """A convolution with its bias. ``padding`` as a number is that of each side, in PyTorch's manner."""
        rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
        _, height, width, channels = self.shape(x)
        out = channels if depthwise else out
        result = (1, _size(height, rows, stride, padding), _size(width, columns, stride, padding), out)
        weights = (1, rows, columns, out) if depthwise else (out, rows, columns, channels)
        inputs = (x, self.tensor(weights, constant=True), self.tensor((out,), constant=True))
        macs = prod(result) * rows * columns * (1 if depthwise else channels)
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        return self.add(kind, inputs, result, macs=macs, params=prod(weights) + out)

    def depthwise(self, x: int, kernel: int, stride: int = 1, padding: str | int = Same) -> int:
        return self.conv(x, 0, kernel, stride, padding, depthwise=True)

    def dense(self, x: int, out: int) -> int:
        width = prod(self.shape(x))
        if len(self.shape(x)) != 2:
            x = self.add("RESHAPE", (x,), (1, width))
        inputs = (x, self.tensor((out, width), constant=True), self.tensor((out,), constant=True))
        return self.add("FULLY_CONNECTED", inputs, (1, out), macs=width * out, params=width * out + out)

    def pool(
        self, x: int, kernel: int, stride: int, padding: str | int = Same, *, average: bool = False, up: bool = False
    ) -> int:
        """Pooling; ``up`` rounds the size up, as Caffe does."""
        _, height, width, channels = self.shape(x)
        sizes = [_size(size, kernel, stride, padding, up=up) for size in (height, width)]
        return self.add("AVERAGE_POOL_2D" if average else "MAX_POOL_2D", (x,), (1, *sizes, channels))

    def global_pool(self, x: int) -> int:
        return self.add("AVERAGE_POOL_2D", (x,), (1, 1, 1, self.channels(x)))

    def normalize(self, x: int) -> int:
        """Batch normalization with no convolution before it: one factor and one summand per channel."""
        channels = self.channels(x)
        x = self.add("MUL", (x, self.tensor((channels,), constant=True)), self.shape(x), params=channels)
        return self.add("ADD", (x, self.tensor((channels,), constant=True)), self.shape(x), params=channels)

    def sum(self, x: int, y: int) -> int:
        return self.add("ADD", (x, y), self.shape(x))

    def concat(self, *parts: int) -> int:
        _, height, width, _ = self.shape(parts[0])
        return self.add("CONCATENATION", parts, (1, height, width, sum(self.channels(part) for part in parts)))

    def classify(self, x: int, classes: int = 1000) -> Graph:
        return self.graph(self.dense(self.global_pool(x), classes))


def _size(size: int, kernel: int, stride: int, padding: str | int, *, up: bool = False) -> int:
    if padding == Same:
        return ceil(size / stride)
    room = size + 2 * (padding if isinstance(padding, int) else 0) - kernel
    return (ceil(room / stride) if up else room // stride) + 1


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of 8, never more than a tenth below (as the MobileNet papers' code does)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


# --- plain chains ----------------------------------------------------------------------------------------------------


def alexnet(side: int = 224) -> Graph:
    net = Net(side)
    x = net.pool(net.conv(0, 64, 11, 4, 2), 3, 2, Valid)
    x = net.pool(net.conv(x, 192, 5, 1, 2), 3, 2, Valid)
    for channels in (384, 256, 256):
        x = net.conv(x, channels, 3)
    x = net.pool(x, 3, 2, Valid)
    return net.graph(net.dense(net.dense(net.dense(x, 4096), 4096), 1000))


def vgg(repeats: Sequence[int], side: int = 224) -> Graph:
    net, x = Net(side), 0
    for channels, count in zip((64, 128, 256, 512, 512), repeats, strict=True):
        for _ in range(count):
            x = net.conv(x, channels, 3)
        x = net.pool(x, 2, 2, Valid)
    return net.graph(net.dense(net.dense(net.dense(x, 4096), 4096), 1000))


def mobilenet_v1(width: float = 1.0, side: int = 224) -> Graph:
    net = Net(side)
    x = net.conv(0, int(32 * width), 3, 2)
    steps = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
    for channels, stride in steps:
        x = net.conv(net.depthwise(x, 3, stride), int(channels * width), 1)
    return net.classify(x)


def squeezenet(release: str = "1.0", side: int = 224) -> Graph:
    net = Net(side)
    first, kernel, pools = (96, 7, (3, 7)) if release == "1.0" else (64, 3, (2, 4))
    x = net.pool(net.conv(0, first, kernel, 2, Valid), 3, 2, Valid, up=True)
    widths = (16, 16, 32, 32, 48, 48, 64, 64)
    for place, width in enumerate(widths):
        x = net.conv(x, width, 1)
        x = net.concat(net.conv(x, 4 * width, 1), net.conv(x, 4 * width, 3))
        if place + 1 in ((3, 7) if release == "1.0" else pools):
            x = net.pool(x, 3, 2, Valid, up=True)
    return net.graph(net.global_pool(net.conv(x, 1000, 1)))


# --- residual networks -----------------------------------------------------------------------------------------------


def resnet(
    repeats: Sequence[int], side: int = 224, *, bottleneck: bool = True, early: bool = False, classes: int = 1000
) -> Graph:
    """ResNet, version 1. ``early``: a stage halves the size in its last unit, not its first (TensorFlow slim)."""
    net = Net(side)
    x = net.pool(net.conv(0, 64, 7, 2, 3), 3, 2, 1)
    for stage, count in enumerate(repeats):
        for unit in range(count):
            if early:
                stride = 2 if unit == count - 1 and stage < len(repeats) - 1 else 1
            else:
                stride = 2 if unit == 0 and stage else 1
            x = (_bottleneck if bottleneck else _basic)(net, x, 64 << stage, stride)
    return net.classify(x, classes)


def _basic(net: Net, x: int, width: int, stride: int) -> int:
    y = net.conv(net.conv(x, width, 3, stride, 1), width, 3)
    return net.sum(y, _shortcut(net, x, width, stride))


def _bottleneck(net: Net, x: int, width: int, stride: int) -> int:
    y = net.conv(net.conv(net.conv(x, width, 1), width, 3, stride, 1), 4 * width, 1)
    return net.sum(y, _shortcut(net, x, 4 * width, stride))


def _shortcut(net: Net, x: int, channels: int, stride: int) -> int:
    if net.channels(x) != channels:
        return net.conv(x, channels, 1, stride)
    return net.pool(x, 1, stride, Valid) if stride > 1 else x


def resnet_v2(repeats: Sequence[int], side: int = 299) -> Graph:
    """ResNet, version 2, of TensorFlow slim: normalization before the convolutions, size halved at a stage's end."""
    net = Net(side)
    x = net.pool(net.conv(0, 64, 7, 2, 3), 3, 2, 1)
    for stage, count in enumerate(repeats):
        for unit in range(count):
            stride = 2 if unit == count - 1 and stage < len(repeats) - 1 else 1
            width, ready = 64 << stage, net.normalize(x)
            kept = x if net.channels(x) == 4 * width else ready
            y = net.conv(net.conv(net.conv(ready, width, 1), width, 3, stride, 1), 4 * width, 1)
            x = net.sum(y, _shortcut(net, kept, 4 * width, stride))
    return net.classify(net.normalize(x))


def densenet(growth: int, first: int, repeats: Sequence[int], side: int = 224) -> Graph:
    net = Net(side)
    x = net.pool(net.conv(0, first, 7, 2, 3), 3, 2, 1)
    for block, count in enumerate(repeats):
        for _ in range(count):
            x = net.concat(x, net.conv(net.conv(net.normalize(x), 4 * growth, 1), growth, 3))
        if block < len(repeats) - 1:
            x = net.pool(net.conv(net.normalize(x), net.channels(x) // 2, 1), 2, 2, Valid, average=True)
    return net.classify(net.normalize(x))


# --- inverted residuals ----------------------------------------------------------------------------------------------


def _inverted(net: Net, x: int, middle: int, out: int, kernel: int, stride: int, squeeze: int = 0) -> int:
    y = x if middle == net.channels(x) else net.conv(x, middle, 1)
    y = net.depthwise(y, kernel, stride)
    if squeeze:
        weights = net.conv(net.conv(net.global_pool(y), squeeze, 1), middle, 1)
        y = net.add("MUL", (y, weights), net.shape(y))
    y = net.conv(y, out, 1)
    return net.sum(y, x) if stride == 1 and net.channels(x) == out else y


def mobilenet_v2(width: float = 1.0, side: int = 224) -> Graph:
    net = Net(side)
    x = net.conv(0, round_channels(32 * width), 3, 2)
    rows = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, channels, count, stride in rows:
        for unit in range(count):
            middle = expand * net.channels(x)
            x = _inverted(net, x, middle, round_channels(channels * width), 3, 1 if unit else stride)
    return net.classify(net.conv(x, max(1280, round_channels(1280 * width)), 1))


def mnasnet(width: float = 1.0, side: int = 224) -> Graph:
    net = Net(side)
    x = net.conv(0, round_channels(32 * width), 3, 2)
    x = net.conv(net.depthwise(x, 3), round_channels(16 * width), 1)
    rows = [
        (3, 24, 3, 3, 2), (3, 40, 3, 5, 2), (6, 80, 3, 5, 2), (6, 96, 2, 3, 1), (6, 192, 4, 5, 2), (6, 320, 1, 3, 1),
    ]  # fmt: skip
    for expand, channels, count, kernel, stride in rows:
        for unit in range(count):
            middle = expand * net.channels(x)
            x = _inverted(net, x, middle, round_channels(channels * width), kernel, 1 if unit else stride)
    return net.classify(net.conv(x, 1280, 1))


#: (kernel, middle channels, channels, squeeze and excite, stride) by unit
_V3_LARGE = [
    (3, 16, 16, False, 1), (3, 64, 24, False, 2), (3, 72, 24, False, 1), (5, 72, 40, True, 2), (5, 120, 40, True, 1),
    (5, 120, 40, True, 1), (3, 240, 80, False, 2), (3, 200, 80, False, 1), (3, 184, 80, False, 1),
    (3, 184, 80, False, 1), (3, 480, 112, True, 1), (3, 672, 112, True, 1), (5, 672, 160, True, 2),
    (5, 960, 160, True, 1), (5, 960, 160, True, 1),
]  # fmt: skip
_V3_SMALL = [
    (3, 16, 16, True, 2), (3, 72, 24, False, 2), (3, 88, 24, False, 1), (5, 96, 40, True, 2), (5, 240, 40, True, 1),
    (5, 240, 40, True, 1), (5, 120, 48, True, 1), (5, 144, 48, True, 1), (5, 288, 96, True, 2), (5, 576, 96, True, 1),
    (5, 576, 96, True, 1),
]  # fmt: skip


def mobilenet_v3(size: str, side: int = 224, *, classes: int = 1000, hidden: bool = True) -> Graph:
    """``hidden``: with the layer before the last."""
    net = Net(side)
    x = net.conv(0, 16, 3, 2)
    rows, last, width = (_V3_LARGE, 960, 1280) if size == "large" else (_V3_SMALL, 576, 1024)
    for kernel, middle, channels, squeeze, stride in rows:
        x = _inverted(net, x, middle, channels, kernel, stride, round_channels(middle / 4) if squeeze else 0)
    x = net.global_pool(net.conv(x, last, 1))
    return net.graph(net.dense(net.dense(x, width) if hidden else x, classes))


def efficientnet_edgetpu(width: float, depth: float, side: int) -> Graph:
    """EfficientNet-EdgeTpu: in its first three stages a full convolution stands for the depthwise and the expansion."""
    net = Net(side)
    x = net.conv(0, round_channels(32 * width), 3, 2)
    rows = [
        (True, 4, 24, 1, 3, 1), (True, 8, 32, 2, 3, 2), (True, 8, 48, 4, 3, 2), (False, 8, 96, 5, 5, 2),
        (False, 8, 144, 4, 5, 1), (False, 8, 192, 2, 5, 2),
    ]  # fmt: skip
    for stage, (full, expand, channels, count, kernel, first) in enumerate(rows):
        out = round_channels(channels * width)
        for unit in range(ceil(count * depth)):
            stride = 1 if unit else first
            middle = expand * (round_channels(24 * width) if not stage else net.channels(x))
            if not full:
                x = _inverted(net, x, middle, out, kernel, stride)
                continue
            y = net.conv(net.conv(x, middle, kernel, stride), out, 1)
            x = net.sum(y, x) if stage and stride == 1 and net.channels(x) == out else y
    return net.classify(net.conv(x, round_channels(1280 * width), 1))


# --- detectors ------------------------------------------------------------------------------------------------------


def yolox(width: float = 0.5, depth: float = 0.33, side: int = 640, classes: int = 80) -> Graph:
    """YOLOX up to its raw outputs: CSPDarknet, PAFPN and the decoupled head; S is at half width and a third of depth,
    M at 0.75 and 0.67, L at 1 and 1."""

    def units(count: int) -> int:
        return max(round(count * depth), 1)

    c64, c128, c256, c512, c1024 = (int(count * width) for count in (64, 128, 256, 512, 1024))
    net = Net(side)
    x = net.add("SPACE_TO_DEPTH", (0,), (1, side // 2, side // 2, 12))
    x = net.conv(x, c64, 3)
    kept = []
    for channels, count in ((c128, 3), (c256, 9), (c512, 9), (c1024, 3)):
        x = net.conv(x, channels, 3, 2)
        if channels == c1024:
            x = net.conv(x, c512, 1)
            x = net.conv(net.concat(x, *(net.pool(x, kernel, 1) for kernel in (5, 9, 13))), c1024, 1)
        x = _csp(net, x, channels, units(count), residual=channels != c1024)
        kept.append(x)
    _, third, fourth, fifth = kept
    top = net.conv(fifth, c512, 1)
    middle = net.conv(_csp(net, net.concat(_enlarge(net, top), fourth), c512, units(3)), c256, 1)
    low = _csp(net, net.concat(_enlarge(net, middle), third), c256, units(3))
    mid = _csp(net, net.concat(net.conv(low, c256, 3, 2), middle), c512, units(3))
    high = _csp(net, net.concat(net.conv(mid, c512, 3, 2), top), c1024, units(3))
    outputs = []
    for level in (low, mid, high):
        stem = net.conv(level, c256, 1)
        labels, boxes = (net.conv(net.conv(stem, c256, 3), c256, 3) for _ in range(2))
        outputs.append(net.concat(net.conv(boxes, 4, 1), net.conv(boxes, 1, 1), net.conv(labels, classes, 1)))
    return net.graph(*outputs)


def _csp(net: Net, x: int, channels: int, count: int, *, residual: bool = False) -> int:
    half = channels // 2
    y = net.conv(x, half, 1)
    for _ in range(count):
        unit = net.conv(net.conv(y, half, 1), half, 3)
        y = net.sum(unit, y) if residual else unit
    return net.conv(net.concat(y, net.conv(x, half, 1)), channels, 1)


def _enlarge(net: Net, x: int) -> int:
    _, height, width, channels = net.shape(x)
    return net.add("RESIZE_NEAREST_NEIGHBOR", (x,), (1, 2 * height, 2 * width, channels))


def yolov8(width: float, depth: float, most: int, side: int, classes: int = 80) -> Graph:
    """YOLOv8 up to its raw outputs. Its activation function, SiLU, is a product of its own in every format."""
    net = Net(side)

    def channels(count: int) -> int:
        return round_channels(min(count, most) * width)

    def conv(x: int, out: int, kernel: int = 1, stride: int = 1) -> int:
        y = net.conv(x, out, kernel, stride)
        return net.add("MUL", (y, net.add("LOGISTIC", (y,), net.shape(y))), net.shape(y))

    def block(x: int, out: int, count: int, *, residual: bool) -> int:
        first = conv(x, out)
        half = (*net.shape(first)[:3], out // 2)
        parts = [net.add("SPLIT", (first,), half), net.tensor(half)]
        split = net.operators[-1]
        net.operators[-1] = replace(split, outputs=(parts[0], parts[1]))
        for _ in range(max(1, round(count * depth))):
            y = conv(conv(parts[-1], out // 2, 3), out // 2, 3)
            parts.append(net.sum(y, parts[-1]) if residual else y)
        return conv(net.concat(*parts), out)

    x, kept = conv(0, channels(64), 3, 2), []
    for count, repeats in ((128, 3), (256, 6), (512, 6), (1024, 3)):
        x = block(conv(x, channels(count), 3, 2), channels(count), repeats, residual=True)
        kept.append(x)
    pooled = [conv(x, channels(1024) // 2)]
    for _ in range(3):
        pooled.append(net.pool(pooled[-1], 5, 1))
    top = conv(net.concat(*pooled), channels(1024))
    middle = block(net.concat(_enlarge(net, top), kept[2]), channels(512), 3, residual=False)
    low = block(net.concat(_enlarge(net, middle), kept[1]), channels(256), 3, residual=False)
    mid = block(net.concat(conv(low, channels(256), 3, 2), middle), channels(512), 3, residual=False)
    high = block(net.concat(conv(mid, channels(512), 3, 2), top), channels(1024), 3, residual=False)
    boxes, labels = max(16, channels(256) // 4, 64), max(channels(256), min(classes, 100))
    outputs = [
        net.concat(
            net.conv(conv(conv(level, boxes, 3), boxes, 3), 64, 1),
            net.conv(conv(conv(level, labels, 3), labels, 3), classes, 1),
        )
        for level in (low, mid, high)
    ]
    return net.graph(*outputs)


RESNET50, RESNET101, RESNET152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)


def _models() -> dict[str, Callable[[], Graph]]:
    from published_inception import inception_resnet_v2, inception_v1, inception_v3, inception_v4

    return {
        "alexnet": alexnet,
        "vgg11": lambda: vgg((1, 1, 2, 2, 2)),
        "vgg13": lambda: vgg((2, 2, 2, 2, 2)),
        "vgg16": lambda: vgg((2, 2, 3, 3, 3)),
        "vgg19": lambda: vgg((2, 2, 4, 4, 4)),
        "mobilenet_v1": mobilenet_v1,
        "mobilenet_v1_0.25_128": lambda: mobilenet_v1(0.25, 128),
        "mobilenet_v1_0.5_160": lambda: mobilenet_v1(0.5, 160),
        "mobilenet_v2": mobilenet_v2,
        "mobilenet_v3_large": lambda: mobilenet_v3("large"),
        "mobilenet_v3_small": lambda: mobilenet_v3("small"),
        "mnasnet_0.5": lambda: mnasnet(0.5),
        "mnasnet_0.75": lambda: mnasnet(0.75),
        "mnasnet_1.0": mnasnet,
        "mnasnet_1.3": lambda: mnasnet(1.3),
        "squeezenet_1.0": squeezenet,
        "squeezenet_1.1": lambda: squeezenet("1.1"),
        "resnet18": lambda: resnet((2, 2, 2, 2), bottleneck=False),
        "resnet34": lambda: resnet(RESNET50, bottleneck=False),
        "resnet50": lambda: resnet(RESNET50),
        "resnet101": lambda: resnet(RESNET101),
        "resnet152": lambda: resnet(RESNET152),
        "resnet18_256": lambda: resnet((2, 2, 2, 2), 256, bottleneck=False),
        "resnet34_256": lambda: resnet(RESNET50, 256, bottleneck=False),
        "resnet50_256": lambda: resnet(RESNET50, 256),
        "resnet50_slim": lambda: resnet(RESNET50, early=True),
        "resnet101_slim": lambda: resnet(RESNET101, early=True),
        "resnet152_slim": lambda: resnet(RESNET152, early=True),
        "resnet50_slim_299": lambda: resnet(RESNET50, 299, early=True),
        "resnet50_v2_299": lambda: resnet_v2(RESNET50),
        "resnet101_v2_299": lambda: resnet_v2(RESNET101),
        "resnet152_v2_299": lambda: resnet_v2(RESNET152),
        "densenet121": lambda: densenet(32, 64, (6, 12, 24, 16)),
        "densenet161": lambda: densenet(48, 96, (6, 12, 36, 24)),
        "densenet169": lambda: densenet(32, 64, (6, 12, 32, 32)),
        "densenet201": lambda: densenet(32, 64, (6, 12, 48, 32)),
        "inception_v1": inception_v1,
        "inception_v3": inception_v3,
        "inception_v4": inception_v4,
        "inception_resnet_v2": inception_resnet_v2,
        "efficientnet_edgetpu_s": lambda: efficientnet_edgetpu(1.0, 1.0, 224),
        "efficientnet_edgetpu_m": lambda: efficientnet_edgetpu(1.0, 1.1, 240),
        "efficientnet_edgetpu_l": lambda: efficientnet_edgetpu(1.2, 1.4, 300),
        "yolox_s_640": yolox,
        "yolox_m_640": lambda: yolox(0.75, 0.67),
        "yolox_l_640": lambda: yolox(1.0, 1.0),
        # As netspresso-trainer has them: of few classes, and MobileNet v3 Small without the layer before the last.
        "mobilenet_v3_large_3": lambda: mobilenet_v3("large", classes=3),
        "mobilenet_v3_small_3": lambda: mobilenet_v3("small", classes=3, hidden=False),
        "resnet18_3": lambda: resnet((2, 2, 2, 2), bottleneck=False, classes=3),
        "resnet34_3": lambda: resnet(RESNET50, bottleneck=False, classes=3),
        "resnet50_3": lambda: resnet(RESNET50, classes=3),
        "yolox_s_640_4": lambda: yolox(classes=4),
        "yolox_m_640_4": lambda: yolox(0.75, 0.67, classes=4),
        "yolox_l_640_4": lambda: yolox(1.0, 1.0, classes=4),
        "yolov8n_416": lambda: yolov8(0.25, 0.33, 1024, 416),
        "yolov8n_640": lambda: yolov8(0.25, 0.33, 1024, 640),
        "yolov8s_416": lambda: yolov8(0.5, 0.33, 1024, 416),
        "yolov8s_640": lambda: yolov8(0.5, 0.33, 1024, 640),
        "yolov8m_416": lambda: yolov8(0.75, 0.67, 768, 416),
        "yolov8m_640": lambda: yolov8(0.75, 0.67, 768, 640),
    }


@cache
def build(name: str) -> Graph:
    """The graph of a published model, by edgekit's name for it (KeyError: there is no table of it)."""
    return _models()[name]()
