"""`targets show` as a datasheet, `targets validate` on profiles of one's own, and what a profile rules out, through the
command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.cli.datasheet import datasheet
from edgekit.devices import load_profiles

PROFILES = load_profiles()

MINE = """\
name: mine
extends: jetson-nano
title: My board
operators: {rules: tensorrt, level: {value: "TensorRT 8.2", source: "its manual, p. 3"}}
"""


def test_show_reads_like_a_datasheet(edgekit_command, snapshot) -> None:  # type: ignore[no-untyped-def]
    done = edgekit_command("targets", "show", "jetson-nano", env={"COLUMNS": "100"})
    assert done.returncode == 0
    snapshot("targets.show.txt", done.stdout)


@pytest.mark.parametrize("name", list(PROFILES))
@pytest.mark.parametrize("width", [72, 100])
def test_a_datasheet_has_every_source_once_and_keeps_to_the_width(name: str, width: int) -> None:
    """Independent of the datasheet's own walk: every source and search in the profile's JSON stands in it."""
    profile = PROFILES[name]
    text = datasheet(profile, width)
    body, _, notes = text.partition("\n\nSources\n")
    told = re.sub(r"\s+", " ", notes)

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for key in ("source", "unknown"):
                if key in value:
                    assert re.sub(r"\s+", " ", value[key]) in told
            for child in value.values():
                walk(child)
        elif isinstance(value, list):
            for child in value:
                walk(child)

    walk(json.loads(profile.model_dump_json(exclude_none=True)))
    numbers = re.findall(r"^  \[(\d+)\]", notes, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
    assert set(re.findall(r"\[(\d+)\]", body)) == set(numbers)
    commands = {step.command for step in profile.handover}
    for line in text.splitlines():
        unbreakable = max((len(word) for word in line.split()), default=0)
        assert len(line) <= max(width, unbreakable + 30) or line.strip() in commands or "latency" in line


def test_readme_lists_every_target_with_its_precisions(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    table = text.split("| target | precisions | files | how |", 1)[1].split("\n\n", 1)[0]
    listed: dict[str, set[str]] = {}
    for row in table.splitlines()[2:]:
        names, precisions = row.split("|")[1:3]
        for name in re.findall(r"`([\w-]+)`", names):
            listed[name] = set(re.findall(r"\b(?:fp|int)(?:8|16|32)\b", re.sub(r"\(.*\)", "", precisions)))
    listed["android-npu"] = {"int8"}  # in brackets
    assert listed == {name: set(PROFILES[name].routes) for name in PROFILES}


# (what is changed, by what, what is told)
WRONG = [
    (', source: "its manual, p. 3"', "", "mine.yaml:4:37: a fact needs its `source` beside `value`"),
    ("rules: tensorrt", "rules: tensort", "4:20: no rule set is called `tensort`; did you mean `tensorrt`?"),
    ("extends: jetson-nano", "extends: mine", "2:10: `extends` goes in a circle: mine -> mine"),
    (
        "extends: jetson-nano",
        "extends: jetson-nanno",
        "no target is called `jetson-nanno`; did you mean `jetson-nano`?",
    ),
    ("title: My board\n", "routes: {fp16: [torch_to_onx]}\n", "no step is called `torch_to_onx`; did you mean"),
]


@pytest.mark.parametrize(("old", "new", "told"), WRONG)
def test_validate(edgekit_command, tmp_path: Path, old: str, new: str, told: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.yaml"
    path.write_text(MINE.replace(old, new))
    done = edgekit_command("targets", "validate", str(path))
    assert done.returncode == 2
    assert told in done.stderr


def _relu(path: Path, height: int | str, opset: int = 13) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, height, 8]) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


def test_an_unknown_name_in_extends_is_the_only_mistake(edgekit_command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.yaml"
    path.write_text(MINE.replace("extends: jetson-nano", "extends: jetson-nanno"))
    done = edgekit_command("targets", "validate", str(path), "--json")
    (mistake,) = json.loads(done.stdout)["error"]["mistakes"]
    assert mistake["message"] == "no target is called `jetson-nanno`; did you mean `jetson-nano`?"


def test_a_level_beyond_all_that_is_known_is_called_so(edgekit_command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine.yaml").write_text(MINE.replace("TensorRT 8.2", "TensorRT 99"))
    model = _relu(tmp_path / "model.onnx", 8)
    done = edgekit_command("check", str(model), "-t", "mine", "--targets-dir", str(tmp_path), "--json")
    notes = json.loads(done.stdout)["notes"]
    assert any(note.startswith("edgekit knows no TensorRT 99: its lists of TensorRT end with 10.1") for note in notes)


def test_boards_with_dla_cores_say_what_is_judged(edgekit_command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = _relu(tmp_path / "model.onnx", 8)
    cores = {}
    for name in ("jetson-xavier-nx", "jetson-orin-nano"):
        done = edgekit_command("check", str(model), "-t", name, "--json")
        notes = json.loads(done.stdout)["notes"]
        cores[name] = [note for note in notes if note.startswith("judged for the GPU: its DLA cores take fewer")]
    assert [len(notes) for notes in cores.values()] == [1, 0]
    with_cores = {name for name, one in PROFILES.items() if one.hardware.dla_cores and one.hardware.dla_cores.value}
    assert with_cores == {name for name, one in PROFILES.items() if "DLA" in one.title}


def test_validate_what_is_right(edgekit_command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    done = edgekit_command("targets", "validate", str(path))
    assert (done.returncode, done.stdout) == (0, f"{path}: a valid profile of mine\n")
    shown = edgekit_command("targets", "show", "mine", env={"EDGEKIT_TARGETS": str(tmp_path)})
    assert shown.stdout.startswith("My board\nmine, of the family jetson\n")


def test_validate_two_of_one_name(edgekit_command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text(MINE)
    done = edgekit_command("targets", "validate", str(tmp_path / "a/mine.yaml"), str(tmp_path / "b/mine.yaml"))
    assert done.returncode == 2
    assert "two target profiles are called `mine`" in done.stderr
    clash = tmp_path / "coral.yaml"
    clash.write_text(MINE.replace("mine", "coral"))
    said = edgekit_command("targets", "validate", str(clash)).stderr
    assert "`coral` is the name of a profile of edgekit's own, which says something else" in said


def test_what_a_profile_rules_out_is_exit_4(edgekit_command, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = _relu(tmp_path / "model.onnx", "height", opset=17)
    told = {
        ("jetson-tx2", "int8"): ("no 8-bit integer arithmetic", "NVIDIA-AI-IOT/torch2trt issue 255", "jetson-tx2/fp16"),
        ("jetson-nano", "fp32"): ("would have opset 17", "onnx/onnx-tensorrt", "opset 13 or lower"),
        ("coral", "fp32"): ("8-bit integers only", "coral.ai", "coral/int8"),
        ("coral", "int8"): ("cannot have free sizes", "coral.ai/docs/edgetpu/models-intro", "--shape a=1x"),
        ("ncs2", "int8"): ("computes in FP16", "Supported_Devices.md", "ncs2/fp16"),
    }
    for (target, precision), words in told.items():
        done = edgekit_command(
            *("convert", str(path), "--target", target, "--precision", precision, "--out", str(tmp_path / "out"))
        )
        assert done.returncode == 4, done.stderr
        assert all(word in done.stderr for word in words), done.stderr
