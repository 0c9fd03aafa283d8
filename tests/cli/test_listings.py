"""What is there: targets, steps, toolchains, the cache, doctor, init and the recipe commands."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_targets_list(edgekit_command: Command, snapshot: Any) -> None:
    snapshot("targets.list.txt", edgekit_command("targets", "list").stdout)


def test_targets_as_json(edgekit_command: Command) -> None:
    document = json.loads(edgekit_command("targets", "list", "--json").stdout)
    assert document["schema"] == "edgekit.targets/1"
    coral = next(target for target in document["targets"] if target["name"] == "coral")
    assert set(coral) == {"name", "title", "family", "formats", "precisions"}
    assert (coral["formats"], coral["precisions"]) == (["tflite"], ["int8"])


def test_a_target_as_json_has_all_its_facts(edgekit_command: Command) -> None:
    document = json.loads(edgekit_command("targets", "show", "coral", "--json").stdout)
    assert document["schema"] == "edgekit.target/1"

    def facts(value: Any) -> list[dict[str, Any]]:
        if isinstance(value, dict) and ("source" in value or "unknown" in value):
            return [value]
        below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return [fact for item in below for fact in facts(item)]

    assert len(facts(document["target"])) > 10


def test_validate_a_profile(edgekit_command: Command, tmp_path: Path, repository: Path) -> None:
    mine = tmp_path / "my-board.yaml"
    mine.write_text("extends: openvino-cpu\nname: my-board\ntitle: My board\n")
    done = edgekit_command("targets", "validate", mine)
    assert (done.returncode, done.stdout) == (0, f"{mine}: a valid profile of my-board\n")
    mine.write_text("extends: openvino-cpu\nname: my-board\ntitel: My board\nroutes: {int8: [onnx_int9]}\n")
    done = edgekit_command("targets", "validate", mine)
    assert done.returncode == 2
    assert f"{mine}:3:1: " in done.stderr
    assert "did you mean `title`?" in done.stderr


def test_a_folder_of_own_targets(edgekit_command: Command, tmp_path: Path) -> None:
    (tmp_path / "my-board.yaml").write_text("extends: openvino-cpu\nname: my-board\ntitle: My board\n")
    assert "my-board" in edgekit_command("targets", "list", "--targets-dir", tmp_path).stdout
    assert "my-board" in edgekit_command("targets", "list", env={"EDGEKIT_TARGETS": str(tmp_path)}).stdout
    assert "my-board" not in edgekit_command("targets", "list").stdout


def test_steps_list(edgekit_command: Command) -> None:
    document = json.loads(edgekit_command("steps", "list", "--json").stdout)
    steps = {step["name"]: step for step in document["steps"]}
    assert {"torch_to_onnx", "onnx_simplify", "onnx_to_tflite", "tflite_int8", "openvino_int8", "onnx_int8"} <= set(
        steps
    )
    assert steps["torch_to_onnx"]["exact"] and not steps["onnx_int8"]["exact"]
    assert steps["onnx_int8"]["calibrates"]
    lines = edgekit_command("steps", "list").stdout.splitlines()
    assert len(lines) == len(steps) + 1
    assert all(step["summary"] for step in steps.values())


def test_steps_show(edgekit_command: Command, snapshot: Any) -> None:
    snapshot("steps.show.txt", edgekit_command("steps", "show", "onnx_int8").stdout)


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (["steps", "show", "onnx_simplfy"], "no step is called `onnx_simplfy`; did you mean `onnx_simplify`?", 2),
        (["targets", "show", "corla"], "no target is called `corla`; did you mean `coral`?", 2),
        (["toolchain", "install", "onnx3tf"], "no toolchain is called `onnx3tf`", 2),
        (["doctor", "opnvino"], "no stack is called `opnvino`; did you mean `openvino`?", 2),
        (["targets", "validate", "nowhere.yaml"], "no target profile at nowhere.yaml", 2),
        (["recipe", "validate", "nowhere.yaml"], "no file at nowhere.yaml", 2),
        (["steps"], "Missing command", 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_unknown_names(words: list[str], says: str, code: int, edgekit_command: Command) -> None:
    done = edgekit_command(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    as_json = edgekit_command(*words, "--json")
    assert json.loads(as_json.stdout)["error"]["exit_code"] == code


def test_toolchains(edgekit_command: Command, tmp_path: Path) -> None:
    there = {"EDGEKIT_TOOLCHAINS": str(tmp_path)}
    done = edgekit_command("toolchain", "list", env=there)
    assert "not installed: edgekit toolchain install onnx2tf" in done.stdout
    document = json.loads(edgekit_command("toolchain", "list", "--json", env=there).stdout)
    assert document["schema"] == "edgekit.toolchains/1"
    (found,) = (toolchain for toolchain in document["toolchains"] if toolchain["name"] == "onnx2tf")
    assert (found["installed"], found["path"]) == (False, None)
    assert set(found) == {"name", "version", "installed", "path"}


def test_nothing_is_fetched_offline(edgekit_command: Command, tmp_path: Path) -> None:
    env = {"EDGEKIT_TOOLCHAINS": str(tmp_path), "EDGEKIT_OFFLINE": "1"}
    done = edgekit_command("toolchain", "install", "onnx2tf", env=env)
    assert done.returncode == 3
    assert "EDGEKIT_OFFLINE" in done.stderr
    assert not [path for path in tmp_path.iterdir() if not path.name.endswith((".lock", ".log"))]


def test_doctor(edgekit_command: Command, tmp_path: Path) -> None:
    there = {"EDGEKIT_TOOLCHAINS": str(tmp_path)}
    done = edgekit_command("doctor", "--json", env=there)
    document = json.loads(done.stdout)
    assert (done.returncode, document["schema"]) == (0, "edgekit.doctor/1")
    stacks = {stack["name"]: stack for stack in document["stacks"]}
    assert {"torch", "onnx", "onnx2tf", "litert", "openvino"} <= set(stacks)
    numpy_folder = Path(pytest.__file__).parents[1]
    onnx = {package["name"]: package for package in stacks["onnx"]["packages"]}
    if onnx["onnxruntime"]["version"] is not None:
        assert Path(onnx["onnxruntime"]["path"]) == numpy_folder
    assert {"name": "onnx2tf", "command": "edgekit toolchain install onnx2tf"} in document["missing"]
    text = edgekit_command("doctor", env=there).stdout
    assert "edgekit toolchain install onnx2tf" in text


def test_doctor_tells_of_programs_that_may_be_there(edgekit_command: Command, tmp_path: Path) -> None:
    """The Edge TPU's compiler: not needed, so that it is never among what is missing."""
    env = {"PATH": str(tmp_path)}
    document = json.loads(edgekit_command("doctor", "--json", env=env).stdout)
    (program,) = document["programs"]
    assert (program["name"], program["path"]) == ("edgetpu_compiler", None)
    assert "coral.ai/docs/edgetpu/compiler" in program["get"]
    assert "edgetpu_compiler" not in {entry["name"] for entry in document["missing"]}
    assert "edgetpu_compiler: not on PATH" in edgekit_command("doctor", env=env).stdout
    installed = tmp_path / "edgetpu_compiler"
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    said = edgekit_command("doctor", env=env).stdout
    assert f"edgetpu_compiler of a version that it does not tell: {installed}" in said
    installed.write_text("#!/bin/sh\n[ \"$1\" = --version ] && echo 'Edge TPU Compiler version 16.0.384591198'\n")
    assert f"edgetpu_compiler 16.0.384591198: {installed}" in edgekit_command("doctor", env=env).stdout


