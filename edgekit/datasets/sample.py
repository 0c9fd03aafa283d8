"""One sample: from its content in a source to the rows that are stored, checked against the model's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.artifact import Tensor
from edgekit.datasets.pictures import decode
from edgekit.datasets.preprocess import Word, apply_head, channel_axis, name_of, numbers_per_channel
from edgekit.datasets.source import Source, content_hash
from edgekit.errors import InputError


@dataclass(frozen=True)
class Prepared:
    """{input name: stored row}, the label, the SHA-256 of the decoded content, and whether the row is a picture (8-bit,
    height x width x channels, with the layout still to be applied)."""

    rows: dict[str, np.ndarray]
    label: Any
    content_sha256: str
    picture: bool


def prepare_sample(
    source: Source, index: int, inputs: Sequence[Tensor], head: Sequence[Word], tail: Sequence[Word]
) -> Prepared:
    """Read, decode and bring to its stored form the sample ``index``.

    Raises:
        InputError: unreadable, NaN or infinite, not what the preprocessing works on, or not of the model's shape.
    """
    name = source.ids[index]
    content, label = source.read(index)
    if isinstance(content, bytes):
        content = decode(content, f"{source.origin}/{name}" if source.origin.is_dir() else name)
    digest = content_hash(content)
    if isinstance(content, Mapping):
        return Prepared(_take_named(content, inputs, head, tail, name), label, digest, picture=False)
    tensor = _only(inputs, name)
    if is_picture_array(content, tensor):
        picture = content[:, :, None] if content.ndim == 2 else content
        row = np.ascontiguousarray(apply_head(picture, head))
        _check_picture(row, tensor, bool(head), name)
        check_tail(row, tail, tensor, name, picture=True)
        return Prepared({tensor.name: row}, label, digest, picture=True)
    _refuse_head(head, content, name)
    return Prepared({tensor.name: _take_array(content, tensor, tail, name)}, label, digest, picture=False)


def is_picture_array(content: np.ndarray, tensor: Tensor) -> bool:
    """8-bit (height, width) or (height, width, 1 or 3) for a model input with a picture's layout."""
    if content.dtype != np.uint8 or tensor.layout not in ("NCHW", "NHWC"):
        return False
    return content.ndim == 2 or (content.ndim == 3 and content.shape[2] in (1, 3))


def _take_named(
    content: Mapping[str, np.ndarray], inputs: Sequence[Tensor], head: Sequence[Word], tail: Sequence[Word], name: str
) -> dict[str, np.ndarray]:
    rows = {}
    for tensor in inputs:
        if tensor.name not in content:
            raise InputError(
                f"the sample {name} has {', '.join(content)}, but the model also takes `{tensor.name}`",
                where=name,
                code="shape_differs",
            )
        _refuse_head(head, content[tensor.name], name)
        rows[tensor.name] = _take_array(content[tensor.name], tensor, tail, name)
    return rows


def _take_array(array: np.ndarray, tensor: Tensor, tail: Sequence[Word], name: str) -> np.ndarray:
    """An array in the model's own layout, with or without the batch axis of 1."""
    if array.dtype.kind not in "fiub":
        raise InputError(f"the sample {name} holds {array.dtype}, not numbers", where=name, code="unreadable_data")
    if array.ndim == len(tensor.shape) and array.shape[0] == 1 and _fits(array.shape[1:], tensor.shape[1:]):
        array = array[0]
    if not _fits(array.shape, tensor.shape[1:]):
        raise _shape_error(name, array.shape, tensor.shape[1:], tensor, "")
    if takes_integers(tensor):
        _check_integers(array, tensor, name)
    elif array.dtype.kind == "f":
        array = _as_finite(array, name)
    check_tail(array, tail, tensor, name, picture=False)
    return array


def _as_finite(array: np.ndarray, name: str) -> np.ndarray:
    """An array of float16, or of float32."""
    with np.errstate(over="ignore"):  # what is too large becomes infinity, which is refused
        single = array if array.dtype.itemsize <= 4 else array.astype(np.float32)
    if np.isfinite(single).all():
        return single
    what = "NaN or infinity" if not np.isfinite(array).all() else "a number too large for float32"
    raise InputError(f"the sample {name} holds {what}", where=name, remedy="remove or mend it", code="nan_in_data")


def takes_integers(tensor: Tensor) -> bool:
    """Whether a model input takes integers as such, not real numbers that it has in quantized form."""
    return tensor.quantization is None and not tensor.dtype.startswith(("float", "bfloat"))


