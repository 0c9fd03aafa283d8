"""Verdicts: of each node where it stands, and of each output on its final artifact."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgekit.checks.gates import (
    EXACT_GATES,
    above_chance,
    chance_reached,
    default_gates,
    exit_code,
    judge,
    misses_itself,
    overall,
)
from edgekit.checks.measurement import Measurement, Verdict
from edgekit.engine.results import NodeResult, OutputResult
from edgekit.engine.tasks import is_exact
from edgekit.errors import InputError, first_exit_code
from edgekit.plan import Node, Output, Plan

CHANCE_WAYS = {"a constant answer": "always answering the commonest label", "guessing": "guessing (1 / classes)"}


@dataclass(frozen=True)
class Evaluation:
    """What is known of the evaluation: whether its samples have labels and the task decides (None: there is none)."""

    labelled: bool | None = None
    decides: bool | None = None


def node_gates(plan: Plan, node: Node, measured: Callable[[str], Measurement | None]) -> dict[str, float]:
    """The gates that a node is held to where it stands: exactness, and its own. ``measured`` gives another node's
    measurement, if there is one."""
    return {**_exact_gates(plan, node, measured), **node.gates}


def _exact_gates(plan: Plan, node: Node, measured: Callable[[str], Measurement | None]) -> dict[str, float]:
    """What shows that an exact step changed nothing. Measured is the distance to the source, so behind a step that may
    lose something it is what that lost and a noise of 60 dB at most of its own, one on top of the other."""
    if not is_exact(node) or node.parent is None:
        return EXACT_GATES if is_exact(node) else {}
    if all(is_exact(each) for each in path_to(plan, node.parent)):
        return EXACT_GATES
    before = measured(node.parent)
    if before is None or before.sqnr_db is None:
        return {}
    lost = 10 ** (-before.sqnr_db / 20)
    return {name: -20 * math.log10(lost + 10 ** (-limit / 20)) for name, limit in EXACT_GATES.items()}


def judge_node(
    plan: Plan,
    node: Node,
    measurement: Measurement | None,
    size: int,
    measured: Callable[[str], Measurement | None],
) -> tuple[Verdict, ...]:
    return judge(measurement, node_gates(plan, node, measured), bytes=size)


def misses_exactness(node: Node, verdicts: tuple[Verdict, ...]) -> bool:
    """Whether an exact step changed the function: it was measured, and missed what it is held to."""
    return is_exact(node) and any(verdict.gate in EXACT_GATES and verdict.result == "fail" for verdict in verdicts)


def output_gates(output: Output, evaluation: Evaluation) -> dict[str, float]:
    """The recipe's gates of an output, over the defaults that its data and task allow."""
    defaults = default_gates(labelled=evaluation.labelled is not False, decides=evaluation.decides is not False)
    if evaluation.labelled is None:
        defaults.pop("max_drop", None)
    return {**defaults, **output.gates}


def path_to(plan: Plan, id: str | None) -> list[Node]:
    """The nodes from the source down to ``id``."""
    found: list[Node] = []
    while id is not None:
        node = plan.node(id)
        found.insert(0, node)
        id = node.parent
    return found


def judge_output(
    plan: Plan,
    output: Output,
    nodes: Mapping[str, NodeResult],
    evaluation: Evaluation,
    *,
    strict: bool,
    ended_with: int,
    placement: dict[str, Any] | None = None,
    source: Measurement | None = None,
) -> OutputResult:
    """The output's result, its artifact still the node's. ``ended_with``: the exit code of a run that was ended;
    ``placement``: where the device runs its file's operators, if that was told; ``source``: the source's own figures.

    It fails by its own gates, and by any gate that a node on its path missed where it stood.
    """
    path = path_to(plan, output.node)
    last = nodes[output.node]
    missed = next((node.id for node in path if _fails(nodes[node.id].verdicts)), None)
    missed_at = next((node.id for node in path if _lost_by_a_step(nodes[node.id].verdicts, source)), None)
    broken = next((nodes[node.id].error for node in path if nodes[node.id].error is not None), None)
    made = OutputResult(output.name, output.target, output.precision, 0, "pass", node=output.node)
    if last.artifact is None:
        # A node without a file, an error or a missed gate before it was skipped when the run was ended.
        code = broken["exit_code"] if broken else 1 if missed else ended_with
        return replace(made, exit_code=code, verdict="fail", lost_at=missed_at)
    measurement = mark_simulated(last.measurement, output.simulated) or _measured_before(path, nodes)
    shares = {name: value for name, value in (placement or {}).items() if isinstance(value, float)}
    gates = output_gates(output, evaluation)
    verdicts = judge(measurement, gates, bytes=last.artifact.bytes, placement=shares)
    code = exit_code(verdicts, strict=strict)
    verdict = overall(verdicts)
    if broken is not None:
        code, verdict = broken["exit_code"], "fail"
    elif missed is not None:
        code, verdict = 1, "fail"
    elif strict and code == 0:
        code = first_exit_code(exit_code(nodes[node.id].verdicts, strict=True) for node in path)
    return replace(
        made,
        exit_code=code,
        verdict=verdict,
        verdicts=verdicts,
        artifact=last.artifact,
        measurement=measurement,
        lost_at=_lost_at(path, nodes, verdicts, source) or missed_at,
        rejected=verdict == "fail",
        placement=placement,
    )


