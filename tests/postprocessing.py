"""ONNX models with post-processing in the graph, as exporters write it: what ``onnx_cut_tail`` is tried on.

Each function returns a model with the input ``image`` [1, 3, 32, 32] and seeded weights. The heads' last layers are
scaled so that boxes and scores have the ranges of a trained detector: pixels, and logits around -2.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper, shape_inference

SIDE, CLASSES = 32, 5


class Net:
    """A graph that grows node by node; each call returns the name of what the node gives."""

    def __init__(self, opset: int = 17, *, computes_sizes: bool = False, noise: float = 0.0) -> None:
        self.opset = opset
        self.noise = noise
        self.computes_sizes = computes_sizes
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._draw = np.random.default_rng(5)
        self._disturb = np.random.default_rng(6)
        self._count = 0

    def add(self, kind: str, *inputs: str | np.ndarray, outputs: int = 1, **attributes: Any) -> Any:
        self._count += 1
        given = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        names = [f"{kind.lower()}_{self._count}" + (f"_{place}" if outputs > 1 else "") for place in range(outputs)]
        self.nodes.append(helper.make_node(kind, given, names, name=f"{kind}_{self._count}", **attributes))
        return names if outputs > 1 else names[0]

    def constant(self, values: np.ndarray) -> str:
        name = f"c_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def numbers(self, *values: float) -> np.ndarray:
        return np.array(values, np.float32)

    def conv(self, name: str, channels: int, inputs: int, side: int = 3, stride: int = 1, gain: Any = 1.4) -> str:
        weights = self._draw.normal(0, gain / np.sqrt(inputs * side * side), (channels, inputs, side, side))
        bias = self._draw.normal(0, 0.1, channels)
        weights += self._disturb.normal(0, self.noise * weights.std(), weights.shape) if self.noise else 0.0
        pads = [side // 2] * 4
        return str(
            self.add("Conv", name, weights.astype(np.float32), bias.astype(np.float32), strides=[stride] * 2, pads=pads)
        )

    @functools.cached_property
    def levels(self) -> list[str]:
        """Two feature maps: [1, 16, 8, 8] and [1, 16, 4, 4]."""
        stem = self.add("Relu", self.conv("image", 12, 3, stride=2))
        fine = self.add("Relu", self.conv(stem, 16, 12, stride=2))
        return [fine, self.add("Relu", self.conv(fine, 16, 16, stride=2))]

    def rows(self, name: str, numbers: int) -> str:
        """[1, C, H, W] -> [1, H * W, C]; with ``computes_sizes`` by sizes that are read when it runs, as exporters
        write them."""
        sizes: Any = np.array([1, numbers, -1], np.int64)
        if self.computes_sizes:
            batch = self.add("Gather", self.add("Shape", name), np.array([0]), axis=0)
            sizes = self.add("Concat", batch, np.array([numbers]), np.array([-1]), axis=0)
        flat = self.add("Reshape", name, sizes)
        return str(self.add("Transpose", flat, perm=[0, 2, 1]))

    def model(self, **outputs: str) -> ModelProto:
        """With outputs of these names, each the tensor that is given."""
        for output, name in outputs.items():
            self.nodes.append(helper.make_node("Identity", [name], [output], name=f"{output}_name"))
        return self.finish(list(outputs))

    def finish(self, outputs: list[str]) -> ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        made = shape_inference.infer_shapes(made, data_prop=True)
        checker.check_model(made)
        return made


def anchors() -> np.ndarray:
    """Centres and sides [80, 4] in pixels of one anchor per cell of both levels."""
    rows = []
    for cells in (8, 4):
        step = SIDE / cells
        y, x = np.meshgrid(*[(np.arange(cells) + 0.5) * step] * 2, indexing="ij")
        rows.append(np.stack([x.ravel(), y.ravel(), np.full(cells**2, 2 * step), np.full(cells**2, 3 * step)], 1))
    return np.concatenate(rows).astype(np.float32)


def _heads(net: Net, numbers: int, gain: float, shift: float = 0.0) -> str:
    """A head on both levels, joined: [1, 80, numbers]."""
    found = [net.rows(net.conv(level, numbers, 16, gain=gain), numbers) for level in net.levels]
    joined = net.add("Concat", *found, axis=1)
    return str(net.add("Add", joined, net.numbers(shift))) if shift else str(joined)


def _decoded(net: Net, grow: str = "Exp") -> tuple[str, str]:
    """(boxes [1, 80, 4] as corners in pixels, scores [1, 80, 5]); ``grow`` makes a factor of a head's size."""
    found = _heads(net, 4, 0.5)
    scores = net.add("Sigmoid", _heads(net, CLASSES, 1.5, -2.0))
    prior = anchors()[None]
    moves, sizes = net.add("Split", found, np.array([2, 2], np.int64), outputs=2, axis=2)
    centres = net.add("Add", net.add("Mul", moves, prior[..., 2:]), prior[..., :2])
    halves = net.add("Mul", net.add("Mul", net.add(grow, sizes), prior[..., 2:]), net.numbers(0.5))
    boxes = net.add("Concat", net.add("Sub", centres, halves), net.add("Add", centres, halves), axis=2)
    return str(boxes), str(scores)


