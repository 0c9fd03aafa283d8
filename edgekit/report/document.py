"""The document ``edgekit.report/1``: what a run came to, as plain data. Every view is made from it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit.artifact import Artifact, Tail
from edgekit.checks.measurement import Measurement, Verdict
from edgekit.engine.results import NodeResult, OutputResult, RunResult
from edgekit.plan import Handover, Node, Plan


def build_report(plan: Plan, result: RunResult, folder: Path) -> dict[str, Any]:
    """The report of a run; paths in it are relative to ``folder``, where it is going to lie."""
    steps = {node.id: node for node in plan.nodes}
    handovers = {output.name: output.handover for output in plan.outputs}
    source = None
    if result.source is not None:
        source = {
            "format": result.source.format,
            "bytes": result.source.bytes,
            "measurement": _measurement(result.source_measurement),
        }
    return _plain(
        {
            "schema": "edgekit.report/1",
            "recipe": {"name": result.plan_name, "sha256": result.recipe_sha256},
            "started": result.started,
            "seconds": round(result.seconds, 3),
            "exit_code": result.exit_code,
            "environment": result.environment,
            "data": {role: asdict(info) for role, info in sorted(result.data.items())},
            "source": source,
            "nodes": [_node(steps[node.node], node, folder) for node in result.nodes],
            "outputs": [_output(output, handovers.get(output.output, ()), folder) for output in result.outputs],
            "error": _error(result.error, folder),
        }
    )


def report_text(report: dict[str, Any]) -> str:
    """The report as it is written to ``report.json``."""
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plan_document(plan: Plan) -> dict[str, Any]:
    """The document ``edgekit.plan/1`` that ``run --dry-run --json`` prints."""
    return _plain(
        {
            "schema": "edgekit.plan/1",
            "recipe": {"name": plan.name, "sha256": plan.recipe_sha256},
            "nodes": [
                {
                    "id": node.id,
                    "step": node.step,
                    "options": node.options,
                    "origins": node.origins,
                    "parent": node.parent,
                    "outputs": node.outputs,
                    "gates": node.gates,
                }
                for node in plan.nodes
            ],
            "outputs": [
                {
                    "output": output.name,
                    "target": output.target,
                    "precision": output.precision,
                    "node": output.node,
                    "gates": output.gates,
                    "handover": [asdict(one) for one in output.handover],
                }
                for output in plan.outputs
            ],
        }
    )


def _node(node: Node, result: NodeResult, folder: Path) -> dict[str, Any]:
    return {
        "id": node.id,
        "step": node.step,
        "options": node.options,
        "parent": node.parent,
        "outputs": node.outputs,
        "status": result.status,
        "reason": result.reason,
        "started": round(result.started, 3),
        "seconds": round(result.seconds, 3),
        "peak_rss_bytes": result.peak_rss_bytes,
        "artifact": _artifact(result.artifact, folder),
        "measurement": _measurement(result.measurement),
        "unmeasured": result.unmeasured,
        "verdicts": _verdicts(result.verdicts),
        "notes": result.notes,
        "error": _error(result.error, folder),
        "log": _relative(result.log, folder),
    }


def _output(result: OutputResult, handover: tuple[Handover, ...], folder: Path) -> dict[str, Any]:
    return {
        "output": result.output,
        "target": result.target,
        "precision": result.precision,
        "exit_code": result.exit_code,
        "verdict": result.verdict,
        "artifact": _artifact(result.artifact, folder),
        "rejected": result.rejected,
        "node": result.node,
        "lost_at": result.lost_at,
        "measurement": _measurement(result.measurement),
        "verdicts": _verdicts(result.verdicts),
        "placement": result.placement,
        "handover": _handover(result, handover),
    }


def _handover(result: OutputResult, handover: tuple[Handover, ...]) -> list[dict[str, Any]]:
    """What is still to be done elsewhere with a file that is good, by the command that does it in the file's folder."""
    if result.artifact is None or result.rejected:
        return []
    file = result.artifact.path
    return [
        {"title": one.title, "command": one.command_for(file), "why": one.why, "source": one.source} for one in handover
    ]


def _artifact(artifact: Artifact | None, folder: Path) -> dict[str, Any] | None:
    if artifact is None:
        return None
    return {
        "path": _relative(str(artifact.path), folder),
        "format": artifact.format,
        "bytes": artifact.bytes,
        "sha256": artifact.sha256,
        "tail": _tail(artifact.tail, folder),
    }


def _tail(tail: Tail | None, folder: Path) -> dict[str, Any] | None:
    """The file that makes the source model's outputs of an artifact's, on the host."""
    if tail is None:
        return None
    return {"path": _relative(str(tail.path), folder), "bytes": tail.bytes, "sha256": tail.sha256}


def _measurement(measurement: Measurement | None) -> dict[str, Any] | None:
    return None if measurement is None else measurement.to_dict()


def _verdicts(verdicts: tuple[Verdict, ...]) -> list[dict[str, Any]]:
    return [verdict.to_dict() for verdict in verdicts]


def _error(error: dict[str, Any] | None, folder: Path) -> dict[str, Any] | None:
    return None if error is None else {**error, "log": _relative(error.get("log"), folder)}


def _relative(path: str | None, folder: Path) -> str | None:
    """With forward slashes; a relative ``path`` is taken to be relative to the working folder."""
    if path is None:
        return None
    return Path(os.path.relpath(Path(path).absolute(), folder.absolute())).as_posix()


def _plain(value: Any) -> Any:
    """Only what JSON has: tuples become lists, paths text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
