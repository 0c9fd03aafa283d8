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

from ..junit_rules import faults
from .conftest import GOOD, MISSED

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
    expect("junit.xml", junit.render(build_report(plan, result, folder), folder, "lite0.yaml"))


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


def test_junit_keeps_the_rules_of_its_readers(plan: Plan, result: RunResult, folder: Path) -> None:
    text = junit.render(build_report(plan, result, folder), folder, "lite0.yaml")
    assert faults(text) == []
    (suite,) = ElementTree.fromstring(text)
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "11", "failures": "1", "errors": "1", "skipped": "2"}
    for case in suite.findall("testcase"):
        assert all(outcome.get("message") for outcome in case)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (' id="0"', "", "ant: <testsuite> lacks id"),
        ("<system-err />", "", "ant: <testsuite> holds properties testcase "),
        (' type="gate"', "", "ant: <failure> lacks type"),
        ('tests="11"', 'tests="9"', "tests is 9, there are 11"),
        ('timestamp="2026-01-02T03:04:05"', 'timestamp="2026-01-02T03:04:05Z"', "ant: <testsuite> timestamp="),
        ('name="torch_to_onnx" time="0.000"', 'time="0.000"', "junit-10: <testcase> lacks name"),
        ("<testsuites>", '<testsuites colour="red">', "junit-10: <testsuites> may not have colour"),
    ],
)
def test_the_rules_find_what_breaks_them(
    plan: Plan, result: RunResult, folder: Path, old: str, new: str, fault: str
) -> None:
    text = junit.render(build_report(plan, result, folder), folder)
    assert old in text
    assert any(found.startswith(fault) for found in faults(text.replace(old, new, 1)))


def test_a_failure_in_junit_names_step_figures_and_command(plan: Plan, result: RunResult, folder: Path) -> None:
    root = ElementTree.fromstring(junit.render(build_report(plan, result, folder), folder, "lite0.yaml"))
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None and failure.text is not None
    figures = "max_drop 2.10 points (1.20 .. 3.00), limit 1.00 points, fail"
    assert failure.get("message") == f"{figures}; lost at tflite_int8"
    command = "edgekit compare edgekit-out/lite0/steps/b.tflite edgekit-out/lite0/steps/d.tflite --recipe lite0.yaml"
    assert failure.text.splitlines() == [figures, "lost at tflite_int8", f"next: {command}"]


def test_below_a_missed_gate_that_did_not_stop_the_branch(plan: Plan, result: RunResult, folder: Path) -> None:
    """With --keep-going the output's own gates may hold: what failed is the step's."""
    exact = Verdict("min_sqnr_db", 60.0, 41.5, None, "fail", None)
    nodes = tuple(replace(n, verdicts=(exact,)) if n.node == "torch_to_onnx" else n for n in result.nodes)
    first = replace(result.outputs[0], exit_code=1, verdict="fail", lost_at="torch_to_onnx")
    report = build_report(plan, replace(result, nodes=nodes, outputs=(first,)), folder)
    text = terminal.render(report, folder)
    assert "android-cpu/fp16: misses min_sqnr_db, lost at torch_to_onnx\n  min_sqnr_db 41.5 dB, limit 60.0 dB" in text
    assert faults(junit.render(report, folder)) == []


def test_strict_makes_failures_of_what_was_not_measured(plan: Plan, result: RunResult, folder: Path) -> None:
    unmeasured = Verdict("max_drop", 1.0, None, None, "not_measured", None)
    first = replace(result.outputs[0], verdicts=(unmeasured,), verdict="not_measured")
    lenient = build_report(plan, replace(result, outputs=(first,)), folder)
    strict = build_report(plan, replace(result, outputs=(replace(first, exit_code=6),)), folder)
    assert "<failure" not in junit.render(lenient, folder)
    assert '<failure message="max_drop not measured, limit 1.00 points" type="strict">' in junit.render(strict, folder)
    text = terminal.render(strict, folder)
    assert "not measured (--strict)\n  max_drop not measured, limit 1.00 points\n  why: max_drop needs labelled" in text
    unsettled = replace(first, verdicts=(replace(GOOD, settled=False),), verdict="pass", exit_code=6)
    text = terminal.render(build_report(plan, replace(result, outputs=(unsettled,)), folder), folder)
    assert "too few samples to tell (--strict)\n" in text and "\n  do: evaluate on more samples\n" in text


