"""A plan as text: what `--dry-run` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgekit.cli.terminal import pairs, table

if TYPE_CHECKING:
    from edgekit.plan import Node, Plan


def plan_text(plan: Plan) -> str:
    """Every node with its options and where each value came from, then every output with its gates."""
    parts = [f"{plan.name}: {len(plan.nodes)} steps, {len(plan.outputs)} outputs; nothing was run"]
    parts.append(pairs(_inputs(plan)))
    parts.extend(_node(plan, node) for node in plan.nodes)
    rows = [(output.name, output.node, _gates(output.gates)) for output in plan.outputs]
    parts.append(table(("output", "made by", "gates"), rows) + f"\n{_default_gates()}")
    return "\n\n".join(parts)


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


def _default_gates() -> str:
    from edgekit.checks.gates import DEFAULT_GATES

    return f"where the recipe does not say: {_gates(DEFAULT_GATES)}, as far as data and task allow"


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return str(value)
