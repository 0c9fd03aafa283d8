"""Keys, reasons and remembered hashes."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from edgekit.engine.keys import ABSENT, HashMemo, explain, key_of, version_of

NODE = {
    "kind": "node",
    "step": "tflite_int8",
    "version": 1,
    "options": {"io": "int8", "compatible": True},
    "parent": "a" * 64,
    "io": "b" * 64,
    "calibration": "c" * 64,
    "seed": 0,
    "versions": {"torch": "2.13.0"},
}


def test_a_key_is_the_hash_of_the_canonical_form() -> None:
    # Written out by hand: sorted names, no spaces.
    assert key_of({"b": [1, None], "a": "ü"}) == hashlib.sha256('{"a":"ü","b":[1,null]}'.encode()).hexdigest()
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1}) != key_of({"a": 1, "b": 3})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"versions": {"torch": "2.14.0"}}, "torch 2.13.0 -> 2.14.0"),
        ({"versions": {"torch": "2.13.0", "onnx": "1.23.2"}}, "onnx none -> 1.23.2"),
        ({"options": {"io": "uint8", "compatible": True}}, "option io: int8 -> uint8"),
        ({"parent": "d" * 64}, "parent changed"),
        ({"io": "d" * 64}, "parent changed"),
        ({"calibration": "d" * 64}, "calibration data changed"),
        ({"seed": 1}, "seed 0 -> 1"),
        ({"version": 2}, "step version: 1 -> 2"),
        ({"step": "tflite_fp16"}, "step tflite_int8 -> tflite_fp16"),
        ({"seed": 1, "parent": "d" * 64}, "seed 0 -> 1; parent changed"),
        ({}, ""),
    ],
)
def test_the_reason_says_what_changed(change: dict, reason: str) -> None:
    assert explain(NODE, {**NODE, **change}) == reason


def test_a_node_never_run_is_new() -> None:
    assert explain(None, NODE) == "new"


def test_versions_come_from_the_metadata() -> None:
    import numpy

    assert version_of("numpy") == version_of("NumPy") == numpy.__version__
    assert version_of("not-on-any-index-edgekit") == ABSENT


def test_a_version_is_found_in_a_toolchains_folder_first(tmp_path: Path) -> None:
    info = tmp_path / "numpy-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    assert version_of("numpy", str(tmp_path)) == "0.1"
    assert version_of("pydantic", str(tmp_path)) == version_of("pydantic")


def make_old(path: Path) -> None:
    """Files touched just now are hashed every time."""
    os.utime(path, (time.time() - 100,) * 2)


def test_a_file_is_hashed_once_until_it_changes(tmp_path: Path) -> None:
    file, database = tmp_path / "a.bin", tmp_path / "cache/hashes.sqlite"
    file.write_bytes(b"one")
    make_old(file)
    assert HashMemo(database).hash_file(file) == hashlib.sha256(b"one").hexdigest()
    stat = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert HashMemo(database).hash_file(file) == hashlib.sha256(b"one").hexdigest(), "size and time are trusted"
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert HashMemo(database).hash_file(file) == hashlib.sha256(b"two").hexdigest()


def test_a_file_touched_just_now_is_not_remembered(tmp_path: Path) -> None:
    file, memo = tmp_path / "a.bin", HashMemo(tmp_path / "hashes.sqlite")
    file.write_bytes(b"one")
    stat = file.stat()
    memo.hash_file(file)
    file.write_bytes(b"two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert memo.hash_file(file) == hashlib.sha256(b"two").hexdigest()


def test_a_folders_hash_covers_names_and_contents(tmp_path: Path) -> None:
    folder, memo = tmp_path / "data", HashMemo(tmp_path / "hashes.sqlite")
    (folder / "cat").mkdir(parents=True)
    (folder / "cat/1.jpg").write_bytes(b"1")
    seen = [memo.hash_path(folder)]
    (folder / "cat/2.jpg").write_bytes(b"2")
    seen.append(memo.hash_path(folder))
    (folder / "cat/2.jpg").rename(folder / "cat/3.jpg")
    seen.append(memo.hash_path(folder))
    (folder / "cat/3.jpg").write_bytes(b"3")
    seen.append(memo.hash_path(folder))
    assert len(set(seen)) == 4
    (folder / ".DS_Store").write_bytes(b"noise")
    assert memo.hash_path(folder) == seen[-1]


def test_a_folder_changes_with_what_lies_behind_its_links(tmp_path: Path) -> None:
    folder, memo = tmp_path / "data", HashMemo(tmp_path / "hashes.sqlite")
    for name in ("data/dog/0.png", "elsewhere/0.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    (folder / "cat").symlink_to(tmp_path / "elsewhere")
    (folder / "dog" / "again").symlink_to(folder)  # has no end, if it is followed blindly
    seen = [memo.hash_folder(folder)]
    assert memo.hash_folder(folder) == seen[0]
    (tmp_path / "elsewhere" / "0.png").write_bytes(b"other")
    seen.append(memo.hash_folder(folder))
    (folder / "cow").symlink_to(tmp_path / "elsewhere")
    seen.append(memo.hash_folder(folder))
    (folder / "ant").mkdir()  # a class without pictures moves the others
    seen.append(memo.hash_folder(folder))
    (folder / ".hidden").mkdir()
    assert memo.hash_folder(folder) == seen[-1]
    assert len(set(seen)) == 4


def test_a_damaged_memo_only_costs_time(tmp_path: Path) -> None:
    file, database = tmp_path / "a.bin", tmp_path / "hashes.sqlite"
    file.write_bytes(b"one")
    database.write_bytes(b"not a database" * 100)
    assert HashMemo(database).hash_file(file) == hashlib.sha256(b"one").hexdigest()
