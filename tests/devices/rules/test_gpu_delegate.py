"""The GPU delegate's rules: each limit of TensorFlow Lite's own check on both sides, and how a model falls into parts.

(The offline check that ai-edge-litert 2.3 and TensorFlow 2.21 carry is no oracle: it finds every model compatible.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.devices.placement import Placement
from edgekit.devices.profiles import load_profiles
from edgekit.devices.rules import RULES
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model
from edgekit.graph import Graph, Operator, TensorInfo

models = SimpleNamespace(**run_path(str(Path(__file__).parents[2] / "tflite_models.py")))
AXIS = np.array([1], np.int32)
FLOATS = np.ones((1, 8, 8, 4), np.float32)
#: (operator, shapes of what is fed, constants that follow, shape of the output, options).
Case = tuple[str, Sequence[tuple[int, ...]], Sequence[np.ndarray], tuple[int, ...], Any]
IMAGE = (1, 8, 8, 4)


def options(name: str, **values: Any) -> Any:
    made = getattr(schema, f"{name}OptionsT")()
    for key, value in values.items():
        setattr(made, key, value)
    return made


def pool(**values: int) -> Any:
    return options("Pool2D", **{"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2} | values)


CASES: dict[str, Case] = {
    "relu": ("RELU", [IMAGE], [], IMAGE, None),
    "add": ("ADD", [IMAGE, IMAGE], [], IMAGE, options("Add")),
    "add of two constants": ("SUB", [], [FLOATS, FLOATS], IMAGE, options("Sub")),
    "pool": ("MAX_POOL_2D", [IMAGE], [], (1, 4, 4, 4), pool()),
    "pool without a stride": ("MAX_POOL_2D", [IMAGE], [], (1, 4, 4, 4), pool(strideH=0)),
    "pool with SIGN_BIT": ("MAX_POOL_2D", [IMAGE], [], (1, 4, 4, 4), pool(fusedActivationFunction=5)),
    "pool with TANH": ("MAX_POOL_2D", [IMAGE], [], (1, 4, 4, 4), pool(fusedActivationFunction=4)),
    "softmax": ("SOFTMAX", [(1, 10)], [], (1, 10), options("Softmax", beta=1.0)),
    "softmax with beta 2": ("SOFTMAX", [(1, 10)], [], (1, 10), options("Softmax", beta=2.0)),
    "slice of 4 axes": ("SLICE", [IMAGE], [np.zeros(4, np.int32), np.ones(4, np.int32)], (1, 1, 1, 1), None),
    "slice of 2 axes": ("SLICE", [(8, 4)], [np.zeros(2, np.int32), np.ones(2, np.int32)], (1, 1), None),
    "mean": ("MEAN", [IMAGE], [AXIS], (1, 8, 4), options("Reducer")),
    "mean along int64": ("MEAN", [IMAGE], [AXIS.astype(np.int64)], (1, 8, 4), options("Reducer")),
    "pad of 4 axes": ("PAD", [IMAGE], [np.zeros((4, 2), np.int32)], IMAGE, options("Pad")),
    "pad of 2 axes": ("PAD", [(8, 4)], [np.zeros((2, 2), np.int32)], (8, 4), options("Pad")),
    "mirror pad, reflect": ("MIRROR_PAD", [IMAGE], [np.zeros((4, 2), np.int32)], IMAGE, options("MirrorPad", mode=0)),
    "mirror pad, symmetric": ("MIRROR_PAD", [IMAGE], [np.zeros((4, 2), np.int32)], IMAGE, options("MirrorPad", mode=1)),
    "gather": ("GATHER", [(4, 8)], [AXIS], (1, 8), options("Gather")),
    "gather along two axes": ("GATHER", [(4, 8)], [AXIS.reshape(1, 1)], (1, 1, 8), options("Gather")),
    "blocks of 2": ("DEPTH_TO_SPACE", [IMAGE], [], (1, 16, 16, 1), options("DepthToSpace", blockSize=2)),
    "blocks of 1": ("DEPTH_TO_SPACE", [IMAGE], [], IMAGE, options("DepthToSpace", blockSize=1)),
    "multiply, spread": ("MUL", [IMAGE, (1, 1, 1, 4)], [], IMAGE, options("Mul")),
    "multiply, outer": ("MUL", [(1, 8, 1, 1), (1, 1, 8, 4)], [], IMAGE, options("Mul")),
    "resize": (
        "RESIZE_BILINEAR",
        [IMAGE],
        [np.array([4, 4], np.int32)],
        (1, 4, 4, 4),
        options("ResizeBilinear", halfPixelCenters=True),
    ),
    "resize, both": (
        "RESIZE_BILINEAR",
        [IMAGE],
        [np.array([4, 4], np.int32)],
        (1, 4, 4, 4),
        options("ResizeBilinear", halfPixelCenters=True, alignCorners=True),
    ),
    "strided slice": (
        "STRIDED_SLICE",
        [IMAGE],
        [np.zeros(4, np.int32), np.ones(4, np.int32), np.ones(4, np.int32)],
        (1, 1, 1, 1),
        options("StridedSlice"),
    ),
    "strided slice that drops an axis": (
        "STRIDED_SLICE",
        [IMAGE],
        [np.zeros(4, np.int32), np.ones(4, np.int32), np.ones(4, np.int32)],
        (1, 1, 1),
        options("StridedSlice", shrinkAxisMask=2),
    ),
    "squeeze": ("SQUEEZE", [(1, 8, 8, 1)], [], (8, 8), options("Squeeze")),
    "hard-swish": ("HARD_SWISH", [IMAGE], [], IMAGE, None),
    "gelu": ("GELU", [IMAGE], [], IMAGE, options("Gelu")),
    "log-softmax": ("LOG_SOFTMAX", [(1, 10)], [], (1, 10), None),
    "L2 norm": ("L2_NORMALIZATION", [(1, 10)], [], (1, 10), options("L2Norm")),
}


REFUSED = {
    "add of two constants",
    "pool without a stride",
    "pool with SIGN_BIT",
    "softmax with beta 2",
    "slice of 2 axes",
    "mean along int64",
    "pad of 2 axes",
    "mirror pad, symmetric",
    "gather along two axes",
    "blocks of 1",
    "multiply, outer",
    "resize, both",
    "strided slice that drops an axis",
    "squeeze",
    "log-softmax",
    "L2 norm",
}


def build(case: Case) -> bytes:
    kind, shapes, constants, result, table = case
    model = models.Builder()
    fed = [model.input(f"x{place}", shape) for place, shape in enumerate(shapes)]
    return model.finish([model.add(kind, [*fed, *map(model.constant, constants)], result, table)])


def judge(graph: Graph) -> Placement:
    return RULES.get("gpu_delegate").place(graph, load_profiles()["android-cpu"])


@pytest.mark.parametrize("name", CASES)
def test_limits(name: str) -> None:
    placement = judge(describe_model(parse_model(build(CASES[name]))))
    assert placement.verdict() == ("partial" if name in REFUSED else "fits"), placement.operators
    for placed in placement.operators:
        assert (placed.reason is not None, placed.remedy is not None) == (name in REFUSED, name in REFUSED)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("coral/yolov5n-int8_640.tflite", {}),
        ("coral/lenet_float32.tflite", {}),
        ("coral/keras_lstm_mnist_ptq.tflite", {"UNIDIRECTIONAL_SEQUENCE_LSTM": "rejected", "QUANTIZE": "downstream"}),
        ("coral/deeplab_mobilenet_edgetpu_slim_cityscapes_quant.tflite", {"ARG_MAX": "rejected"}),
        ("coral/ssd_mobilenet_detect_postprocess.tflite", {"TFLite_Detection_PostProcess": "rejected"}),
        ("models/mobilenet_v2_1.0_224_quant.tflite", {}),
    ],
)
def test_models(name: str, left: dict[str, str], shared_data: Callable[[str], Path]) -> None:
    """What stays on the CPU of models made by others: what the delegate's own list lacks."""
    placement = judge(describe_model(parse_model(shared_data(name).read_bytes())))
    assert {placed.type: placed.cause for placed in placement.operators if placed.cause != "mapped"} == left
    assert placement.subgraphs == 1


