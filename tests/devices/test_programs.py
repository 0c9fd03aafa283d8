from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
