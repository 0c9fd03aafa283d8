"""The tail of a finished file: what is run is what the sidecar names, lies beside it, and is the file it was."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import IO, Artifact, Tail, Tensor, hash_files
from edgekit.checks.walk import Walk
from edgekit.errors import EdgekitError, InputError, StepError
from edgekit.formats import FORMATS, Declared
from edgekit.formats.runner import open_runner, open_tail
from edgekit.formats.tail import attach_tail
from edgekit.installation import install_command

Sidecar = dict[str, Any]


def save(path: Path, nodes: list[Any], inputs: dict[str, list[int]], outputs: dict[str, list[int]]) -> Path:
    def values(told: dict[str, list[int]]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in told.items()]

    graph = helper.make_graph(nodes, "test", values(inputs), values(outputs))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Artifact, Sidecar]:
    """``net.onnx`` gives ``raw``, channel-last; ``net.tail.onnx`` adds its numbers up per channel, as ``sums``."""
    folder = tmp_path / "made"
    folder.mkdir()
    path = save(folder / "net.onnx", [helper.make_node("Neg", ["x"], ["raw"])], {"x": [1, 4, 3]}, {"raw": [1, 4, 3]})
    tail = save(
        folder / "net.tail.onnx",
        [helper.make_node("ReduceMean", ["cut"], ["sums"], axes=[2])],
        {"cut": [1, 3, 4]},
        {"sums": [1, 3, 1]},
    )
    given = Tensor("cut", "middle", (1, 3, 4), "float32")
    sums = Tensor("sums", "sums", (1, 3, 1), "float32")
    sidecar = {
        "io": IO(
            (Tensor("x", "x", (1, 4, 3), "float32"),), (Tensor("raw", "middle", (1, 4, 3), "float32", (0, 2, 1)),)
        ).to_dict(),
        "tail": {"file": tail.name, "bytes": 0, "sha256": hash_files([tail])[0], **IO((given,), (sums,)).to_dict()},
    }
    known = FORMATS.get("onnx")
    return Artifact(path, "onnx", *hash_files([path]), known.read_io(path, Declared())), json.loads(json.dumps(sidecar))


def test_it_is_run_after_the_file(finished: tuple[Artifact, Sidecar]) -> None:
    artifact = attach_tail(*finished)
    x = np.random.default_rng(0).standard_normal((1, 4, 3)).astype(np.float32)
    found = open_runner(artifact, 1).run({"x": x})
    assert found.keys() == {"sums"}
    assert found["sums"] == pytest.approx(-x.mean(axis=1)[..., None], abs=1e-6)
    assert [tensor.name for tensor in artifact.outputs] == ["sums"]
    assert Artifact.from_dict(json.loads(json.dumps(artifact.to_dict()))) == artifact


def test_without_one_nothing_changes(finished: tuple[Artifact, Sidecar]) -> None:
    artifact, sidecar = finished
    assert attach_tail(artifact, {}) == artifact
    assert attach_tail(artifact, {**sidecar, "tail": None}) == artifact


def refused(artifact: Artifact, sidecar: Sidecar) -> InputError:
    with pytest.raises(InputError) as caught:
        attach_tail(artifact, sidecar)
    error = caught.value
    assert error.exit_code == 2
    assert error.message and error.where and error.remedy
    return error


def test_a_missing_file(finished: tuple[Artifact, Sidecar]) -> None:
    artifact, sidecar = finished
    artifact.path.with_name("net.tail.onnx").unlink()
    assert refused(artifact, sidecar).word == "tail_missing"


@pytest.mark.parametrize("place", [0, 40, -1])
def test_an_altered_byte(place: int, finished: tuple[Artifact, Sidecar]) -> None:
    artifact, sidecar = finished
    file = artifact.path.with_name("net.tail.onnx")
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    assert refused(artifact, sidecar).word == "tail_changed"


@pytest.mark.parametrize(
    "name", ["../net.tail.onnx", "/etc/hostname", "", ".", "..", "a/../net.tail.onnx", "..\\net.tail.onnx", "link.onnx"]
)
def test_a_hostile_path(name: str, finished: tuple[Artifact, Sidecar], tmp_path: Path) -> None:
    """Also where a file of the right hash lies there."""
    artifact, sidecar = finished
    outside = tmp_path / "net.tail.onnx"
    outside.write_bytes(artifact.path.with_name("net.tail.onnx").read_bytes())
    (artifact.path.parent / "link.onnx").symlink_to(outside)
    sidecar["tail"]["file"] = name
    assert refused(artifact, sidecar).word == "tail_outside"


def change(path: str, value: Any) -> Callable[[Sidecar], None]:
    def apply(sidecar: Sidecar) -> None:
        place: Any = sidecar
        *above, last = path.split(".")
        for key in above:
            place = place[int(key) if key.isdigit() else key]
        if value is ...:
            del place[last]
        else:
            place[last] = value

    return apply


@pytest.mark.parametrize(
    "damage",
    [
        change("tail", "net.tail.onnx"),
        change("tail", [1]),
        change("tail.file", None),
        change("tail.file", 7),
        change("tail.file", ...),
        change("tail.sha256", ...),
        change("tail.bytes", "many"),
        change("tail.inputs", ...),
        change("tail.inputs", [{}]),
        change("tail.inputs", {"a": 1}),
        change("tail.outputs", 3),
        change("tail.inputs.0.source_name", "elsewhere"),
        change("tail.inputs.0.shape", None),
        change("io", ...),
        change("io.outputs", []),
        change("io.outputs.0.name", "other"),
        change("io.outputs.0.permutation", [0, 1]),
        change("io.outputs.0.permutation", [0, 2, 2]),
        change("io.outputs.0.permutation", ["a", "b", "c"]),
    ],
)
def test_a_damaged_sidecar(damage: Callable[[Sidecar], None], finished: tuple[Artifact, Sidecar]) -> None:
    artifact, sidecar = finished
    damage(sidecar)
    assert refused(artifact, sidecar).word == "damaged_sidecar"


def places(value: Any, path: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """The way to every value in nested dicts and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    return found + [deeper for key, item in items for deeper in places(item, (*path, key))]


