from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.devices import load_profiles
from edgekit.devices.programs import find_program, load_programs, read_compiled
from edgekit.devices.rules import RULES
from edgekit.devices.rules.edgetpu import predict
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import read_model


def test_every_program_answers_for_a_rule_set() -> None:
    for program in load_programs().values():
        assert program.rules in RULES
        assert program.get and program.source and program.use


def test_program_of_a_profile() -> None:
    profiles = load_profiles()
    program = find_program(profiles["coral"])
    assert program is not None and program.name == "edgetpu_compiler"
    assert find_program(profiles["onnxruntime-cpu"]) is None


def test_a_compiled_file_tells_what_was_mapped(shared_data: Callable[[str], Path]) -> None:
    """The real compiler mapped 240 operators of this one, by its log."""
    folder = shared_data("coral")
    predicted = predict(describe_model(read_model(folder / "yolov5n-int8_640.tflite")))
    compiled = describe_model(read_model(folder / "yolov5n-int8_640_edgetpu.tflite"))
    told = read_compiled(load_profiles()["coral"], predicted, compiled)
    assert told.source == "compiler"
    assert told.totals()["accelerator"] == 240


def test_a_compiled_file_of_which_less_was_mapped(shared_data: Callable[[str], Path]) -> None:
    """All operators left in the file: a prediction that says otherwise gives way."""
    graph = describe_model(read_model(shared_data("models/cifar10_resnet8_int8.tflite")))
    predicted = predict(graph)
    assert predicted.totals()["accelerator"] > 0
    told = read_compiled(load_profiles()["coral"], predicted, graph)
    assert told.totals()["accelerator"] == 0
    assert {one.cause for one in told.operators} <= {"rejected", "host"}


@pytest.mark.parametrize(
    ("body", "version"),
    [
        ("echo 'Edge TPU Compiler version 16.0.384591198'", "16.0.384591198"),
        ("echo; echo 'Edge TPU Compiler version 2.1.302470888'; exit 1", "2.1.302470888"),
        ("echo 'Edge TPU Compiler version'", None),
        ("echo 'No such option'; exit 1", None),
        ("head -c 3000000 /dev/zero; echo; echo 'Edge TPU Compiler version 16.0'", None),
        ("printf 'Edge TPU Compiler version \\033[31m\\n'", "\ufffd[31m"),
        ("kill -KILL $$", None),
    ],
)
def test_version_that_a_program_tells(
    body: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "edgetpu_compiler"
    script.write_text(f'#!/bin/sh\n[ "$*" = --version ] || exit 1\n{body}\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert load_programs()["edgetpu_compiler"].version() == version
    monkeypatch.setenv("PATH", "/no/such/folder")
    assert load_programs()["edgetpu_compiler"].version() is None
