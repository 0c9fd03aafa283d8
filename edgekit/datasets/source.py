"""What every kind of data source comes to: numbered samples that are read when asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError

#: An encoded picture, an array, or {model input: array} for models with several inputs.
Content = bytes | np.ndarray | Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Source:
    """Samples by number. ``read(i)`` gives the content and the label (None without labels) and may be called from
    threads.

    A label is a class index, a class name, an array (a label map) or a list of boxes. ``classes`` are the names in
    the order of the indices where the source itself fixes one; ``named`` says that the order is only the sorted
    names, so that their number has to be the model's.
    """

    origin: Path
    ids: Sequence[str]
    read: Callable[[int], tuple[Content, Any]]
    labelled: bool
    classes: tuple[str, ...] | None = None
    named: bool = False

    def __len__(self) -> int:
        return len(self.ids)


def content_hash(content: Content) -> str:
    """SHA-256 of a sample's content as the source holds it (an encoded picture is not decoded for it)."""
    digest = hashlib.sha256()
    if isinstance(content, bytes):
        digest.update(content)
    elif isinstance(content, np.ndarray):
        _add_array(digest, content)
    else:
        for name in sorted(content):
            digest.update(name.encode())
            _add_array(digest, content[name])
    return digest.hexdigest()


def read_labels_file(path: Path) -> tuple[str, ...]:
    """Class names, one a line, in the order of their indices.

    Raises:
        InputError: missing, not text, or empty. (A name may stand twice: ImageNet has two cranes.)
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        if any("\0" in line for line in lines):
            raise ValueError("it holds a byte of zero")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(
            f"the labels file {path} cannot be read: {reason}",
            where=str(path),
            remedy="save it as UTF-8 text, one class name a line",
            code="unreadable_labels",
        ) from error
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise InputError(
            f"the labels file {path} is empty",
            where=str(path),
            remedy="write one class name a line, in the order of the model's outputs",
            code="unreadable_labels",
        )
    return tuple(names)


def repeated(names: Sequence[str]) -> set[str]:
    """The names that stand more than once, so that none of them says which class is meant."""
    return {name for name, count in Counter(names).items() if count > 1}


def inside(folder: Path, name: str, listed_in: Path) -> Path:
    """The file that a listing names, which must lie below the folder.

    Raises:
        InputError: it is absolute or leads out of the folder.
    """
    if "\0" in name:
        raise InputError(
            f"{listed_in} names a file with a byte of zero in its name: {name!r}",
            where=str(listed_in),
            remedy="correct the name",
            code="missing_file",
        )
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"{listed_in} names `{name}`, which lies outside its folder",
            where=str(listed_in),
            remedy="keep the files below the listing's folder, and name them relative to it",
            code="outside_folder",
        )
    return path


def _add_array(digest: Any, array: np.ndarray) -> None:
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
