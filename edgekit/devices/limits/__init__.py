"""The limits that a table of rules may put on an operator, each a function of its own in this package:

    @limit
    def max_rank(view: View, operator: Operator, told: int) -> Complaint | None: ...

``told`` is what the table says. The answer is the reason in words, or None where the limit is kept. A limit that cannot
be read off the graph answers with ``known=False`` and what would have to be known. Tables name the function, in what
an operator must keep and in where a remedy holds (``edgekit/devices/remedies.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgekit.devices.limits.view import View
from edgekit.graph import Operator, TensorInfo
from edgekit.registry import Registry


@dataclass(frozen=True)
class Complaint:
    """Why a limit is not kept; ``known`` False: whether it is kept cannot be told. ``limit`` is the limit's name."""

    reason: str
    known: bool = True
    limit: str = ""


Limit = Callable[[View, Operator, Any], Complaint | None]
LIMITS: Registry[Limit] = Registry("limit", "edgekit.devices.limits")


def limit(check: Limit) -> Limit:
    """Register the decorated function under its name."""
    LIMITS.add(check.__name__, check, defined_in=check)
    return check


def find_complaint(view: View, operator: Operator, limits: Mapping[str, Any]) -> Complaint | None:
    """The first limit that is not kept; one that is surely broken goes before what cannot be told."""
    complaints = [(name, LIMITS.get(name)(view, operator, told)) for name, told in limits.items()]
    broken = [replace(complaint, limit=name) for name, complaint in complaints if complaint is not None]
    return min(broken, key=lambda complaint: not complaint.known, default=None)


def short_name(tensor: TensorInfo) -> str:
    """Its name; the first of those that a converter has joined with semicolons."""
    return tensor.name.split(";")[0]


def either(choices: Sequence[Any]) -> str:
    """``2 or 3``."""
    return " or ".join(str(choice) for choice in choices)


def both(names: Sequence[str]) -> str:
    """``a and b``."""
    return " and ".join(names)
