"""A recipe spelled out, written so that it loads to the same plan."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from edgekit.recipe.preprocess import UNSIZED

if TYPE_CHECKING:
    from edgekit.recipe.schema import Recipe, StepUse


def write(recipe: Recipe) -> str:
    """YAML in the recipe's own words: absolute paths, complete words, limits as numbers."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 4096
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(plain(recipe), stream)
    return stream.getvalue()


def plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as the plain data of its written form."""
    model = recipe.model.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    data: dict[str, Any] | None = None
    if recipe.data is not None:
        data = recipe.data.model_dump(mode="json", exclude_none=True)
        for samples in (data, *data.values()):
            _drop_empty(samples)
        data = {**data.pop("split", {}), **data}
    task = None
    if recipe.task is not None:
        task = {"name": recipe.task.name, "labels": recipe.task.labels, **recipe.task.options}
        task = {key: value for key, value in task.items() if value is not None}
    sections: dict[str, Any] = {
        "edgekit": recipe.edgekit,
        "name": recipe.name,
        "base": recipe.base,
        "model": model,
        "preprocess": _preprocess(recipe.preprocess),
        "data": data,
        "task": task,
        "gates": dict(recipe.gates),
        "steps": [_use(use) for use in recipe.steps],
        "targets": {name: _entry(entry) for name, entry in recipe.targets.items()},
    }
    return {key: value for key, value in sections.items() if value not in (None, {}, [])}


def _drop_empty(values: dict[str, Any]) -> None:
    for key in [key for key, value in values.items() if value in (None, {}, [])]:
        del values[key]


def _preprocess(words: list[dict[str, Any]]) -> Any:
    if len(words) == 1 and UNSIZED in words[0]:
        return {"preset": words[0][UNSIZED]["name"]}
    return [dict(word) for word in words]


def _use(use: StepUse) -> Any:
    settings = _settings(use)
    return {use.step: settings} if settings else use.step


def _settings(use: StepUse) -> dict[str, Any]:
    return {**use.options, **({"gates": dict(use.gates)} if use.gates else {})}


def _entry(entry: Any) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if entry.target is not None:
        written["target"] = entry.target
    if entry.precision:
        written["precision"] = list(entry.precision)
    if entry.compile:
        written["compile"] = True
    if entry.options:
        written["options"] = {step: _settings(use) for step, use in entry.options.items()}
    if entry.gates:
        written["gates"] = dict(entry.gates)
    return written
