"""The content-addressed store of everything that a run has made.

    CACHE/entries/KE/KEY/entry.json     what it was made from (readable), the answer, and the hash of every file
    CACHE/entries/KE/KEY/files/...
    CACHE/last/HASH.json                per recipe: what each node was last made from, to say why it is made again
    CACHE/hashes.sqlite                 remembered hashes of the user's files
    CACHE/tmp/RUN/, RUN.lock            the scratch folder of a run; swept once the run's lock is free
    CACHE/locks/KE.lock                 held while an entry is put or taken away

An entry is written to the run's scratch folder and renamed into place under a lock, if it is not there yet: of two
runs that make the same thing at once, both go on with the first one's. An entry whose files do not have their hashes
any more is taken away, so that it is made again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgekit.artifact import hash_files, hash_value
from edgekit.engine.files import write_atomically
from edgekit.engine.keys import HashMemo, Inputs, key_of
from edgekit.errors import InputError

SCHEMA = "edgekit.cache-entry/1"


@dataclass(frozen=True)
class Entry:
    """Something that was made. ``folder`` holds its files (it may be empty), ``result`` the job's answer."""

    key: str
    kind: str
    inputs: Inputs
    result: dict[str, Any]
    folder: Path


class Cache:
    """The store in ``folder``, which need not exist yet; nothing is written before something is put."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memo = HashMemo(folder / "hashes.sqlite")
        self._scratch: Path | None = None
        self._scratch_lock: Any = None

    def refuse_unusable(self) -> None:
        """Raise InputError where the folder, or one above it, is a file."""
        file = next((path for path in (self.folder, *self.folder.parents) if path.is_file()), None)
        if file is not None:
            raise InputError(
                f"the cache cannot be {self.folder}: {file} is a file",
                where=str(file),
                remedy="set EDGEKIT_CACHE to a folder",
                code="unusable_path",
            )

    def find(self, key: str, *, remember_hashes: bool = False) -> tuple[Entry | None, str]:
        """(the entry or None, why there is none): ``absent``, or ``damaged`` (it has then been taken away).

        Every file is hashed again, so that a flipped byte is noticed even where size and time did not change; with
        ``remember_hashes`` (for large arrays) size and time are trusted.
        """
        place = self._place(key)
        try:
            record = json.loads((place / "entry.json").read_bytes())
        except FileNotFoundError:
            return None, "absent"
        except (OSError, ValueError):
            record = None
        if record is None or not self._is_whole(key, place, record, remember_hashes):
            # A second look under the lock: another run may have put a whole one there in the meantime.
            with self._lock(key):
                if not self._is_whole_on_disk(key, place):
                    self._take_away(place)
                    return None, "damaged"
                record = json.loads((place / "entry.json").read_bytes())
        return Entry(key, record["kind"], record["inputs"], record["result"], place / "files"), ""

    def put(self, kind: str, inputs: Inputs, result: dict[str, Any], made: Path | None) -> Entry:
        """Keep the files in ``made`` (a folder in ``scratch()``, which is moved; None: no files) and the answer.

        Returns the entry that is in the store afterwards: the other one's if another run was first.

        Raises:
            OSError: the disk is full, or not writable; nothing is left in the store then.
        """
        key = key_of(inputs)
        staged = Path(tempfile.mkdtemp(dir=self.scratch(), prefix="put-"))
        try:
            if made is None:
                (staged / "files").mkdir()
            else:
                made.rename(staged / "files")
            self._write_record(staged, key, kind, inputs, result)
            place = self._place(key)
            place.parent.mkdir(parents=True, exist_ok=True)
            with self._lock(key):
                if not self._is_whole_on_disk(key, place):
                    self._take_away(place)
                    staged.rename(place)
                    return Entry(key, kind, inputs, result, place / "files")
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        entry, why = self.find(key, remember_hashes=True)
        if entry is None:
            raise OSError(f"the cache entry {place} is {why} right after it was written")
        return entry

    def scratch(self) -> Path:
        """This run's own scratch folder, on the file system of the store; made when first asked for."""
        if self._scratch is None:
            from filelock import FileLock

            self.sweep()
            parent = self.folder / "tmp"
            parent.mkdir(parents=True, exist_ok=True)
            name = f"{os.getpid()}-{time.time_ns():x}"
            self._scratch_lock = FileLock(parent / f"{name}.lock")
            self._scratch_lock.acquire()
            self._scratch = parent / name
            self._scratch.mkdir()
        return self._scratch

    def sweep(self) -> int:
        """Remove what runs that died have left behind; returns how many scratch folders there were."""
        swept = 0
        for lock_file, lock in self._free_locks():
            shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
            lock_file.unlink(missing_ok=True)
            lock.release()
            swept += 1
        return swept

    def close(self) -> None:
        """Remove the scratch folder of this run."""
        self.memo.close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            Path(self._scratch_lock.lock_file).unlink(missing_ok=True)
            self._scratch_lock.release()
            self._scratch = self._scratch_lock = None

    def last_inputs(self, recipe: str) -> dict[str, Inputs]:
        """{node: what it was last made from} of a recipe (any text that stands for it); empty if unknown."""
        try:
            known = json.loads(self._last_file(recipe).read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def remember_inputs(self, recipe: str, inputs: dict[str, Inputs]) -> None:
        """Keep what each node was made from (the nodes not named stay as they were); nothing is written if it is
        known."""
        known = self.last_inputs(recipe)
        if all(known.get(node) == now for node, now in inputs.items()):
            return
        file = self._last_file(recipe)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps({**known, **inputs}, sort_keys=True, indent=1).encode())

    def show(self) -> dict[str, Any]:
        """{folder, entries, bytes, kinds: {kind: {entries, bytes}}} of what is stored."""
        kinds: dict[str, dict[str, int]] = {}
        for record_file in sorted((self.folder / "entries").glob("*/*/entry.json")):
            try:
                kind = str(json.loads(record_file.read_bytes())["kind"])
            except (OSError, ValueError, KeyError, TypeError):
                kind = "damaged"
            total = kinds.setdefault(kind, {"entries": 0, "bytes": 0})
            total["entries"] += 1
            total["bytes"] += _bytes_below(record_file.parent)
        return {
            "folder": str(self.folder),
            "entries": sum(total["entries"] for total in kinds.values()),
            "bytes": sum(total["bytes"] for total in kinds.values()),
            "kinds": kinds,
        }

    def clean(self) -> dict[str, Any]:
        """Remove every entry and what dead runs left; returns what ``show`` said before.

        Raises:
            InputError: a run is using the cache at the moment.
        """
        self.sweep()
        running = sorted(path.stem.split("-")[0] for path in (self.folder / "tmp").glob("*.lock"))
        if running:
            raise InputError(
                "the cache is in use by another run",
                where=f"{self.folder} (process {', '.join(running)})",
                remedy="wait until that run has ended",
                code="cache_in_use",
            )
        before = self.show()
        for name in ("entries", "last", "locks", "tmp"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.memo.close()
        (self.folder / "hashes.sqlite").unlink(missing_ok=True)
        return before

    def _place(self, key: str) -> Path:
        return self.folder / "entries" / key[:2] / key

    def _last_file(self, recipe: str) -> Path:
        return self.folder / "last" / f"{hash_value(recipe)[:32]}.json"

    def _write_record(self, staged: Path, key: str, kind: str, inputs: Inputs, result: dict[str, Any]) -> None:
        files = staged / "files"
        record = {
            "schema": SCHEMA,
            "key": key,
            "kind": kind,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "inputs": inputs,
            "result": result,
            "files": {path.relative_to(files).as_posix(): list(hash_files([path])) for path in _files_below(files)},
        }
        record["sum"] = hash_value(record)
        (staged / "entry.json").write_text(json.dumps(record, indent=1), encoding="utf-8")

    def _is_whole_on_disk(self, key: str, place: Path) -> bool:
        try:
            record = json.loads((place / "entry.json").read_bytes())
        except (OSError, ValueError):
            return False
        return self._is_whole(key, place, record, remember_hashes=False)

    def _is_whole(self, key: str, place: Path, record: Any, remember_hashes: bool) -> bool:
        if not isinstance(record, dict) or record.get("schema") != SCHEMA or record.get("key") != key:
            return False
        content = {name: value for name, value in record.items() if name != "sum"}
        if hash_value(content) != record.get("sum"):
            return False
        for name, (expected, size) in record["files"].items():
            path = place / "files" / name
            try:
                if path.stat().st_size != size:
                    return False
                seen = self.memo.hash_file(path) if remember_hashes else hash_files([path])[0]
            except OSError:
                return False
            if seen != expected:
                return False
        return True

    def _take_away(self, place: Path) -> None:
        if place.exists():
            # Renamed first, so that nobody sees it half removed.
            grave = Path(tempfile.mkdtemp(dir=self.scratch(), prefix="damaged-"))
            place.rename(grave / "entry")
            shutil.rmtree(grave, ignore_errors=True)

    @contextlib.contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        from filelock import FileLock

        folder = self.folder / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{key[:2]}.lock"):
            yield

    def _free_locks(self) -> Iterator[tuple[Path, Any]]:
        """The lock files of runs that are not alive any more, each held while it is looked at."""
        lock_files = sorted((self.folder / "tmp").glob("*.lock"))
        if not lock_files:
            return
        from filelock import FileLock, Timeout

        for lock_file in lock_files:
            lock = FileLock(lock_file, timeout=0)
            with contextlib.suppress(Timeout):
                lock.acquire()
                yield lock_file, lock


def _files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files_below(folder))
