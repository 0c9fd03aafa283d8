"""Opens a source of samples by what lies at its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.datasets.archives import open_archive
from edgekit.datasets.coco import open_coco
from edgekit.datasets.factory import open_factory
from edgekit.datasets.folders import open_folder
from edgekit.datasets.source import Source
from edgekit.errors import InputError


def open_source(
    path: Path,
    *,
    factory: str | None = None,
    options: Mapping[str, Any] | None = None,
    inputs: Sequence[str] = (),
    scratch: Path,
    classes: tuple[str, ...] | None = None,
) -> Source:
    """The samples at ``path``: a folder, an ``.npz``, a COCO ``.json``, or ``path:factory`` of a Python file.
    ``inputs`` are the model's input names, ``scratch`` a folder for what has to be unpacked, ``classes`` the task's
    labels file.

    Raises:
        InputError: nothing there, nothing in it, of no known kind, or damaged.
    """
    if not path.exists():
        raise InputError(f"there are no data at {path}", where=str(path), code="missing_data")
    if factory is not None:
        return open_factory(path, factory, options or {}, classes)
    if path.is_dir():
        return open_folder(path, classes)
    if path.stat().st_size == 0:
        raise InputError(f"the data file {path} is empty", where=str(path), code="empty_data")
    if path.suffix.lower() == ".npz":
        return open_archive(path, tuple(inputs), scratch, classes)
    if path.suffix.lower() == ".json":
        return open_coco(path)
    raise InputError(
        f"{path} is no kind of data that edgekit reads",
        where=str(path),
        remedy="give a folder, an .npz, a COCO .json, or file.py:NAME",
        code="unreadable_data",
    )
