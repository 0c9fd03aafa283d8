"""What is still to be done elsewhere with a file: told with the command that does it, for good files alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgekit.engine.results import RunResult
from edgekit.plan import Handover, Plan
from edgekit.report import markdown, terminal
from edgekit.report.document import build_report, report_text
from edgekit.report.schema import REPORT

BUILD = Handover("build the engine", "trtexec --onnx=MODEL.onnx --saveEngine=MODEL.plan", "it is tied to it", "manual")
PACK = Handover("pack it", "pack MODEL.tflite", None, None)
ASK = Handover("let the phone compile it", None, "vendors' tools", "a page")


@pytest.mark.parametrize(
    ("handover", "file", "command"),
    [
        (BUILD, "out/net-a.onnx", "trtexec --onnx=net-a.onnx --saveEngine=net-a.plan"),
        (BUILD, "my net.onnx", "trtexec --onnx='my net'.onnx --saveEngine='my net'.plan"),
        # A command that starts from another file than the one that was made cannot name it.
        (BUILD, "net.tflite", "trtexec --onnx=MODEL.onnx --saveEngine=MODEL.plan"),
        (ASK, "net.tflite", None),
    ],
)
def test_command(handover: Handover, file: str, command: str | None) -> None:
    assert handover.command_for(Path(file)) == command


def test_in_every_view(plan: Plan, result: RunResult, folder: Path) -> None:
    """Of three outputs one is good, one was rejected and one was not made: only the first is handed over."""
    outputs = tuple(replace(output, handover=(PACK, ASK)) for output in plan.outputs)
    report = json.loads(report_text(build_report(replace(plan, outputs=outputs), result, folder)))
    jsonschema.Draft202012Validator(REPORT).validate(report)
    command = "pack lite0-android-cpu-fp16.tflite"
    assert [output["handover"] for output in report["outputs"]] == [
        [
            {"title": "pack it", "command": command, "why": None, "source": None},
            {"title": ASK.title, "command": None, "why": ASK.why, "source": "a page"},
        ],
        [],
        [],
    ]
    lines = terminal.render(report, folder).splitlines()
    start = lines.index("to be done elsewhere, in the folder of the file:")
    assert lines[start + 1 : start + 4] == [
        f"  android-cpu/fp16: pack it: {command}",
        f"  android-cpu/fp16: {ASK.title}",
        "",
    ]
    text = markdown.render(report, folder)
    assert f"- android-cpu/fp16: pack it: `{command}`" in text
    assert "coral/int8: pack it" not in text


def test_of_convert(tiny_onnx: Path, edgekit_command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """NVIDIA's tool on the board, with the profile's options; the shell finds the file where the command is run."""
    words = ("convert", tiny_onnx, "-t", "jetson-nano", "--no-eval", "--out", tiny_onnx.parent / "out")
    done = edgekit_command(*words, "--json")
    assert done.returncode == 0, done.stderr
    (output,) = json.loads(done.stdout)["outputs"]
    name = Path(output["artifact"]["path"])
    first, second = (one["command"] for one in output["handover"])
    assert first == f"trtexec --onnx={name.name} --fp16 --workspace=1024 --saveEngine={name.stem}.plan"
    assert "--workspace=256" in second
    assert all(one["source"] for one in output["handover"])
    assert (tiny_onnx.parent / "out" / name).is_file()
    assert first in edgekit_command(*words).stdout
    planned: dict[str, Any] = json.loads((tiny_onnx.parent / "out" / "report.json").read_text())
    assert planned["outputs"][0]["handover"][0]["command"] == first


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Path:
    """One matrix product at opset 13."""
    import onnx
    from onnx import TensorProto, helper

    weights = helper.make_tensor("w", TensorProto.FLOAT, (4, 2), [0.5] * 8)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], name="product")],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)
    onnx.save(model, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"