def detector(opset: int = 17, grow: str = "Exp", *, computes_sizes: bool = False) -> ModelProto:
    """Two levels, anchors, box decoding; boxes in pixels and scores in one output ``detections`` [1, 80, 9]. With
    ``grow`` Sigmoid there is an 8-bit form of every operator."""
    net = Net(opset, computes_sizes=computes_sizes)
    boxes, scores = _decoded(net, grow)
    return net.model(detections=net.add("Concat", boxes, scores, axis=2))


def detector_with_nms() -> ModelProto:
    """The same with NonMaxSuppression: ``chosen`` [K, 3], their ``boxes`` [K, 4], and all ``scores``."""
    net = Net()
    boxes, scores = _decoded(net)
    by_class = net.add("Transpose", scores, perm=[0, 2, 1])
    chosen = net.add("NonMaxSuppression", boxes, by_class, np.array([8]), net.numbers(0.5), net.numbers(0.4))
    places = net.add("Slice", chosen, np.array([2]), np.array([3]), np.array([1]))
    flat = net.add("Reshape", boxes, np.array([-1, 4]))
    return net.model(chosen=chosen, boxes=net.add("GatherND", flat, places), scores=scores)


def detections(opset: int = 17, *, padded: int | None = None, noise: float = 0.0) -> ModelProto:
    """What NMS leaves: ``boxes`` [K, 4], ``scores`` [K] and ``labels`` [K], of another length for every picture. With
    ``padded`` the best of them in one output ``detections`` [1, padded, 6], empty places zero but for a score of -1.
    ``noise`` disturbs the weights, by this share of their own spread."""
    net = Net(opset, noise=noise)
    moves, sizes = _heads(net, 2, 0.5), _heads(net, 2, 0.5)
    prior = anchors()[None]
    centres = net.add("Add", net.add("Mul", moves, prior[..., 2:]), prior[..., :2])
    halves = net.add("Mul", net.add("Exp", sizes), prior[..., 2:] / 2)
    boxes = net.add("Concat", net.add("Sub", centres, halves), net.add("Add", centres, halves), axis=2)
    scores = net.add("Transpose", net.add("Sigmoid", _heads(net, CLASSES, 1.5, -2.0)), perm=[0, 2, 1])
    chosen = net.add("NonMaxSuppression", boxes, scores, np.array([8]), net.numbers(0.5), net.numbers(0.5))
    labels = net.add("Gather", chosen, np.array(1), axis=1)
    places = net.add("Gather", chosen, np.array(2), axis=1)
    own = net.add("Gather", net.add("Reshape", boxes, np.array([-1, 4])), places)
    best = net.add("GatherND", scores, chosen)
    if padded is None:
        return net.model(boxes=own, scores=best, labels=labels)
    column, last = np.array([-1, 1]), net.add("Cast", labels, to=TensorProto.FLOAT)
    rows = net.add("Concat", own, net.add("Reshape", best, column), net.add("Reshape", last, column), axis=1)
    empty = np.zeros((padded, 6), np.float32)
    empty[:, 4] = -1
    filled = net.add("Concat", rows, empty, axis=0)
    key = net.add("Gather", filled, np.array(4), axis=1)
    _, order = net.add("TopK", key, np.array([padded]), outputs=2, axis=0)
    return net.model(detections=net.add("Reshape", net.add("Gather", filled, order), np.array([1, padded, 6])))


