"""The rules that readers of JUnit XML hold a file to, written down twice.

``JENKINS``: the schema of the xUnit plugin (junit-10.xsd), in which the children may come in any order. ``ANT``: the
stricter one of Ant's reports, which prescribes the order, and more attributes. A file that keeps both is read
everywhere.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

ANY = r"(?s).*"
NAME = r"\S(.*\S)?"
COUNT = r"\d+"
SECONDS = r"\d+(\.\d{1,3})?"  # both an xs:decimal and what junit-10.xsd calls a time
MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"


@dataclass(frozen=True)
class Rule:
    """What an element may hold: ``children`` is a pattern of their names, each followed by a blank; attributes have
    patterns too, and whatever is not listed is not allowed."""

    children: str = ""
    text: bool = False
    required: dict[str, str] = field(default_factory=dict)
    optional: dict[str, str] = field(default_factory=dict)


TOLD = {"message": ANY, "type": ANY}
SUMS = dict.fromkeys(("tests", "failures", "errors", "skipped", "disabled"), COUNT)

JENKINS = {
    "testsuites": Rule("(testsuite )*", optional={"name": ANY, "time": SECONDS, **SUMS}),
    "testsuite": Rule(
        "((testsuite|properties|testcase|system-out|system-err) )*",
        required={"name": ANY, "tests": COUNT},
        optional={
            **SUMS,
            "group": ANY,
            "time": SECONDS,
            "timestamp": ANY,
            "hostname": ANY,
            "id": ANY,
            "package": ANY,
            "file": ANY,
            "log": ANY,
            "url": ANY,
            "version": ANY,
        },
    ),
    "properties": Rule("(property )+"),
    "property": Rule(required={"name": ANY, "value": ANY}),
    "testcase": Rule(
        "((skipped|error|failure|system-out|system-err) )*",
        required={"name": ANY},
        optional={"classname": ANY, "time": SECONDS, "assertions": ANY, "status": ANY, "group": ANY},
    ),
    "failure": Rule(text=True, optional=TOLD),
    "error": Rule(text=True, optional=TOLD),
    "skipped": Rule(text=True, optional=TOLD),
    "system-out": Rule(text=True),
    "system-err": Rule(text=True),
}

ANT = {
    "testsuites": Rule("(testsuite )*"),
    "testsuite": Rule(
        "properties (testcase )*system-out system-err ",
        required={
            "name": NAME,
            "id": COUNT,
            "package": NAME,
            "hostname": NAME,
            "timestamp": MOMENT,
            "time": SECONDS,
            "tests": COUNT,
            "failures": COUNT,
            "errors": COUNT,
        },
        optional={"skipped": COUNT},
    ),
    "properties": Rule("(property )*"),
    "property": Rule(required={"name": NAME, "value": ANY}),
    "testcase": Rule("((skipped|error|failure) )?", required={"name": NAME, "classname": NAME, "time": SECONDS}),
    "failure": Rule(text=True, required={"type": ANY}, optional={"message": ANY}),
    "error": Rule(text=True, required={"type": ANY}, optional={"message": ANY}),
    "skipped": Rule(text=True, optional={"message": ANY}),
    "system-out": Rule(text=True),
    "system-err": Rule(text=True),
}


def faults(text: str) -> list[str]:
    """All that breaks a rule of either schema, and counts that are not those of the cases; none for a good file."""
    root = ElementTree.fromstring(text)
    found = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    for name, rules in (("junit-10", JENKINS), ("ant", ANT)):
        for element in root.iter():
            found += [f"{name}: {fault}" for fault in _faults_of(element, rules)]
    for suite in root.iter("testsuite"):
        counted = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error"}
        for attribute, path in {**counted, "skipped": "testcase/skipped"}.items():
            if suite.get(attribute) != str(len(suite.findall(path))):
                found.append(f"{attribute} is {suite.get(attribute)}, there are {len(suite.findall(path))}")
    return found


def _faults_of(element: ElementTree.Element, rules: dict[str, Rule]) -> list[str]:
    rule = rules.get(element.tag)
    if rule is None:
        return [f"<{element.tag}> is not known"]
    found = [f"<{element.tag}> lacks {name}" for name in rule.required if name not in element.attrib]
    patterns = {**rule.optional, **rule.required}
    for name, value in element.attrib.items():
        if name not in patterns:
            found.append(f"<{element.tag}> may not have {name}")
        elif not re.fullmatch(patterns[name], value):
            found.append(f"<{element.tag}> {name}={value!r} is not {patterns[name]}")
    children = "".join(f"{child.tag} " for child in element)
    if not re.fullmatch(rule.children, children):
        found.append(f"<{element.tag}> holds {children}")
    loose = [element.text or "", *(child.tail or "" for child in element)]
    if not rule.text and any(part.strip() for part in loose):
        found.append(f"<{element.tag}> holds text")
    return found
