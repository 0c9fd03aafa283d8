"""What a profile itself says of operators, beside its rule set: ``operators.refused`` and ``operators.supported``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from edgekit.devices.profile import Profile
from edgekit.graph import Graph, Operator


def find_refusal(profile: Profile, graph: Graph, operator: Operator) -> str | None:
    """Why the device does not take the operator, by the profile alone; None where it does not rule it out.

    ``refused`` rules out what it lists. ``supported`` rules out what it does not list, in graphs of the formats whose
    operators it names: a list of TensorFlow Lite's says nothing of ONNX. A fact that is not known rules nothing out.
    """
    facts = profile.operators
    names = {operator.type, f"{operator.attributes.get('domain')}.{operator.type}"}
    if facts.refused is not None and names.intersection(facts.refused.value or ()):
        return f"{profile.title} does not take it ({facts.refused.source})"
    listed = frozenset(facts.supported.value or ()) if facts.supported is not None else frozenset()
    if facts.supported is None or not listed.intersection(_names(graph.format)) or names.intersection(listed):
        return None
    return f"it is not among the operators that {profile.title} supports ({facts.supported.source})"


@cache
def _names(format_name: str) -> frozenset[str]:
    """The operators of a format, as ``operators.yaml`` and OpenVINO's table list them."""
    from ruamel.yaml import YAML

    folder = Path(__file__).parent
    if format_name == "openvino":
        return frozenset(YAML(typ="safe", pure=True).load(folder / "rules" / "openvino.yaml")["operators"])
    return frozenset(YAML(typ="safe", pure=True).load(folder / "operators.yaml").get(format_name, ()))
