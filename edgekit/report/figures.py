"""How figures are written for readers. Plain Python, the same text on every machine."""

from __future__ import annotations

from typing import Any

NONE = "-"
SHARE_GATES = ("min_agreement", "min_mapped_operators", "min_mapped_macs")


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
    """``0.42 s``, ``38 s``, ``3 min 04 s``."""
    if value is None:
        return NONE
    if value < 9.95:
        return f"{value:.2f} s" if 0 < value < 0.095 else f"{value:.1f} s" if value else "0 s"
    whole = round(value)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"


def share(value: float | None) -> str:
    """A share as per cent with one decimal; never ``100.0 %`` for what is not all."""
    if value is None:
        return NONE
    text = f"{value * 100:.1f}"
    if text == "100.0" and value < 1:
        text = "99.9"
    return f"{text} %"


def decibels(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f} dB"


def metric(value: float | None) -> str:
    """The task's own figure, in its own unit."""
    return NONE if value is None else f"{value:.4f}"


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


def gate_figure(gate: str, value: float | None) -> str:
    """A figure in the unit of the gate that judges it: ``max_drop`` in points, ``max_bytes`` as a size ..."""
    if value is None:
        return "not measured"
    if gate == "max_drop":
        return f"{_signed(value)} points"
    if gate == "min_sqnr_db":
        return decibels(value)
    if gate == "max_bytes":
        return size(int(value))
    if gate == "max_latency_ms":
        return milliseconds(value)
    if gate in SHARE_GATES:
        return share(value)
    return metric(value)


def visible(text: str) -> str:
    """The text without control characters: names in a model file are not to move a reader's cursor."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


def gate_text(verdict: dict[str, Any]) -> str:
    """One verdict in words: ``max_drop 1.00 points: 2.10 points (1.20 .. 3.00), fail``."""
    gate = verdict["gate"]
    value = gate_figure(gate, verdict["value"])
    if verdict["value"] is not None and verdict["interval"] is not None:
        unit = gate_figure(gate, 0.0).removeprefix(gate_figure(gate, 0.0).split()[0])
        low, high = (gate_figure(gate, bound).removesuffix(unit) for bound in verdict["interval"])
        value += f" ({low} .. {high})"
    settled = ", not settled" if verdict["settled"] is False else ""
    return f"{gate} {gate_figure(gate, verdict['limit'])}: {value}, {verdict['result'].replace('_', ' ')}{settled}"


def _signed(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text
