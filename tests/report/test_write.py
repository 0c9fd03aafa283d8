from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.engine.results import RunResult
from edgekit.errors import InputError
from edgekit.plan import Plan
from edgekit.report.document import build_report
from edgekit.report.write import parse_request, write_view, write_views


def test_three_views_and_nothing_else(plan: Plan, result: RunResult, folder: Path) -> None:
    write_views(build_report(plan, result, folder), folder)
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == [
        "junit.xml",
        "report.json",
        "summary.md",
    ]


def test_a_view_elsewhere(plan: Plan, result: RunResult, folder: Path) -> None:
    request = parse_request("junit=ci/results.xml")
    write_view(build_report(plan, result, folder), request, folder)
    assert Path("ci/results.xml").read_text(encoding="utf-8").startswith("<?xml")


def test_without_a_path_the_view_lies_in_the_working_folder() -> None:
    assert parse_request("markdown").path == Path("summary.md")


def test_unknown_view() -> None:
    with pytest.raises(InputError, match="did you mean `junit`"):
        parse_request("junt")


def test_empty_path() -> None:
    with pytest.raises(InputError, match="needs a path"):
        parse_request("json=")
