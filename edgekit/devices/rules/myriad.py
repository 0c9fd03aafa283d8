"""Myriad (Movidius sticks, OAK cameras): what OpenVINO's plugin compiles to a blob, straight from ONNX. It computes in
float16 and has no CPU to fall back to: one operator that it refuses, and there is no blob."""

from __future__ import annotations

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.judge import check_static
from edgekit.devices.rules.table import load_table
from edgekit.devices.rules.whole import place_whole
from edgekit.graph import Graph


@rules("myriad", judges="onnx")
def place(graph: Graph, profile: Profile) -> Placement:
    """What was neither measured nor documented is not known; sizes have to be fixed."""
    return place_whole("myriad", graph, profile, check_static(graph, load_table("myriad")))