def chain(*kinds: str, dtype: str = "float32", shape: tuple[int | None, ...] = IMAGE) -> Graph:
    """Operators one after the other."""
    tensors = tuple(TensorInfo(f"t{place}", shape, dtype) for place in range(len(kinds) + 1))
    operators = tuple(Operator(place, kind, (place,), (place + 1,)) for place, kind in enumerate(kinds))
    return Graph("tflite", tensors, operators, (0,), (len(kinds),))


def test_only_the_largest_part_is_taken() -> None:
    placement = judge(chain("RELU", "LOG_SOFTMAX", "RELU", "TANH", "LOG_SOFTMAX", "RELU"))
    assert [placed.placement for placed in placement.operators] == [
        "cpu",
        "cpu",
        "accelerator",
        "accelerator",
        "cpu",
        "cpu",
    ]
    causes = ["downstream", "rejected", "mapped", "mapped", "rejected", "downstream"]
    assert [placed.cause for placed in placement.operators] == causes
    assert (placement.verdict(), placement.subgraphs) == ("partial", 1)
    assert placement.operators[0].remedy is not None and "LOG_SOFTMAX" in placement.operators[0].remedy
    assert any("3 parts" in note for note in placement.notes)


def test_a_rejected_branch_does_not_cut_the_other() -> None:
    tensors = tuple(TensorInfo(name, IMAGE, "float32") for name in "abcde")
    operators = (
        Operator(0, "RELU", (0,), (1,)),
        Operator(1, "LOG_SOFTMAX", (1,), (2,)),
        Operator(2, "TANH", (1,), (3,)),
        Operator(3, "RELU", (3,), (4,)),
    )
    placement = judge(Graph("tflite", tensors, operators, (0,), (2, 4)))
    assert [placed.placement for placed in placement.operators] == ["accelerator", "cpu", "accelerator", "accelerator"]


