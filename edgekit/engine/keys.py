"""What a result depends on, as plain data, and the key that stands for it: SHA-256 of the data's canonical form.

The data are kept readable in the cache, so that a later run can say what changed. Versions come from
``importlib.metadata``: no library is imported.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import re
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgekit.artifact import hash_files, hash_value

Inputs = dict[str, Any]

# A file touched this recently may change again within one tick of its clock, so its hash is not remembered.
_SETTLED_SECONDS = 2.0

ABSENT = "absent"


def key_of(inputs: Inputs) -> str:
    """The key of what these inputs come to."""
    return hash_value(inputs)


@functools.cache
def version_of(distribution: str, folder: str | None = None) -> str:
    """The installed version of a distribution (looked up in ``folder`` first), or ``absent``."""
    if folder is not None:
        wanted = _normal_name(distribution)
        for found in importlib.metadata.distributions(path=[folder]):
            if _normal_name(found.metadata["Name"] or "") == wanted:
                return found.version
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ABSENT


def versions_of(distributions: Iterable[str], folder: str | None = None) -> dict[str, str]:
    """{distribution: version}, sorted by name."""
    return {name: version_of(name, folder) for name in sorted(set(distributions))}


def explain(before: Inputs | None, now: Inputs) -> str:
    """Why a node is run although it was run before: ``option io: int8 -> uint8``; ``new`` if it never was.

    An empty text means that nothing it depends on has changed.
    """
    if before is None:
        return "new"
    if before.get("step") != now.get("step"):
        return f"step {before.get('step')} -> {now.get('step')}"
    changes = _changes("", before.get("versions", {}), now.get("versions", {}))
    changes += _changes("option ", before.get("options", {}), now.get("options", {}))
    changes += _changes("step ", _only(before, "version"), _only(now, "version"))
    changes += _changes("", _only(before, "seed"), _only(now, "seed"))
    if any(before.get(part) != now.get(part) for part in ("parent", "io", "tail")):
        changes.append("parent changed")
    if before.get("calibration") != now.get("calibration"):
        changes.append("calibration data changed")
    return "; ".join(changes)


class HashMemo:
    """Hashes of files and folders, remembered by (path, size, mtime in nanoseconds) in a small database.

    The database only saves time: if it cannot be opened or is damaged, everything is hashed anew.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._tried = False

    def hash_file(self, path: Path) -> str:
        """SHA-256 of a file's bytes."""
        stat = path.stat()
        stamp = f"{stat.st_size} {stat.st_mtime_ns}"
        return self._remembered(str(path.absolute()), stamp, stat.st_mtime, lambda: hash_files([path])[0])

    def hash_folder(self, folder: Path) -> str:
        """SHA-256 of the sorted list of (relative path, hash) of all files below a folder, and of its empty folders;
        hidden ones are left out, links are followed."""
        entries = list(_entries_below(folder))
        listing = hashlib.sha256()
        newest = 0.0
        for path in entries:
            stat = path.stat()
            newest = max(newest, stat.st_mtime)
            listing.update(f"{path.relative_to(folder)}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        return self._remembered(
            f"{folder.absolute()}/",
            listing.hexdigest(),
            newest,
            lambda: hash_value([[path.relative_to(folder).as_posix(), self._hash_entry(path)] for path in entries]),
        )

    def _hash_entry(self, path: Path) -> str:
        return "folder" if path.is_dir() else self.hash_file(path)

    def hash_path(self, path: Path) -> str:
        """Of a file or a folder, whichever it is."""
        return self.hash_folder(path) if path.is_dir() else self.hash_file(path)

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _remembered(self, name: str, stamp: str, touched: float, make: Any) -> str:
        known = self._get(name, stamp)
        if known is not None:
            return known
        made: str = make()
        if time.time() - touched > _SETTLED_SECONDS:
            self._put(name, stamp, made)
        return made

    def _get(self, name: str, stamp: str) -> str | None:
        database = self._open()
        if database is None:
            return None
        try:
            row = database.execute("SELECT hash FROM hashes WHERE name = ? AND stamp = ?", (name, stamp)).fetchone()
        except sqlite3.Error:
            return None
        return None if row is None else str(row[0])

    def _put(self, name: str, stamp: str, made: str) -> None:
        database = self._open()
        if database is None:
            return
        try:
            database.execute("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)", (name, stamp, made))
        except sqlite3.Error:
            return

    def _open(self) -> sqlite3.Connection | None:
        if self._tried:
            return self._connection
        self._tried = True
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            # Each row is its own transaction (another run may write at the same time) and none waits for the disk.
            connection = sqlite3.connect(self._file, timeout=1.0, isolation_level=None)
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("CREATE TABLE IF NOT EXISTS hashes (name TEXT PRIMARY KEY, stamp TEXT, hash TEXT)")
        except (sqlite3.Error, OSError):
            return None
        self._connection = connection
        return connection


def _entries_below(folder: Path) -> Iterable[Path]:
    """The files below a folder, also behind links, and the folders that hold nothing (each may be a class). Hidden ones
    are left out."""
    above: dict[Path, frozenset[str]] = {}
    for root, folders, files in os.walk(folder, followlinks=True):
        trail = above.pop(Path(root), frozenset()) | {os.path.realpath(root)}
        visible = (name for name in folders if not name.startswith("."))
        # A link to a folder above it would have no end.
        folders[:] = sorted(name for name in visible if os.path.realpath(Path(root, name)) not in trail)
        above.update((Path(root, name), trail) for name in folders)
        shown = sorted(name for name in files if not name.startswith("."))
        yield from (Path(root, name) for name in shown)
        if not shown and not folders:
            yield Path(root)


def _changes(label: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    joint = "" if label == "" else ":"
    return [
        f"{label}{name}{joint} {_show(before, name)} -> {_show(now, name)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]


def _show(values: Mapping[str, Any], name: str) -> str:
    return str(values[name]) if name in values else "none"


def _only(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: values[name]} if name in values else {}


def _normal_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
