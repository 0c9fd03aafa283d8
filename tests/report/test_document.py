from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from edgekit.engine.results import RunResult
from edgekit.plan import Plan
from edgekit.report.document import build_report, plan_document, report_text
from edgekit.report.schema import REPORT


def test_report_follows_its_schema(plan: Plan, result: RunResult, folder: Path) -> None:
    report = json.loads(report_text(build_report(plan, result, folder)))
    jsonschema.Draft202012Validator.check_schema(REPORT)
    jsonschema.Draft202012Validator(REPORT).validate(report)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("schema",), "edgekit.report/2"),
        (("outputs", 0, "verdict"), "maybe"),
        (("nodes", 0, "artifact", "sha256"), "short"),
        (("nodes", 0, "measurement", "agreement"), 97.0),
        (("exit_code",), 7),
    ],
)
def test_the_schema_refuses_what_is_wrong(
    plan: Plan, result: RunResult, folder: Path, place: tuple[str | int, ...], value: object
) -> None:
    report = json.loads(report_text(build_report(plan, result, folder)))
    part = report
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(REPORT).validate(report)


def test_paths_are_relative_to_the_report(plan: Plan, result: RunResult, folder: Path) -> None:
    here = build_report(plan, result, folder)
    assert [output["artifact"] and output["artifact"]["path"] for output in here["outputs"]] == [
        "android-cpu/lite0-android-cpu-fp16.tflite",
        "coral/rejected/lite0-coral-int8.tflite",
        None,
    ]
    assert here["nodes"][4]["error"]["log"] == "logs/onnx_to_openvino.log"
    elsewhere = build_report(plan, result, Path("ci/reports"))
    assert elsewhere["nodes"][0]["artifact"]["path"] == "../../edgekit-out/lite0/steps/a.onnx"


def test_same_result_same_text(plan: Plan, result: RunResult, folder: Path) -> None:
    again = replace(result, data=dict(reversed(result.data.items())))
    assert report_text(build_report(plan, result, folder)) == report_text(build_report(plan, again, folder))


def test_figures_are_carried_over_unrounded(plan: Plan, result: RunResult, folder: Path) -> None:
    report = json.loads(report_text(build_report(plan, result, folder)))
    node = report["nodes"][3]
    assert node["measurement"]["agreement"] == 0.9999
    assert node["measurement"]["drop_points_interval"] == [1.2, 3.0]
    assert node["options"] == {"io": "int8"}
    assert node["peak_rss_bytes"] == 900_000_000
    assert report["outputs"][1]["verdicts"][1] == {
        "gate": "max_drop",
        "limit": 1.0,
        "value": 2.1,
        "interval": [1.2, 3.0],
        "result": "fail",
        "settled": True,
    }


def test_no_number_that_json_lacks(plan: Plan, result: RunResult, folder: Path) -> None:
    assert result.source_measurement is not None
    broken = replace(result, source_measurement=replace(result.source_measurement, value=float("nan")))
    with pytest.raises(ValueError, match="JSON"):
        report_text(build_report(plan, broken, folder))


def test_plan_document_names_every_node_and_output(plan: Plan) -> None:
    document = plan_document(plan)
    assert document["schema"] == "edgekit.plan/1"
    assert document["nodes"][3]["parent"] == "onnx_to_tflite"
    assert document["nodes"][3]["outputs"] == ["coral/int8"]
    assert [output["output"] for output in document["outputs"]] == [
        "android-cpu/fp16",
        "coral/int8",
        "openvino-cpu/int8",
    ]
