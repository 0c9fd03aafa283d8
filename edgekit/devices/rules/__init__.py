"""The contract of a rule set: what an accelerator makes of a graph. One file per accelerator in this package:

    @rules("edgetpu", judges="tflite")
    def place(graph: Graph, profile: Profile) -> Placement: ...

Support, limits and versions are data with sources (YAML beside the module); the code reads them and knows no device by
name. A profile chooses its rule set with ``operators.rules``; what it rules out besides (``devices/refusals.py``) is
refused by the rule set before it divides the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.graph import Graph
from edgekit.registry import Registry

Place = Callable[[Graph, Profile], Placement]


@dataclass(frozen=True)
class RuleSet:
    """``judges`` is the format whose graphs it reads (None: the one that a file has); ``place`` needs nothing but the
    graph and the profile."""

    name: str
    judges: str | None
    place: Place


RULES: Registry[RuleSet] = Registry("rule set", "edgekit.devices.rules")


def rules(name: str, *, judges: str | None) -> Callable[[Place], Place]:
    """Register the decorated function as a rule set."""

    def register(place: Place) -> Place:
        RULES.add(name, RuleSet(name, judges, place), defined_in=place)
        return place

    return register
