"""`edgekit check` of files that edgetpu_compiler made: other people's pairs of a model and what became of it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[..., subprocess.CompletedProcess[str]]
Shared = Callable[[str], Path]


def document(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_what_a_compiled_file_shows(edgekit_command: Command, shared_data: Shared) -> None:
    """Its log: 256 operators, of which 16 run on the CPU. The bytes are those of the executables inside."""
    file = shared_data("coral/yolov5n-int8_640_edgetpu.tflite")
    found = document(edgekit_command("check", file, "-t", "coral", "--json", "--min-mapped", "90%"))
    assert (found["source"], found["verdict"], found["subgraphs"]) == ("compiler", "partial", 1)
    assert found["judged"] == {"path": str(file), "format": "edgetpu", "assumed_quantized": False}
    assert sum(operator["placement"] == "cpu" for operator in found["operators"]) == 16
    assert found["totals"] == dict.fromkeys(
        ("operators", "accelerator", "not_known", "mapped_operators", "mapped_macs", "mapped_params")
    )
    memory = {"parameter_bytes": 2_004_032, "cached_parameter_bytes": 1_979_968, "streamed_parameter_bytes": 24_064}
    assert found["memory"]["accelerator"] == memory
    assert found["latency_estimate"] is None
    assert found["gates"][0]["result"] == "not_measured", "which share was mapped, the file does not say"
    assert any("version 14 or later" in note for note in found["notes"])
    assert any("the file does not say" in note for note in found["notes"])


def test_a_file_in_which_nothing_is_left(edgekit_command: Command, shared_data: Shared) -> None:
    file = shared_data("coral/dense_256_edgetpu.tflite")
    found = document(edgekit_command("check", file, "-t", "coral", "--json", "--min-mapped", "100%"))
    assert (found["verdict"], found["totals"]["mapped_operators"]) == ("fits", 1.0)
    assert found["gates"][0]["result"] == "pass"


def test_float_ends_are_the_hosts(edgekit_command: Command, shared_data: Shared) -> None:
    file = shared_data("coral/lenet_int8_floatio_edgetpu.tflite")
    found = document(edgekit_command("check", file, "-t", "coral", "--json"))
    assert found["verdict"] == "fits"
    assert [operator["cause"] for operator in found["operators"]] == ["host", "mapped", "host"]


def test_with_the_file_that_it_was_compiled_from(edgekit_command: Command, shared_data: Shared) -> None:
    """Then the operators that were mapped are known too: 240 in the compiler's log."""
    folder = shared_data("coral")
    words = ("check", folder / "yolov5n-int8_640_edgetpu.tflite", "-t", "coral", "--json", "--compiled-from")
    found = document(edgekit_command(*words, folder / "yolov5n-int8_640.tflite"))
    assert (found["source"], found["totals"]["operators"], found["totals"]["accelerator"]) == ("compiler", 256, 240)
    left = Counter(operator["type"] for operator in found["operators"] if operator["placement"] == "cpu")
    assert left == {"MUL": 6, "RESHAPE": 3, "STRIDED_SLICE": 3, "CONCATENATION": 2, "ADD": 1, "QUANTIZE": 1}
    other = edgekit_command(*words[:-2], "--compiled-from", folder / "dense_256.tflite")
    assert (other.returncode, other.stdout) == (2, "")
    assert "was not compiled from" in other.stderr


def test_text(edgekit_command: Command, shared_data: Shared, snapshot: Any) -> None:
    file = shared_data("coral/ssd_mobilenet_detect_postprocess_edgetpu.tflite")
    done = edgekit_command("check", file, "-t", "coral")
    assert done.returncode == 0, done.stderr
    snapshot("check_compiled.txt", done.stdout, {file.parent: "CORAL"})


def test_another_device_does_not_load_it(edgekit_command: Command, shared_data: Shared) -> None:
    file = shared_data("coral/yolov5n-int8_640_edgetpu.tflite")
    done = edgekit_command("check", file, "-t", "jetson-nano")
    assert (done.returncode, done.stdout) == (2, "")
    assert "compiled already, and not for Jetson Nano" in done.stderr and "edgekit inspect" in done.stderr


def test_compiled_from_of_a_file_that_is_not_compiled(edgekit_command: Command, shared_data: Shared) -> None:
    file = shared_data("coral/dense_256.tflite")
    done = edgekit_command("check", file, "-t", "coral", "--compiled-from", file)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no compiled file" in done.stderr
