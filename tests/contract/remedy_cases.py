"""Small ONNX models, each refused for one cause of which a table of rules names a step that cures it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from ..onnx_models import Node, integers, node, numbers

Shape = tuple[int, ...]
PICTURE: Shape = (1, 3, 16, 16)


@dataclass(frozen=True)
class Case:
    """A model from ``x`` to ``y``; ``refused`` is the operator that the remedy is told of. ``release`` is the level by
    which a table judges it (None: its profile's own), ``dtype`` the type of ``x``."""

    refused: str
    nodes: list[Node]
    shape: Shape = PICTURE
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    opset: int = 17
    release: str | None = None
    dtype: str = "float32"


def _first(channels: int = 24, given: str = "x", made: str = "c", inputs: int = 3) -> tuple[Node, dict[str, Any]]:
    weights = f"{made}_weights"
    return node("Conv", given, weights, made), {weights: numbers(channels, inputs, 1, 1)}


def _between(refused: str, *nodes: Node, opset: int = 17, channels: int = 24, made: int = 24, **constants: Any) -> Case:
    """``nodes`` make `a` of `c`, between two convolutions."""
    (first, weights), (last, more) = _first(channels), _first(4, "a", "y", made)
    return Case(refused, [first, *nodes, last], constants=weights | more | constants, opset=opset)


def _activation(refused: str, type_: str, opset: int = 17, **attributes: Any) -> Case:
    return _between(refused, node(type_, "c", "a", **attributes), opset=opset)


def _end(refused: str, *nodes: Node, channels: int = 24, shape: Shape = PICTURE, **constants: Any) -> Case:
    """``nodes`` make `y` of `c`, after the last convolution."""
    first, weights = _first(channels)
    return Case(refused, [first, *nodes], shape, weights | constants)


def _turned(given: str, order: list[int], made: str) -> list[Node]:
    """Reshape to `high`, transpose, reshape to `low`."""
    return [
        node("Reshape", given, "high", "r"),
        node("Transpose", "r", "t", perm=order),
        node("Reshape", "t", "low", made),
    ]


def _resize(given: str, made: str, **attributes: Any) -> Node:
    return helper.make_node("Resize", [given, "", "scales"], [made], name="resize", **attributes)


def _top(*, count: int = 3, computed: bool = False) -> list[Node]:
    """The largest of `c`; how many, in `y` as numbers."""
    many = [node("Shape", "flat", "sizes"), node("Gather", "sizes", "one", "all"), node("Div", "all", "many", "k")]
    flat = node("Reshape", "c", "row", "flat")
    best = helper.make_node("TopK", ["flat", "k"], ["y", "places"], name="top", axis=1)
    return [flat, *(many if computed else []), best]


def _suppress(*, computed: bool = False) -> list[Node]:
    """Boxes and scores of `c` [1, 24, 16, 16] through NMS; the choice as numbers in `y`."""
    shapes = [node("Reshape", "c", "as_boxes", "boxes"), node("Slice", "c", "zeros", "ones", "axes", "s")]
    scores = [node("Reshape", "s", "as_scores", "scores")]
    many = [node("Shape", "x", "sizes"), node("Gather", "sizes", "one", "most")] if computed else []
    chosen = [node("NonMaxSuppression", "boxes", "scores", "most", "iou", "least", "chosen")]
    return [*shapes, *scores, *many, *chosen, node("Cast", "chosen", "y", to=TensorProto.FLOAT)]


_SUPPRESSED = {
    "as_boxes": integers(1, 1536, 4),
    "as_scores": integers(1, 1, 1536),
    "zeros": integers(0),
    "ones": integers(6),
    "axes": integers(1),
    "iou": np.array([0.5], np.float32),
    "least": np.array([0.1], np.float32),
}
_CENTRED = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
_CELL = {"high": integers(1, 6, 2, 2, 16, 16), "low": integers(1, 6, 32, 32)}
_HEAD = {"high": integers(1, 3, 85, 16, 16), "low": integers(1, 768, 85)}
_TWO_HEADS = [
    *[node("Conv", "x", "w", "c"), node("Conv", "x", "v", "d")],
    *[node("Reshape", "c", "low", "e"), node("Reshape", "d", "low", "f")],
    *[node("Concat", "e", "f", "g", axis=2), node("Sigmoid", "g", "y")],
]
_ELU = _activation("EXP", "Elu", alpha=0.5)
_SELU = _activation("EXP", "Selu")
_MISH, _SOFTPLUS = _activation("EXP", "Mish", 18), _activation("EXP", "Softplus")
_GELU = _between(
    "EXP",
    *[node("Mul", "c", "root", "d"), node("Erf", "d", "e"), node("Add", "e", "one", "f")],
    *[node("Mul", "f", "half", "g"), node("Mul", "c", "g", "a")],
    root=np.float32(0.5**0.5),
    one=np.float32(1),
    half=np.float32(0.5),
)
_GRID = _end(
    "",
    *[
        node("Conv", "c", "v", "two"),
        node("Transpose", "two", "g", perm=[0, 2, 3, 1]),
        node("GridSample", "c", "g", "y"),
    ],
    v=numbers(2, 24, 1, 1),
)
_ARGMAX, _ARGMIN = (
    _end(name, node(type_, "c", "chosen", axis=1), node("Cast", "chosen", "y", to=TensorProto.FLOAT))
    for name, type_ in (("ARG_MAX", "ArgMax"), ("ARG_MIN", "ArgMin"))
)
_TOP = _end("TOPK_V2", *_top(), row=integers(1, 6144), k=integers(3))


def _as(refused: str, case: Case, **changes: Any) -> Case:
    """The same model, for another operator of it."""
    return Case(**{**vars(case), "refused": refused, **changes})


#: Two heads of [1, 12, 16384] that are joined and squashed.
_LARGE = Case(
    "LOGISTIC",
    _TWO_HEADS,
    (1, 3, 128, 128),
    {"w": numbers(12, 3, 1, 1), "v": numbers(12, 3, 1, 1), "low": integers(1, 12, 16384)},
)


_VOLUME = Case(
    "CONV_3D",
    [node("Conv", "x", "w", "c"), node("Relu", "c", "a"), node("ReduceMean", "a", "y", axes=[2, 3, 4], keepdims=0)],
    (1, 3, 8, 8, 8),
    {"w": numbers(4, 3, 3, 3, 3)},
)
_NORM = _between(
    "SQRT",
    *[node("ReduceL2", "c", "n", axes=[1]), node("Mul", "c", "n", "a")],
)
#: Enlarged and joined again, as in a U-Net: beside PReLU the converter makes a picture of it and takes its first row.
_SIGNAL = Case(
    "GATHER",
    [
        *[node("Conv", "x", "w", "c", strides=[2]), node("PRelu", "c", "k", "p"), _resize("p", "d", **_CENTRED)],
        *[node("Concat", "d", "x", "e", axis=1), node("Conv", "e", "v", "y")],
    ],
    (1, 4, 40),
    {"w": numbers(16, 4, 1), "k": numbers(16, 1), "v": numbers(4, 20, 1), "scales": np.array([1, 1, 2], np.float32)},
)
_APART = Case(
    "GATHER",
    [
        *[_first()[0], node("Reshape", "c", "pairs", "r"), node("Transpose", "r", "t", perm=[1, 0, 2])],
        *[node("Reshape", "t", "halves", "h"), node("Gather", "h", "one", "b", axis=0)],
        *[node("Gather", "h", "two", "d", axis=0), node("Conv", "d", "w", "e"), node("Add", "b", "e", "y")],
    ],
    constants={
        **_first()[1],
        "pairs": integers(12, 2, 256),
        "halves": integers(2, 1, 12, 16, 16),
        "one": np.array(0),
        "two": np.array(1),
        "w": numbers(12, 12, 1, 1),
    },
)


#: {(table, cause, which of its remedies): the case}.
_PICTURES = Case(
    "CAST",
    [
        node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
        node("Cast", "t", "f", to=TensorProto.FLOAT),
        node("Div", "f", "most", "d"),
        node("Conv", "d", "w", "y"),
    ],
    (1, 16, 16, 3),
    {"most": np.array(255, np.float32), "w": numbers(4, 3, 1, 1)},
    dtype="uint8",
)

CASES: dict[tuple[str, str, int], Case] = {
    ("edgetpu", "operator/any", 0): _end("SQRT", node("Sigmoid", "c", "s"), node("Sqrt", "s", "y")),
    ("edgetpu", "operator/EXP", 0): _SELU,
    ("edgetpu", "operator/EXP", 1): _MISH,
    ("edgetpu", "operator/EXP", 2): _GELU,
    ("edgetpu", "operator/EXP", 3): _SOFTPLUS,
    ("edgetpu", "operator/EXP", 4): _end("EXP", node("Exp", "c", "y")),
    ("edgetpu", "operator/LOG", 0): _as("LOG", _MISH),
    ("edgetpu", "operator/LOG", 1): _as("LOG", _SOFTPLUS),
    ("edgetpu", "operator/LOG", 2): _end(
        "LOG",
        *[node("GlobalAveragePool", "c", "p"), node("Reshape", "p", "low", "f"), node("Gemm", "f", "v", "z")],
        node("LogSoftmax", "z", "y", axis=-1),
        low=integers(1, 24),
        v=numbers(24, 35),
    ),
    ("edgetpu", "operator/LOG", 3): _end("LOG", node("Sigmoid", "c", "s"), node("Log", "s", "y")),
    ("edgetpu", "operator/LEAKY_RELU", 0): _activation("LEAKY_RELU", "LeakyRelu", alpha=0.1),
    ("edgetpu", "operator/HARD_SWISH", 0): _activation("HARD_SWISH", "HardSwish"),
    ("edgetpu", "operator/RELU_0_TO_1", 0): _activation("RELU_0_TO_1", "HardSigmoid"),
    ("edgetpu", "operator/ELU", 0): _activation("ELU", "Elu"),
    ("edgetpu", "operator/ABS", 0): _as("ABS", _GELU),
    ("edgetpu", "operator/ABS", 1): _between("ABS", node("PRelu", "c", "k", "a"), k=numbers(24, 16, 16)),
    ("edgetpu", "operator/ABS", 3): _activation("ABS", "Abs"),
    ("edgetpu", "operator/DIV", 0): _as("DIV", _GELU),
    ("edgetpu", "operator/DIV", 1): _end(
        "DIV",
        *[node("Exp", "c", "e"), node("ReduceSum", "e", "channel", "s"), node("Div", "e", "s", "y")],
        channel=integers(1),
    ),
    ("edgetpu", "operator/BATCH_MATMUL", 0): Case(
        "BATCH_MATMUL", [node("MatMul", "x", "w", "y")], (1, 16, 32), {"w": numbers(32, 48)}
    ),
    ("edgetpu", "operator/BATCH_MATMUL", 1): Case(
        "BATCH_MATMUL", [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x", "t", "y")], (1, 16, 32)
    ),
    ("edgetpu", "operator/DEPTH_TO_SPACE", 0): _between(
        "DEPTH_TO_SPACE", node("DepthToSpace", "c", "a", blocksize=2), made=6
    ),
    ("edgetpu", "operator/GATHER", 0): _between(
        "GATHER",
        *_turned("c", [0, 2, 1, 3, 4], "a"),
        high=integers(1, 2, 12, 16, 16),
        low=integers(1, 24, 16, 16),
    ),
    ("edgetpu", "operator/GATHER", 1): _SIGNAL,
    ("edgetpu", "operator/GATHER", 2): _between(
        "GATHER", node("Gather", "c", "places", "a", axis=2), places=integers(4, 5, 6)
    ),
    ("edgetpu", "operator/GATHER", 3): _end(
        "GATHER", node("Exp", "c", "e"), node("Gather", "e", "places", "y", axis=1), places=integers(2, 0, 5)
    ),
    ("edgetpu", "newer_operator/RELU_0_TO_1", 0): _activation("RELU_0_TO_1", "HardSigmoid"),
    ("edgetpu", "newer_operator/SIGN", 0): _as("SIGN", _GELU),
    ("edgetpu", "newer_operator/GELU", 0): _activation("GELU", "Gelu", 20),
    ("tensorrt", "type", 1): replace(_PICTURES, refused="Cast", opset=13),
    ("edgetpu", "operator/CAST", 0): _PICTURES,
    ("edgetpu", "data_type/CAST", 0): _PICTURES,
    ("edgetpu", "data_type/any", 0): _as("CAST", _ELU),
    ("edgetpu", "data_type/any", 1): _ARGMAX,
    ("edgetpu", "rank/any", 1): _between("TRANSPOSE", *_turned("c", [0, 1, 4, 2, 5, 3], "a"), made=6, **_CELL),
    ("edgetpu", "rank/any", 2): _end("TRANSPOSE", *_turned("c", [0, 1, 3, 4, 2], "y"), channels=255, **_HEAD),
    ("edgetpu", "rank/BATCH_MATMUL", 0): Case(
        "BATCH_MATMUL",
        [
            node("Reshape", "x", "heads", "r"),
            node("Transpose", "r", "t", perm=[0, 1, 3, 2]),
            node("MatMul", "r", "t", "m"),
            node("Reshape", "m", "low", "y"),
        ],
        (1, 32, 32),
        {"heads": integers(4, 2, 16, 8), "low": integers(1, 128, 16)},
    ),
    ("edgetpu", "limits/constant_is_padding", 0): Case(
        "CONCATENATION", [node("Concat", "k", "x", "y", axis=1)], (1, 16, 32), {"k": numbers(1, 1, 32)}
    ),
    ("edgetpu", "limits/equal_dilation", 0): Case(
        "CONV_2D", [node("Conv", "x", "w", "y", dilations=[2])], (1, 4, 40), {"w": numbers(8, 4, 5)}
    ),
    ("edgetpu", "limits/window_below", 0): Case(
        "CONV_2D", [node("Conv", "x", "w", "y", strides=[1, 8])], (1, 2, 3, 200), {"w": numbers(4, 2, 3, 64)}
    ),
    ("edgetpu", "limits/output_is_vector", 0): Case(
        "FULLY_CONNECTED", [node("Gemm", "x", "w", "y")], (16, 32), {"w": numbers(32, 48)}
    ),
    ("edgetpu", "limits/smaller_than_refused", 0): Case(
        "TRANSPOSE_CONV",
        [node("ConvTranspose", "x", "w", "y", strides=[2, 2])],
        (1, 1024, 32, 32),
        {"w": numbers(1024, 512, 2, 2)},
    ),
    ("edgetpu", "limits/outputs_below", 0): Case(
        "FULLY_CONNECTED", [node("Gemm", "x", "w", "y")], (1, 4), {"w": numbers(4, 120_000)}
    ),
    ("edgetpu", "limits/vector_up_to", 0): _end(
        "SOFTMAX",
        node("Reshape", "c", "low", "r"),
        node("Softmax", "r", "y", axis=-1),
        shape=(1, 3, 32, 32),
        low=integers(1, 24576),
    ),
    ("edgetpu", "limits/channel_reduction_multiple", 0): Case(
        "MEAN",
        [_first(30)[0], node("ReduceMean", "c", "m", axes=[2, 3]), node("Mul", "c", "m", "y")],
        (1, 3, 15, 15),
        _first(30)[1],
    ),
    ("edgetpu", "limits/slope_per_channel", 0): _end("PRELU", node("PRelu", "c", "k", "y"), k=numbers(24, 1, 1)),
    ("edgetpu", "limits/single_row_fits", 0): _LARGE,
    ("edgetpu", "limits/row_elements_fit", 0): _as("CONCATENATION", _LARGE),
    ("edgetpu", "limits/both_sides_fit_a_tile", 0): _as("RESHAPE", _LARGE),
    ("edgetpu", "limits/enlarges_up_to", 0): _between(
        "RESIZE_BILINEAR",
        node("GlobalAveragePool", "c", "m"),
        _resize("m", "a", **_CENTRED),
        scales=np.array([1, 1, 33, 20], np.float32),
    ),
    ("edgetpu", "limits/enlarges_up_to", 1): _as("RESIZE_BILINEAR", _SIGNAL),
    ("edgetpu", "limits/enlarges_up_to", 2): _between(
        "RESIZE_BILINEAR", _resize("c", "a", **_CENTRED), scales=np.array([1, 1, 8, 8], np.float32)
    ),
    ("edgetpu", "limits/output_fits_tiles", 0): _as(
        "RESIZE_BILINEAR",
        _between("", _resize("c", "a", **_CENTRED), scales=np.array([1, 1, 4, 4], np.float32)),
        shape=(1, 3, 128, 128),
    ),
    ("edgetpu", "limits/output_fits_tiles", 1): Case(
        "RESIZE_BILINEAR",
        [_resize("x", "a", **_CENTRED), _first(4, "a", "y")[0]],
        (1, 3, 512, 512),
        {**_first(4, "a", "y")[1], "scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    ("edgetpu", "limits/output_fits_tiles", 2): Case(
        "RESIZE_NEAREST_NEIGHBOR",
        [
            _resize("x", "a", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
            _first(4, "a", "y")[0],
        ],
        (1, 3, 512, 512),
        {**_first(4, "a", "y")[1], "scales": np.array([1, 1, 2, 2], np.float32)},
    ),
    ("edgetpu", "limits/two_copies_fit_a_tile", 0): _as(
        "TRANSPOSE", _LARGE, nodes=[*_TWO_HEADS[:-1], node("Transpose", "g", "y", perm=[0, 2, 1])]
    ),
    ("edgetpu", "limits/two_copies_fit_a_tile", 1): Case(
        "TRANSPOSE",
        [node("Conv", "x", "w", "c"), node("Conv", "c", "v", "y", strides=[50])],
        (1, 4, 16000),
        {"w": numbers(8, 4, 1), "v": numbers(4, 8, 50)},
    ),
    ("edgetpu", "limits/two_copies_fit_a_tile", 2): Case(
        "TRANSPOSE",
        [node("Reshape", "x", "high", "r"), node("Transpose", "r", "y", perm=[0, 2, 1, 3])],
        (1, 256, 512),
        {"high": integers(1, 256, 4, 128)},
    ),
    ("gpu_delegate", "TOPK_V2", 0): _TOP,
    ("gpu_delegate", "ARG_MAX", 0): _ARGMAX,
    ("gpu_delegate", "ARG_MIN", 0): _ARGMIN,
    ("gpu_delegate", "RELU_0_TO_1", 0): _activation("RELU_0_TO_1", "HardSigmoid"),
    ("gpu_delegate", "GATHER/ranks", 0): _SIGNAL,
    ("gpu_delegate", "any/max_rank", 0): _end("TRANSPOSE", *_turned("c", [0, 1, 3, 4, 2], "y"), channels=255, **_HEAD),
    ("myriad", "Abs", 0): _activation("Abs", "Abs"),
    ("myriad", "HardSwish", 0): _activation("HardSwish", "HardSwish"),
    ("myriad", "HardSigmoid", 0): _activation("HardSigmoid", "HardSigmoid"),
    ("onnxruntime_coreml", "HardSwish", 0): _activation("HardSwish", "HardSwish"),
    ("tensorrt", "HardSwish", 0): _activation("HardSwish", "HardSwish"),
    ("tensorrt", "type", 0): _between(
        "ArgMax",
        node("ArgMax", "stored", "at", axis=0, keepdims=0),
        node("Cast", "at", "shift", to=TensorProto.FLOAT),
        node("Add", "c", "shift", "a"),
        stored=integers(1, 5, 3),
    ),
    ("tensorrt", "NonZero", 0): _end(
        "NonZero", node("NonZero", "c", "chosen"), node("Cast", "chosen", "y", to=TensorProto.FLOAT)
    ),
    ("tensorrt", "TopK/constant", 0): _end(
        "TopK", *_top(computed=True), row=integers(1, 6144), one=integers(1), many=integers(2048)
    ),
    ("tensorrt", "TopK/at_most", 0): _as(
        "TopK", _end("", *_top(), row=integers(1, 6144), k=integers(4000)), release="TensorRT 10.3"
    ),
    ("tensorrt", "NonMaxSuppression/constant", 0): _end(
        "NonMaxSuppression", *_suppress(computed=True), one=integers(1), **_SUPPRESSED
    ),
    **{
        ("tensorrt", f"{name}/ranks", 0): Case(
            name,
            [node(name, "x", *(["w"] if name.startswith("Conv") else []), "y", kernel_shape=[3])],
            (1, 4, 32),
            {"w": numbers(4, 4, 3)} if name.startswith("Conv") else {},
        )
        for name in ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
    },
}

#: {(table, what it is): (the case, how what is told of it begins)}: no step, or another than for a like operator.
TOLD: dict[tuple[str, str], tuple[Case, str]] = {
    ("edgetpu", "a volume"): (_VOLUME, "it does not map in any form"),
    ("edgetpu", "an activation of volumes"): (_as("RELU", _VOLUME), "no step writes this with fewer axes"),
    ("edgetpu", "a mean of volumes"): (_as("MEAN", _VOLUME), "no step writes this with fewer axes"),
    ("edgetpu", "a batch"): (_as("CONV_2D", _end("", node("Relu", "c", "y")), shape=(4, 3, 16, 16)), "its first axis"),
    ("edgetpu", "a head whose output has five axes"): (
        _end(
            "TRANSPOSE",
            *[node("Reshape", "c", "high", "r"), node("Transpose", "r", "y", perm=[0, 1, 3, 4, 2])],
            channels=255,
            high=integers(1, 3, 85, 16, 16),
        ),
        "no step writes this with fewer axes",
    ),
    ("edgetpu", "a shuffle that is taken apart"): (_APART, "add the step onnx_convolve_shuffles,"),
    ("edgetpu", "channels in another order"): (
        _between("GATHER", node("Gather", "c", "order", "a", axis=1), order=integers(*reversed(range(24)))),
        "put what it orders",
    ),
    ("edgetpu", "an exponential"): (_activation("EXP", "Exp"), "no step writes it"),
    ("edgetpu", "an exponential of a minimum"): (
        _between(
            "EXP",
            *[node("Min", "c", "one", "m"), node("Exp", "m", "e"), node("Sub", "e", "one", "a")],
            one=np.float32(1),
        ),
        "no step writes it",
    ),
    ("edgetpu", "a logarithm of another sum than softplus"): (
        _between(
            "LOG", *[node("Exp", "c", "e"), node("Add", "e", "two", "s"), node("Log", "s", "a")], two=np.float32(2)
        ),
        "no step writes it",
    ),
    ("edgetpu", "softsign"): (_activation("ABS", "Softsign"), "no step writes it"),
    ("edgetpu", "a norm of absolute values"): (
        _between("ABS", *[node("ReduceL1", "c", "n", axes=[1]), node("Mul", "c", "n", "a")]),
        "no step writes it",
    ),
    ("edgetpu", "the division of an erf at the end"): (_end("DIV", node("Erf", "c", "y")), "no step writes it"),
    ("edgetpu", "the exponential of an erf at the end"): (_end("EXP", node("Erf", "c", "y")), "no step writes it"),
    ("edgetpu", "a threshold at the end"): (
        _end("GREATER", node("ThresholdedRelu", "c", "y", alpha=0.5)),
        "it counts or chooses",
    ),
    ("edgetpu", "what is no number in a sampled grid"): (_as("SELECT_V2", _GRID), "it counts or chooses"),
    ("edgetpu", "the pixels of a sampled grid"): (_as("CAST", _GRID), "it counts or chooses"),
    ("edgetpu", "where a sampled grid lies"): (_as("FLOOR", _GRID), "no step writes it"),
    ("edgetpu", "a bicubic resize"): (
        _as(
            "BATCH_MATMUL",
            _end("", _resize("c", "y", mode="cubic"), scales=np.array([1, 1, 16, 16], np.float32)),
            shape=(1, 3, 64, 64),
        ),
        "one of its factors is constant",
    ),
    ("edgetpu", "erf elsewhere than in GELU"): (_activation("ABS", "Erf"), "no step writes it"),
    ("edgetpu", "a norm's square root"): (_NORM, "no step writes it"),
    ("edgetpu", "a comparison in the middle"): (
        _between("GREATER", node("Greater", "c", "z", "g"), node("Where", "g", "c", "z", "a"), z=np.float32(0)),
        "it counts or chooses",
    ),
    ("edgetpu", "a softmax of many tokens in the middle"): (
        _as("SOFTMAX", _between("", node("Softmax", "c", "a", axis=3)), shape=(1, 3, 1, 17000)),
        "take it over fewer numbers",
    ),
    ("edgetpu", "a causal convolution of a signal"): (
        Case(
            "CONV_2D",
            [
                *[node("Conv", "x", "v", "c"), node("Relu", "c", "r"), node("Pad", "r", "pads", "p")],
                node("Conv", "p", "w", "y", dilations=[4]),
            ],
            (1, 4, 40),
            {"v": numbers(4, 4, 1), "w": numbers(8, 4, 3), "pads": integers(0, 0, 8, 0, 0, 0)},
        ),
        "add the step onnx_widen_1d,",
    ),
    ("gpu_delegate", "a volume"): (_VOLUME, "write it as the sum of a CONV_2D"),
    ("gpu_delegate", "an activation of volumes"): (_as("RELU", _VOLUME), "at most four axes are taken, and no step"),
    ("gpu_delegate", "places of five axes"): (
        Case(
            "GATHER",
            [node("Gather", "x", "places", "g", axis=1), node("ReduceMean", "g", "y", axes=[2, 3, 4])],
            (1, 4, 3, 5, 6),
            {"places": integers(2, 0, 1)},
        ),
        "at most four axes are taken, and no step",
    ),
    ("gpu_delegate", "a choice in the middle"): (
        _between(
            "ARG_MAX",
            *[
                node("ArgMax", "c", "i", axis=1),
                node("Cast", "i", "f", to=TensorProto.FLOAT),
                node("Add", "c", "f", "a"),
            ],
        ),
        "no step of edgekit writes it",
    ),
    ("tensorrt", "a choice in the middle"): (
        _between(
            "NonZero",
            *[node("NonZero", "c", "i"), node("ReduceSum", "i", "s", keepdims=0)],
            *[node("Cast", "s", "f", to=TensorProto.FLOAT), node("Add", "c", "f", "a")],
        ),
        "move it and what follows out of the model",
    ),
    ("tensorrt", "a convolution of computed weights"): (
        Case("Conv", [node("Relu", "w", "v"), node("Conv", "x", "v", "y")], constants={"w": numbers(4, 3, 3, 3)}),
        "store the weights",
    ),
    ("tensorrt", "a dilated pooling"): (
        Case("MaxPool", [node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 2])], release="TensorRT 10.3"),
        "pool without dilation",
    ),
}
