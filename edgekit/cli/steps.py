"""`edgekit steps list|show`: what recipes can name in `steps` and `options`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.apps import JsonOption, command_group
from edgekit.cli.terminal import answer, answer_json, pairs, table

if TYPE_CHECKING:
    from edgekit.steps import Step

app = command_group(
    """List or show the steps that recipes can name.

\b
Examples:
  edgekit steps list
  edgekit steps show tflite_int8
"""
)


@app.command("list")
def list_steps(as_json: JsonOption = False) -> int:
    """List every step: what it takes, what it makes, and what it does.

    \b
    Example:
      edgekit steps list
    """
    from edgekit.steps import STEPS

    if as_json:
        answer_json({"schema": "edgekit.steps/1", "steps": [_document(step) for step in STEPS]})
    else:
        rows = [(step.name, f"{step.accepts} -> {step.produces}", _kind(step), step.summary) for step in STEPS]
        answer(table(("step", "formats", "kind", "what it does"), rows))
    return 0


@app.command("show")
def show_step(
    name: Annotated[str, typer.Argument(help="The step's name, as in `steps list`.")], as_json: JsonOption = False
) -> int:
    """Show a step's options with their types, defaults and meaning.

    \b
    Example:
      edgekit steps show tflite_int8
    """
    from edgekit.steps import STEPS

    step = STEPS.get(name)
    if as_json:
        answer_json({"schema": "edgekit.step/1", **_document(step), "options": step.options.model_json_schema()})
        return 0
    facts = [
        ("formats", f"{step.accepts} -> {step.produces}"),
        ("kind", _kind(step)),
        ("stack", step.stack),
        ("needs", ", ".join(step.requires) or "nothing"),
    ]
    if step.toolchain:
        facts.append(("toolchain", step.toolchain))
    answer(f"{step.name}: {step.summary}\n\n{pairs(facts, indent='  ')}\n\n{_options_text(step)}")
    return 0


def _kind(step: Step) -> str:
    words = ["exact" if step.exact else "lossy"]
    if step.calibrates:
        words.append("calibrates")
    return ", ".join(words)


def _document(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "summary": step.summary,
        "accepts": step.accepts,
        "produces": step.produces,
        "stack": step.stack,
        "version": step.version,
        "exact": step.exact,
        "calibrates": step.calibrates,
        "requires": list(step.requires),
        "toolchain": step.toolchain,
    }


def _options_text(step: Step) -> str:
    rows = []
    for name, field in step.options.model_fields.items():
        schema = step.options.model_json_schema()["properties"][field.alias or name]
        default = "required" if field.is_required() else _value(field.default)
        rows.append((field.alias or name, _type(schema), default, field.description or ""))
    return table(("option", "type", "default", "what it does"), rows) if rows else "It has no options."


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    return "[" + ", ".join(str(item) for item in value) + "]" if isinstance(value, list | tuple) else str(value)


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(str(choice) for choice in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_type(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return {"object": "map"}.get(schema.get("type", "any"), schema.get("type", "any"))
