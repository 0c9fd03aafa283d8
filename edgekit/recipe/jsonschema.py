"""The recipe language as a JSON Schema, for editors: both forms, every step and task there is with its options.

It describes the recipe after variables are filled in; what a schema cannot say (that a step takes what the one before
gives) only ``edgekit recipe validate`` tells.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from edgekit.checks.gates import GATES
from edgekit.recipe.preprocess import PRESETS, WORDS, Preset
from edgekit.recipe.schema import Model, Samples, Weights
from edgekit.steps import STEPS
from edgekit.tasks import TASKS

Schema = dict[str, Any]


def schema() -> Schema:
    """The JSON Schema (draft 2020-12) of a recipe as it is written."""
    definitions: dict[str, Schema] = {}
    properties: dict[str, Schema] = {
        "edgekit": {"const": 1, "description": "the version of the recipe language"},
        "name": {"type": "string", "description": "names the output folder; default: the file's stem"},
        "base": {"type": "string", "description": "where relative paths start; default: the recipe's own folder"},
        "vars": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        "model": _model(definitions),
        "preprocess": _preprocess(definitions),
        "data": _data(definitions),
        "task": _task(definitions),
        "gates": _gates(),
        "steps": {"type": "array", "items": {"$ref": "#/$defs/StepUse"}},
        "targets": _targets(),
    }
    _add_steps(definitions)
    definitions["Entry"] = _entry()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgekit recipe",
        "type": "object",
        "required": ["edgekit", "model"],
        "additionalProperties": False,
        "properties": properties,
        "$defs": definitions,
    }


def _place(kind: type[BaseModel], name: str, definitions: dict[str, Schema]) -> Schema:
    """Put a model's schema among the definitions; what it refers to goes there too."""
    made = kind.model_json_schema(ref_template="#/$defs/{model}")
    definitions.update(made.pop("$defs", {}))
    definitions[name] = made
    return {"$ref": f"#/$defs/{name}"}


def _either(*choices: Schema) -> Schema:
    return {"anyOf": list(choices)}


def _model(definitions: dict[str, Schema]) -> Schema:
    full = _place(Model, "Model", definitions)
    weights = _place(Weights, "Weights", definitions)
    definitions["Model"]["properties"]["weights"] = _either({"type": "string"}, weights)
    return _either({"type": "string", "description": "a model file, or file.py:NAME"}, full)


def _preprocess(definitions: dict[str, Schema]) -> Schema:
    words = {name: _place(kind, f"Word_{name}", definitions) for name, kind in WORDS.items()}
    share = _share()
    definitions["Word_crop"]["properties"]["fraction"] = share
    item = {
        "type": "object",
        "properties": words,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    return _either({"enum": list(PRESETS)}, _place(Preset, "Preset", definitions), {"type": "array", "items": item})


def _data(definitions: dict[str, Schema]) -> Schema:
    samples = _place(Samples, "Samples", definitions)
    role = _either({"type": "string", "description": "the path of samples"}, samples)
    roles = {
        "type": "object",
        "properties": {"evaluate": role, "calibrate": role},
        "additionalProperties": False,
        "minProperties": 1,
    }
    return _either({"type": "string", "description": "samples that are split"}, samples, roles)


def _task(definitions: dict[str, Schema]) -> Schema:
    full = []
    for task in TASKS:
        name = f"Task_{task.name}"
        _place(task.options_model, name, definitions)
        made = definitions[name]
        fields = {"name": {"const": task.name}, "labels": {"type": "string"}, **made.get("properties", {})}
        made.update(properties=fields, required=["name", *made.get("required", [])])
        full.append({"$ref": f"#/$defs/{name}"})
    return _either({"enum": TASKS.names()}, *full)


def _share() -> Schema:
    percent = {"type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]*)?|\.[0-9]+)\s*%\s*$"}
    return _either({"type": "number", "minimum": 0, "maximum": 1}, percent)


def _gates() -> Schema:
    limits = {name: _share() if gate.share else {"type": "number", "minimum": 0} for name, gate in GATES.items()}
    return {"type": "object", "properties": limits, "additionalProperties": False}


def _add_steps(definitions: dict[str, Schema]) -> None:
    """One definition for each step's options (with gates of its own), one for a step in a list."""
    settings: dict[str, Schema] = {}
    for step in STEPS:
        name = f"Step_{step.name}"
        _place(step.options, name, definitions)
        made = definitions[name]
        made["properties"] = {**made.get("properties", {}), "gates": _gates()}
        # Options that a route sets need not be given here.
        made.pop("required", None)
        made["description"] = step.summary or step.name
        settings[step.name] = {"$ref": f"#/$defs/{name}"}
    definitions["StepOptions"] = {"type": "object", "properties": settings, "additionalProperties": False}
    single: Schema = {name: _either({"type": "null"}, full) for name, full in settings.items()}
    definitions["StepUse"] = _either(
        {"enum": STEPS.names()},
        {"type": "object", "properties": single, "additionalProperties": False, "minProperties": 1, "maxProperties": 1},
    )


def _entry() -> Schema:
    return {
        "type": ["object", "null"],
        "description": "a profile (called as the entry is, unless `target` says so) at one or more precisions",
        "additionalProperties": False,
        "properties": {
            "target": {"type": "string"},
            "precision": _either(
                {"type": "string"}, {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
            ),
            "compile": {"type": "boolean", "description": "run the device's own compiler too", "default": False},
            "options": {"$ref": "#/$defs/StepOptions"},
            "gates": _gates(),
        },
    }


def _targets() -> Schema:
    entry = {"$ref": "#/$defs/Entry"}
    named = {"type": "object", "additionalProperties": entry, "minProperties": 1, "maxProperties": 1}
    return _either(
        {"type": "array", "items": _either({"type": "string"}, named)},
        {"type": "object", "additionalProperties": entry},
    )