def _measured_before(path: list[Node], nodes: Mapping[str, NodeResult]) -> Measurement | None:
    """Of a file that only the device runs, made by steps that must not change the function: the figures of the file
    before them, marked as simulated."""
    for node in reversed(path):
        measurement = nodes[node.id].measurement
        if measurement is not None:
            return replace(measurement, simulated=True) if node is not path[-1] else measurement
        if node.traits is None or not node.traits.programs or not node.traits.exact:
            return None
    return None


def mark_simulated(measurement: Measurement | None, simulated: bool) -> Measurement | None:
    """The measurement, marked where it was not taken in the device's own runtime."""
    return replace(measurement, simulated=True) if measurement is not None and simulated else measurement


def only_simulated(plan: Plan, node: Node) -> bool:
    """Whether a node makes the file of outputs whose devices all run something else than this machine does."""
    made = [output.simulated for output in plan.outputs if output.node == node.id]
    return bool(made) and all(made)


def check_chance(plan: Plan, measurement: Measurement | None, chance: float | None, way: str | None = None) -> None:
    """Refuse to go on with a source model that guesses. ``way``: how ``chance`` is reached without a model.

    Raises:
        InputError: its interval reaches down to chance, and no gate ``min_metric`` says that this is known.
    """
    asked = [output.gates for output in plan.outputs] + [node.gates for node in plan.nodes]
    if any("min_metric" in gates for gates in asked) or not chance_reached(measurement, chance):
        return
    assert measurement is not None and chance is not None
    raise InputError(
        f"the source model is {chance_text(measurement, chance, way)}",
        where="the source model on the evaluation data",
        remedy="check the preprocessing and the order of the labels; if this is expected, set the gate min_metric",
        code="at_chance",
    )


def chance_text(measurement: Measurement, chance: float, way: str | None = None) -> str:
    """``hardly better than chance: ...`` of a metric, and what it is held against."""
    assert measurement.interval is not None and measurement.value is not None
    low, high = measurement.interval
    return (
        f"hardly better than chance: {measurement.metric} {measurement.value:.2%} "
        f"(95 % interval {low:.2%} to {high:.2%}; {CHANCE_WAYS.get(way or '', 'chance')} reaches {chance:.2%}, "
        f"and the interval should lie above {above_chance(chance):.2%}) on {measurement.samples} samples"
    )


def _lost_at(
    path: list[Node], nodes: Mapping[str, NodeResult], verdicts: tuple[Verdict, ...], source: Measurement | None
) -> str | None:
    """The first node on the path where the limit of a missed gate was crossed; None where the source misses it."""
    missed = {verdict.gate: verdict.limit for verdict in _lost_by_a_step(verdicts, source)}
    if not missed:
        return None
    for node in path[:-1]:
        artifact, measurement = nodes[node.id].artifact, nodes[node.id].measurement
        # Only what was made to be small is too large: the size of what lies before says nothing.
        limits = {gate: limit for gate, limit in missed.items() if gate != "max_bytes"}
        if artifact is not None and _fails(judge(measurement, limits, bytes=artifact.bytes)):
            return node.id
    return path[-1].id


def _lost_by_a_step(verdicts: tuple[Verdict, ...], source: Measurement | None) -> list[Verdict]:
    """The verdicts that fail and that the source model would not have failed."""
    value = None if source is None else source.value
    return [
        verdict
        for verdict in verdicts
        if verdict.result == "fail" and not misses_itself(verdict.gate, verdict.limit, value)
    ]


def _fails(verdicts: tuple[Verdict, ...]) -> bool:
    return any(verdict.result == "fail" for verdict in verdicts)
