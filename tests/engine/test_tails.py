"""A tail goes with its file: through every later step, the cache, measuring and the output folder."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

from edgekit.artifact import IO, Artifact, Tail, Tensor, hash_files
from edgekit.engine.keys import ABSENT
from edgekit.engine.publish import MANIFEST
from edgekit.engine.tails import hand_on, tail_inputs
from edgekit.engine.task import Surroundings
from edgekit.engine.tasks import MeasureTask
from edgekit.errors import AbsentError, InputError
from edgekit.installation import install_command
from edgekit.plan import add_traits
from edgekit.steps import Produced

if TYPE_CHECKING:
    from conftest import Tiny


def chain(tiny: Tiny, name: str = "y"):
    """cut -> copy_b (another worker) -> shrink (calibrates, loses), measured on labelled samples."""
    nodes = (("cut", None, {"name": name}), ("copy_b", "cut", {}), ("shrink", "copy_b", {"decimals": 1}))
    return tiny.plan(*nodes, **tiny.data())


def test_figures_are_of_the_file_and_its_tail(tiny: Tiny) -> None:
    result = tiny.run(chain(tiny))
    assert result.exit_code == 0
    cut, copy, shrink = (node.measurement for node in result.nodes)
    assert cut is not None and copy is not None and shrink is not None
    assert cut.sqnr_db == copy.sqnr_db == 200.0, "half the weights, doubled"
    # 1.04 / 2 becomes 0.5, so 1.04 becomes 1.0; x is uniform on 0.5..1.5, alike for all four weights
    expected = 10 * np.log10((1.04**2 + 2**2 + 3**2 + 4**2) / 0.04**2)
    assert shrink.sqnr_db == pytest.approx(expected, abs=0.5)
    assert cut.runtime.endswith(f", then onnxruntime {onnxruntime.__version__}")


def test_it_is_published_with_its_file(tiny: Tiny) -> None:
    result = tiny.run(chain(tiny))
    out = tiny.folder / "out"
    tail = out / "shrink/tiny-shrink-fp32.tail.onnx"
    digest = hashlib.sha256(tail.read_bytes()).hexdigest()
    assert (out / "steps/copy_b.tail.onnx").read_bytes() == tail.read_bytes()
    sidecar = json.loads((out / "shrink/tiny-shrink-fp32.edgekit.json").read_text())
    told = sidecar["tail"]
    assert (told["file"], told["bytes"], told["sha256"]) == (tail.name, tail.stat().st_size, digest)
    assert [(tensor["name"], tensor["source_name"]) for tensor in told["inputs"]] == [("half", "middle")]
    assert [tensor["source_name"] for tensor in told["outputs"]] == ["y"]
    assert [tensor["source_name"] for tensor in sidecar["io"]["outputs"]] == ["middle"]
    assert {entry["file"]: entry["sha256"] for entry in sidecar["artifact"]["files"]}[tail.name] == digest
    file = tail.with_name("tiny-shrink-fp32.tiny")
    assert sidecar["artifact"]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest(), "the file's own alone"
    listed = json.loads((out / MANIFEST).read_text())["files"]
    assert listed["shrink/tiny-shrink-fp32.tail.onnx"] == "shrink/fp32"
    assert listed["steps/cut.tail.onnx"] == "run"
    made = result.outputs[0].artifact
    assert made is not None and made.tail is not None and made.tail.path == tail


def test_no_tail_stays_of_an_older_run(tiny: Tiny) -> None:
    tiny.run(chain(tiny))
    plan = chain(tiny)
    whole = tiny.plan(("copy_b", None, {}), ("shrink", "copy_b", {}), **tiny.data())
    assert tiny.run(replace(whole, outputs=plan.outputs)).exit_code == 0
    out = tiny.folder / "out"
    assert not list(out.rglob("*.tail.onnx"))
    assert json.loads((out / "shrink/tiny-shrink-fp32.edgekit.json").read_text())["tail"] is None


def test_it_comes_from_the_cache(tiny: Tiny) -> None:
    tiny.run(chain(tiny))
    first = (tiny.folder / "out/shrink/tiny-shrink-fp32.tail.onnx").read_bytes()
    again = tiny.run(chain(tiny), out=tiny.folder / "second")
    assert {node.status for node in again.nodes} == {"cached"}
    assert (tiny.folder / "second/shrink/tiny-shrink-fp32.tail.onnx").read_bytes() == first


def test_an_altered_one_in_the_cache_is_made_again(tiny: Tiny) -> None:
    tiny.run(chain(tiny))
    kept = list((tiny.folder / "cache/entries").rglob("*.tail.onnx"))
    assert len(kept) == 3, "each step's entry is whole"
    for path in kept:
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    again = tiny.run(chain(tiny))
    assert again.exit_code == 0
    assert {node.reason for node in again.nodes} == {"the cache entry was damaged"}


def test_another_tail_is_another_key(tiny: Tiny) -> None:
    """The file before it is the same, byte for byte."""
    before = tiny.run(chain(tiny))
    after = tiny.run(chain(tiny, "other"))
    assert before.nodes[0].artifact is not None and after.nodes[0].artifact is not None
    assert before.nodes[0].artifact.sha256 == after.nodes[0].artifact.sha256
    assert [node.reason for node in after.nodes] == ["option name: y -> other", "parent changed", "parent changed"]


def test_a_finished_file_as_the_source_of_another_run(tiny: Tiny) -> None:
    """Its tail goes on with it, and the source's outputs are those behind the tail."""
    first = tiny.run(chain(tiny)).outputs[0].artifact
    assert first is not None and first.tail is not None
    plan = tiny.plan(("copy", None, {}), **tiny.data())
    plan = replace(plan, source=replace(plan.source, file=first.path))
    out = tiny.folder / "second"
    result = tiny.run(plan, out=out)
    assert result.exit_code == 0, result.error
    assert result.nodes[0].measurement is not None and result.nodes[0].measurement.sqnr_db == 200.0
    told = json.loads((out / "copy/tiny-copy-fp32.edgekit.json").read_text())["tail"]
    assert told["sha256"] == first.tail.sha256
    assert json.loads((out / "copy/tiny-copy-fp32.tiny").read_text())["weights"] == [0.5, 1.0, 1.5, 2.0]
    assert [node.status for node in tiny.run(plan, out=out).nodes] == ["cached"]
    first.tail.path.write_bytes(b"another")
    broken = tiny.run(plan, out=out)
    assert broken.exit_code == 2
    assert broken.error is not None and broken.error["code"] == "tail_changed"