def test_a_limit_that_the_source_misses_was_lost_by_no_step(plan: Plan, result: RunResult, folder: Path) -> None:
    missed = Verdict("min_metric", 0.99, 0.729, (0.698, 0.758), "fail", True)
    first = replace(result.outputs[0], verdicts=(GOOD, missed), verdict="fail", exit_code=1)
    report = build_report(plan, replace(result, outputs=(first,)), folder)
    said = "misses min_metric: the source itself misses it\n  min_metric 72.9 % (69.8 .. 75.8), limit 99.0 %, fail; "
    assert said + "the source itself misses it (75.0 %)\n  do: set a limit" in terminal.render(report, folder)
    assert "misses min\\_metric: the source itself misses it" in markdown.render(report, folder)
    assert 'limit 99.0 %, fail; the source itself misses it" type="gate">' in junit.render(report, folder)
    both = replace(first, verdicts=(MISSED, missed), lost_at="tflite_int8")
    text = terminal.render(build_report(plan, replace(result, outputs=(both,)), folder), folder)
    assert "misses max_drop and min_metric, lost at tflite_int8\n" in text and "itself misses it (75.0 %)" in text


@pytest.mark.parametrize(
    ("gate", "unmeasured", "reason"),
    [
        ("max_latency_ms", None, "max_latency_ms needs a measurement on the device"),
        ("min_agreement", "not asked for (--no-eval)", "min_agreement (--no-eval)"),
        ("min_mapped_macs", None, "min_mapped_macs needs a placement, and nothing says where"),
    ],
)
def test_what_was_not_measured_says_why(
    plan: Plan, result: RunResult, folder: Path, gate: str, unmeasured: str | None, reason: str
) -> None:
    open_ = Verdict(gate, 0.5, None, None, "not_measured", None)
    nodes = tuple(replace(node, unmeasured=unmeasured) for node in result.nodes)
    seen = None if unmeasured else result.outputs[0].measurement
    first = replace(result.outputs[0], verdicts=(open_,), verdict="not_measured", measurement=seen)
    report = build_report(plan, replace(result, nodes=nodes, outputs=(first,), exit_code=0), folder)
    text = terminal.render(report, folder)
    (line,) = [line for line in text.splitlines() if line.startswith("android-cpu/fp16: not measured: ")]
    assert reason in line and line.endswith("; with --strict this is exit 6")
    assert "; with --strict this is exit 6" in markdown.render(report, folder)


@pytest.mark.parametrize(
    ("code", "written", "shown"), [(5, "x", True), (5, "", False), (70, "x", True), (2, "x", False)]
)
def test_a_log_is_named_where_it_helps(
    plan: Plan, result: RunResult, folder: Path, code: int, written: str, shown: bool
) -> None:
    log = folder / "logs/onnx_to_openvino.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(written)
    report = build_report(plan, result, folder)
    report["nodes"][4]["error"]["exit_code"] = code
    text = terminal.render(report, folder)
    assert f"openvino-cpu/int8: not made: openvino refuses the operator `Frobnicate` <&> ?[31m (exit {code})\n" in text
    assert (f"next: less {log}" in text) is shown
    assert "do: replace it in the model" not in text, "standard error says it"


def test_gates_of_a_step_have_cases_of_their_own(plan: Plan, result: RunResult, folder: Path) -> None:
    exact = Verdict("min_sqnr_db", 60.0, 118.25, None, "pass", None)
    nodes = (replace(result.nodes[0], verdicts=(exact,)), *result.nodes[1:])
    suite = ElementTree.fromstring(junit.render(build_report(plan, replace(result, nodes=nodes), folder), folder))[0]
    (case,) = [case for case in suite.iter("testcase") if case.get("classname") == "lite0.steps.torch_to_onnx"]
    assert (case.get("name"), len(case)) == ("min_sqnr_db", 0)


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
    assert "every output: not made: interrupted (exit 130)\n\n" in text, "the rest is said on standard error"
    suite = ElementTree.fromstring(junit.render(build_report(plan, stopped, folder), folder))[0]
    assert suite.get("errors") == "1", "a reader of this file alone sees that the run did not end well"
    error = suite.find("testcase[@name='run']/error")
    assert error is not None and (error.get("message"), error.get("type")) == ("interrupted", "interrupted")
    assert terminal.last_line(build_report(plan, stopped, folder), folder).startswith("0 of 3 pass, 3 fail; ")
    assert "**The run stopped**: interrupted" in markdown.render(build_report(plan, stopped, folder), folder)
