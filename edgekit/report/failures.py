"""For each output that did not pass: the step, the figures and the next command."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.checks.gates import misses_itself
from edgekit.report.figures import gate_text, share, visible

# Gates that say nothing of what the model computes.
ABOUT_THE_FILE = {"max_bytes", "max_latency_ms"}
ABOUT_THE_PLACEMENT = {"min_mapped_operators", "min_mapped_macs"}
SOURCE_MISSES = "the source itself misses it"
# Of an error with another exit code the message is all there is to know.
READ_THE_LOG = (5, 70)


@dataclass(frozen=True)
class Failure:
    """``outputs`` are those that failed at the same place, and ``output`` says which; ``figures`` are lines;
    ``command`` is what to do next. ``told``: it is an error, which the command tells on standard error by itself."""

    output: str
    step: str | None
    summary: str
    figures: tuple[str, ...]
    command: str | None
    outputs: tuple[str, ...] = ()
    told: bool = False


def find_failures(report: dict[str, Any], folder: Path, recipe: str | None = None) -> list[Failure]:
    """The failures of a report that lies in ``folder``, in the order of its outputs; ``recipe`` is the recipe's file.

    An output counts whose ``exit_code`` is not 0, so that ``--strict`` makes one of what was not measured.
    """
    nodes = {node["id"]: node for node in report["nodes"]}
    found: list[Failure] = []
    for output in report["outputs"]:
        if output["exit_code"] != 0:
            failure = _failure(output, nodes, folder, recipe, report)
            same = [old for old in found if replace(old, output=failure.output, outputs=()) == failure]
            before = same[0].outputs if same else ()
            joined = replace(failure, outputs=(*before, output["output"]))
            if same:
                found[found.index(same[0])] = joined
            else:
                found.append(joined)
    return [replace(failure, output=_name_outputs(failure.outputs, len(report["outputs"]))) for failure in found]


def _name_outputs(names: tuple[str, ...], count: int) -> str:
    return "every output" if len(names) == count > 1 else ", ".join(names)


def count_outputs(report: dict[str, Any]) -> str:
    """``2 of 3 pass, 1 fails``."""
    verdicts = [output["verdict"] for output in report["outputs"]]
    parts = [f"{verdicts.count('pass')} of {len(verdicts)} pass"]
    failed = verdicts.count("fail")
    if failed:
        parts.append(f"{failed} fail{'s' if failed == 1 else ''}")
    if "not_measured" in verdicts:
        parts.append(f"{verdicts.count('not_measured')} not measured")
    return ", ".join(parts)


def explain_unmeasured(report: dict[str, Any]) -> list[str]:
    """A line for each reason why outputs that ended with 0 were not judged in full, and what ``--strict`` would do."""
    nodes = {node["id"]: node for node in report["nodes"]}
    found: dict[str, list[str]] = {}
    for output in report["outputs"]:
        if output["exit_code"] == 0 and output["verdict"] == "not_measured":
            found.setdefault(_reasons(output, nodes), []).append(output["output"])
    count = len(report["outputs"])
    return [
        f"{_name_outputs(tuple(names), count)}: not measured: {reasons}; with --strict this is exit 6"
        for reasons, names in found.items()
    ]


def _reasons(output: dict[str, Any], nodes: dict[str, Any]) -> str:
    """``max_latency_ms needs a measurement on the device``; several are joined."""
    gates: dict[str, list[str]] = {}
    for verdict in output["verdicts"]:
        if verdict["result"] == "not_measured":
            gates.setdefault(_reason(verdict["gate"], output, nodes), []).append(verdict["gate"])
    named = [f"{', '.join(names)} {reason}" for reason, names in gates.items()]
    return "; ".join(named) or _reason(None, output, nodes)


def _reason(gate: str | None, output: dict[str, Any], nodes: dict[str, Any]) -> str:
    """Why there is no figure for a gate (None: for any)."""
    if gate == "max_latency_ms":
        return "needs a measurement on the device"
    if gate in ABOUT_THE_PLACEMENT:
        return "needs a placement, and nothing says where this device runs the operators"
    why = (nodes.get(output["node"] or "") or {}).get("unmeasured")
    if output["measurement"] is None and why:
        why = "--no-eval" if "--no-eval" in why else why
        return f"({why})" if gate else str(why)
    if gate == "min_sqnr_db" and output["measurement"] is not None:
        return "needs outputs of one size: what this file selects from (NMS) is not told by its format"
    if gate == "min_agreement" and output["measurement"] is not None:
        return "needs a task that decides, and a source model that finds something"
    return "needs labelled evaluation data"


def _failure(
    output: dict[str, Any], nodes: dict[str, Any], folder: Path, recipe: str | None, report: dict[str, Any]
) -> Failure:
    stopped, source = report["error"], _source_value(report)
    broken = _broken_ancestor(output["node"], nodes)
    if broken is None and stopped is not None and output["artifact"] is None:
        return _of_error(output, None, stopped, folder)
    if broken is not None and broken["status"] == "failed":
        return _of_error(output, broken, broken["error"] or {"message": "no reason was recorded"}, folder)
    own = any(verdict["result"] == "fail" for verdict in output["verdicts"])
    if broken is not None and (output["artifact"] is None or not own):
        return _of_gates(output, broken, broken["verdicts"], nodes, folder, recipe, source)
    lost_at = nodes.get(output["lost_at"] or "")
    return _of_gates(output, lost_at, output["verdicts"], nodes, folder, recipe, source)


def _source_value(report: dict[str, Any]) -> float | None:
    """The metric of the source model itself."""
    measurement = (report["source"] or {}).get("measurement")
    return None if measurement is None else measurement["value"]


def missed_by_source(verdict: dict[str, Any], report: dict[str, Any]) -> bool:
    """Whether the source model misses the limit of this verdict, so that no step lost it."""
    return misses_itself(verdict["gate"], verdict["limit"], _source_value(report))


def _broken_ancestor(id: str | None, nodes: dict[str, Any]) -> dict[str, Any] | None:
    """The first node on the way to ``id`` that failed or whose own gate was missed."""
    chain = []
    while id is not None and id in nodes:
        chain.append(nodes[id])
        id = nodes[id]["parent"]
    for node in reversed(chain):
        if node["status"] == "failed" or any(verdict["result"] == "fail" for verdict in node["verdicts"]):
            return node
    return None


def _of_error(output: dict[str, Any], node: dict[str, Any] | None, error: dict[str, Any], folder: Path) -> Failure:
    """Of what the error of ``node`` kept from being made (None: of the run)."""
    code = error.get("exit_code", output["exit_code"])
    outcome = "not made" if output["artifact"] is None else "not measured"
    summary = f"{outcome}: {visible(error['message'])} (exit {code})"
    log = error.get("log") or (node or {}).get("log")
    command = _read_log(log, folder) if code in READ_THE_LOG else None
    lines = ((f"step: {node['id']}",) if node else ()) + _error_lines(error)
    return Failure(output["output"], node["id"] if node else None, summary, lines, command, told=True)


def _error_lines(error: dict[str, Any]) -> tuple[str, ...]:
    said = (("where", "where"), ("do", "remedy"))
    return tuple(f"{name}: {visible(error[key])}" for name, key in said if error.get(key))


def _read_log(log: str | None, folder: Path) -> str | None:
    """What shows the log, where anything is written in it."""
    if log is None or not (folder / log).is_file() or not (folder / log).stat().st_size:
        return None
    return f"less {shlex.quote(str(folder / log))}"


def _of_gates(
    output: dict[str, Any],
    node: dict[str, Any] | None,
    verdicts: list[dict[str, Any]],
    nodes: dict[str, Any],
    folder: Path,
    recipe: str | None,
    source: float | None,
) -> Failure:
    missed = [verdict for verdict in verdicts if verdict["result"] == "fail"]
    open_ = [verdict for verdict in verdicts if verdict["result"] != "pass" or verdict["settled"] is False]
    figures = tuple(_figure_text(verdict, output, source) for verdict in missed or open_)
    if missed:
        names = [verdict["gate"] for verdict in missed]
        listed = ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1]
        if all(misses_itself(verdict["gate"], verdict["limit"], source) for verdict in missed):
            do = "do: set a limit that the source reaches, or give a better model"
            return Failure(output["output"], None, f"misses {listed}: {SOURCE_MISSES}", (*figures, do), None)
        place = f"lost at {node['id']}" if node else "in the file itself"
        summary = f"misses {listed}, {place}"
    elif open_:
        unmeasured = any(verdict["result"] == "not_measured" for verdict in open_)
        summary = f"{'not measured' if unmeasured else 'too few samples to tell'} (--strict)"
        do = f"why: {_reasons(output, nodes)}" if unmeasured else "do: evaluate on more samples"
        return Failure(output["output"], None, summary, (*figures, do), None)
    else:
        summary = f"exit {output['exit_code']}"
    return Failure(
        output["output"],
        node["id"] if node else None,
        summary,
        figures,
        _next_command(output, node, nodes, folder, recipe),
    )


def _figure_text(verdict: dict[str, Any], output: dict[str, Any], source: float | None) -> str:
    """A verdict in words; one on a placement says who told it, and one that the source misses says so."""
    if verdict["result"] == "fail" and misses_itself(verdict["gate"], verdict["limit"], source):
        return f"{gate_text(verdict)}; {SOURCE_MISSES} ({share(source)})"
    placement = output["placement"]
    told = verdict["gate"] in ABOUT_THE_PLACEMENT and verdict["value"] is not None and placement is not None
    return gate_text(verdict) + (f" ({placement['source']})" if told else "")


def _next_command(
    output: dict[str, Any], node: dict[str, Any] | None, nodes: dict[str, Any], folder: Path, recipe: str | None
) -> str | None:
    """Compare the file with the one it was made from, where both are at hand; else look at the file."""
    own = node["artifact"] if node and node["artifact"] else output["artifact"]
    if own is None:
        return None
    file = shlex.quote(str(folder / own["path"]))
    parent = nodes.get(node["parent"] or "") if node else None
    missed = {verdict["gate"] for verdict in output["verdicts"] if verdict["result"] == "fail"}
    if missed & ABOUT_THE_PLACEMENT and output["artifact"] is not None:
        there = shlex.quote(str(folder / output["artifact"]["path"]))
        return f"edgekit check {there} --target {output['target']}/{output['precision']}"
    if missed and missed <= ABOUT_THE_FILE:
        return f"edgekit inspect {file}"
    if parent is None or parent["artifact"] is None:
        return f"edgekit inspect {file}"
    before = shlex.quote(str(folder / parent["artifact"]["path"]))
    data = f" --recipe {shlex.quote(recipe)}" if recipe else ""
    return f"edgekit compare {before} {file}{data}"
