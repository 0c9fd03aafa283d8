"""Writes a report's views: all three into the output folder, and any of them elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.engine.files import check_writable, write_atomically
from edgekit.errors import InputError, not_a_file
from edgekit.registry import did_you_mean
from edgekit.report import junit, markdown
from edgekit.report.document import report_text

# view -> (its file in the output folder, how it is made of the report, the folder before its paths, the recipe's file).
VIEWS: dict[str, tuple[str, Callable[[dict[str, Any], Path, str | None], str]]] = {
    "json": ("report.json", lambda report, folder, recipe: report_text(report)),
    "junit": ("junit.xml", junit.render),
    "markdown": ("summary.md", markdown.render),
}


@dataclass(frozen=True)
class Request:
    """``--report VIEW[=PATH]``; without a path the view goes to its own file in the working folder."""

    view: str
    path: Path


def parse_request(text: str) -> Request:
    """What ``--report`` was given.

    Raises:
        InputError: no view of that name, an empty path, or a folder.
    """
    view, separator, path = text.partition("=")
    if view not in VIEWS:
        raise InputError(
            f"no report is called `{view}`{did_you_mean(view, VIEWS)}",
            remedy=f"--report takes {', '.join(VIEWS)}, each with =PATH if it shall lie elsewhere",
            code="unknown_report",
        )
    if separator and not path:
        raise InputError(f"--report {view}= needs a path after the `=`", code="usage")
    request = Request(view, Path(path) if path else Path(VIEWS[view][0]))
    if request.path.is_dir():
        raise InputError(
            f"--report {text}: {request.path} is a folder",
            where=str(request.path),
            remedy=f"name the file: --report {view}={request.path / VIEWS[view][0]}",
            code="usage",
        )
    return request


def check_request(request: Request) -> None:
    """See that the view can be written to where ``request`` says, before a run begins whose report it is.

    Raises:
        InputError: it cannot.
    """
    path = request.path
    what = not_a_file(path, "file") if path.exists() else None
    if what is None:
        try:
            check_writable(path)
        except OSError as error:
            what = f"the report {path} cannot be written: {error.strerror}"
    if what is not None:
        remedy = f"name a file in another folder: --report {request.view}=PATH"
        raise InputError(what, where=str(path), remedy=remedy, code="unusable_path")


def write_views(report: dict[str, Any], folder: Path, recipe: str | None = None) -> list[Path]:
    """Write ``report.json``, ``junit.xml`` and ``summary.md`` into ``folder``."""
    written = []
    for name, render in VIEWS.values():
        write_text(folder / name, render(report, folder, recipe))
        written.append(folder / name)
    return written


def write_view(report: dict[str, Any], request: Request, folder: Path, recipe: str | None = None) -> Path:
    """Write one view of ``report`` to where ``request`` says; ``folder`` stands before the paths in its commands."""
    render = VIEWS[request.view][1]
    write_text(request.path, render(report, folder, recipe))
    return request.path


def write_text(path: Path, text: str) -> None:
    """Write a text, and the folder it lies in; a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
