"""The output folder: edgekit replaces what it wrote, and touches nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.engine.publish import MANIFEST, OutputFolder
from edgekit.errors import InputError
from edgekit.plan import Output

if TYPE_CHECKING:
    from conftest import Tiny


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_a_run_leaves(tiny: Tiny) -> None:
    tiny.run(tiny.plan(("copy", None, {}), ("copy_b", "copy", {})))
    out = tiny.folder / "out"
    assert files_in(out) == {
        MANIFEST,
        "copy_b/tiny-copy_b-fp32.tiny",
        "copy_b/tiny-copy_b-fp32.edgekit.json",
        "steps/copy.tiny",
        *(f"logs/{name}.log" for name in ("source", "reference", "copy", "copy_b", "measure-copy")),
    }
    listed = json.loads((out / MANIFEST).read_text())["files"]
    assert listed["copy_b/tiny-copy_b-fp32.tiny"] == "copy_b/fp32" and listed["steps/copy.tiny"] == "run"
    assert {path.stat().st_nlink for path in out.rglob("*.tiny")} == {1}, "never hard links"


def test_somebody_elses_folder_is_refused_before_anything_runs(tiny: Tiny) -> None:
    out = tiny.folder / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="did not write") as caught:
        tiny.run(tiny.plan(("copy", None, {})))
    assert caught.value.exit_code == 2
    assert files_in(out) == {"thesis.txt"} and not (tiny.folder / "cache").exists() and not tiny.events


def test_a_file_that_is_not_listed_is_never_touched(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}))
    tiny.run(plan)
    mine = tiny.folder / "out/copy/notes.txt"
    mine.write_text("mine")
    assert tiny.run(plan).exit_code == 0 and mine.read_text() == "mine"
    in_the_way = tiny.folder / "out/copy/rejected/tiny-copy-fp32.tiny"
    in_the_way.parent.mkdir()
    in_the_way.write_text("mine too")
    with pytest.raises(InputError, match="in the way"):
        tiny.run(plan)
    assert in_the_way.read_text() == "mine too"


def test_no_older_file_passes_for_a_new_one(tiny: Tiny) -> None:
    tiny.run(tiny.plan(("copy", None, {})))
    made = tiny.folder / "out/copy/tiny-copy-fp32.tiny"
    assert made.exists()
    bad = tiny.plan(("copy", None, {}))
    bad = replace(bad, source=replace(bad.source, file=tiny.folder / "gone.tiny"))
    assert tiny.run(bad).exit_code == 2
    assert files_in(tiny.folder / "out") == {MANIFEST}


def test_only_the_outputs_that_are_made_are_replaced(tiny: Tiny) -> None:
    both = tiny.plan(("copy", None, {}), ("copy_b", None, {}))
    tiny.run(both)
    kept = tiny.folder / "out/copy_b/tiny-copy_b-fp32.tiny"
    before = kept.stat().st_mtime_ns
    tiny.run(tiny.plan(("copy", None, {"marker": "x"})))
    assert kept.stat().st_mtime_ns == before


def test_a_rejected_file_does_not_lie_among_the_good(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}))
    strict = replace(plan, outputs=(replace(plan.outputs[0], gates={"max_bytes": 1.0}),))
    tiny.run(plan)
    tiny.run(strict)
    out = tiny.folder / "out/copy"
    assert files_in(out) == {"rejected/tiny-copy-fp32.tiny", "rejected/tiny-copy-fp32.edgekit.json"}
    sidecar = json.loads((out / "rejected/tiny-copy-fp32.edgekit.json").read_text())
    assert sidecar["verdict"] == "fail"
    tiny.run(plan)
    assert files_in(out) == {"tiny-copy-fp32.tiny", "tiny-copy-fp32.edgekit.json"}


def test_a_list_that_leads_out_of_the_folder_is_not_followed(tmp_path: Path, tiny: Tiny) -> None:
    out, outside = tmp_path / "evil", tmp_path / "outside.txt"
    outside.write_text("mine")
    out.mkdir()
    content = {"schema": "edgekit.out/1", "files": {"../outside.txt": "run", str(outside): "run"}}
    (out / MANIFEST).write_text(json.dumps(content))
    OutputFolder(out).begin(tiny.plan(("copy", None, {})))
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "else/1", "files": {}}', '{"schema": "edgekit.out/1"}'])
def test_a_list_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError):
        OutputFolder(tmp_path)


def test_an_output_of_two_entries_on_one_node_lies_in_both(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}))
    outputs = tuple(Output(f"{name}/fp32", name, "tiny", "fp32", "copy") for name in ("one", "two"))
    result = tiny.run(replace(plan, outputs=outputs))
    assert [o.artifact and o.artifact.path.parent.name for o in result.outputs] == ["one", "two"]
    assert result.nodes[0].artifact == result.outputs[0].artifact
