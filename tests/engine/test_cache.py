"""The store: what is in it stays right, and what is not right is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.engine.cache import Cache
from edgekit.engine.keys import key_of
from edgekit.errors import InputError

if TYPE_CHECKING:
    from conftest import Tiny

INPUTS = {"kind": "node", "step": "copy", "options": {"a": 1}}


def put(cache: Cache, content: bytes, inputs: dict = INPUTS) -> Path:
    made = cache.scratch() / f"made-{content.hex()[:8]}"
    made.mkdir()
    (made / "model.bin").write_bytes(content)
    return cache.put("step", inputs, {"answer": 42}, made).folder


def test_what_was_put_is_found_with_what_it_was_made_from(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.find(key_of(INPUTS)) == (None, "absent")
    folder = put(cache, b"content")
    entry, _ = cache.find(key_of(INPUTS))
    assert entry is not None and entry.folder == folder
    assert (entry.kind, entry.inputs, entry.result) == ("step", INPUTS, {"answer": 42})
    assert (folder / "model.bin").read_bytes() == b"content"
    assert cache.show()["kinds"] == {"step": {"entries": 1, "bytes": cache.show()["bytes"]}}
    cache.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["entries", "locks", "tmp"]
    assert not list((tmp_path / "tmp").iterdir())


def test_of_two_that_make_the_same_the_first_stays(tmp_path: Path) -> None:
    one, two = Cache(tmp_path), Cache(tmp_path)
    first = put(one, b"first")
    second = put(two, b"second")
    assert first == second and (first / "model.bin").read_bytes() == b"first"


@pytest.mark.parametrize("what", ["byte", "size", "gone", "record", "inputs", "unreadable"])
def test_damage_is_noticed_and_made_good(tmp_path: Path, what: str) -> None:
    cache = Cache(tmp_path)
    folder = put(cache, b"content")
    file, record = folder / "model.bin", folder.parent / "entry.json"
    if what == "byte":
        before = file.stat()
        file.write_bytes(b"Content")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif what == "size":
        file.write_bytes(b"conten")
    elif what == "gone":
        file.unlink()
    elif what == "record":
        record.write_text(record.read_text().replace("42", "43"))
    elif what == "inputs":
        record.write_text(record.read_text().replace('"a": 1', '"a": 2'))
    else:
        record.write_text(record.read_text()[:40])
    assert cache.find(key_of(INPUTS)) == (None, "damaged")
    assert cache.find(key_of(INPUTS)) == (None, "absent"), "it was taken away"
    assert (put(cache, b"anew") / "model.bin").read_bytes() == b"anew"


def test_a_put_on_top_of_a_damaged_entry_replaces_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (put(cache, b"content") / "model.bin").write_bytes(b"Content")
    assert (put(cache, b"anew") / "model.bin").read_bytes() == b"anew"


def test_a_flipped_byte_is_noticed_by_the_next_run(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}), ("shrink", "copy", {}), **tiny.data())
    first = tiny.run(plan)
    (file,) = [
        path.parent / "files/model.tiny"
        for path in (tiny.folder / "cache/entries").glob("*/*/entry.json")
        if json.loads(path.read_text())["inputs"].get("step") == "copy"
    ]
    before, good = file.stat(), file.read_bytes()
    file.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = tiny.run(plan)
    assert [(node.status, node.reason) for node in second.nodes] == [
        ("done", "the cache entry was damaged"),
        ("cached", "unchanged"),
    ]
    assert file.read_bytes() == good and second.exit_code == 0
    assert [o.artifact and o.artifact.sha256 for o in second.outputs] == [
        o.artifact and o.artifact.sha256 for o in first.outputs
    ]


def test_a_step_that_writes_into_its_input_harms_nobody(tiny: Tiny) -> None:
    before = tiny.model.read_bytes()
    plan = tiny.plan(("scribble@1", None, {}), ("scribble@2", "scribble@1", {}))
    assert tiny.run(plan).exit_code == 0
    assert tiny.model.read_bytes() == before
    assert [node.status for node in tiny.run(plan).nodes] == ["cached", "cached"]


def test_an_output_that_is_changed_does_not_change_the_cache(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}))
    (output,) = tiny.run(plan).outputs
    assert output.artifact is not None
    good = output.artifact.path.read_bytes()
    with output.artifact.path.open("r+b") as file:
        file.write(b"garbage")
    second = tiny.run(plan)
    assert second.nodes[0].status == "cached" and output.artifact.path.read_bytes() == good


def test_a_dead_runs_scratch_is_swept_and_a_live_ones_is_not(tmp_path: Path) -> None:
    live = Cache(tmp_path)
    scratch = live.scratch()
    (tmp_path / "tmp/99999-dead").mkdir()
    (tmp_path / "tmp/99999-dead/half.bin").write_bytes(b"x")
    (tmp_path / "tmp/99999-dead.lock").touch()
    assert Cache(tmp_path).sweep() == 1
    assert sorted(path.name for path in (tmp_path / "tmp").iterdir()) == [scratch.name, f"{scratch.name}.lock"]


def test_clean_empties_it_but_not_under_a_run(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    put(cache, b"content")
    with pytest.raises(InputError, match="in use"):
        Cache(tmp_path).clean()
    cache.close()
    assert Cache(tmp_path).clean()["entries"] == 1
    assert Cache(tmp_path).show()["entries"] == 0 and cache.find(key_of(INPUTS)) == (None, "absent")


def test_what_nodes_were_made_from_is_remembered(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert cache.last_inputs("recipe") == {}
    cache.remember_inputs("recipe", {"a": {"seed": 1}})
    cache.remember_inputs("recipe", {"b": {"seed": 2}})
    assert Cache(tmp_path).last_inputs("recipe") == {"a": {"seed": 1}, "b": {"seed": 2}}
    assert cache.last_inputs("another") == {}
