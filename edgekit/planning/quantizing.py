"""What `edgekit check` has to know of the step that is going to quantize the model which it judges as if quantized:
which operators that step has no integer form of, and whether it refuses them or leaves them in floating point."""

from __future__ import annotations

import re
from dataclasses import replace

from edgekit.devices.judge import Judgement
from edgekit.devices.placement import Violation
from edgekit.devices.profile import Profile
from edgekit.formats.tflite_islands import without_integer_form
from edgekit.formats.tflite_versions import load_table
from edgekit.graph import Graph, Operator
from edgekit.steps import STEPS

QUANTIZER = "tflite_int8"
#: An operator's place as the message of a violation tells it.
_PLACE = re.compile(r"\(operator (\d+)\)")
_REPLACE = "replace the operator in the model"
_ALLOW = (
    "let it stay in float, where the CPU runs it (a recipe's "
    f"`targets: {{NAME: {{options: {{{QUANTIZER}: {{float_operators: allow}}}}}}}}`)"
)


def judge_quantizer(judgement: Judgement, graph: Graph, profile: Profile, precision: str) -> Judgement:
    """The judgement of the float ``graph``, with what the route's quantizing step refuses of it as violations, and a
    note on what it leaves in float. One that is not as if quantized stays as it is."""
    use = next((use for use in profile.routes[precision] if use.step == QUANTIZER), None)
    if use is None or not judgement.assumed_quantized:
        return judgement
    left = without_integer_form(graph)
    if not left:
        return judgement
    placement = judgement.placement
    options = STEPS.get(QUANTIZER).options(**use.options)
    if getattr(options, "refuses_float"):  # noqa: B009 - a property of this step's own options
        told = {int(place) for known in placement.violations for place in _PLACE.findall(known.message)}
        added = (_violation(operator) for operator in left if operator.index not in told)
        violations = (*placement.violations, *added)
        return replace(judgement, placement=replace(placement, violations=violations))
    kinds = ", ".join(sorted({operator.type for operator in left}))
    note = f"the step {QUANTIZER} has no int8 form of {kinds}, and leaves that in float"
    return replace(judgement, placement=replace(placement, notes=(*placement.notes, note)))


def _violation(operator: Operator) -> Violation:
    return Violation(
        "quantizer",
        f"{operator.type} (operator {operator.index}) has no int8 form that the step {QUANTIZER} writes, which for "
        "this target refuses what stays in float",
        _REPLACE if operator.type not in load_table().newest else f"{_REPLACE}, or {_ALLOW}",
    )
