"""What run, convert and quantize share: carry a plan out with progress shown, write the report, print it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli.failure import error_text
from edgekit.cli.progress import show_progress
from edgekit.cli.terminal import answer, is_interactive, note

if TYPE_CHECKING:
    from edgekit.engine.results import RunResult
    from edgekit.plan import Plan
    from edgekit.report.write import Request


RESOLVED = "recipe.resolved.yaml"


@dataclass(frozen=True)
class Wishes:
    """What the command line asks of a run. ``recipe`` is the recipe's file as it was named, or the resolved one in the
    output folder where flags said more than a file: further commands are to see the same data."""

    out: Path
    jobs: int | None = None
    keep_going: bool = False
    use_cache: bool = True
    evaluate: bool = True
    strict: bool = False
    views: tuple[Request, ...] = ()
    as_json: bool = False
    recipe: str | None = None


def carry_out(plan: Plan, resolved: str, wishes: Wishes) -> RunResult:
    """Run ``plan``, write its report and the resolved recipe into the output folder, and print the report."""
    from edgekit.engine.run import run_plan
    from edgekit.engine.settings import Settings
    from edgekit.errors import from_dict
    from edgekit.report import terminal
    from edgekit.report.document import build_report, report_text

    settings = Settings(
        out=wishes.out,
        jobs=wishes.jobs,
        keep_going=wishes.keep_going,
        use_cache=wishes.use_cache,
        evaluate=wishes.evaluate,
        strict=wishes.strict,
    )
    with show_progress() as listen:
        result = run_plan(plan, settings, listen)
    report = build_report(plan, result, wishes.out)
    write_everything(plan, result, report, resolved, wishes)
    errors = distinct_errors(result)
    for error in errors:
        note(error_text(from_dict(error)))
    if errors and is_interactive():
        note("")
    if wishes.as_json:
        answer(report_text(report))
    else:
        answer(terminal.render(report, wishes.out, recipe=wishes.recipe, colour=_may_colour()))
    return result


def distinct_errors(result: RunResult) -> list[dict[str, Any]]:
    """What ended the run, and what made nodes fail, each once."""
    errors = [error for error in (result.error, *(node.error for node in result.nodes)) if error is not None]
    return [error for place, error in enumerate(errors) if error not in errors[:place]]


def write_everything(plan: Plan, result: RunResult, report: dict[str, Any], resolved: str, wishes: Wishes) -> None:
    """The three views and the resolved recipe in the output folder, and the views that were asked for elsewhere."""
    from edgekit.report.document import build_report
    from edgekit.report.write import write_text, write_view, write_views

    write_views(report, wishes.out, wishes.recipe)
    write_text(wishes.out / RESOLVED, resolved)
    for request in wishes.views:
        there = build_report(plan, result, request.path.parent) if request.view == "json" else report
        write_view(there, request, wishes.out, wishes.recipe)


def _may_colour() -> bool:
    plain = os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb"
    return not plain and sys.stdout.isatty()
