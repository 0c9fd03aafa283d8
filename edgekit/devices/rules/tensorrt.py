"""TensorRT: what its ONNX parser reads, by release. A part that it does not read keeps the whole engine from being
built, so nothing goes to the CPU."""

from __future__ import annotations

from dataclasses import replace

from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.judge import check_quantized
from edgekit.devices.rules.table import load_table
from edgekit.devices.rules.whole import place_whole
from edgekit.graph import Graph

_QUANTIZING = ("QuantizeLinear", "DequantizeLinear")


@rules("tensorrt", judges="onnx")
def place(graph: Graph, profile: Profile) -> Placement:
    """INT8 wants a model that carries its scales. Of a board's DLA cores nothing is judged, which a note says."""
    placement = place_whole("tensorrt", graph, profile, check_quantized(graph, profile, _QUANTIZING))
    cores = profile.hardware.dla_cores
    if cores is None or not cores.value:
        return placement
    return replace(placement, notes=(*placement.notes, load_table("tensorrt").stored["dla"]))
