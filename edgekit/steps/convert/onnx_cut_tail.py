"""onnx -> onnx without the float post-processing at its end, which becomes a tail that the host runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field

from edgekit.artifact import IO, Artifact, Tensor
from edgekit.formats.onnx_file import read_model, write_model
from edgekit.steps import Context, Produced, StepOptions, WrittenTail
from edgekit.steps.convert.onnx_cutting import Cut, cut_model, fold_shapes
from edgekit.steps.convert.onnx_head_split import split_heads
from edgekit.steps.convert.onnx_postprocessing import Found, find_postprocessing
from edgekit.steps.convert.onnx_rewriting import Scope, onnx_step

#: The longest softmax of the Edge TPU (coral.ai/docs/edgetpu/models-intro, supported operations: 16,000 elements).
SOFTMAX_OVER = 16000


class Options(StepOptions):
    outputs: tuple[str, ...] = Field(
        (),
        description="the tensors to cut at; by default those before the post-processing that is found: what joins "
        "heads, decodes boxes, selects, or is a softmax over many classes",
    )
    softmax_over: int = Field(
        SOFTMAX_OVER,
        ge=0,
        description="a softmax over more numbers than these is post-processing; 16,000 is what the Edge TPU takes, "
        "and 0 moves every final softmax",
    )
    split_heads: bool = Field(
        True,
        description="a convolution that gives boxes and scores of every anchor is split into one for each, so that "
        "they have scales of their own",
    )


@onnx_step("onnx_cut_tail", version=3, options=Options, exact=True)
def onnx_cut_tail(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Cut off float post-processing for the host, so that boxes and scores get scales of their own."""
    model, scope = _read_folded(artifact.path)
    path = context.workdir / f"{context.stem}.onnx"
    found = Found(options.outputs, "as named")
    if not options.outputs:
        found = find_postprocessing(model, scope, options.softmax_over)
    if options.split_heads and not options.outputs:
        cuts = split_heads(model, scope, found.cuts)
        if len(cuts) > len(found.cuts):
            found, scope = Found(tuple(cuts), found.reason), Scope(model)
    cut = cut_model(model, scope.tensors, found.cuts) if found.cuts else None
    if cut is None or not cut.moved:
        write_model(read_model(artifact.path), path)
        reason = found.reason if cut is None else "the named tensors are the model's outputs"
        return Produced(path, artifact.io, (f"copied as it is: {reason}",))
    write_model(cut.device, path)
    tail = context.workdir / f"{context.stem}.tail.onnx"
    write_model(cut.tail, tail)
    device_io, tail_io = _split_io(artifact.io, cut)
    return Produced(path, device_io, (_note(cut, found.reason),), WrittenTail(tail, tail_io))


def _read_folded(path: Path) -> tuple[Any, Scope]:
    """The model with fixed sizes as constants, and its scope."""
    model = read_model(path)
    scope = Scope(model)
    return (model, Scope(model)) if fold_shapes(model, scope.tensors) else (model, scope)


def _split_io(io: IO, cut: Cut) -> tuple[IO, IO]:
    """The io of the device part, whose outputs stand for the tail's inputs, and of the tail, whose outputs stand for
    the source model's as those of the whole did."""
    outputs = (Tensor(joint.output, joint.output, joint.shape, joint.dtype) for joint in cut.joints)
    inputs = (Tensor(joint.input, joint.output, joint.shape, joint.dtype) for joint in cut.joints)
    return IO(io.inputs, tuple(outputs)), IO(tuple(inputs), io.outputs)


def _note(cut: Cut, reason: str) -> str:
    kinds = Counter(node.op_type for node in cut.moved)
    listed = ", ".join(f"{count} {name}" for name, count in sorted(kinds.items()))
    return (
        f"cut off for the host ({reason}): {listed}; the file gives {', '.join(joint.output for joint in cut.joints)}"
    )