def test_it_goes_with_a_rejected_file(tiny: Tiny) -> None:
    plan = chain(tiny)
    tiny.run(replace(plan, outputs=(replace(plan.outputs[0], gates={"max_bytes": 1.0}),)))
    rejected = tiny.folder / "out/shrink/rejected"
    assert {path.name for path in rejected.iterdir()} == {
        f"tiny-shrink-fp32.{suffix}" for suffix in ("tiny", "tail.onnx", "edgekit.json")
    }


@pytest.mark.parametrize(("step", "word"), [("cut_again", "cut_already"), ("forget", "tail_without_input")])
def test_what_does_not_fit_together(step: str, word: str, tiny: Tiny) -> None:
    result = tiny.run(tiny.plan(("cut", None, {}), (step, "cut", {})))
    assert result.exit_code == 5
    error = result.nodes[1].error
    assert error is not None and error["code"] == word and step in error["message"]


def test_without_onnxruntime_the_command_is_told(tiny: Tiny) -> None:
    plan = add_traits(chain(tiny))
    task = MeasureTask(Surroundings(plan, None), plan.nodes[-1], synthetic=True)  # type: ignore[arg-type]
    inputs = {"tail": {}, "versions": {"numpy": "2", "onnxruntime": ABSENT}}
    with pytest.raises(AbsentError) as caught:
        task.check(inputs)
    assert caught.value.exit_code == 3
    assert caught.value.remedy == install_command("onnx")


def test_one_that_changed_on_its_way_is_refused(tmp_path: Path) -> None:
    model, file = tmp_path / "m.tiny", tmp_path / "m.tail.onnx"
    model.write_text("{}")
    file.write_bytes(b"tail")
    y = Tensor("y", "y", (1, 4), "float32")
    tail = Tail(file, *hash_files([file]), IO((y,), (y,)))
    parent = Artifact(model, "tiny", *hash_files([model]), IO((), (y,)), tail=tail)
    assert tail_inputs(parent)["tail"]["sha256"] == hashlib.sha256(b"tail").hexdigest()
    produced = Produced(model, parent.io)
    (tmp_path / "out").mkdir()
    handed = hand_on(parent, produced, Path("n.tiny"), tmp_path / "out", "copy")
    assert handed is not None and handed.path == Path("n.tail.onnx")
    assert (tmp_path / "out/n.tail.onnx").read_bytes() == b"tail"
    file.write_bytes(b"liat")
    with pytest.raises(InputError, match="not the file that it was"):
        hand_on(parent, produced, Path("o.tiny"), tmp_path / "out", "copy")
    file.unlink()
    with pytest.raises(InputError, match="not the file that it was"):
        hand_on(parent, produced, Path("p.tiny"), tmp_path / "out", "copy")
