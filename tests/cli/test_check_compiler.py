"""`edgekit check` and `compile: true` where a program called edgetpu_compiler is on PATH.

It stands for the real one: it prints what that was recorded to print, and gives the file that it made of the very
model; or it does what a compiler should not.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
Shared = Callable[[str], Path]
Install = Callable[[str], dict[str, str | None]]

HEAD = "Edge TPU Compiler version 16.0.384591198\nModel compiled successfully in 9 ms.\n"
TABLE = "\nOperator                       Count      Status\n\n"
DENSE = "FULLY_CONNECTED  1  Mapped to Edge TPU\nQUANTIZE  2  Mapped to Edge TPU\n"
#: Finds OUT, the folder for what is made, MODEL, and ALL the words.
ARGUMENTS = """ALL="$*"
MODEL=$(eval echo "\\${$#}")
while [ $# -gt 1 ]; do [ "$1" = -o ] && OUT=$2; shift; done
"""


@pytest.fixture
def script(tmp_path: Path) -> Install:
    """A shell script called edgetpu_compiler on PATH; the environment that has it."""

    def install(body: str) -> dict[str, str | None]:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "edgetpu_compiler").write_text(f"#!/bin/sh\n{ARGUMENTS}{body}\n")
        (folder / "edgetpu_compiler").chmod(0o755)
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    return install


def recorded(pair: Path, text: str) -> str:
    """The body of a script that gives the compiled file of a pair for the model of the pair, and prints a text."""
    compiled = pair.with_name(f"{pair.stem}_edgetpu.tflite")
    copy = f'cmp -s \'{pair}\' "$MODEL" && cat \'{compiled}\' > "$OUT/$(basename "$MODEL" .tflite)_edgetpu.tflite"'
    return f"{copy} || exit 9\ncat <<'END'\n{text}\nEND"


def document(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def dense(shared_data: Shared) -> Path:
    return shared_data("coral/dense_256.tflite")


def test_an_answer_is_told_as_one(script: Install, edgekit_command: Command, dense: Path, tmp_path: Path) -> None:
    env = script(recorded(dense, HEAD + TABLE + DENSE))
    words = ("check", dense, "-t", "coral")
    found = document(edgekit_command(*words, "--json", "--strict", env=env, cwd=tmp_path))
    assert (found["source"], found["verdict"]) == ("compiler", "fits")
    path = str(tmp_path / "bin" / "edgetpu_compiler")
    kept = {"unclear": None, "said": [], "output": None}
    told = {"name": "edgetpu_compiler", "path": path, "version": "16.0.384591198", "answered": True}
    assert found["compiler"] == {**told, **kept}
    shown = edgekit_command(*words, env=env, cwd=tmp_path).stdout
    assert "told by the device's compiler, edgetpu_compiler 16.0.384591198" in shown
    assert "prediction" not in shown


def test_a_part_that_the_search_found(
    script: Install, edgekit_command: Command, shared_data: Shared, tmp_path: Path
) -> None:
    pair = shared_data("coral/yolov5n-int8_640.tflite")
    log = pair.with_name("yolov5n-int8_640_edgetpu.log").read_text()
    failing = "case $ALL in *--search_delegate*) ;; *) echo 'Internal compiler error. Aborting! '; exit 1;; esac\n"
    env = script(failing + recorded(pair, HEAD + log))
    found = document(edgekit_command("check", pair, "-t", "coral", "--json", env=env, cwd=tmp_path))
    assert (found["source"], found["totals"]["accelerator"], found["violations"]) == ("compiler", 240, [])
    assert "all of it did not compile; the search for a part that does (--search_delegate) found one" in found["notes"]


def test_without_an_answer_strict_does_not_pass(edgekit_command: Command, dense: Path, tmp_path: Path) -> None:
    """How much room the chip has for activations is not known; a compiled file shows that they fitted."""
    words = ("check", "-t", "coral", "--strict")
    env = {"PATH": str(tmp_path)}
    done = edgekit_command(*words, dense, env=env)
    assert done.returncode == 6
    assert done.stdout.rstrip().splitlines()[-1].endswith("; whether the activations fit is not known; exit 6")
    assert "edgetpu_compiler is not on PATH, so this is a prediction: install" in done.stdout
    assert document(edgekit_command(*words, dense, "--json", env=env), 6)["compiler"]["answered"] is False
    assert edgekit_command("check", "-t", "coral", dense, env=env).returncode == 0
    compiled = dense.with_name("dense_256_edgetpu.tflite")
    assert document(edgekit_command(*words, compiled, "--json", env=env))["compiler"] is None


def test_judged_as_if_quantized_it_cannot_be_asked(
    tiny: Any, script: Install, edgekit_command: Command, tmp_path: Path
) -> None:
    env = script("exit 1")
    found = document(edgekit_command("check", tiny.model, "-t", "coral", "--json", env=env, cwd=tmp_path))
    assert found["judged"]["assumed_quantized"]
    assert (found["source"], found["compiler"]["answered"]) == ("predicted", False)
    (note,) = (note for note in found["notes"] if "edgetpu_compiler" in note)
    assert note.startswith("this is a prediction") and "not on PATH" not in note


#: What is printed -> what is shown of it, and why it is no answer.
ODD: dict[str, tuple[str, str, str]] = {
    "bytes": ("head -c 3000 /dev/zero | tr '\\0' '\\377'; printf '\\033[2J'", "characters)", "says nothing in a form"),
    "100 MB": ("echo begin; head -c 100000000 /dev/zero; echo; echo end", "| end", "more than 4 MiB"),
    "another head": (
        f"cat <<'END'\n{HEAD}{TABLE.replace('Count', 'Version')}{DENSE}\nEND",
        "Operator                       Version",
        "wrote no dense_256_edgetpu.tflite",
    ),
    "crash": ("echo at work; kill -ABRT $$", "at work", "signal 6 (SIGABRT)"),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_not_understood_is_kept_and_shown(
    what: str, script: Install, edgekit_command: Command, dense: Path, tmp_path: Path
) -> None:
    body, shown, why = ODD[what]
    done = edgekit_command("check", dense, "-t", "coral", env=script(body), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "predicted by edgekit's rules" in done.stdout
    assert why in done.stdout
    kept = tmp_path / "edgekit-out" / "check" / "dense_256.edgetpu_compiler.txt"
    assert kept.exists() and str(kept.relative_to(tmp_path)) in done.stdout
    assert kept.stat().st_size == (100_000_011 if what == "100 MB" else kept.stat().st_size)
    said = done.stdout.partition("edgetpu_compiler said:")[2]
    assert shown in said
    assert all(character.isprintable() or character == "\n" for character in done.stdout)
    assert max(map(len, done.stdout.splitlines())) < 600


def test_a_program_that_says_nothing(script: Install, edgekit_command: Command, dense: Path, tmp_path: Path) -> None:
    """What an earlier one said is not left in its place."""
    kept = tmp_path / "edgekit-out" / "check" / "dense_256.edgetpu_compiler.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("earlier")
    words = ("check", dense, "-t", "coral", "--json")
    found = document(edgekit_command(*words, env=script("exit 0"), cwd=tmp_path))
    assert found["compiler"]["unclear"] == "it ended with exit code 0, and says nothing in a form that is known"
    assert (found["compiler"]["said"], found["compiler"]["output"], kept.exists()) == ([], None, False)


def test_a_new_status_beside_a_known_one(
    script: Install, edgekit_command: Command, shared_data: Shared, tmp_path: Path
) -> None:
    """The compiled file tells which operators it means; lines that are not understood are told and kept."""
    pair = shared_data("coral/lenet_int8_floatio.tflite")
    table = "CONV_2D 2 Mapped to Edge TPU\nMAX_POOL_2D 2 Mapped to Edge TPU\nRESHAPE 1 Mapped to Edge TPU\n"
    table += "FULLY_CONNECTED 3 Mapped to Edge TPU\nSOFTMAX 1 Mapped to Edge TPU\n"
    table += "QUANTIZE 1 Waits for a better chip\nDEQUANTIZE 1 Operation is working on an unsupported data type\n"
    env = script(recorded(pair, f"{HEAD}{TABLE}{table}Mood of the compiler: good"))
    found = document(edgekit_command("check", pair, "-t", "coral", "--json", env=env, cwd=tmp_path))
    assert found["source"] == "compiler"
    (quantize,) = (operator for operator in found["operators"] if operator["type"] == "QUANTIZE")
    assert (quantize["placement"], quantize["status"]) == ("cpu", "Waits for a better chip")
    assert "none that edgekit knows" in quantize["reason"]
    assert "not understood: Mood of the compiler: good" in found["notes"]
    assert found["compiler"]["answered"]
    assert "Mood" in Path(tmp_path, found["compiler"]["output"]).read_text()
    assert f"all that it said is in {found['compiler']['output']}" in found["notes"]


def test_a_file_of_another_model_is_no_answer(
    script: Install, edgekit_command: Command, dense: Path, shared_data: Shared, tmp_path: Path
) -> None:
    other = shared_data("coral/yolov5n-int8_640_edgetpu.tflite")
    env = script(f"cat '{other}' > \"$OUT/dense_256_edgetpu.tflite\"\ncat <<'END'\n{HEAD}{TABLE}{DENSE}\nEND")
    found = document(edgekit_command("check", dense, "-t", "coral", "--json", env=env, cwd=tmp_path))
    assert (found["source"], found["compiler"]["answered"]) == ("predicted", False)
    done = edgekit_command("convert", dense, "--to", "edgetpu", env=env, cwd=tmp_path)
    assert done.returncode == 5
    assert "other inputs or outputs than it was given" in done.stderr


# compile: true

RECIPE = """\
edgekit: 1
name: yolo
model: {model}
steps: [tflite_to_edgetpu]
targets: [coral]
"""
#: The same, as the entry may ask for it.
COMPILE = RECIPE.replace("steps: [tflite_to_edgetpu]\n", "").replace("[coral]", "{{coral: {{compile: true}}}}")


@pytest.mark.parametrize("recipe", [RECIPE, COMPILE], ids=["step", "compile"])
def test_compile_of_a_quantized_model_in_a_recipe(
    recipe: str, script: Install, edgekit_command: Command, shared_data: Shared, tmp_path: Path
) -> None:
    """The real file that compiler 16 made, and its log: 240 of 256 operators are mapped."""
    pair = shared_data("coral/yolov5n-int8_640.tflite")
    log = pair.with_name("yolov5n-int8_640_edgetpu.log").read_text()
    (tmp_path / "yolo.yaml").write_text(recipe.format(model=pair))
    env = script(recorded(pair, HEAD + log))
    done = edgekit_command("run", "yolo.yaml", "--json", "--no-cache", env=env, cwd=tmp_path)
    report = document(done)
    (output,) = report["outputs"]
    assert output["artifact"]["format"] == "edgetpu"
    assert (output["placement"]["source"], output["placement"]["mapped_operators"]) == ("compiler", 240 / 256)
    assert output["handover"] == []
    assert report["nodes"][0]["notes"] == [
        "compiled by edgetpu_compiler 16.0.384591198",
        "16 operators stay on the CPU",
    ]
    folder = tmp_path / "edgekit-out" / "yolo"
    made = folder / output["artifact"]["path"]
    assert made.read_bytes() == pair.with_name("yolov5n-int8_640_edgetpu.tflite").read_bytes()
    sidecar = json.loads(next(folder.rglob("*.edgekit.json")).read_text())
    assert (sidecar["artifact"]["format"], sidecar["target"]) == ("edgetpu", "coral")
    assert [entry["shape"] for entry in sidecar["feed"]] == [[1, 640, 640, 3]]
    assert "of operators are mapped (by its compiler)" in (folder / "summary.md").read_text()
    assert "RESIZE_NEAREST_NEIGHBOR        2" in (folder / report["nodes"][0]["log"]).read_text()


FAILING = {
    "refuses": ("echo 'Invalid model: m.tflite'; echo 'Model not quantized'; exit 1", "Model not quantized"),
    "says what nobody knows": ("echo 'The moon is in the way'; exit 3", "exit code 3.*The moon is in the way"),
    "crashes": ("echo at work; kill -SEGV $$", "signal 11.*at work"),
    "does not end": ("trap '' TERM; echo at work; sleep 600 & wait; sleep 600", "did not end within"),
    "writes half a file": (
        f"head -c 20000 '{{compiled}}' > $OUT/model_edgetpu.tflite; cat <<'END'\n{HEAD}END",
        "cannot be read",
    ),
    "writes what is no model": (
        f"head -c 100 /dev/urandom > $OUT/model_edgetpu.tflite; cat <<'END'\n{HEAD}END",
        "cannot be read",
    ),
    "links to what is no model": (f"ln -s /bin/sh $OUT/model_edgetpu.tflite; cat <<'END'\n{HEAD}END", "cannot be read"),
    "copies another model": (
        f"cat '{{other}}' > $OUT/model_edgetpu.tflite; cat <<'END'\n{HEAD}END",
        "other inputs or outputs",
    ),
    "maps nothing": (f"cp \"$MODEL\" $OUT/model_edgetpu.tflite; cat <<'END'\n{HEAD}END", "maps none"),
}


@pytest.mark.parametrize("way", FAILING)
def test_a_compilation_that_fails(
    way: str, script: Install, edgekit_command: Command, dense: Path, shared_data: Shared, tmp_path: Path
) -> None:
    body, told = FAILING[way]
    body = body.replace("{other}", str(shared_data("coral/yolov5n-int8_640.tflite")))
    (tmp_path / "model.tflite").write_bytes(dense.read_bytes())
    (tmp_path / "yolo.yaml").write_text(RECIPE.format(model="model.tflite"))
    env = script(body.replace("{compiled}", str(dense.with_name("dense_256_edgetpu.tflite"))))
    seconds = "targets={coral: {options: {tflite_to_edgetpu: {timeout_seconds: 1}}}}"
    words = ("run", "yolo.yaml", "--json", "--set", seconds)
    report = document(edgekit_command(*words, env=env, cwd=tmp_path), 5)
    assert re.search(told, report["nodes"][0]["error"]["message"], re.DOTALL)
    assert report["outputs"][0]["artifact"] is None
    log = (tmp_path / "edgekit-out" / "yolo" / report["nodes"][0]["log"]).read_text()
    if "at work" in body:
        assert "at work" in log


def test_without_the_compiler(edgekit_command: Command, dense: Path, tmp_path: Path) -> None:
    (tmp_path / "yolo.yaml").write_text(RECIPE.format(model=dense))
    done = edgekit_command("run", "yolo.yaml", env={"PATH": str(tmp_path)}, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "edgetpu_compiler" in done.stderr and "coral.ai/docs/edgetpu/compiler" in done.stderr
