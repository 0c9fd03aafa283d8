"""Core ML, as TensorFlow Lite's Core ML delegate reaches it on iPhones."""

from __future__ import annotations

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.delegate import place_delegate
from edgekit.graph import Graph


@rules("coreml", judges="tflite")
def place(graph: Graph, profile: Profile) -> Placement:
    """Float models only. Core ML itself divides what it gets between Neural Engine, GPU and CPU."""
    return place_delegate("coreml", graph, profile)
