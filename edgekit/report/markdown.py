"""The report as Markdown, for the summary page of a pipeline's job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.report import figures
from edgekit.report.failures import count_outputs, explain_unmeasured, find_failures
from edgekit.report.terminal import (
    SELECTED,
    SIMULATED,
    has_selected,
    has_simulated,
    latency_estimates,
    placements,
    table_rows,
)

NOT_MEASURED = dict.fromkeys(("drop_points", "drop_points_interval", "agreement", "sqnr_db"))


def render(report: dict[str, Any], folder: Path, recipe: str | None = None) -> str:
    """A heading with the outcome, the table of outputs, the failures, and the steps behind a fold."""
    name, exit_code = report["recipe"]["name"], report["exit_code"]
    parts = [f"## {_escape(name)}: {count_outputs(report)}"]
    parts.append(f"{figures.seconds(report['seconds'])}, exit {exit_code}{_data(report)}")
    parts.append(_table(table_rows(report)))
    if has_simulated(report):
        parts.append(SIMULATED)
    if has_selected(report):
        parts.append(SELECTED)
    told = [f"- {_escape(text)}; `{command}` tells why" for text, command in placements(report, folder)]
    told += [f"- {_escape(line)}" for line in latency_estimates(report)]
    if told:
        parts.append("\n".join(told))
    if left := [line for output in report["outputs"] for line in _handover(output)]:
        parts.append("\n".join(["To be done elsewhere, in the folder of the file:", "", *left]))
    if report["error"]:
        parts.append(f"**The run stopped**: {_escape(report['error']['message'])}")
    parts.extend(_failure(failure) for failure in find_failures(report, folder, recipe))
    unmeasured = [f"- {_escape(line)}" for line in explain_unmeasured(report)]
    if unmeasured:
        parts.append("\n".join(unmeasured))
    parts.append(_steps(report))
    return "\n\n".join(parts) + "\n"


def _data(report: dict[str, Any]) -> str:
    roles = [f"{info['samples']} samples to {role}" for role, info in sorted(report["data"].items())]
    return "".join(f", {role}" for role in roles)


def _handover(output: dict[str, Any]) -> list[str]:
    return [
        f"- {_escape(output['output'])}: {_escape(one['title'])}" + (f": `{one['command']}`" if one["command"] else "")
        for one in output["handover"]
    ]


def _failure(failure: Any) -> str:
    lines = [f"- **{_escape(failure.output)}**: {_escape(failure.summary)}"]
    lines += [f"  - {_escape(figure)}" for figure in failure.figures]
    if failure.command:
        lines.append(f"  - next: `{failure.command}`")
    return "\n".join(lines)


def _steps(report: dict[str, Any]) -> str:
    header = ("step", "status", "why", "time", "size", "drop in points (95 %)", "agreement", "SQNR")
    rows: list[tuple[str, ...]] = [header]
    for node in report["nodes"]:
        artifact, measurement = node["artifact"], node["measurement"] or NOT_MEASURED
        rows.append(
            (
                node["id"],
                node["status"],
                node["reason"],
                figures.seconds(node["seconds"]),
                figures.size(artifact["bytes"] if artifact else None),
                figures.points(measurement["drop_points"], measurement["drop_points_interval"]),
                figures.share(measurement["agreement"]),
                figures.decibels(measurement["sqnr_db"]),
            )
        )
    return f"<details><summary>{len(report['nodes'])} steps</summary>\n\n{_table(rows)}\n\n</details>"


def _table(rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(_escape(cell) for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Text that stays text inside a Markdown table or list."""
    for character in ("\\", "|", "<", ">", "`", "*", "_"):
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
