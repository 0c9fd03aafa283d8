"""What the views say of a file that the device does not run, or not all of it on its accelerator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from edgekit.engine.results import RunResult
from edgekit.plan import Plan
from edgekit.report import markdown, terminal
from edgekit.report.document import build_report
from edgekit.report.schema import REPORT


@pytest.mark.parametrize(
    ("placement", "said"),
    [
        (("violates", "predicted", 0.82), "the device does not run it (predicted)"),
        (("partial", "compiler", 0.9375), "93.8 % of operators are mapped (by its compiler)"),
        (("partial", "predicted", None), "part of it runs on the CPU (predicted)"),
        (("fits", "predicted", 1.0), None),
        (("not_known", "predicted", None), None),
    ],
)
def test_placement(
    plan: Plan, result: RunResult, folder: Path, placement: tuple[str, str, float | None], said: str | None
) -> None:
    verdict, source, share = placement
    told = {"verdict": verdict, "source": source, "mapped_operators": share, "mapped_macs": share}
    first = replace(result.outputs[0], placement=told)
    # No file of the third output was made: there is nothing to be said of it.
    third = replace(result.outputs[2], placement=told)
    report = build_report(plan, replace(result, outputs=(first, result.outputs[1], third)), folder)
    jsonschema.Draft202012Validator(REPORT).validate(report)
    command = f"edgekit check {folder}/android-cpu/lite0-android-cpu-fp16.tflite --target android-cpu/fp16"
    lines = [line for line in terminal.render(report, folder).splitlines() if "tells why" in line]
    assert lines == ([] if said is None else [f"android-cpu/fp16: {said}; {command} tells why"])
    assert (f"`{command}` tells why" in markdown.render(report, folder)) == (said is not None)


def test_what_a_device_compiled_is_told_by_what_it_was_compiled_from(
    plan: Plan, result: RunResult, folder: Path
) -> None:
    told = {"verdict": "partial", "source": "compiler", "mapped_operators": 0.9375, "mapped_macs": 1.0}
    first = result.outputs[0]
    assert first.artifact is not None
    compiled = replace(first, placement=told, artifact=replace(first.artifact, format="edgetpu"))
    report = build_report(plan, replace(result, outputs=(compiled, *result.outputs[1:])), folder)
    nodes = {node["id"]: node for node in report["nodes"]}
    came_from = nodes[nodes[first.node]["parent"]]["artifact"]["path"]
    (line,) = [line for line in terminal.render(report, folder).splitlines() if "tells why" in line]
    assert f" --target android-cpu/fp16 --compiled-from {folder}/{came_from} tells why" in line
