"""The report as JUnit XML: a suite per recipe, a case per node, per gate of a node and per gate of an
output.

The layout is the one that pipelines read (testsuites, testsuite, properties, testcase, system-out, system-err), in the
order that the strict schemas ask for.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from edgekit.report.failures import SOURCE_MISSES, Failure, find_failures, missed_by_source
from edgekit.report.figures import gate_text
from edgekit.report.terminal import last_line

# What XML 1.0 cannot hold.
FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(report: dict[str, Any], folder: Path, recipe: str | None = None) -> str:
    """The XML text, with its declaration; ``recipe`` is the recipe's file, for the commands in it."""
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(root, "testsuite")
    _add_properties(suite, report)
    failures = find_failures(report, folder, recipe)
    for node in report["nodes"]:
        _add_node(suite, report, node, next((found.command for found in failures if found.step == node["id"]), None))
    for output in report["outputs"]:
        _add_output(
            suite, report, output, next((found for found in failures if output["output"] in found.outputs), None)
        )
    if report["error"] is not None:
        _add_error(_case(suite, report["recipe"]["name"], "run", report["seconds"]), report["error"])
    _element(suite, "system-out", last_line(report, folder))
    _element(suite, "system-err", "")
    for name, value in _counts(suite, report).items():
        suite.set(name, value)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _counts(suite: ElementTree.Element, report: dict[str, Any]) -> dict[str, str]:
    return {
        "name": _clean(report["recipe"]["name"]),
        "id": "0",
        "package": "edgekit",
        "hostname": "localhost",
        "timestamp": report["started"][:19],
        "time": f"{report['seconds']:.3f}",
        "tests": str(len(suite.findall("testcase"))),
        "failures": str(len(suite.findall("testcase/failure"))),
        "errors": str(len(suite.findall("testcase/error"))),
        "skipped": str(len(suite.findall("testcase/skipped"))),
    }


def _add_properties(suite: ElementTree.Element, report: dict[str, Any]) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    environment = report["environment"]
    values = {"recipe.sha256": report["recipe"]["sha256"], "python": environment.get("python", "")}
    values["platform"] = environment.get("platform", "")
    for name, value in values.items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(str(value)))


def _add_node(suite: ElementTree.Element, report: dict[str, Any], node: dict[str, Any], command: str | None) -> None:
    """A case for the step, and one for each gate that it is held to where it stands."""
    steps = f"{report['recipe']['name']}.steps"
    case = _case(suite, steps, node["id"], node["seconds"])
    if node["status"] == "failed":
        _add_error(case, node["error"] or {})
    elif node["status"] == "skipped":
        _outcome(case, "skipped", node["reason"])
    codes = {output["exit_code"] for output in report["outputs"] if output["output"] in node["outputs"]}
    for verdict in node["verdicts"]:
        _add_verdict(_case(suite, f"{steps}.{node['id']}", verdict["gate"], 0.0), verdict, 6 in codes, [], command)


def _add_verdict(
    case: ElementTree.Element, verdict: dict[str, Any], strict: bool, more: list[str], command: str | None
) -> None:
    """The outcome of a gate's case; ``more`` are further lines of a failure, ``strict`` makes one of what is open."""
    text = gate_text(verdict)
    fails = verdict["result"] == "fail"
    if fails or (strict and (verdict["result"] == "not_measured" or verdict["settled"] is False)):
        lines = [text, *more]
        following = [f"next: {command}"] if command else []
        _outcome(case, "failure", "; ".join(lines), "gate" if fails else "strict", lines + following)
    elif verdict["result"] == "not_measured":
        _outcome(case, "skipped", text)


def _add_error(case: ElementTree.Element, error: dict[str, Any]) -> None:
    said = (("where", "where"), ("do", "remedy"), ("log", "log"))
    lines = [f"{name}: {error[key]}" for name, key in said if error.get(key)]
    _outcome(case, "error", error.get("message", "failed"), error.get("code", "step_failed"), lines)


def _add_output(
    suite: ElementTree.Element, report: dict[str, Any], output: dict[str, Any], failure: Failure | None
) -> None:
    name = f"{report['recipe']['name']}.{output['output']}"
    if not output["verdicts"]:
        case = _case(suite, name, "made", 0.0)
        if output["artifact"] is None:
            _outcome(case, "skipped", failure.summary if failure else "no file was made")
    for verdict in output["verdicts"]:
        more = []
        if verdict["result"] == "fail" and missed_by_source(verdict, report):
            more.append(SOURCE_MISSES)
        elif verdict["result"] == "fail" and output["lost_at"]:
            more.append(f"lost at {output['lost_at']}")
        case = _case(suite, name, verdict["gate"], 0.0)
        _add_verdict(case, verdict, output["exit_code"] == 6, more, failure.command if failure else None)


def _case(suite: ElementTree.Element, classname: str, name: str, seconds: float) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", classname=_clean(classname), name=_clean(name), time=f"{seconds:.3f}"
    )


def _outcome(
    case: ElementTree.Element, kind: str, message: str, type_: str | None = None, lines: list[str] | None = None
) -> None:
    element = _element(case, kind, "\n".join(lines or ()))
    element.set("message", _clean(message))
    if type_ is not None:
        element.set("type", type_)


def _element(parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name)
    element.text = _clean(text) or None
    return element


def _clean(text: str) -> str:
    return FORBIDDEN.sub("?", text)
