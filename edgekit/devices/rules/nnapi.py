"""Android's Neural Networks API, as TensorFlow Lite's NNAPI delegate reaches it."""

from __future__ import annotations

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.delegate import place_delegate
from edgekit.graph import Graph


@rules("nnapi", judges="tflite")
def place(graph: Graph, profile: Profile) -> Placement:
    """By the NNAPI level of ``operators.level``.

    NNAPI hands what it accepts to the phone's driver, which may refuse it: so an accepted operator is not known to run
    on the accelerator, and a refused one is known to be on the CPU.
    """
    return place_delegate("nnapi", graph, profile)
