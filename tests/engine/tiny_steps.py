"""A tiny format and tiny steps, loaded by path in the tests and in their workers (``Settings.extra_modules``).

A ``.tiny`` file is JSON: ``{"weights": [...]}``. The model multiplies its input ``x`` (1 x n) by them into ``y``.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.artifact import IO, Artifact, Tensor
from edgekit.errors import InputError
from edgekit.formats import Declared, Format, format_
from edgekit.graph import Graph
from edgekit.steps import Context, Produced, StepOptions, WrittenTail, step


class TinySession:
    def __init__(self, weights: np.ndarray) -> None:
        self._weights = weights

    def run(self, feeds):
        return {"y": (feeds["x"] * self._weights).astype(np.float32)}


@format_("tiny", suffixes=(".tiny",), stack="tiny-a", requires=("numpy",), runtime="numpy")
class Tiny(Format):
    def recognizes(self, path: Path, head: bytes) -> bool:
        return head.startswith(b'{"weights"')

    def read_io(self, path: Path, declared: Declared, build=None) -> IO:
        try:
            count = len(read_weights(path))
        except ValueError as error:
            raise InputError(f"{path} is truncated", where=str(path), code="truncated") from error
        return IO((Tensor("x", "x", (1, count), "float32"),), (Tensor("y", "y", (1, count), "float32"),))

    def describe(self, artifact: Artifact) -> Graph:
        return Graph("tiny", (), (), (), ())

    def open(self, artifact: Artifact, threads: int) -> TinySession:
        return TinySession(read_weights(artifact.path))

    def find_nan(self, artifact: Artifact) -> str | None:
        return None if np.isfinite(read_weights(artifact.path)).all() else "weights"


def read_weights(path: Path) -> np.ndarray:
    return np.array([np.nan if w is None else w for w in json.loads(path.read_text())["weights"]], np.float32)


def write(context: Context, artifact: Artifact, weights: np.ndarray) -> Produced:
    path = context.workdir / f"{context.stem}.tiny"
    path.write_text(json.dumps({"weights": [float(w) for w in weights]}))
    return Produced(path, artifact.io, notes=(f"made by process {os.getpid()}",))


class CopyOptions(StepOptions):
    marker: str = ""
    scale: float = 1.0
    said: str = ""


@step("copy", accepts="tiny", produces="tiny", stack="tiny-a", version=1, options=CopyOptions, exact=True)
def copy(context: Context, artifact: Artifact, options: CopyOptions) -> Produced:
    """Write the same model again (or, with a ``scale``, a wrong one)."""
    if options.said:
        sys.stdout.write(f"{options.said}\n")
        os.system(f"echo {options.said} from a program")
    return write(context, artifact, read_weights(artifact.path) * options.scale)


@step("copy_b", accepts="tiny", produces="tiny", stack="tiny-b", version=1, options=CopyOptions, exact=True)
def copy_b(context: Context, artifact: Artifact, options: CopyOptions) -> Produced:
    """As ``copy``, in another worker."""
    return write(context, artifact, read_weights(artifact.path) * options.scale)


class CutOptions(StepOptions):
    name: str = "y"


@step("cut", accepts="tiny", produces="tiny", stack="tiny-a", version=1, options=CutOptions, exact=True)
def cut(context: Context, artifact: Artifact, options: CutOptions) -> Produced:
    """Write half of the model, and a tail that doubles it; ``name`` is one of a tensor inside the tail."""
    from onnx import TensorProto, helper, numpy_helper

    shape = artifact.io.outputs[0].shape
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("half", "y")}
    nodes = [helper.make_node("Mul", ["half", "two"], [f"{options.name}_"])]
    nodes.append(helper.make_node("Identity", [f"{options.name}_"], ["y"]))
    two = numpy_helper.from_array(np.array([2], np.float32), "two")
    graph = helper.make_graph(nodes, "tail", [values["half"]], [values["y"]], [two])
    tail = context.workdir / "anything.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    tail.write_bytes(model.SerializeToString())
    produced = write(context, artifact, read_weights(artifact.path) / 2)
    raw = Tensor("y", "middle", shape, "float32")
    given = IO((Tensor("half", "middle", shape, "float32"),), artifact.io.outputs)
    return Produced(produced.path, IO(artifact.io.inputs, (raw,)), tail=WrittenTail(tail, given))


@step("cut_again", accepts="tiny", produces="tiny", stack="tiny-a", version=1, options=CutOptions)
def cut_again(context: Context, artifact: Artifact, options: CutOptions) -> Produced:
    """As ``cut``."""
    return cut(context, artifact, options)


@step("forget", accepts="tiny", produces="tiny", stack="tiny-a", version=1)
def forget(context: Context, artifact: Artifact, options: StepOptions) -> Produced:
    """Lose the name of what the output stands for."""
    produced = write(context, artifact, read_weights(artifact.path))
    return replace(produced, io=IO(artifact.io.inputs, (replace(artifact.io.outputs[0], source_name="lost"),)))


class ShrinkOptions(StepOptions):
    decimals: int = 1
    flip: bool = False


@step(
    "shrink",
    accepts="tiny",
    produces="tiny",
    stack="tiny-b",
    version=1,
    options=ShrinkOptions,
    calibrates=True,
    requires=("numpy",),
)
def shrink(context: Context, artifact: Artifact, options: ShrinkOptions) -> Produced:
    """Round the weights; needs samples, and looks at each of them."""
    seen = [sample["x"] for sample in context.samples]
    assert len(seen) == len(context.samples) > 0
    weights = np.round(read_weights(artifact.path), options.decimals)
    return write(context, artifact, weights[::-1] if options.flip else weights)


@step("scribble", accepts="tiny", produces="tiny", stack="tiny-a", version=1)
def scribble(context: Context, artifact: Artifact, options: StepOptions) -> Produced:
    """Write into the input, as onnx2tf does."""
    weights = read_weights(artifact.path)
    artifact.path.write_text('{"weights": [0.0]}')
    return write(context, artifact, weights)


class SleepOptions(StepOptions):
    seconds: float = 1.0
    marker: str = ""


def _sleep(context: Context, artifact: Artifact, options: SleepOptions) -> Produced:
    for part in range(10):
        context.progress(part, 10)
        time.sleep(options.seconds / 10)
    return write(context, artifact, read_weights(artifact.path))


@step("sleep", accepts="tiny", produces="tiny", stack="tiny-a", version=1, options=SleepOptions)
def sleep(context: Context, artifact: Artifact, options: SleepOptions) -> Produced:
    """Take a while."""
    return _sleep(context, artifact, options)


@step("sleep_b", accepts="tiny", produces="tiny", stack="tiny-b", version=1, options=SleepOptions)
def sleep_b(context: Context, artifact: Artifact, options: SleepOptions) -> Produced:
    """Take a while, in another worker."""
    return _sleep(context, artifact, options)


class CrashOptions(StepOptions):
    how: str = "signal"


@step("crash", accepts="tiny", produces="tiny", stack="tiny-b", version=1, options=CrashOptions)
def crash(context: Context, artifact: Artifact, options: CrashOptions) -> Produced:
    """End badly."""
    (context.workdir / "half.tiny").write_text('{"weights"')
    if options.how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if options.how == "exit":
        os._exit(3)
    if options.how == "memory":
        raise MemoryError("no room for 1e12 numbers")
    if options.how == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", str(context.workdir / "half.tiny"))
    if options.how == "import":
        import a_library_that_is_not_there  # noqa: F401
    if options.how == "torch":
        import torch  # noqa: F401
    if options.how == "no_file":
        return Produced(context.workdir / "nothing.tiny", artifact.io)
    raise RuntimeError("\n\n  the operator Frobnicate is not supported  \nat line 3\nat line 4")


class EatOptions(StepOptions):
    megabytes: int = 100
    seconds: float = 0.5


@step("eat_memory", accepts="tiny", produces="tiny", stack="tiny-b", version=1, options=EatOptions)
def eat_memory(context: Context, artifact: Artifact, options: EatOptions) -> Produced:
    """Hold some memory for a while."""
    held = np.ones(options.megabytes * 1_000_000 // 8)
    time.sleep(options.seconds)
    assert held[-1] == 1
    return write(context, artifact, read_weights(artifact.path))


class FillOptions(StepOptions):
    megabytes: int = 64


@step("fill_disk", accepts="tiny", produces="tiny", stack="tiny-b", version=1, options=FillOptions)
def fill_disk(context: Context, artifact: Artifact, options: FillOptions) -> Produced:
    """Write a large file."""
    with (context.workdir / "large.bin").open("wb") as file:
        for _ in range(options.megabytes):
            file.write(bytes(1_000_000))
    return write(context, artifact, read_weights(artifact.path))
