"""Reads what edgetpu_compiler prints: the summary of each model, the operator table (as in log files), failures.

Nothing is guessed: a line in a form that is not known is kept in ``unknown``, and a report without anything known in it
is no answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

#: Names of a summary's lines, and the figures they give.
_FIGURES = {
    "Input size": "input_bytes",
    "Output size": "output_bytes",
    "On-chip memory used for caching model parameters": "cached_parameter_bytes",
    "On-chip memory remaining for caching model parameters": "remaining_bytes",
    "On-chip memory available for caching model parameters": "available_bytes",
    "Off-chip memory used for streaming uncached model parameters": "streamed_parameter_bytes",
    "Number of Edge TPU subgraphs": "subgraphs",
    "Total number of operations": "operations",
    "Number of operations that will run on Edge TPU": "mapped",
    "Number of operations that will run on CPU": "unmapped",
}
_NAMES = {
    "Input model": "input",
    "Output model": "output",
    "Operation log": "log",
    "Input": "input",
    "Output": "output",
}
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KiB|MiB|GiB)")
_ROW = re.compile(r"([A-Z][A-Z0-9_]*)\s+(\d{1,9})\s+(\S.*)")
_VERSION = re.compile(r"Edge TPU Compiler version (\S+)")
_DONE = re.compile(r"Models? compiled successfully in \d+ ms")


@dataclass(frozen=True)
class Row:
    """``count`` operators of a type with one status, in the compiler's words."""

    type: str
    count: int
    status: str


@dataclass(frozen=True)
class Failure:
    """A line that says why a model was not compiled; ``words`` is edgekit's name for the cause."""

    line: str
    words: str
    means: str
    remedy: str
    source: str
    retry: bool = False


@dataclass
class Summary:
    """What is printed of one model. ``figures`` are bytes (to the two decimals that are printed) and counts, under the
    names of ``_FIGURES``; ``rows`` is the operator table."""

    input: str = ""
    output: str = ""
    log: str = ""
    figures: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """``text`` is all that was printed; ``unknown`` the lines that were not understood. A search for a part that
    compiles leaves failures of its tries before it succeeds."""

    text: str
    version: str | None
    succeeded: bool
    models: tuple[Summary, ...]
    failures: tuple[Failure, ...]
    unknown: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether anything in it is an answer."""
        return bool(self.failures) or any(model.rows or model.figures for model in self.models)


def parse_report(text: str) -> Report:
    """The summary, table and failures in the compiler's output, or the table in its log file."""
    version = None
    succeeded = False
    models: list[Summary] = []
    failures: list[Failure] = []
    unknown: list[str] = []
    for raw in text.splitlines():
        line = raw.strip()
        found = _VERSION.match(line)
        if found:
            version = found[1]
        elif _DONE.match(line):
            succeeded = True
        elif line and not _read_entry(line, models) and not _is_chatter(line):
            failure = _read_failure(line)
            if failure is not None:
                failures.append(failure)
            else:
                unknown.append(raw)
    return Report(text, version, succeeded, tuple(models), tuple(failures), tuple(unknown))


def _read_entry(line: str, models: list[Summary]) -> bool:
    """Take a line of a summary or a row of the table; False if it is neither."""
    if re.fullmatch(r"Operator\s+Count\s+Status", line):
        return True
    name, colon, value = line.partition(":")
    if colon and name in _NAMES:
        attribute = _NAMES[name]
        if attribute == "input" or not models:
            models.append(Summary())
        setattr(models[-1], attribute, value.strip())
        return True
    if colon and name in _FIGURES:
        figure = _read_figure(value.strip())
        if figure is None:
            return False
        if not models:
            models.append(Summary())
        models[-1].figures[_FIGURES[name]] = figure
        return True
    row = _ROW.fullmatch(line)
    if row is None:
        return False
    if not models:
        models.append(Summary())
    models[-1].rows.append(Row(row[1], int(row[2]), row[3].strip()))
    return True


def _read_figure(value: str) -> int | None:
    size = _SIZE.fullmatch(value)
    if size:
        return round(float(size[1]) * _UNITS[size[2]])
    return int(value) if re.fullmatch(r"\d{1,9}", value) else None


def _read_failure(line: str) -> Failure | None:
    for entry in _load()["failures"]:
        if entry["says"] in line:
            return Failure(line, **{name: value for name, value in entry.items() if name != "says"})
    return None


def _is_chatter(line: str) -> bool:
    return any(text in line for text in _load()["chatter"])


@cache
def _load() -> dict[str, Any]:
    from ruamel.yaml import YAML

    stored: dict[str, Any] = YAML(typ="safe", pure=True).load(Path(__file__).with_name("edgetpu_compiler.yaml"))
    return stored