def mixed_head(*, nms: bool = True) -> ModelProto:
    """One convolution gives, of every place, the distances from it to the four sides of a box in pixels and the logits
    of five classes, of a range a tenth as large: ``boxes``, ``scores`` and ``labels`` behind NMS, or those of all
    places, [1, 80, 4] and [1, 80, 5]."""
    net = Net()
    gains = np.array([20.0] * 4 + [2.0] * CLASSES).reshape(-1, 1, 1, 1)
    heads = [net.rows(net.conv(level, 4 + CLASSES, 16, gain=gains), 4 + CLASSES) for level in net.levels]
    both = net.add("Concat", *heads, axis=1)
    low, high = (np.array(limits, np.int64) for limits in ([0, 0], [80, 4]))
    sides = net.add("Relu", net.add("Slice", both, low, high, np.array([1, 2])))
    logits = net.add("Slice", both, np.array([4]), np.array([9]), np.array([2]))
    centres = anchors()[None, :, :2]
    near, far = net.add("Split", sides, np.array([2, 2], np.int64), outputs=2, axis=2)
    boxes = net.add("Concat", net.add("Sub", centres, near), net.add("Add", far, centres), axis=2)
    scores = net.add("Sigmoid", net.add("Sub", logits, net.numbers(2)))
    if not nms:
        return net.model(boxes=boxes, scores=scores)
    by_class = net.add("Transpose", scores, perm=[0, 2, 1])
    chosen = net.add("NonMaxSuppression", boxes, by_class, np.array([8]), net.numbers(0.5), net.numbers(0.5))
    places = net.add("Gather", chosen, np.array(2), axis=1)
    own = net.add("Gather", net.add("Reshape", boxes, np.array([-1, 4])), places)
    labels = net.add("Gather", chosen, np.array(1), axis=1)
    return net.model(boxes=own, scores=net.add("GatherND", by_class, chosen), labels=labels)


def detector_with_bins() -> ModelProto:
    """Sides of boxes as expectations over 8 bins, by a convolution with the weights 0..7, then corners by a matrix."""
    net = Net()
    joined = []
    for level in net.levels:
        pair = net.add("Concat", net.conv(level, 32, 16), net.conv(level, CLASSES, 16), axis=1)
        joined.append(net.add("Reshape", pair, np.array([1, 32 + CLASSES, -1])))
    both = net.add("Concat", *joined, axis=2)
    bins, scores = net.add("Split", both, np.array([32, CLASSES]), outputs=2, axis=1)
    bins = net.add("Transpose", net.add("Reshape", bins, np.array([1, 4, 8, 80])), perm=[0, 2, 1, 3])
    sides = net.add("Conv", net.add("Softmax", bins, axis=1), np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1))
    rows = net.add("Transpose", net.add("Reshape", sides, np.array([1, 4, 80])), perm=[0, 2, 1])
    matrix = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], np.float32)
    return net.model(boxes=net.add("MatMul", rows, matrix), scores=net.add("Sigmoid", scores))


