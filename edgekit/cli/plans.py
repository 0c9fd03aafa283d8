"""A plan as text: what `--dry-run` shows."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from edgekit.cli.terminal import pairs, table

if TYPE_CHECKING:
    from edgekit.plan import Node, Output, Plan

_DEFAULTS = "gates that the recipe does not name are the defaults; max_drop needs samples with labels"


def plan_text(plan: Plan) -> str:
    """Every node with its options and where each value came from, then every output with its gates."""
    parts = [f"{plan.name}: {len(plan.nodes)} steps, {len(plan.outputs)} outputs; nothing was run"]
    parts.append(pairs(_inputs(plan)))
    parts.extend(_node(plan, node) for node in plan.nodes)
    rows = [(output.name, output.node, _gates(_output_gates(plan, output))) for output in plan.outputs]
    parts.append(table(("output", "made by", "gates"), rows) + f"\n{_DEFAULTS}")
    return "\n\n".join(parts)


def absences(plan: Plan) -> list[str]:
    """What the plan needs and this machine lacks, each with the command that gets it."""
    from edgekit.cli.doctor import find_package
    from edgekit.plan import add_traits
    from edgekit.toolchains import find, get_manifest

    plan = add_traits(plan)
    steps = [node.traits for node in plan.nodes if node.traits is not None]
    toolchains = sorted({traits.toolchain for traits in steps if traits.toolchain is not None})
    inside = {wheel.name for name in toolchains for wheel in get_manifest(name).wheels}
    needed = {name for traits in steps for name in traits.requires}
    for known in plan.formats.values():
        needed |= {*known.requires, *((known.runtime,) if known.runtime is not None else ())}
    said = [
        f"the toolchain {name} is not installed: edgekit toolchain install {name}"
        for name in toolchains
        if find(name) is None
    ]
    packages = [find_package(name) for name in sorted(needed - inside)]
    said += [f"{package.name} is not installed: {package.command}" for package in packages if package.command]
    programs = sorted({name for traits in steps for name in traits.programs if shutil.which(name) is None})
    return said + [f"{name} is not on PATH: edgekit doctor says how to get it" for name in programs]


def _inputs(plan: Plan) -> list[tuple[str, str]]:
    source = plan.source
    file = f"{source.file}:{source.factory}" if source.factory else str(source.file)
    rows = [("model", f"{file} ({source.format})")]
    if source.weights:
        rows.append(("weights", str(source.weights)))
    if plan.task is not None:
        rows.append(("task", plan.task.name))
    if plan.data is not None:
        for role in ("split", "evaluate", "calibrate"):
            data = getattr(plan.data, role)
            if data is not None:
                where = f"{data.path}:{data.factory}" if data.factory else str(data.path)
                rows.append((role, where + (f", {data.samples} samples" if data.samples else "")))
        if plan.data.preprocess:
            rows.append(("preprocess", "\n".join(_value(word) for word in plan.data.preprocess)))
    return rows


def _node(plan: Plan, node: Node) -> str:
    kind = []
    if node.traits is not None:
        kind = ["exact" if node.traits.exact else "lossy"] + ["calibrates"] * node.traits.calibrates
    head = f"{node.id}  ({', '.join([f'from {node.parent or plan.source.format}', *kind])})"
    rows = [(name, _value(value), node.origins.get(name, "")) for name, value in node.options.items()]
    every = len(node.outputs) == len(plan.outputs) > 1
    lines = ["  for every output" if every else f"  for {', '.join(node.outputs)}"]
    if rows:
        lines.extend("  " + line for line in table(("option", "value", "from"), rows).splitlines())
    if node.gates:
        lines.append(f"  gates {_gates(node.gates)}")
    return "\n".join([head, *lines])


def _gates(gates: dict[str, float]) -> str:
    from edgekit.report.figures import gate_figure

    return ", ".join(f"{name} {gate_figure(name, limit)}" for name, limit in gates.items())


def _output_gates(plan: Plan, output: Output) -> dict[str, float]:
    """The recipe's gates over the defaults, as far as it can be told before the samples are read."""
    from edgekit.checks.gates import default_gates
    from edgekit.tasks import TASKS

    measured = plan.data is not None and (plan.data.split is not None or plan.data.evaluate is not None)
    decides = measured and plan.task is not None and TASKS.get(plan.task.name).metric is not None
    return {**default_gates(labelled=decides, decides=decides), **output.gates}


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return str(value)
