"""Reads what edgetpu_compiler prints: the summary of each model, the operator table (as in log files), failures.

Nothing is guessed: a line in a form that is not known is kept in ``unknown``, and a report without anything known in it
is no answer. Rows count only below the head of a table that is known: in another one their columns may mean another
thing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.devices.external import shown_line

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
_HEAD = re.compile(r"Operator\s+Count\s+Status")
#: How many lines that were not understood a report holds.
_MOST_UNKNOWN = 100


@dataclass(frozen=True)
class Row:
    """``count`` operators of a type with one status, in the compiler's words."""

    type: str
    count: int
    status: str


@dataclass(frozen=True)
class Failure:
    """A line that says why a model was not compiled; ``words`` is edgekit's name for the cause;
    ``general``: another line may say more; ``newer``: the version of the compiler that may not say it."""

    line: str
    words: str
    means: str
    remedy: str
    source: str
    retry: bool = False
    general: bool = False
    newer: int | None = None

    def told_by(self, version: str | None) -> Failure:
        """With a newer compiler as a remedy where an older one, or one that does not tell its version, said it."""
        found = re.match(r"\d+", version or "")
        if self.newer is None or (found is not None and int(found[0]) >= self.newer):
            return self
        return replace(self, remedy=f"use compiler {self.newer}; {self.remedy}")


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
    """``text`` is all that was printed; ``failures`` are those that say most first; ``unknown`` the first lines that
    were not understood, ``more_unknown`` how many follow them. A search for a part that compiles leaves failures of its
    tries before it succeeds."""

    text: str
    version: str | None
    succeeded: bool
    models: tuple[Summary, ...]
    failures: tuple[Failure, ...]
    unknown: tuple[str, ...]
    more_unknown: int = 0

    @property
    def known(self) -> bool:
        """Whether anything in it is an answer."""
        return bool(self.failures) or any(model.rows or model.figures for model in self.models)


def parse_report(text: str) -> Report:
    """The summary, table and failures in the compiler's output, or the table in its log file."""
    reading = _Reading()
    for line in text.splitlines():
        reading.take(line)
    return Report(
        text,
        reading.version,
        reading.succeeded,
        tuple(reading.models),
        tuple(failure.told_by(reading.version) for failure in sorted(reading.failures.values(), key=_is_general)),
        tuple(reading.unknown),
        reading.more_unknown,
    )


def _is_general(failure: Failure) -> bool:
    return failure.general


@dataclass
class _Reading:
    """What the lines so far came to. ``failures`` by line, each once; ``in_table``: below the head of one."""

    version: str | None = None
    succeeded: bool = False
    models: list[Summary] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    more_unknown: int = 0
    in_table: bool = False

    def take(self, raw: str) -> None:
        line = raw.strip()
        found = _VERSION.match(line)
        if found:
            self.version = shown_line(found[1])
        elif _DONE.match(line):
            self.succeeded = True
        elif line and not self._take_entry(line) and not _is_chatter(line):
            failure = _read_failure(line)
            if failure is not None:
                self.failures.setdefault(failure.line, failure)
            elif len(self.unknown) < _MOST_UNKNOWN:
                self.unknown.append(raw)
            else:
                self.more_unknown += 1

    def _take_entry(self, line: str) -> bool:
        """Take a line of a summary, the head of the table or a row; False if it is neither."""
        if _HEAD.fullmatch(line):
            self.in_table = True
            return True
        name, colon, value = line.partition(":")
        if colon and name in _NAMES:
            attribute = _NAMES[name]
            if attribute == "input":
                self.models.append(Summary())
                self.in_table = False
            setattr(self._model(), attribute, value.strip())
            return True
        if colon and name in _FIGURES:
            figure = _read_figure(value.strip())
            if figure is None:
                return False
            self._model().figures[_FIGURES[name]] = figure
            return True
        row = _ROW.fullmatch(line) if self.in_table else None
        if row is None:
            return False
        self._model().rows.append(Row(row[1], int(row[2]), row[3].strip()))
        return True

    def _model(self) -> Summary:
        if not self.models:
            self.models.append(Summary())
        return self.models[-1]


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