def detector_in_five_axes() -> ModelProto:
    """Three anchors a cell on axes of their own; sides as (2 * sigmoid) ** 2, as in YOLOv5: ``found`` [1, 240, 9]."""
    net = Net()
    levels = []
    for level, cells in zip(net.levels, (8, 4), strict=True):
        head = net.add("Reshape", net.conv(level, 3 * (4 + CLASSES), 16), np.array([1, 3, 4 + CLASSES, cells, cells]))
        shares = net.add("Sigmoid", net.add("Transpose", head, perm=[0, 1, 3, 4, 2]))
        places, sides, scores = net.add("Split", shares, np.array([2, 2, CLASSES]), outputs=3, axis=4)
        grid = np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), 2).astype(np.float32)[None, None]
        centres = net.add("Mul", net.add("Add", net.add("Mul", places, net.numbers(2)), grid), net.numbers(32 / cells))
        anchor = np.array([[4, 6], [8, 5], [9, 12]], np.float32).reshape(1, 3, 1, 1, 2)
        sides = net.add("Mul", net.add("Pow", net.add("Mul", sides, net.numbers(2)), net.numbers(2)), anchor)
        joined = net.add("Concat", centres, sides, scores, axis=4)
        levels.append(net.add("Reshape", joined, np.array([1, -1, 4 + CLASSES])))
    return net.model(found=net.add("Concat", *levels, axis=1))


def centre_points() -> ModelProto:
    """A heat map whose peaks are chosen by a pooling and TopK, as in CenterNet: ``scores`` and ``places`` [1, 10]."""
    net = Net()
    heat = net.add("Sigmoid", net.conv(net.levels[0], CLASSES, 16))
    around = net.add("MaxPool", heat, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    peaks = net.add("Mul", heat, net.add("Cast", net.add("Equal", heat, around), to=TensorProto.FLOAT))
    flat = net.add("Reshape", peaks, np.array([1, -1]))
    scores, places = net.add("TopK", flat, np.array([10]), outputs=2)
    return net.model(scores=scores, places=places)


def branches() -> ModelProto:
    """A choice at run time: if a score is above a half the boxes [1, 4, 8, 8] are enlarged by a constant. Both branches
    read the heads and the constant from the graph around them."""
    net = Net()
    boxes, scores = (net.conv(net.levels[0], channels, 16) for channels in (4, CLASSES))
    best = net.add("ReduceMax", net.add("Sigmoid", scores), keepdims=0)
    factor = net.constant(net.numbers(3))
    sides = {}
    for name, kind in (("then_branch", "Mul"), ("else_branch", "Sub")):
        node = helper.make_node(kind, [boxes, factor], [f"{name}_made"])
        given = helper.make_tensor_value_info(f"{name}_made", TensorProto.FLOAT, [1, 4, 8, 8])
        sides[name] = helper.make_graph([node], name, [], [given])
    return net.model(boxes=net.add("If", net.add("Greater", best, np.array(0.5, np.float32)), **sides))


def classifier(classes: int, opset: int = 17) -> ModelProto:
    """Global pooling, one matrix product, softmax: ``shares`` [1, classes], and the ``features`` before it."""
    net = Net(opset)
    pooled = net.add("Flatten", net.add("GlobalAveragePool", net.levels[1]))
    weights = np.random.default_rng(6).normal(0, 1, (16, classes)).astype(np.float32)
    logits = net.add("Gemm", pooled, weights, np.zeros(classes, np.float32))
    return net.model(shares=net.add("Softmax", logits, axis=1), features=pooled)


def label_map() -> ModelProto:
    """Segmentation: class scores resized to the picture, ``labels`` [1, 32, 32] by ArgMax."""
    net = Net()
    scores = net.conv(net.levels[0], CLASSES, 16)
    large = net.add("Resize", scores, "", net.numbers(1, 1, 4, 4), mode="nearest")
    return net.model(labels=net.add("ArgMax", large, axis=1, keepdims=0))


def regression() -> ModelProto:
    """A depth map: convolutions only, ReLU at the end."""
    net = Net()
    return net.model(depth=net.add("Relu", net.conv(net.levels[0], 1, 16)))
