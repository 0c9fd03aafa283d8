"""Recipes that tests plan: a head that names model, data and task, and what a plan of it comes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.devices import Profiles, load_profiles
from edgekit.plan import Plan
from edgekit.planning.build import build_plan
from edgekit.recipe import load_recipe

PROFILES = load_profiles()

FOUR = """\
targets:
  coral: {}
  android-cpu: {precision: [fp16, int8]}
  openvino-cpu: {precision: [fp16, int8]}
  onnxruntime-cpu: {precision: [fp16, int8]}
"""


HEAD = """\
edgekit: 1
model: {file: "net.py:build", weights: net.pt}
data: {evaluate: {path: val}, calibrate: {path: calib, samples: 200}}
task: classification
"""


def plan(
    folder: Path,
    text: str,
    *overrides: str,
    head: str = HEAD,
    select: Sequence[str] = (),
    evaluate: bool = True,
    profiles: Profiles = PROFILES,
) -> Plan:
    path = folder / "net.yaml"
    path.write_text(head + text)
    return build_plan(load_recipe(path, overrides, profiles=profiles), profiles, select=select, evaluate=evaluate)


def outputs(made: Plan) -> list[str]:
    return [output.name for output in made.outputs]


def chain(made: Plan, output: str) -> list[str]:
    """The ids of the nodes that lead to an output."""
    ids: list[str] = []
    at: str | None = next(found.node for found in made.outputs if found.name == output)
    while at is not None:
        ids.insert(0, at)
        at = made.node(at).parent
    return ids
