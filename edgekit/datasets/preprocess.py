"""Runs preprocessing that is described as data: a list of words, each a map of one key, as the recipe's schema
expands them.

    resize     {short_side | long_side: N, or size: N | [height, width]; interpolation}
    letterbox  {size: N | [height, width]; fill; interpolation}    keeps the aspect ratio and pads around the middle
    crop       {center: N | [height, width]} or {fraction: F}
    color      {order: rgb | bgr | gray}
    scale      {divide: D}                                          x / D
    normalize  {mean, std}                                          (x - mean) / std, numbers or one per channel

The *head* is all before the first ``scale`` or ``normalize``: uint8 pictures in, uint8 pictures out, done once and
stored. The *tail* is the rest: arithmetic per element, done whenever a sample is read. A head word after that is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.errors import InputError

Word = Mapping[str, Any]
TAIL_WORDS = ("scale", "normalize")


def split_words(words: Sequence[Word]) -> tuple[list[Word], list[Word]]:
    """(head, tail) of a list of words.

    Raises:
        InputError: a word that is not known, is not a map of one key, or works on uint8 pictures but comes after the
        tail.
    """
    head: list[Word] = []
    tail: list[Word] = []
    for word in words:
        name = name_of(word)
        if name in TAIL_WORDS:
            tail.append(word)
        elif tail:
            raise InputError(
                f"`{name}` comes after `{name_of(tail[0])}` in `preprocess`, but works on 8-bit pictures",
                where="preprocess",
                remedy=f"move `{name}` before `{name_of(tail[0])}`",
            )
        else:
            head.append(word)
    return head, tail


def name_of(word: Word) -> str:
    """The one key of a word."""
    names = list(word)
    if len(names) != 1 or names[0] not in (*_HEAD_WORDS, *TAIL_WORDS):
        raise InputError(
            f"`preprocess` holds {dict(word)!r}, which is not one word",
            where="preprocess",
            remedy=f"the words are {', '.join([*_HEAD_WORDS, *TAIL_WORDS])}",
        )
    return names[0]


def apply_head(picture: np.ndarray, head: Sequence[Word]) -> np.ndarray:
    """A uint8 picture (height, width, channels) after the head's words, in their order."""
    for word in head:
        name = name_of(word)
        picture = _HEAD_WORDS[name](picture, **word[name])
    return picture


def channel_axis(layout: str | None, axes: int, *, picture: bool) -> int | None:
    """Which axis of a stored row (without the batch axis) holds the channels: the last of a picture, the one that the
    model input's ``layout`` says of an array, the only one of a row of features. None: that cannot be known."""
    if picture:
        return -1
    if axes == 1:
        return 0
    place = (layout or "").find("C") - 1
    return place if layout is not None and 0 <= place < axes == len(layout) - 1 else None


def numbers_per_channel(tail: Sequence[Word]) -> set[int]:
    """How many numbers the tail's words give where they give one for each channel (empty: one for all)."""
    given = [np.size(value) for word in tail for value in word[name_of(word)].values()]
    return {count for count in given if count > 1}


def apply_tail(array: np.ndarray, tail: Sequence[Word], axis: int | None = -1) -> np.ndarray:
    """float32 after the tail's words; a list of means or divisors goes along ``axis`` (None: there is no such axis).

    Raises:
        InputError: such a list has another length than that axis.
    """
    result = array.astype(np.float32)
    channels = array.shape[axis] if array.ndim and axis is not None else None
    along = [1] * array.ndim
    if channels is not None and axis is not None:
        along[axis] = channels
    for operation, operand in tail_operations(tail, channels):
        operation(result, operand.reshape(along) if operand.ndim else operand, out=result)
    return result


def apply_tail_to_picture(picture: np.ndarray, tail: Sequence[Word], *, planar: bool) -> np.ndarray:
    """``apply_tail`` of a picture (height, width, channels), the same bit for bit but several times as fast; in that
    order of axes or, with ``planar``, as (channels, height, width)."""
    height, width, channels = picture.shape
    operations = tail_operations(tail, channels)
    if planar:
        result = np.empty((channels, height, width), np.float32)
        for channel, plane in enumerate(result):
            plane[...] = picture[:, :, channel]
            for operation, operand in operations:
                operation(plane, operand[channel] if operand.ndim else operand, out=plane)
        return result
    result = picture.astype(np.float32, order="C")
    rows = result.reshape(height, width * channels)  # long rows: NumPy's inner loop would be over the channels
    for operation, operand in operations:
        operation(rows, np.tile(operand, width) if operand.ndim else operand, out=rows)
    return result


def tail_operations(tail: Sequence[Word], channels: int | None) -> list[tuple[np.ufunc, np.ndarray]]:
    """The tail's arithmetic on float32 samples: operations, each with one number or one for each of ``channels``."""
    operations: list[tuple[np.ufunc, np.ndarray]] = []
    for word in tail:
        name = name_of(word)
        options = word[name]
        if name == "scale":
            operations.append((np.divide, np.asarray(options["divide"], np.float32)))
        else:
            operations.append((np.subtract, _per_channel(options["mean"], channels)))
            operations.append((np.divide, _per_channel(options["std"], channels)))
    return operations