def test_any_change_is_refused_or_harmless(finished: tuple[Artifact, Sidecar]) -> None:
    """Each value of what is told of the tail, replaced by odd ones: an error of edgekit's own, or the model still runs
    or is refused by its runtime; never a traceback of Python's."""
    artifact, told = finished
    x = {"x": np.ones((1, 4, 3), np.float32)}

    outcomes = set()
    for path in places(told, ()):
        for odd in (None, -1, 10**9, "", "x", [], {}, [None], True, float("nan")):
            sidecar = copy.deepcopy(told)
            place: Any = sidecar
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = odd
            try:
                Walk(attach_tail(artifact, sidecar), 1).run_one(x)
                outcomes.add("runs")
            except EdgekitError as error:
                assert error.exit_code in (2, 5), (path, odd)
                outcomes.add(error.word)
    assert {"runs", "damaged_sidecar", "tail_outside", "tail_changed", "tail_differs"} <= outcomes


def tail_of(path: Path, *names: str) -> Tail:
    first, last = (Tensor(name, name, (1, 3), "float32") for name in names)
    return Tail(path, *hash_files([path]), IO((first,), (last,)))


def test_a_file_that_takes_something_else(tmp_path: Path) -> None:
    path = save(tmp_path / "t.onnx", [helper.make_node("Neg", ["a"], ["b"])], {"a": [1, 3]}, {"b": [1, 3]})
    with pytest.raises(InputError, match="takes `a` and gives `b`, not `a` and `c`") as caught:
        open_tail(tail_of(path, "a", "c"), 1)
    assert caught.value.word == "tail_differs"


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "t.onnx"
    path.write_bytes(b"not a model" * 10)
    with pytest.raises(StepError, match="ONNX Runtime refuses"):
        open_tail(tail_of(path, "a", "b"), 1)


def test_data_outside_of_the_file_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tail is loaded from the bytes that were hashed, and from nothing else."""
    path = save(tmp_path / "t.onnx", [helper.make_node("Add", ["a", "w"], ["b"])], {"a": [1, 3]}, {"b": [1, 3]})
    model = onnx.load(path)
    (tmp_path / "w.bin").write_bytes(np.ones(3, np.float32).tobytes())
    weights = numpy_helper.from_array(np.ones(3, np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="w.bin")
    model.graph.initializer.append(weights)
    path.write_bytes(model.SerializeToString())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdgekitError):
        open_tail(tail_of(path, "a", "b"), 1)


def test_without_onnxruntime(finished: tuple[Artifact, Sidecar], tmp_path: Path) -> None:
    """In a process in which it cannot be imported, as where it is not installed."""
    artifact = attach_tail(*finished)
    (tmp_path / "artifact.json").write_text(json.dumps(artifact.to_dict()))
    program = """
import json, sys
sys.modules["onnxruntime"] = None
from edgekit.artifact import Artifact
from edgekit.errors import AbsentError
from edgekit.formats.runner import open_tail
artifact = Artifact.from_dict(json.load(open(sys.argv[1])))
try:
    open_tail(artifact.tail, 1)
except AbsentError as error:
    sys.stdout.write(f"{error.exit_code} {error.remedy}")
"""
    command = [sys.executable, "-c", program, str(tmp_path / "artifact.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (f"3 {install_command('onnx')}", 0), done.stderr


def test_hashes_are_sha256(finished: tuple[Artifact, Sidecar]) -> None:
    artifact = attach_tail(*finished)
    assert artifact.tail is not None
    assert artifact.tail.sha256 == hashlib.sha256(artifact.tail.path.read_bytes()).hexdigest()