def _check_integers(array: np.ndarray, tensor: Tensor, name: str) -> None:
    if array.dtype.kind == "f":
        raise InputError(
            f"the sample {name} holds {array.dtype}, but the model's input `{tensor.name}` takes {tensor.dtype}",
            where=name,
            remedy=f"save the samples as {tensor.dtype}",
            code="dtype_differs",
        )
    if tensor.dtype == "bool" or not array.size:
        return
    limits = np.iinfo(tensor.dtype)
    for number in (int(array.min()), int(array.max())):
        if not limits.min <= number <= limits.max:
            raise InputError(
                f"the sample {name} holds {number}, but the model's input `{tensor.name}` takes {tensor.dtype}, "
                f"{limits.min} to {limits.max}",
                where=name,
                remedy="correct the data",
                code="dtype_differs",
            )


def check_tail(row: np.ndarray, tail: Sequence[Word], tensor: Tensor, name: str, *, picture: bool) -> None:
    """Refuse a stored row on which the tail's arithmetic is not what its words say.

    Raises:
        InputError: real numbers for an input of integers; a number for each channel, but of another count than the
            channels, or where no axis is known to be theirs.
    """
    if tail and takes_integers(tensor):
        raise InputError(
            f"`{name_of(tail[0])}` makes real numbers, but the model's input `{tensor.name}` takes {tensor.dtype}",
            where="preprocess",
            remedy="leave `scale` and `normalize` out: such a model does them itself",
            code="dtype_differs",
        )
    counts = numbers_per_channel(tail)
    if not counts:
        return
    axis = channel_axis(tensor.layout, row.ndim, picture=picture)
    said = f"`normalize` gives {max(counts)} numbers, one for each channel"
    if axis is None:
        raise InputError(
            f"{said}, but nothing says which axis of the sample {name}, {list(row.shape)}, has the channels",
            where=name,
            remedy=f"say it as `model: {{inputs: {{{tensor.name}: {{layout: ...}}}}}}` (NCHW, NHWC, NCW, NWC), or give "
            "one number",
            code="channels_differ",
        )
    channels = row.shape[axis]
    if counts == {channels}:
        return
    layout = "height x width x channels" if picture else (tensor.layout or "NC").removeprefix("N")
    remedy = "give one number, or one for each channel"
    if channels == 1:
        remedy = "give `normalize` one number; `color: {order: rgb}` makes three channels, for a model that takes them"
    raise InputError(
        f"{said}, but the sample {name}, {list(row.shape)} ({layout}), has {channels}",
        where=name,
        remedy=remedy,
        code="channels_differ",
    )


def _check_picture(row: np.ndarray, tensor: Tensor, prepared: bool, name: str) -> None:
    expected = tensor.shape[1:]
    arranged = (row.shape[2], *row.shape[:2]) if tensor.layout == "NCHW" else row.shape
    if _fits(arranged, expected):
        return
    sizes = expected[1:] if tensor.layout == "NCHW" else expected[:2]
    channels = expected[0] if tensor.layout == "NCHW" else expected[2]
    if channels == 1 and row.shape[2] == 3:
        remedy = "add `color: {order: gray}`: the model takes one channel"
    elif channels == 3 and row.shape[2] == 1:
        remedy = "add `color: {order: rgb}`: the model takes three channels"
    elif None not in sizes:
        remedy = f"end the geometry in `preprocess` with {sizes[0]}x{sizes[1]} pixels (height x width)"
    else:
        remedy = "correct `preprocess`, or the model's `inputs`"
    raise _shape_error(name, arranged, expected, tensor, remedy, "preprocessed" if prepared else "read")


def _shape_error(
    name: str, shape: tuple[int, ...], expected: tuple[int | None, ...], tensor: Tensor, remedy: str, done: str = "read"
) -> InputError:
    layout = f" ({tensor.layout} without N)" if tensor.layout else ""
    return InputError(
        f"the sample {name} is {list(shape)} once {done}, but the model's `{tensor.name}` is {list(expected)}{layout}",
        where=name,
        remedy=remedy or "bring the data to the model's shape and layout, without the batch axis",
        code="shape_differs",
    )


def _refuse_head(head: Sequence[Word], array: np.ndarray, name: str) -> None:
    if head:
        planes = array.dtype == np.uint8 and array.ndim == 3 and array.shape[0] in (1, 3)
        kind = "pictures, height x width x 1 or 3 channels" if array.dtype == np.uint8 else "pictures"
        raise InputError(
            f"`{name_of(head[0])}` works on 8-bit {kind}, but the sample {name} is {array.dtype} {list(array.shape)}",
            where=name,
            remedy="save the channels last, as x.transpose(0, 2, 3, 1)"
            if planes
            else "leave such words out for data that are arrays already; `scale` and `normalize` work on any",
            code="not_a_picture",
        )


def _only(inputs: Sequence[Tensor], name: str) -> Tensor:
    if len(inputs) != 1:
        wanted = ", ".join(tensor.name for tensor in inputs)
        raise InputError(
            f"the model takes {wanted}, but the sample {name} is one array",
            where=name,
            remedy="give samples as a map of input name to array",
            code="shape_differs",
        )
    return inputs[0]


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        wanted is None or size == wanted for size, wanted in zip(shape, expected, strict=True)
    )