def lookup_table(channels: int, tail: Sequence[Word]) -> np.ndarray:
    """What the tail makes of every 8-bit value: float32 (channels, 256)."""
    values = np.repeat(np.arange(256, dtype=np.float32)[:, None], channels, axis=1)
    return np.ascontiguousarray(apply_tail(values, tail).T)


def _per_channel(value: float | Sequence[float], channels: int | None) -> np.ndarray:
    numbers = np.asarray(value, np.float32)
    if numbers.size == 1:
        return numbers.reshape(())
    if numbers.size != channels:
        raise InputError(
            f"`normalize` gives {numbers.size} numbers for samples of {channels or 'no'} channels",
            where="preprocess",
            remedy="give one number, or one for each channel",
        )
    return numbers


def _resize(
    picture: np.ndarray,
    *,
    short_side: int | None = None,
    long_side: int | None = None,
    size: int | Sequence[int] | None = None,
    interpolation: str = "bilinear",
) -> np.ndarray:
    """The other side is scaled by the same ratio and truncated to whole pixels, as torchvision's Resize does."""
    height, width = picture.shape[:2]
    if size is not None:
        target = _pair(size)
    else:
        short, long = sorted((height, width))
        if short_side is not None:
            new_short, new_long = short_side, int(short_side * long / short)
        elif long_side is not None:
            new_short, new_long = max(1, int(long_side * short / long)), long_side
        else:
            raise InputError("`resize` needs `short_side`, `long_side` or `size`", where="preprocess")
        target = (new_short, new_long) if height <= width else (new_long, new_short)
    return _interpolate(picture, target, interpolation)


def _letterbox(
    picture: np.ndarray,
    *,
    size: int | Sequence[int],
    fill: int | Sequence[int] = 114,
    interpolation: str = "bilinear",
) -> np.ndarray:
    """Scaled to fit, then padded evenly; of an odd number of padding rows the bottom (right) gets one more."""
    height, width = _pair(size)
    ratio = min(height / picture.shape[0], width / picture.shape[1])
    inner = (max(1, round(picture.shape[0] * ratio)), max(1, round(picture.shape[1] * ratio)))
    small = _interpolate(picture, inner, interpolation)
    if np.size(fill) not in (1, picture.shape[2]):
        raise InputError(
            f"`letterbox` fills with {np.size(fill)} numbers in a picture of {picture.shape[2]} channel(s)",
            where="preprocess",
            remedy="give `fill` one number, or put `color: {order: rgb}` before it",
        )
    canvas = np.empty((height, width, picture.shape[2]), np.uint8)
    canvas[:] = np.asarray(fill, np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    canvas[top : top + inner[0], left : left + inner[1]] = small
    return canvas


def _crop(
    picture: np.ndarray, *, center: int | Sequence[int] | None = None, fraction: float | None = None
) -> np.ndarray:
    """``center``: a window of that size around the middle, an odd rest rounded to the even pixel as torchvision does.
    ``fraction``: TensorFlow's ``central_crop``, which keeps that share of each side."""
    height, width = picture.shape[:2]
    if center is not None:
        new_height, new_width = _pair(center)
        top, left = round((height - new_height) / 2.0), round((width - new_width) / 2.0)
    elif fraction is not None:
        top, left = int((height - height * fraction) / 2.0), int((width - width * fraction) / 2.0)
        new_height, new_width = height - 2 * top, width - 2 * left
    else:
        raise InputError("`crop` needs `center` or `fraction`", where="preprocess")
    if new_height > height or new_width > width:
        raise InputError(
            f"`crop` asks for {new_height}x{new_width} pixels (height x width) of a picture of {height}x{width}",
            where="preprocess",
            remedy="put a `resize` before it, or crop less",
        )
    return picture[top : top + new_height, left : left + new_width]


def _color(picture: np.ndarray, *, order: str) -> np.ndarray:
    """``gray`` is ITU-R 601 luma and makes one channel; ``bgr`` turns the channels round."""
    channels = picture.shape[2]
    if order == "gray":
        return picture if channels == 1 else _as_array(_as_image(picture).convert("L"))
    if channels == 1:
        picture = np.repeat(picture, 3, axis=2)
    if order == "bgr":
        return picture[:, :, ::-1]
    if order == "rgb":
        return picture
    raise InputError(f"`color` has no order `{order}`", where="preprocess", remedy="the orders are rgb, bgr and gray")


_HEAD_WORDS: dict[str, Callable[..., np.ndarray]] = {
    "resize": _resize,
    "letterbox": _letterbox,
    "crop": _crop,
    "color": _color,
}


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width)."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _interpolate(picture: np.ndarray, size: tuple[int, int], interpolation: str) -> np.ndarray:
    if picture.shape[:2] == size:
        return picture
    from PIL import Image

    try:
        method = Image.Resampling[interpolation.upper()]
    except KeyError:
        known = ", ".join(sorted(name.lower() for name in Image.Resampling.__members__))
        raise InputError(
            f"no interpolation is called `{interpolation}`", where="preprocess", remedy=f"they are {known}"
        ) from None
    return _as_array(_as_image(picture).resize((size[1], size[0]), method))


def _as_image(picture: np.ndarray) -> Any:
    from PIL import Image

    pixels = np.ascontiguousarray(picture)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _as_array(image: Any) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