@pytest.mark.parametrize(("dtype", "place"), [("int8", "accelerator"), ("int32", "cpu"), ("bool", "cpu")])
def test_types_of_what_is_computed(dtype: str, place: str) -> None:
    assert [placed.placement for placed in judge(chain("RELU", dtype=dtype)).operators] == [place]


def test_free_sizes_of_inputs_are_the_apps() -> None:
    placement = judge(chain("RELU", shape=(None, 8, 8, 4)))
    assert placement.verdict() == "fits"
    assert any("fixed" in note for note in placement.notes)


def test_sizes_that_depend_on_data() -> None:
    tensors = (TensorInfo("a", IMAGE, "float32"), TensorInfo("b", (None, 4), "float32"))
    graph = Graph("tflite", tensors, (Operator(0, "RELU", (0,), (1,)),), (0,), (1,))
    (placed,) = judge(graph).operators
    assert placed.placement == "cpu"
    assert placed.reason is not None and "depends on the data" in placed.reason


def test_five_axes() -> None:
    assert judge(chain("RELU", shape=(1, 2, 3, 4, 5))).operators[0].placement == "cpu"


def test_stored_half_floats_are_folded() -> None:
    tensors = (
        TensorInfo("x", (1, 4), "float32"),
        TensorInfo("w16", (3, 4), "float16", constant=True),
        TensorInfo("w", (3, 4), "float32", constant=True),
        TensorInfo("y", (1, 3), "float32"),
    )
    operators = (Operator(0, "DEQUANTIZE", (1,), (2,)), Operator(1, "FULLY_CONNECTED", (0, 2), (3,)))
    placement = judge(Graph("tflite", tensors, operators, (0,), (3,)))
    assert placement.verdict() == "fits"
    assert placement.operators[0].status == "stored weights"
