"""Pictures in files, and how they become arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

MEND = "remove or replace it"
# Only these decoders are tried: others that Pillow knows start external programs (Ghostscript for EPS).
_DECODERS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


def read_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        InputError: missing, unreadable or empty.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the picture {path} cannot be read: {error.strerror}",
            where=str(path),
            remedy=MEND,
            code="unreadable_image",
        ) from error
    if not encoded:
        raise InputError(f"the picture {path} is empty", where=str(path), remedy=MEND, code="unreadable_image")
    return encoded


def check_header(content: object, name: str) -> None:
    """Refuse an encoded picture whose header is none (InputError, as ``decode``); its pixels are not looked at. What is
    no encoded picture passes."""
    if isinstance(content, bytes):
        _read_header(content, name)


def decode(encoded: bytes, name: str) -> np.ndarray:
    """RGB pixels, uint8 (height, width, 3): of an animation the first frame, an alpha channel dropped, the
    orientation that a camera noted in EXIF not applied (as in the usual training pipelines).

    Raises:
        InputError: no picture, truncated, more than 8 bits a channel, or so large that it looks like an attack.
    """
    image = _read_header(encoded, name)
    try:
        return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise _unreadable(name, error) from error


def _read_header(encoded: bytes, name: str) -> Image.Image:
    """The picture, opened but not decoded."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(encoded), formats=_DECODERS)
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels, over the limit of {limit}")
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise InputError(
                f"the picture {name} has more than 8 bits per channel (Pillow mode {image.mode})",
                where=name,
                remedy="convert it to 8 bits, or give the samples as arrays (.npz)",
                code="unreadable_image",
            )
        return image
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> InputError:
    return InputError(
        f"the picture {name} cannot be read: {_describe(error)}", where=name, remedy=MEND, code="unreadable_image"
    )


def _describe(error: Exception) -> str:
    """What is wrong, without the address of the buffer that Pillow prints."""
    text = str(error)
    if text.startswith("cannot identify image file"):
        return "not a picture in a format that is read here (JPEG, PNG, BMP, GIF, WEBP, TIFF, PPM)"
    return text or type(error).__name__
