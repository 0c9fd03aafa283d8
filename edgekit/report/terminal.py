"""The report for a terminal: a table of the outputs, the files, each failure with what to do, and one line for grep."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from edgekit.report import figures
from edgekit.report.failures import count_outputs, explain_unmeasured, find_failures

SIMULATED = "simulated: measured here, not in the device's own runtime"
SELECTED = "SQNR: of what the model selects from at its end (NMS, TopK), whose results have no fixed size or order"
COLOURS = {"pass": "32", "fail": "31", "not measured": "33"}


def render(report: dict[str, Any], folder: Path, *, recipe: str | None = None, colour: bool = False) -> str:
    """The whole text; ``folder`` is where ``report.json`` lies, and is put before every path."""
    parts = [outputs_table(report, colour=colour)]
    if has_simulated(report):
        parts[0] += f"\n{SIMULATED}"
    if has_selected(report):
        parts[0] += f"\n{SELECTED}"
    placed = [f"{text}; {command} tells why" for text, command in placements(report, folder)]
    if told := [*placed, *latency_estimates(report)]:
        parts.append("\n".join(told))
    if files := made_files(report, folder):
        parts.append("\n".join(files))
    if left := handovers(report):
        parts.append("\n".join(["to be done elsewhere, in the folder of the file:", *(f"  {line}" for line in left)]))
    for failure in find_failures(report, folder, recipe):
        lines = [f"{failure.output}: {failure.summary}", *(() if failure.told else failure.figures)]
        if failure.command:
            lines.append(f"next: {failure.command}")
        parts.append("\n  ".join(lines))
    unmeasured = explain_unmeasured(report)
    if unmeasured:
        parts.append("\n".join(unmeasured))
    parts.append(last_line(report, folder))
    return "\n\n".join(parts) + "\n"


def made_files(report: dict[str, Any], folder: Path) -> list[str]:
    """The path of each output's file, and of the tail that the host has to run after it."""
    found = []
    for output in report["outputs"]:
        artifact = output["artifact"]
        if artifact:
            found.append(str(folder / artifact["path"]))
            if artifact.get("tail"):
                found.append(f"{folder / artifact['tail']['path']}, which the host runs after it")
    return found


def handovers(report: dict[str, Any]) -> list[str]:
    """``coral/int8: compile for the Edge TPU: edgetpu_compiler ...`` for what is left to others; each command once."""
    found: dict[str, str] = {}
    for output in report["outputs"]:
        for one in output["handover"]:
            line = f"{one['title']}: {one['command']}" if one["command"] else one["title"]
            found.setdefault(line, output["output"])
    return [f"{output}: {line}" for line, output in found.items()]


def last_line(report: dict[str, Any], folder: Path) -> str:
    """``2 of 3 pass, 1 fails; 38 s; exit 1; report edgekit-out/lite0/report.json``."""
    parts = (count_outputs(report), figures.seconds(report["seconds"]), f"exit {report['exit_code']}")
    return "; ".join(parts) + f"; report {folder / 'report.json'}"


def outputs_table(report: dict[str, Any], *, colour: bool = False) -> str:
    """One line for the source and one an output: size, metric, drop with its interval, agreement, SQNR, verdict."""
    rows = table_rows(report)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        colour_of = COLOURS.get(row[-1].partition(", ")[0])
        if colour and colour_of:
            cells[-1] = f"\x1b[{colour_of}m{row[-1]}\x1b[0m"
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def table_rows(report: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table's cells, its header first."""
    header = ("output", "size", metric_header(report), "drop in points (95 %)", "agreement", "SQNR", "verdict")
    rows: list[tuple[str, ...]] = [header]
    source = report["source"]
    if source is not None:
        rows.append(
            (f"source ({source['format']})", figures.size(source["bytes"]), *_measured(source["measurement"]), "")
        )
    for output in report["outputs"]:
        artifact = output["artifact"]
        measurement = output["measurement"]
        simulated = ", simulated" if measurement and measurement["simulated"] else ""
        verdict = output["verdict"].replace("_", " ") + simulated
        rows.append(
            (
                output["output"],
                figures.size(artifact["bytes"] if artifact else None),
                *_measured(measurement),
                verdict,
            )
        )
    return rows


def has_selected(report: dict[str, Any]) -> bool:
    """Whether a figure is of what a model selects from."""
    return any((output["measurement"] or {}).get("selected_from") for output in report["outputs"])


def has_simulated(report: dict[str, Any]) -> bool:
    """Whether a figure in the table was not taken in the device's own runtime."""
    return any(output["measurement"] and output["measurement"]["simulated"] for output in report["outputs"])


def placements(report: dict[str, Any], folder: Path) -> list[tuple[str, str]]:
    """(what is said of it, the command that tells why) for each output whose file the device does not run, or not all
    of it on its accelerator."""
    found = []
    for output in report["outputs"]:
        placement, artifact = output["placement"] or {}, output["artifact"]
        if artifact is None or placement.get("verdict") not in ("violates", "partial"):
            continue
        what = "the device does not run it"
        if placement["verdict"] == "partial":
            share = placement["mapped_operators"]
            what = "part of it runs on the CPU" if share is None else f"{figures.share(share)} of operators are mapped"
        told = "by its compiler" if placement["source"] == "compiler" else "predicted"
        file, target = shlex.quote(str(folder / artifact["path"])), f"{output['target']}/{output['precision']}"
        command = f"edgekit check {file} --target {target}{_compiled_from(report, output, folder)}"
        found.append((f"{output['output']}: {what} ({told})", command))
    return found


def _compiled_from(report: dict[str, Any], output: dict[str, Any], folder: Path) -> str:
    """The flag that names what the device's compiler was given, where the file is what it made and that one is here."""
    nodes = {node["id"]: node for node in report["nodes"]}
    parent = nodes.get(nodes.get(output["node"], {}).get("parent"))
    if output["placement"]["source"] != "compiler" or parent is None or parent["artifact"] is None:
        return ""
    if parent["artifact"]["format"] == output["artifact"]["format"]:
        return ""
    return f" --compiled-from {shlex.quote(str(folder / parent['artifact']['path']))}"


def latency_estimates(report: dict[str, Any]) -> list[str]:
    """``coral/int8: about 2.6 ms (estimate, ...)`` for each output whose time on its device could be estimated."""
    found = []
    for output in report["outputs"]:
        latency = (output["placement"] or {}).get("latency_estimate")
        if latency is not None:
            found.append(f"{output['output']}: {latency['text']}; {latency['conditions']}")
    return found


def metric_header(report: dict[str, Any]) -> str:
    """The metric that the run's figures are in with their interval: ``top1 (95 %)``; ``metric`` where nothing was
    measured against labels."""
    measurements = [report["source"] and report["source"]["measurement"]]
    measurements += [output["measurement"] for output in report["outputs"]]
    return next((f"{found['metric']} (95 %)" for found in measurements if found and found["metric"]), "metric")


def _measured(measurement: dict[str, Any] | None) -> tuple[str, str, str, str]:
    if measurement is None:
        return (figures.NONE,) * 4
    return (
        figures.metric(measurement),
        figures.points(measurement["drop_points"], measurement["drop_points_interval"]),
        figures.share(measurement["agreement"]),
        figures.decibels(measurement["sqnr_db"]),
    )
