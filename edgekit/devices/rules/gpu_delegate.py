"""The GPU delegate of TensorFlow Lite, on phones."""

from __future__ import annotations

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.delegate import place_delegate
from edgekit.graph import Graph


@rules("gpu_delegate", judges="tflite")
def place(graph: Graph, profile: Profile) -> Placement:
    """Quantized models are taken and computed in floats; shapes must be fixed. One part at most unless the app asks for
    more."""
    return place_delegate("gpu_delegate", graph, profile)
