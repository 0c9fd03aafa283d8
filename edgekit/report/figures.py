"""How figures are written for readers. Plain Python, the same text on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgekit.checks.gates import GATES

NONE = "-"
# More decimals than usual at most, to tell a figure from a limit.
MOST_DECIMALS = 6


def size(count: int | None) -> str:
    """Bytes with three significant figures: ``512 B``, ``4.82 MB`` (decimal units)."""
    if count is None:
        return NONE
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    digits = max(0, 2 - len(str(int(value))) + 1)
    return f"{value:.{digits}f} {unit}"


def seconds(value: float | None) -> str:
    """``0.42 s``, ``38 s``, ``3 min 04 s``; what is shorter than a hundredth is one."""
    if value is None:
        return NONE
    if value < 9.95:
        return f"{max(value, 0.01):.2f} s" if 0 < value < 0.095 else f"{value:.1f} s" if value else "0 s"
    whole = round(value)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def share(value: float | None, digits: int = 1) -> str:
    """A share as per cent, by default with one decimal; never ``100.0 %`` for what is not all."""
    return NONE if value is None else f"{_per_cent(value, digits)} %"


def decibels(value: float | None, digits: int = 1) -> str:
    return NONE if value is None else f"{value:.{digits}f} dB"


def metric(measurement: Mapping[str, Any] | None) -> str:
    """The task's own figure with its 95 % interval: a share as ``82.6 % (79.9 .. 85.0)``, another in its own unit."""
    if measurement is None or measurement["value"] is None:
        return NONE
    value, interval = measurement["value"], measurement["interval"]
    is_share = measurement["share"]
    text = share(value) if is_share else f"{value:.4f}"
    if interval is None:
        return text
    low, high = (_per_cent(bound, 1) if is_share else f"{bound:.4f}" for bound in interval)
    return f"{text} ({low} .. {high})"


def points(value: float | None, interval: Any = None) -> str:
    """A drop with its interval: ``0.40 (-0.20 .. 1.10)``; a minus sign means that the figure rose."""
    if value is None:
        return NONE
    text = _signed(value)
    if interval is None:
        return text
    return f"{text} ({_signed(interval[0])} .. {_signed(interval[1])})"


def milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g} ms"


def gate_figure(gate: str, value: float | None, more: int = 0) -> str:
    """A figure in the unit of the gate that judges it: ``max_drop`` in points, ``max_bytes`` as a size ...; with
    ``more`` decimals than usual."""
    if value is None:
        return "not measured"
    if gate == "max_drop":
        return f"{_signed(value, 2 + more)} points"
    if gate == "min_sqnr_db":
        return decibels(value, 1 + more)
    if gate == "max_bytes":
        return f"{int(value)} B" if more else size(int(value))
    if gate == "max_latency_ms":
        return f"{value:.{3 + more}g} ms"
    return share(value, 1 + more) if GATES[gate].share else f"{value:.{4 + more}f}"


def visible(text: str) -> str:
    """The text without control characters: names in a model file are not to move a reader's cursor."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


def gate_text(verdict: dict[str, Any]) -> str:
    """One verdict in words: ``max_drop 2.10 points (1.20 .. 3.00), limit 1.00 points, fail``.

    The figure gets as many decimals as it takes to tell it from a limit that it is not equal to."""
    gate, figure, limit = verdict["gate"], verdict["value"], verdict["limit"]
    if figure is None:
        return f"{gate} not measured, limit {gate_figure(gate, limit)}"
    more = _decimals_to_tell(gate, figure, limit)
    value = gate_figure(gate, figure, more)
    if verdict["interval"] is not None:
        unit = value[value.index(" ") :]
        low, high = (gate_figure(gate, bound, more).removesuffix(unit) for bound in verdict["interval"])
        value += f" ({low} .. {high})"
    settled = ", not settled" if verdict["settled"] is False else ""
    return f"{gate} {value}, limit {gate_figure(gate, limit, more)}, {verdict['result']}{settled}"


def _decimals_to_tell(gate: str, figure: float, limit: float) -> int:
    """How many more decimals than usual it takes to see that two figures differ."""
    for more in range(MOST_DECIMALS):
        if figure == limit or gate_figure(gate, figure, more) != gate_figure(gate, limit, more):
            return more
    return MOST_DECIMALS


def _per_cent(value: float, digits: int) -> str:
    """Rounded, but down where that would make ``100.0`` of what is not all."""
    text = f"{value * 100:.{digits}f}"
    if float(text) == 100 and value < 1:
        text = f"{100 - 10.0**-digits:.{digits}f}"
    return text


def _signed(value: float, digits: int = 2) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text
