"""The latency that was estimated for an output's device, in the report and in its views: called so, or not there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import jsonschema

from edgekit.devices.latency import Estimate
from edgekit.engine.results import RunResult
from edgekit.plan import Plan
from edgekit.report import markdown, terminal
from edgekit.report.document import build_report
from edgekit.report.schema import REPORT

SHARES = {"mapped_operators": 1.0, "mapped_macs": 1.0, "source": "predicted"}
LATENCY = Estimate(2.573, 0.108, 1.13, 17, "USB 3", "coral.ai").to_dict()


def test_only_the_output_that_has_an_estimate_shows_one(plan: Plan, result: RunResult, folder: Path) -> None:
    first, second, third = result.outputs
    told = {**SHARES, "latency_estimate": LATENCY}
    untold = {**SHARES, "latency_estimate": None}
    outputs = (replace(first, placement=told), replace(second, placement=untold), replace(third, placement=SHARES))
    report = build_report(plan, replace(result, outputs=outputs), folder)
    jsonschema.Draft202012Validator(REPORT).validate(report)
    line = f"{first.output}: about 2.6 ms (estimate, typical error 11 %); USB 3"
    assert terminal.latency_estimates(report) == [line]
    assert line in terminal.render(report, folder).splitlines()
    assert f"- {line}" in markdown.render(report, folder).splitlines()


def test_a_report_without_estimates_says_nothing_of_them(plan: Plan, result: RunResult, folder: Path) -> None:
    report = build_report(plan, result, folder)
    assert "estimate" not in terminal.render(report, folder) + markdown.render(report, folder)
