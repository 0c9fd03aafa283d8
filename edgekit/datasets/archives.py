"""``.npz`` files: arrays ``x`` (and ``y``), or JPEG files end to end (``jpeg``, ``offsets``, ``labels``, ``classes``).

Members are unpacked, one at a time and never as a whole in memory, into ``.npy`` files that rows are then read from.
Pickled objects are refused.
"""

from __future__ import annotations

import errno
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.datasets.rows import RowReader
from edgekit.datasets.source import Content, Source
from edgekit.errors import InputError


def open_archive(path: Path, inputs: tuple[str, ...], scratch: Path, classes: tuple[str, ...] | None) -> Source:
    """The samples of an ``.npz``. For a model with several ``inputs`` the arrays carry the inputs' names instead of
    ``x``.

    Raises:
        InputError: not an .npz, damaged, with pickled objects, or without the arrays that are needed.
        OSError: the disk is too full to unpack it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy") for name in archive.namelist()}
            if {"jpeg", "offsets"} <= members:
                return _open_jpegs(path, archive, members, scratch, classes)
            names = ("x",) if "x" in members else inputs
            missing = [name for name in names if name not in members]
            if missing:
                raise InputError(
                    f"{path} holds {', '.join(sorted(members)) or 'nothing'}, but not `x`",
                    where=str(path),
                    remedy="save x (and y), or jpeg, offsets, labels and classes, or one array per model input",
                    code="unreadable_data",
                )
            columns = {name: _read_rows(archive, name, path, scratch) for name in names}
            labels = _read_labels(path, archive, members, scratch)
            own = _read_classes(archive, members, path, scratch)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        raise _unreadable(path, error) from error
    return _of_columns(path, columns, labels, classes or own)


def _of_columns(
    path: Path, columns: dict[str, RowReader], labels: RowReader | None, classes: tuple[str, ...] | None
) -> Source:
    counts = {name: len(rows) for name, rows in columns.items()}
    if labels is not None:
        counts["y"] = len(labels)
    if len(set(counts.values())) != 1:
        raise InputError(
            f"the arrays in {path} have different numbers of rows: "
            + ", ".join(f"{name} {count}" for name, count in counts.items()),
            where=str(path),
            remedy="save one row per sample in each",
            code="unreadable_data",
        )
    if 0 in counts.values():
        raise InputError(f"{path} holds no samples", where=str(path), remedy="save at least one row", code="empty_data")
    only = columns["x"] if list(columns) == ["x"] else None

    def read(index: int) -> tuple[Content, Any]:
        content = only[index] if only is not None else {name: rows[index] for name, rows in columns.items()}
        return content, None if labels is None else _plain(labels[index])

    ids = _Numbered(path.name, next(iter(counts.values())))
    return Source(path, ids, read, labelled=labels is not None, classes=classes)


def _open_jpegs(
    path: Path, archive: zipfile.ZipFile, members: set[str], scratch: Path, classes: tuple[str, ...] | None
) -> Source:
    rows = _read_rows(archive, "jpeg", path, scratch)
    encoded, start = rows.path, rows.start
    offsets = _load_small(archive, "offsets", path, scratch)
    size = len(rows)
    if rows.dtype != np.uint8 or rows.shape:
        raise InputError(
            f"`jpeg` in {path} is {rows.dtype} with rows of {list(rows.shape)}, not bytes end to end",
            where=str(path),
            remedy="save numpy.frombuffer(all files joined, numpy.uint8)",
            code="unreadable_data",
        )
    if (
        offsets.dtype.kind not in "iu"
        or offsets.ndim != 1
        or len(offsets) < 2
        or offsets[0] < 0
        or offsets[-1] > size
        or (np.diff(offsets) < 0).any()
    ):
        raise InputError(
            f"`offsets` in {path} do not divide its {size} bytes of `jpeg`",
            where=str(path),
            remedy="save the place where each file begins, and the end of the last, as integers",
            code="unreadable_data",
        )
    offsets = offsets.astype(np.int64)
    labels = _read_labels(path, archive, members, scratch)
    if labels is not None and len(labels) != len(offsets) - 1:
        raise InputError(
            f"{path} has {len(offsets) - 1} pictures and {len(labels)} labels", where=str(path), code="unreadable_data"
        )

    def read(index: int) -> tuple[Content, Any]:
        with encoded.open("rb") as file:
            file.seek(start + int(offsets[index]))
            content = file.read(int(offsets[index + 1] - offsets[index]))
        return content, None if labels is None else _plain(labels[index])

    ids = _Numbered(path.name, len(offsets) - 1)
    own = _read_classes(archive, members, path, scratch)
    return Source(path, ids, read, labelled=labels is not None, classes=classes or own)


class _Numbered(Sequence[str]):
    """Names of samples that have only a number: ``digits.npz[17]``, made when asked for."""

    def __init__(self, name: str, count: int) -> None:
        self._name, self._count = name, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return f"{self._name}[{index}]"


def _read_labels(path: Path, archive: zipfile.ZipFile, members: set[str], scratch: Path) -> RowReader | None:
    for name in ("y", "labels"):
        if name in members:
            rows = _read_rows(archive, name, path, scratch)
            if rows.dtype.names is not None:
                raise InputError(
                    f"`{name}` in {path} is a table with the columns {', '.join(rows.dtype.names)}, not labels",
                    where=str(path),
                    remedy="save one of its columns",
                    code="unreadable_labels",
                )
            return rows
    return None


def _read_classes(archive: zipfile.ZipFile, members: set[str], path: Path, scratch: Path) -> tuple[str, ...] | None:
    if "classes" not in members:
        return None
    classes = _load_small(archive, "classes", path, scratch)
    if classes.ndim != 1 or not len(classes):
        raise InputError(
            f"`classes` in {path} has the shape {list(classes.shape)}, not one name per class",
            where=str(path),
            remedy="save a list of the class names in the order of the model's outputs",
            code="unreadable_labels",
        )
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in classes)


def _read_rows(archive: zipfile.ZipFile, name: str, path: Path, scratch: Path) -> RowReader:
    return RowReader(_unpack(archive, name, path, scratch), f"`{name}` in {path}", str(path))


def _load_small(archive: zipfile.ZipFile, name: str, path: Path, scratch: Path) -> np.ndarray:
    try:
        return np.load(_unpack(archive, name, path, scratch), allow_pickle=False)
    except ValueError as error:
        raise _unreadable(path, error) from error


def _unpack(archive: zipfile.ZipFile, name: str, path: Path, scratch: Path) -> Path:
    """The member as a file of its own. Its size is held against the disk first: a small archive can unpack to
    anything."""
    member = archive.getinfo(f"{name}.npy")
    free = shutil.disk_usage(scratch).free
    if member.file_size > free:
        raise OSError(errno.ENOSPC, f"`{name}` of {path} takes {member.file_size} bytes, {free} are left", str(scratch))
    target = scratch / f"{path.stem}-{name}.npy"
    with archive.open(member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    return target


def _plain(label: np.ndarray) -> Any:
    return label.item() if label.ndim == 0 else label


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is not a readable .npz: {error}",
        where=str(path),
        remedy="write it again with numpy.savez; objects and pickles are never read",
        code="unreadable_data",
    )
