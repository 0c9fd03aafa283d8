"""Hostile torch files: each would make a folder if its code ran."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgekit.artifact import Artifact, Build
from edgekit.errors import InputError
from edgekit.formats import FORMATS, Declared, find_format


class Trap:
    """Unpickling it makes the folder ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_hostile_pickle_in_weights(tmp_path: Path) -> None:
    weights, sprung = tmp_path / "weights.pt", tmp_path / "sprung"
    file = tmp_path / "net.py"
    file.write_text("import torch\n\ndef build():\n    return torch.nn.Linear(4, 3)\n")
    torch.save({"linear.weight": Trap(sprung)}, weights)
    with pytest.raises(InputError) as raised:
        FORMATS.get("torch").read_io(file, Declared({"x": (1, 4)}), Build("build", {}, weights))
    assert raised.value.word == "hostile_pickle"
    assert not sprung.exists()


@pytest.mark.parametrize("new_zipfile", [True, False])
def test_a_whole_module_or_bare_weights_as_the_model(tmp_path: Path, new_zipfile: bool) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "model.pt"
    torch.save({"module": Trap(sprung)}, path, _use_new_zipfile_serialization=new_zipfile)
    with pytest.raises(InputError) as raised:
        find_format(path).read_io(path, Declared({"x": (1, 4)}))
    assert raised.value.word == "pickled_model"
    assert "weights" in (raised.value.remedy or "")
    assert not sprung.exists()


def hostile_pickle(sprung: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save((Trap(sprung),), buffer)
    return buffer.getvalue()


def rewrite(source: Path, target: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes]) -> None:
    """Copy an archive, each member changed, with ``extra`` members (below the archive's root)."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            new.writestr(member, change(member, old.read(member)))
        root = old.namelist()[0].partition("/")[0]
        for name, content in extra.items():
            new.writestr(f"{root}/{name}", content)


def edit_json(member: str, content: bytes, suffix: str, edit: Callable[[Any], None]) -> bytes:
    if not member.endswith(suffix):
        return content
    data = json.loads(content)
    edit(data)
    return json.dumps(data).encode()


def hostile_variants(sprung: Path) -> dict[str, tuple[Callable[[str, bytes], bytes], dict[str, bytes]]]:
    """{name: (change of members, extra members)}: the ways found by which torch.export.load would run code."""
    run = f"__import__('os').mkdir('{sprung}')"

    def pickled_weights(data: Any) -> None:
        first = next(iter(data["config"].values()))
        first.update(path_name="trap", use_pickle=True)

    def pickled_constant(data: Any) -> None:
        data["config"]["trap"] = {
            "path_name": "opaque_obj_0",
            "is_param": False,
            "use_pickle": False,
            "tensor_meta": None,
        }

    def call_of_system(data: Any) -> None:
        data["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.mkdir"

    def size_that_is_code(data: Any) -> None:
        values = data["graph_module"]["graph"]["tensor_values"]
        next(iter(values.values()))["sizes"][0] = {"as_expr": {"expr_str": run, "hint": None}}

    def argument_that_is_code(data: Any) -> None:
        for call in data["graph_module"]["module_call_graph"]:
            if call["signature"]:
                call["signature"]["forward_arg_names"] = [f"x={run}"]

    def range_that_is_code(data: Any) -> None:
        data["range_constraints"] = {run: {"min_val": 0, "max_val": 1}}

    def guard_that_is_code(data: Any) -> None:
        data["guards_code"] = [run]

    def edit(suffix: str, change: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
        return lambda member, content: edit_json(member, content, suffix, change)

    def sample_inputs(member: str, content: bytes) -> bytes:
        return hostile_pickle(sprung) if "sample_inputs" in member else content

    model, weights, constants = "models/model.json", "model_weights_config.json", "model_constants_config.json"
    return {
        "pickled weights": (edit(weights, pickled_weights), {"data/weights/trap": hostile_pickle(sprung)}),
        "opaque constant": (
            edit(constants, pickled_constant),
            {"data/constants/opaque_obj_0": pickle.dumps(Trap(sprung))},
        ),
        "sample inputs": (sample_inputs, {}),
        "call of the system": (edit(model, call_of_system), {}),
        "size that is code": (edit(model, size_that_is_code), {}),
        "argument that is code": (edit(model, argument_that_is_code), {}),
        "range that is code": (edit(model, range_that_is_code), {}),
        "guard that is code": (edit(model, guard_that_is_code), {}),
        "native code": (lambda member, content: content, {"data/aotinductor/model/model.so": b"\x7fELF"}),
        "legacy pickled weights": (lambda m, c: c, {"data/weights/model.pt": hostile_pickle(sprung)}),
        "legacy pickled constants": (lambda m, c: c, {"data/constants/model.pt": hostile_pickle(sprung)}),
    }


@pytest.mark.parametrize("name", list(hostile_variants(Path("nowhere"))))
def test_a_hostile_exported_program_does_not_run(files: Path, tmp_path: Path, name: str) -> None:
    sprung, path = tmp_path / "sprung", tmp_path / "hostile.pt2"
    change, extra = hostile_variants(sprung)[name]
    rewrite(files / "detector.pt2", path, change, extra)
    try:
        found = find_format(path)
        FORMATS.get("torch").open(Artifact(path, "torch", "", 0, found.read_io(path, Declared())), 1)
    except InputError as error:
        assert error.exit_code == 2
    else:
        # torch 2.13 puts these two aside unread.
        assert name in ("guard that is code", "range that is code")
    assert not sprung.exists()


@pytest.mark.parametrize("name", ["pickled weights", "sample inputs", "size that is code", "legacy pickled weights"])
def test_without_the_guard_it_would_have_run(files: Path, tmp_path: Path, name: str) -> None:
    """The reason for the guard, and the proof that these traps are live: torch.export.load by itself springs them."""
    sprung, path = tmp_path / "sprung", tmp_path / "hostile.pt2"
    change, extra = hostile_variants(sprung)[name]
    rewrite(files / "detector.pt2", path, change, extra)
    with pytest.raises(Exception):  # noqa: B017 (whatever torch makes of what came out)
        torch.export.load(path)
    assert sprung.exists()
