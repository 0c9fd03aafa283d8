"""What edgetpu_compiler said of single operators in other people's logs and files, statement by statement.

None of these models is at hand: their operators are built again with the sizes that the logs, or the layouts of the
public networks, give them. Some settled a figure of a rule (its ``evidence`` in ``edgetpu.yaml``), the others were only
compared.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest

from edgekit.devices.rules.edgetpu import predict
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model

ROOT = Path(__file__).resolve().parents[3]
ops = SimpleNamespace(**run_path(str(ROOT / "tests" / "edgetpu_operators.py")))
STATUS = load_table().statuses

Shape = tuple[int, ...]


def last_axes_swapped(shape: Shape, order: list[int]) -> bytes:
    return ops.single("TRANSPOSE", [shape, ops.ints(order)], tuple(shape[axis] for axis in order))


def joined(shapes: list[Shape], axis: int) -> bytes:
    total = list(shapes[0])
    total[axis] = sum(shape[axis] for shape in shapes)
    return ops.concatenated(shapes, tuple(total), axis=axis)


def pooled_mean(shape: Shape) -> bytes:
    return ops.reduced("MEAN", [1, 2], shape)


def quantized(shape: Shape, dtype: str = "int8") -> bytes:
    return ops.single("QUANTIZE", [shape], shape, dtype=dtype, out="int8")


def padded(shape: Shape, output: Shape) -> bytes:
    pads = [[(after - before) // 2, (after - before + 1) // 2] for before, after in zip(shape, output, strict=True)]
    return ops.single("PAD", [shape, ops.ints(pads)], output)


def resized(kind: str, shape: Shape, height: int, width: int, dtype: str = "int8") -> bytes:
    return ops.single(kind, [shape, ops.ints(height, width)], (1, height, width, shape[3]), dtype=dtype)


def dense(inputs: int, outputs: int) -> bytes:
    parameters = [ops.weights(outputs, inputs), ops.bias(outputs)]
    return ops.single("FULLY_CONNECTED", [(1, inputs), *parameters], (1, outputs))


YOLOV5S_224 = "jveitchmichaelis/edgetpu-yolo, export.md: YOLOv5s at 224 x 224, compiler 16"
LITE0_9 = "google-coral/edgetpu issue 490: EfficientDet-Lite0 of 9 classes, compiler 16"
OSNET = "google-coral/edgetpu issue 461: OSNet, compiler 16"
HUB_1136 = "ultralytics/hub issue 1136: YOLOv8n of one class at 640, compiler 16"
UNET_597 = "google-coral/edgetpu issue 597: U-Net at 512 x 512, compiler 16"
ISSUE_31 = "google-coral/edgetpu issue 31: U-Net"
BISENET = "google-coral/edgetpu issue 377: BiSeNetV2, compiler 15"
FILES = "files before and after compiler 16, described and not here (YOLOv5, YOLOv8, LSTM and audio networks)"
OLDER_FILES = "files before and after older compilers, described and not here"
STYLE = "mistake0316/Google-Coral-Style-Transfer, dark_Decoder_edgetpu.log: decoder of [1,32,32,512], compiler 14.1"
YOLOV9S = "dbro/frigate-detector-edgetpu-yolo9, README.md: YOLOv9-s, all of 334 operators at 320, all but 2 at 512"
DENSE = "ricardodeazambuja/LibrEdgeTPU, docs/HARDWARE_ANALYSIS.md: Dense(N, N), compiler 16"
UNET_128 = "google-coral/coralmicro, examples/segment_camera: TensorFlow's U-Net of its tutorial at 128, wholly mapped"

#: (model, status, source).
STATEMENTS: list[tuple[Callable[[], bytes], str, str]] = [
    (lambda: ops.upconvolved(32, 1024, 512, 2), "limited", "google-coral/edgetpu issue 684"),
    (lambda: ops.upconvolved(4, 320, 512), "mapped", UNET_128),
    (lambda: ops.upconvolved(8, 1088, 256), "mapped", UNET_128),
    (lambda: ops.upconvolved(16, 448, 128), "mapped", UNET_128),
    (lambda: ops.upconvolved(32, 272, 64), "mapped", UNET_128),
    (lambda: ops.upconvolved(64, 160, 3), "mapped", UNET_128),
    (lambda: last_axes_swapped((1, 3, 784, 85), [0, 2, 1, 3]), "limited", YOLOV5S_224),
    (lambda: last_axes_swapped((1, 3, 196, 85), [0, 2, 1, 3]), "mapped", YOLOV5S_224),
    (lambda: last_axes_swapped((1, 3, 49, 85), [0, 2, 1, 3]), "mapped", YOLOV5S_224),
    (lambda: ops.reshaped((1, 3, 784, 85), (1, 2352, 85)), "limited", YOLOV5S_224),
    (lambda: ops.reshaped((1, 3, 196, 85), (1, 588, 85)), "mapped", YOLOV5S_224),
    (lambda: joined([(1, 2352, 85), (1, 588, 85), (1, 147, 85)], 1), "limited", YOLOV5S_224),
    (lambda: ops.strided((1, 224, 224, 3), (1, 112, 224, 3), (1, 2, 1, 1)), "mapped", YOLOV5S_224),
    (lambda: ops.strided((1, 112, 224, 3), (1, 112, 112, 3), (1, 1, 2, 1)), "mapped", YOLOV5S_224),
    (lambda: ops.same("LOGISTIC", (1, 28, 28, 255)), "mapped", YOLOV5S_224),
    (lambda: joined([(1, size, 9) for size in (14400, 3600, 900, 225, 81)], 1), "mapped", LITE0_9),
    (lambda: joined([(1, size, 4) for size in (14400, 3600, 900, 225, 81)], 1), "mapped", LITE0_9),
    (lambda: ops.same("LOGISTIC", (1, 19206, 9)), "limited", LITE0_9),
    (lambda: pooled_mean((1, 256, 128, 3)), "limited", OSNET),
    (lambda: pooled_mean((1, 64, 128, 3)), "mapped", OSNET),
    (lambda: ops.transposed((1, 80, 80, 65)), "limited", HUB_1136),
    (lambda: ops.transposed((1, 20, 20, 65)), "mapped", HUB_1136),
    (lambda: resized("RESIZE_BILINEAR", (1, 512, 512, 6), 1024, 1024), "limited", UNET_597),
    (lambda: resized("RESIZE_NEAREST_NEIGHBOR", (1, 512, 512, 3), 1024, 1024), "limited", UNET_597),
    (lambda: resized("RESIZE_BILINEAR", (1, 256, 256, 32), 512, 512), "limited", ISSUE_31),
    (lambda: resized("RESIZE_BILINEAR", (1, 64, 64, 32), 128, 128), "mapped", ISSUE_31),
    (lambda: resized("RESIZE_BILINEAR", (1, 8, 16, 128), 32, 64), "mapped", BISENET),
    (lambda: resized("RESIZE_NEAREST_NEIGHBOR", (1, 32, 32, 256), 64, 64), "mapped", STYLE),
    (lambda: resized("RESIZE_NEAREST_NEIGHBOR", (1, 64, 64, 128), 128, 128), "mapped", STYLE),
    (lambda: resized("RESIZE_NEAREST_NEIGHBOR", (1, 128, 128, 64), 256, 256), "limited", STYLE),
    (lambda: ops.reshaped((1, 40, 40, 64), (1, 1600, 64)), "mapped", YOLOV9S),
    (lambda: joined([(1, 1600, 64), (1, 400, 64), (1, 100, 64)], 1), "mapped", YOLOV9S),
    (lambda: ops.reshaped((1, 64, 64, 64), (1, 4096, 64)), "limited", YOLOV9S),
    (lambda: joined([(1, 4096, 64), (1, 1024, 64), (1, 256, 64)], 1), "limited", YOLOV9S),
    (lambda: ops.reshaped((1, 64, 64, 17), (1, 4096, 17)), "mapped", YOLOV9S),
    (lambda: joined([(1, 4096, 17), (1, 1024, 17), (1, 256, 17)], 1), "mapped", YOLOV9S),
    (lambda: dense(4096, 4096), "mapped", DENSE),
    (lambda: ops.transposed((1, 24, 24, 144)), "mapped", FILES),
    (lambda: ops.transposed((1, 20, 20, 144)), "mapped", FILES),
    (lambda: ops.transposed((1, 20, 20, 256)), "limited", FILES),
    (lambda: ops.transposed((1, 28, 28, 144)), "limited", FILES),
    (lambda: ops.transposed((1, 40, 52, 66)), "limited", FILES),
    (lambda: ops.transposed((1, 52, 52, 71)), "limited", FILES),
    (lambda: ops.reshaped((1, 40, 40, 255), (1, 1600, 3, 85)), "mapped", FILES),
    (lambda: ops.reshaped((1, 118, 100, 8), (1, 94400)), "mapped", FILES),
    (lambda: ops.reshaped((1, 30, 30, 64), (1, 57600)), "mapped", FILES),
    (lambda: ops.reshaped((1, 144, 20, 20), (1, 144, 400)), "mapped", FILES),
    (lambda: ops.reshaped((1, 80, 80, 255), (1, 6400, 3, 85)), "limited", FILES),
    (lambda: ops.reshaped((1, 1600, 3, 85), (1, 4800, 85)), "limited", FILES),
    (lambda: resized("RESIZE_NEAREST_NEIGHBOR", (1, 40, 40, 128), 80, 80), "mapped", FILES),
    (lambda: ops.same("SOFTMAX", (1, 16384)), "mapped", FILES),
    (lambda: ops.sliced((1, 160, 160, 32), (1, 160, 160, 16)), "mapped", FILES),
    (lambda: ops.sliced((1, 1600, 3, 85), (1, 1600, 3, 81)), "mapped", FILES),
    (lambda: joined([(1, 160, 160, 16)] * 3, 3), "mapped", FILES),
    (lambda: joined([(1, 19200, 85), (1, 4800, 85), (1, 1200, 85)], 1), "limited", FILES),
    (lambda: joined([(1, 144, 6400), (1, 144, 1600), (1, 144, 400)], 2), "limited", FILES),
    (lambda: quantized((1, 80, 80, 255)), "mapped", FILES),
    (lambda: quantized((1, 25200, 85)), "limited", FILES),
    (lambda: quantized((1, 80, 8400)), "limited", FILES),
    (lambda: quantized((1, 640, 640, 3), "float32"), "limited", FILES),
    (lambda: quantized((1, 721, 1281, 3), "uint8"), "mapped", OLDER_FILES),
    (lambda: ops.same("LOGISTIC", (1, 320, 320, 16)), "mapped", FILES),
    (lambda: ops.same("LOGISTIC", (1, 80, 80, 255)), "mapped", FILES),
    (lambda: ops.same("LOGISTIC", (1, 2034, 91)), "mapped", FILES),
    (lambda: ops.same("LOGISTIC", (1, 80, 8400)), "limited", FILES),
    (lambda: padded((1, 640, 640, 3), (1, 644, 644, 3)), "mapped", FILES),
    (lambda: padded((1, 320, 320, 16), (1, 322, 322, 16)), "mapped", FILES),
    (lambda: padded((1, 1280, 720, 3), (1, 1281, 721, 3)), "mapped", OLDER_FILES),
    (lambda: dense(1024, 1024), "mapped", FILES),
    (lambda: dense(2000, 1000), "mapped", FILES),
    (lambda: dense(57600, 64), "mapped", FILES),
    (lambda: pooled_mean((1, 7, 7, 1280)), "mapped", FILES),
    (lambda: ops.split(1, (1, 96, 64, 1)), "mapped", FILES),
    (lambda: ops.split(0, (2, 64, 64)), "limited", FILES),
    (lambda: resized("RESIZE_BILINEAR", (1, 33, 33, 19), 513, 513, "uint8"), "limited", OLDER_FILES),
    (lambda: resized("RESIZE_BILINEAR", (1, 33, 33, 19), 33, 33, "uint8"), "mapped", OLDER_FILES),
    (
        lambda: ops.single("TILE", [(1, 1, 1, 128), ops.ints(1, 33, 33, 1)], (1, 33, 33, 128), dtype="uint8"),
        "mapped",
        OLDER_FILES,
    ),
]


@pytest.mark.parametrize("place", range(len(STATEMENTS)))
def test_the_rules_say_what_the_compiler_said(place: int):
    build, status, source = STATEMENTS[place]
    data = build()
    (found,) = predict(describe_model(parse_model(data))).operators
    assert found.status == STATUS[status], f"{source}: {found.reason}"
