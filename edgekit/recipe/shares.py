"""Shares and limits as people write them: ``97.5%`` or 0.975, never 97.5."""

from __future__ import annotations

import math
import re
from typing import Any

from edgekit.documents import Node
from edgekit.errors import InputError, Mistake
from edgekit.registry import did_you_mean
from edgekit.validation import show

_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*%")


def parse_share(name: str, value: Any) -> float:
    """A share 0..1 from ``97.5%`` or a fraction.

    Raises:
        ValueError: it is neither, or more than the whole.
    """
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        share = float(match[1]) / 100
        if share > 1:
            raise ValueError(f"`{name}` is a share and cannot be more than 100%, as {value} is")
        return share
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"`{name}` is a share: write it as 97.5% or 0.975, not {show(value)}")
    if value < 0:
        raise ValueError(f"`{name}` is a share and cannot be negative, as {value} is")
    if value > 1:
        raise ValueError(f"`{name}` is a share: write {value:g}% or {value / 100:g}, not {value:g}")
    return float(value)


def parse_limit(name: str, value: Any) -> float:
    """The limit of the gate ``name`` as a number; shares may be written in percent.

    Raises:
        ValueError: it cannot be this gate's limit.
    """
    from edgekit.checks.gates import GATES, check_limit

    if GATES[name].share:
        return parse_share(name, value)
    if isinstance(value, str) and name == "max_drop" and (match := _PERCENT.fullmatch(value.strip())):
        raise ValueError(f"`max_drop` is in points of the metric: write {match[1]}, not {value}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"`{name}` must be a number, not {show(value)}")
    try:
        return check_limit(name, value)
    except InputError as error:
        raise ValueError(error.message) from None


def read_gates(node: Node, mistakes: list[Mistake]) -> Node:
    """A map of gates with every limit as a number; what is wrong is told and left out."""
    from edgekit.checks.gates import GATES

    read = Node({}, node.place)
    if not isinstance(node.value, dict):
        if node.value is not None:
            mistakes.append(node.place.mistake("`gates` is a map: {max_drop: 1.0, min_agreement: 96%}"))
        return read
    for name, limit in node.value.items():
        if name not in GATES:
            near = did_you_mean(name, GATES) or f"; the gates are {', '.join(GATES)}"
            mistakes.append(node.key_place(name).mistake(f"no gate is called `{name}`{near}"))
            continue
        try:
            number = parse_limit(name, limit.value)
        except ValueError as error:
            mistakes.append(limit.place.mistake(str(error)))
        else:
            read.set(name, Node(number, limit.place, flag=limit.flag), node.key_place(name))
    return read
