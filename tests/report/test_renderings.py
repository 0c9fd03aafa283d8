"""The terminal's table, JUnit and Markdown of one run written down by hand, as whole texts."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.checks.measurement import Verdict
from edgekit.engine.results import RunResult
from edgekit.errors import Interrupted
from edgekit.plan import Plan
from edgekit.report import junit, markdown, terminal
from edgekit.report.document import build_report

SNAPSHOTS = Path(__file__).with_name("snapshots")


def expect(name: str, text: str) -> None:
    """Compare with the stored text; a missing one is written and the test fails, so that somebody looks at it."""
    path = SNAPSHOTS / name
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        pytest.fail(f"{path} was written; look at it and run again")
    assert text == path.read_text(encoding="utf-8")


def test_terminal(plan: Plan, result: RunResult, folder: Path) -> None:
    expect("terminal.txt", terminal.render(build_report(plan, result, folder), folder, recipe="lite0.yaml"))


def test_junit(plan: Plan, result: RunResult, folder: Path) -> None:
    expect("junit.xml", junit.render(build_report(plan, result, folder), folder))


def test_markdown(plan: Plan, result: RunResult, folder: Path) -> None:
    expect("summary.md", markdown.render(build_report(plan, result, folder), folder, "lite0.yaml"))


def test_last_line(plan: Plan, result: RunResult, folder: Path) -> None:
    report = build_report(plan, result, folder)
    assert terminal.last_line(report, folder) == (
        "1 of 3 pass, 2 fail; 38 s; exit 5; report edgekit-out/lite0/report.json"
    )
    report["outputs"][2]["verdict"] = "not_measured"
    assert terminal.last_line(report, folder).startswith("1 of 3 pass, 1 fails, 1 not measured; ")


def test_colour_only_when_asked(plan: Plan, result: RunResult, folder: Path) -> None:
    report = build_report(plan, result, folder)
    assert "\x1b" not in terminal.outputs_table(report)
    assert "\x1b[32mpass\x1b[0m" in terminal.outputs_table(report, colour=True)


def test_junit_has_the_usual_structure(plan: Plan, result: RunResult, folder: Path) -> None:
    """The rules of the strict schema: attributes, order of children, one outcome a case at most, true counts."""
    root = ElementTree.fromstring(junit.render(build_report(plan, result, folder), folder))
    assert root.tag == "testsuites"
    (suite,) = root
    children = [child.tag for child in suite]
    assert children[0] == "properties"
    assert children[-2:] == ["system-out", "system-err"]
    assert set(children[1:-2]) == {"testcase"}
    assert {"name", "id", "package", "hostname", "timestamp", "tests", "failures", "errors", "skipped", "time"} == set(
        suite.attrib
    )
    assert suite.attrib["timestamp"] == "2026-01-02T03:04:05"
    for case in suite.findall("testcase"):
        assert {"classname", "name", "time"} == set(case.attrib)
        assert len(case) <= 1
        for outcome in case:
            assert outcome.tag in ("failure", "error", "skipped")
            assert outcome.attrib["message"]
            assert outcome.tag == "skipped" or outcome.attrib["type"]
    counts = {tag: len(suite.findall(f"testcase/{tag}")) for tag in ("failure", "error", "skipped")}
    assert (int(suite.attrib["tests"]), counts) == (10, {"failure": 1, "error": 1, "skipped": 2})
    assert suite.attrib["failures"] == suite.attrib["errors"] == "1"
    failure = suite.find("testcase/failure")
    assert failure is not None and failure.text is not None
    assert "max_drop 1.00 points: 2.10 points (1.20 .. 3.00), fail" in failure.text
    assert "lost at tflite_int8" in failure.text


def test_strict_makes_failures_of_what_was_not_measured(plan: Plan, result: RunResult, folder: Path) -> None:
    unmeasured = Verdict("max_drop", 1.0, None, None, "not_measured", None)
    first = replace(result.outputs[0], verdicts=(unmeasured,), verdict="not_measured")
    lenient = build_report(plan, replace(result, outputs=(first,)), folder)
    strict = build_report(plan, replace(result, outputs=(replace(first, exit_code=6),)), folder)
    assert "<failure" not in junit.render(lenient, folder)
    assert '<failure message="max_drop 1.00 points: not measured, not measured" type="strict">' in junit.render(
        strict, folder
    )
    assert "not measured, or too few samples to tell" in terminal.render(strict, folder)


def test_outputs_of_a_run_that_was_stopped(plan: Plan, result: RunResult, folder: Path) -> None:
    """Nothing failed by itself: what stopped the run is what is said of every output."""
    nodes = tuple(replace(node, status="skipped", artifact=None, verdicts=(), error=None) for node in result.nodes)
    outputs = tuple(
        replace(output, artifact=None, verdicts=(), verdict="fail", exit_code=130, lost_at=None)
        for output in result.outputs
    )
    error = Interrupted("interrupted", where="step tflite_int8").to_dict()
    stopped = replace(result, nodes=nodes, outputs=outputs, exit_code=130, error=error)
    text = terminal.render(build_report(plan, stopped, folder), folder)
    assert "android-cpu/fp16, coral/int8, openvino-cpu/int8: not made: interrupted" in text
    assert terminal.last_line(build_report(plan, stopped, folder), folder).startswith("0 of 3 pass, 3 fail; ")
    assert "**The run stopped**: interrupted" in markdown.render(build_report(plan, stopped, folder), folder)
