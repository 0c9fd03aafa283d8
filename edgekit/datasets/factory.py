"""Samples from a user's Python file: ``file.py:NAME`` with options. It runs in a worker, and only when data are
prepared."""

from __future__ import annotations

import importlib.util
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.datasets.pictures import read_bytes
from edgekit.datasets.source import Content, Source
from edgekit.errors import AbsentError, InputError


def open_factory(path: Path, name: str, options: Mapping[str, Any], classes: tuple[str, ...] | None) -> Source:
    """The sequence that ``NAME(**options)`` returns: each item is (picture, label or None), where a picture is a
    uint8 array (height, width, channels) or a path, and any other array is handed to the model as it is. A model with
    several inputs takes {input name: array}. A ``classes`` attribute of the sequence, if any, gives the class names.

    Raises:
        InputError: no such file or name, or whatever the user's code raised, with its file and line.
        AbsentError: it imports what is not installed.
    """
    if not path.is_file():
        raise InputError(f"no Python file at {path}", where=str(path), code="missing_file")
    factory = _load(path, name)
    samples = _call(path, name, lambda: factory(**options))
    if not hasattr(samples, "__len__") or not hasattr(samples, "__getitem__"):
        raise InputError(
            f"`{name}` in {path} returned {type(samples).__name__}, not a sequence",
            where=f"{path}:{name}",
            remedy="return a list, or an object with __len__ and __getitem__, of (picture, label or None)",
        )
    count = _call(path, name, lambda: len(samples))
    if count == 0:
        raise InputError(f"`{name}` in {path} returned no samples", where=f"{path}:{name}", code="empty_data")
    # User code need not be safe for threads; decoding afterwards still runs in parallel.
    lock = threading.Lock()

    def read_any(index: int) -> tuple[Content, Any]:
        with lock:
            item = _call(path, name, lambda: samples[index])
        return _check_item(item, f"{path}:{name}[{index}]")

    labelled = read_any(0)[1] is not None

    def read(index: int) -> tuple[Content, Any]:
        content, label = read_any(index)
        if label is not None and not labelled:
            raise InputError(
                f"{path}:{name}[{index}] has a label, and the first sample has none",
                where=f"{path}:{name}",
                remedy="give every sample a label, or none of them",
                code="classes_differ",
            )
        return content, label

    if classes is None:
        classes = _read_classes(samples, f"{path}:{name}")
    ids = [f"{path.name}:{name}[{index}]" for index in range(count)]
    return Source(path, ids, read, labelled=labelled, classes=classes)


def _read_classes(samples: Any, where: str) -> tuple[str, ...] | None:
    """The class names that the sequence itself has."""
    own = getattr(samples, "classes", None)
    if own is None:
        return None
    if isinstance(own, str) or not hasattr(own, "__iter__"):
        raise InputError(
            f"`classes` of what {where} returned is {own!r:.60}, not a list of names",
            where=where,
            remedy="give the class names in the order of the model's outputs",
            code="unreadable_labels",
        )
    return tuple(str(entry) for entry in own)


def _load(path: Path, name: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location(f"edgekit_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path} is not a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    loader = spec.loader
    _call(path, name, lambda: loader.exec_module(module))
    factory = getattr(module, name, None)
    if not callable(factory):
        raise InputError(f"{path} has no function `{name}`", where=f"{path}:{name}", code="unknown_factory")
    return factory


def _call(path: Path, name: str, action: Callable[[], Any]) -> Any:
    """What the user's code gives, or an InputError that names the line of their file where it failed."""
    try:
        return action()
    except (Exception, SystemExit) as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"{path}:{frames[-1].lineno}" if frames else f"{path}:{name}"
        if isinstance(error, ModuleNotFoundError):
            raise AbsentError(
                f"{path.name} imports `{error.name}`, which is not installed",
                where=where,
                remedy="install the distribution that holds it, and name it under the data's `requires`",
            ) from error
        raise InputError(
            f"`{name}` in {path.name} failed: {type(error).__name__}: {error}", where=where, code="factory_failed"
        ) from error


def _check_item(item: Any, where: str) -> tuple[Content, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise InputError(f"{where} is {type(item).__name__}, not (picture, label or None)", where=where)
    content, label = item
    if isinstance(content, str | Path):
        content = read_bytes(Path(content))
    elif isinstance(content, Mapping):
        content = {str(name): _as_array(array, where) for name, array in content.items()}
    elif not isinstance(content, bytes):
        content = _as_array(content, where)
    if isinstance(label, np.generic) or (isinstance(label, np.ndarray) and label.ndim == 0):
        label = label.item()
    return content, label


def _as_array(content: Any, where: str) -> np.ndarray:
    try:
        return np.asarray(content)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"the content of {where} is no array: {error}",
            where=where,
            remedy="give a path, an array, or {input name: array}",
            code="unreadable_data",
        ) from error
