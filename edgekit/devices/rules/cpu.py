"""Devices without an accelerator: whether the CPU's runtime has each operator of the file. The runtime is that of the
file's format, as edgekit was measured with it; one that is older may have fewer."""

from __future__ import annotations

from dataclasses import replace

from edgekit.devices.placement import Placed, Placement
from edgekit.devices.profile import Profile
from edgekit.devices.rules import rules
from edgekit.devices.rules.judge import judge_operators
from edgekit.devices.rules.table import load_table, read_level
from edgekit.graph import Graph

#: Format -> the table of the runtime that loads it.
TABLES = {"tflite": "litert", "onnx": "onnxruntime", "openvino": "openvino"}

RUNS = "runs on the CPU"


@rules("cpu", judges=None)
def place(graph: Graph, profile: Profile) -> Placement:
    """By the table of the graph's format. What that has runs on the CPU, as there is nothing else; what it lacks is
    not known, such as an operator that an application brings with it; what it or the profile refuses does not run."""
    table = load_table(TABLES[graph.format])
    judged = judge_operators(graph, table, profile, read_level(table, profile).release, elsewhere="unsupported")
    notes = [f"there is no accelerator; which operators the CPU runs was {table.source}"]
    level = profile.operators.level
    if level is not None and level.unknown is not None:
        notes.append(
            f"the release on {profile.name} is not known, and an older one has fewer; searched: {level.unknown}"
        )
    return Placement(
        source="predicted",
        operators=tuple(map(_settle, judged)),
        subgraphs=0,
        notes=tuple(notes),
        cpu_only=True,
    )


def _settle(placed: Placed) -> Placed:
    return replace(placed, placement="cpu", status=RUNS, cause="host") if placed.cause == "mapped" else placed
