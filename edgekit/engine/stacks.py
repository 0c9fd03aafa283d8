"""What the engine knows of each stack: what to import ahead, what must not be imported in it, and the extra that
brings it.

onnxsim and nncf import torch wherever they find it, which costs seconds and hundreds of megabytes, so torch and
TensorFlow are shut out of every worker that does not run them.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.installation import install_command as install_extra

HEAVY = ("torch", "tensorflow", "openvino_telemetry")


@dataclass(frozen=True)
class Stack:
    """``imports`` are loaded when its worker starts; ``allows`` are those of ``HEAVY`` that may be; ``extra`` is the
    part of the package that installs it (empty: it comes with edgekit itself)."""

    imports: tuple[str, ...] = ()
    allows: tuple[str, ...] = ()
    extra: str = ""


STACKS: dict[str, Stack] = {
    # Code of the user's (`data: file.py:NAME`) runs in it and may import what it likes.
    "data": Stack(("numpy", "PIL.Image", "edgekit.datasets.prepare"), ("torch", "tensorflow")),
    "torch": Stack(("torch", "torch.onnx", "onnx", "onnxscript"), ("torch",), "torch"),
    "onnx": Stack(("onnx", "onnxruntime", "onnxruntime.quantization", "onnxsim"), (), "onnx"),
    "onnx2tf": Stack(("onnx", "onnxruntime", "ai_edge_litert.interpreter", "onnx2tf"), ("tensorflow",), "tflite"),
    "litert": Stack(("ai_edge_litert.interpreter", "litert_quantizer"), (), "tflite"),
    "openvino": Stack(("openvino", "nncf"), (), "openvino"),
}


def get_stack(name: str) -> Stack:
    """The stack of that name; one that is not listed starts bare."""
    return STACKS.get(name, Stack())


def install_command(stack: str) -> str:
    """The command that installs what a stack needs."""
    return install_extra(get_stack(stack).extra)
