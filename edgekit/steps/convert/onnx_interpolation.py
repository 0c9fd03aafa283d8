"""ONNX's Resize by a factor that its sizes do not tell, as a matrix [outputs, inputs] for each axis.

20 pixels by 6.02 are 120, as by 6, and yet each lies elsewhere (operator Resize in onnx/docs/Operators.md); runtimes
that only know sizes compute something else. The places of the outputs are counted in float32, as ONNX Runtime counts
them: which of two pixels is the nearest one hangs on the last digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.steps.convert.onnx_rewriting import NodeWriter, Scope, attribute_of

#: The axis that is resized stands where a convolution has its channels: [1, H, C, W], then [1, W, H, C], then as ever.
_TURNS = ([0, 2, 1, 3], [0, 3, 1, 2], [0, 3, 2, 1])


def multiply_pixels(node: Any, scope: Scope) -> list[Any] | None:
    """Convolutions of one pixel, over the rows and over the columns, with the weights of each input in each output;
    None for a resize by whole factors, or one that sizes tell, or that is more than nearest or bilinear."""
    matrices = _read_matrices(node, scope)
    if matrices is None:
        return None
    writer = NodeWriter(scope, node.output[0])
    tensor = node.input[0]
    for turn, matrix in zip(_TURNS, matrices, strict=False):
        weights = matrix.astype(scope.dtype(node.input[0]))[:, :, None, None]
        kept = scope.constant(weights, f"{node.output[0]}_weights")
        turned = writer.add("Transpose", [tensor], perm=turn)
        tensor = writer.add("Conv", [turned, kept], kernel_shape=[1, 1])
    writer.add("Transpose", [tensor], perm=_TURNS[2])
    return writer.finish()


def _read_matrices(node: Any, scope: Scope) -> tuple[np.ndarray, np.ndarray] | None:
    """Those of height and width."""
    before, after = scope.shape(node.input[0]), scope.shape(node.output[0])
    factors = scope.constants.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if scope.opset < 13 or before is None or after is None or len(before) != 4 or len(after) != 4:
        return None
    if factors is None or factors.shape != (4,) or list(factors[:2]) != [1, 1] or not scope.is_float(node.input[0]):
        return None
    old, new = [size or 0 for size in before], [size or 0 for size in after]
    if not all(old) or not all(new) or np.array_equal(factors.astype(np.float64) * old, new):
        return None
    if [int(np.float32(size) * factor) for size, factor in zip(old, factors.astype(np.float32), strict=True)] != new:
        return None  # 10 by 1.9 are 19 to ONNX Runtime, in float32, and 18 to ONNX's own inference of shapes
    if old == new:
        return None  # ONNX Runtime copies it whatever the factor is, as do runtimes that know sizes alone
    if attribute_of(node, "axes", None) is not None or attribute_of(node, "antialias", 0):
        return None
    mode = str(attribute_of(node, "mode", "nearest"))
    places = str(attribute_of(node, "coordinate_transformation_mode", "half_pixel"))
    nearest = str(attribute_of(node, "nearest_mode", "round_prefer_floor"))
    rows, columns = (
        resize_matrix(old[axis], new[axis], float(factors[axis]), mode, places, nearest) for axis in (2, 3)
    )
    return None if rows is None or columns is None else (rows, columns)


def resize_matrix(before: int, after: int, factor: float, mode: str, places: str, nearest: str) -> np.ndarray | None:
    """The weights (float64) of ``before`` pixels in each of ``after``; None for a mode that is not known here.

    ``factor`` is the one that the node gives, of which ``after`` may be a rounded product. ``places`` is its
    coordinate_transformation_mode, ``nearest`` its nearest_mode.
    """
    at = _places(before, after, np.float32(factor), places)
    if at is None or mode not in ("linear", "nearest"):
        return None
    matrix = np.zeros((after, before))
    rows = np.arange(after)
    if mode == "nearest":
        chosen = _round(at, nearest)
        if chosen is None:
            return None
        matrix[rows, np.clip(chosen, 0, before - 1)] = 1
        return matrix
    at = np.clip(at, np.float32(0), np.float32(before - 1))
    low = np.floor(at).astype(int)
    share = (at - low).astype(np.float64)
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, np.minimum(low + 1, before - 1)), share)
    return matrix


def _places(before: int, after: int, factor: np.float32, places: str) -> np.ndarray | None:
    """Where each output lies among the inputs, in pixels."""
    rows = np.arange(after, dtype=np.float32)
    half = np.float32(0.5)
    if places == "half_pixel" or (places == "pytorch_half_pixel" and after > 1):
        return (rows + half) / factor - half
    if places == "pytorch_half_pixel":
        return np.zeros(1, np.float32)
    if places == "asymmetric":
        return rows / factor
    return None  # align_corners goes by the sizes alone; the others are rare


def _round(at: np.ndarray, how: str) -> np.ndarray | None:
    if how in ("floor", "ceil"):
        return (np.floor(at) if how == "floor" else np.ceil(at)).astype(int)
    if how == "round_prefer_floor":
        return np.ceil(at - np.float32(0.5)).astype(int)
    return np.floor(at + np.float32(0.5)).astype(int) if how == "round_prefer_ceil" else None