def test_doctor_of_a_stack_that_lacks_something(edgekit_command: Command, tmp_path: Path) -> None:
    there = {"EDGEKIT_TOOLCHAINS": str(tmp_path)}
    assert edgekit_command("doctor", "onnx2tf", env=there).returncode == 3


def test_what_a_missing_package_needs() -> None:
    from edgekit.cli.doctor import find_package, install_command
    from edgekit.installation import install_command as install_extra

    absent = find_package("no-such-distribution-edgekit")
    assert (absent.version, absent.command) == (None, "pip install no-such-distribution-edgekit")
    assert install_command("nncf") == install_extra("openvino")
    assert install_command("litert_quantizer") == install_extra("tflite")


def test_cache(tiny_run: Any, edgekit_command: Command, edgekit_environment: Path, tmp_path: Path) -> None:
    assert edgekit_command("cache", "dir").stdout == f"{edgekit_environment}\n"
    shown = json.loads(edgekit_command("cache", "show", "--json").stdout)
    assert shown["entries"] > 0 and shown["bytes"] > 0
    copy = tmp_path / "cache"
    shutil.copytree(edgekit_environment, copy)
    env = {"EDGEKIT_CACHE": str(copy)}
    done = edgekit_command("cache", "clean", env=env)
    assert done.stdout.startswith(f"removed {shown['entries']} entries")
    assert json.loads(edgekit_command("cache", "show", "--json", env=env).stdout)["entries"] == 0


def test_init(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    """What init writes is told apart by ``???`` alone, and is a recipe that runs once they are filled in."""
    shutil.copy(tiny.model, tmp_path)
    for name in ("evaluate.npz", "calibrate.npz"):
        shutil.copy(tiny.folder / name, tmp_path)
    done = edgekit_command("init", "model.onnx", "-t", "onnxruntime-cpu", "-o", "new/mine.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "new/mine.yaml\n")
    text = (tmp_path / "new" / "mine.yaml").read_text()
    assert "shape: [1, 8]" in text and "../model.onnx" in text
    refused = edgekit_command("recipe", "validate", "new/mine.yaml", cwd=tmp_path)
    assert refused.returncode == 2
    assert "not filled in" in refused.stderr
    filled = ["-S", "preprocess={preset: none}", "-S", "task=classification"]
    filled += ["-S", "data={evaluate: {path: evaluate.npz}, calibrate: {path: calibrate.npz}}"]
    done = edgekit_command("run", "new/mine.yaml", *filled, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_init_does_not_overwrite(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("mine")
    done = edgekit_command("init", tiny.model, "-o", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_init_does_not_run_a_python_file(edgekit_command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("raise SystemExit('it was run')\n")
    done = edgekit_command("init", "net.py:build", "-t", "coral", cwd=tmp_path)
    assert done.returncode == 0
    assert "shape: ???" in done.stdout


def test_recipe_validate(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("recipe", "validate", tiny.recipe)
    assert (done.returncode, done.stdout) == (0, f"{tiny.recipe}: a valid recipe of tiny, for onnxruntime-cpu\n")


def test_the_schema_agrees_with_the_language(edgekit_command: Command, repository: Path) -> None:
    from ruamel.yaml import YAML

    schema = json.loads(edgekit_command("recipe", "schema").stdout)
    validator = jsonschema.Draft202012Validator(schema)
    for recipe in sorted((repository / "recipes").glob("*.yaml")):
        validator.validate(YAML(typ="safe", pure=True).load(recipe))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"edgekit": 1, "model": "x.onnx", "targts": ["coral"]})
