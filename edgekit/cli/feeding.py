"""What a finished file must be fed: names, shapes, types, scales, and the preprocessing of its samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.cli.terminal import pairs, shown_path

if TYPE_CHECKING:
    from edgekit.artifact import Artifact, Tensor


def feeding_text(artifact: Artifact, preprocess: list[dict[str, Any]] | None) -> str:
    """The file, then a line for each input and output; ``preprocess`` is None where nobody said any."""
    rows = [("input", tensor_text(tensor)) for tensor in artifact.io.inputs]
    rows += output_rows(artifact)
    if preprocess is not None:
        words = [word_text(word) for word in preprocess] or ["none: samples are fed as they are"]
        rows.append(("preprocess", "\n".join(words)))
    return f"{shown_path(artifact.path)}\n{pairs(rows, indent='  ')}"


def output_rows(artifact: Artifact) -> list[tuple[str, str]]:
    """The file's outputs, and where they are not the source model's, what the host has to run after it."""
    tail = artifact.tail
    if tail is None:
        return [("output", tensor_text(tensor)) for tensor in artifact.io.outputs]
    rows = [("output", tensor_text(tensor, "the tail's")) for tensor in artifact.io.outputs]
    rows.append(("tail", f"{tail.path.name}, to be run by onnxruntime on these outputs as real numbers"))
    return rows + [("tail output", tensor_text(tensor)) for tensor in tail.io.outputs]


def tensor_text(tensor: Tensor, other: str = "the source's") -> str:
    """``image 1x224x224x3 int8, scale 0.0078125, zero point -1, axes 0 2 3 1 of the source's NCHW``; ``other``: whose
    axes they are."""
    shape = "x".join("?" if size is None else str(size) for size in tensor.shape) or "scalar"
    parts = [f"{tensor.name} {shape} {tensor.dtype}"]
    if tensor.quantization is not None:
        scale, zero = tensor.quantization.scale[0], tensor.quantization.zero_point[0]
        parts.append(f"scale {scale:.9g}, zero point {zero}")
    if tensor.permutation is not None:
        parts.append(f"axes {' '.join(map(str, tensor.permutation))} of {other} {tensor.layout or ''}".rstrip())
    if tensor.source_name != tensor.name:
        parts.append(f"called {tensor.source_name} in the source")
    return ", ".join(parts)


def word_text(word: dict[str, Any]) -> str:
    """``resize short_side 256, interpolation bicubic``."""
    ((name, options),) = word.items()
    values = options.items() if isinstance(options, dict) else [("", options)]
    return f"{name} " + ", ".join(f"{key} {value}".strip() for key, value in values if value is not None)
