"""`edgekit targets list|show|validate`: what is known of each device, and from where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.apps import JsonOption, TargetsDirOption, command_group
from edgekit.cli.terminal import answer, answer_json, pairs, table

if TYPE_CHECKING:
    from edgekit.devices import Profile

app = command_group(
    """List, show or validate the target profiles.

\b
Examples:
  edgekit targets list
  edgekit targets show coral
  edgekit targets validate my-board.yaml
"""
)

FACT_KEYS = {"value", "source", "unknown", "note"}


@app.command("list")
def list_targets(as_json: JsonOption = False, targets_dir: TargetsDirOption = None) -> int:
    """List every target: its family, the formats it loads, its precisions (the default one first).

    \b
    Example:
      edgekit targets list
    """
    from edgekit.devices import load_profiles

    profiles = load_profiles(targets_dir)
    found = [profiles[name] for name in sorted(profiles)]
    if as_json:
        answer_json({"schema": "edgekit.targets/1", "targets": [_summary(profile) for profile in found]})
        return 0
    rows = []
    for profile in found:
        summary = _summary(profile)
        formats = ", ".join(summary["formats"]) or "not known"
        rows.append((profile.name, profile.family, formats, ", ".join(summary["precisions"]), profile.title))
    answer(table(("target", "family", "formats", "precisions", "what it is"), rows))
    return 0


@app.command("show")
def show_target(
    name: Annotated[str, typer.Argument(help="The target's name, as in `targets list`.")],
    as_json: JsonOption = False,
    targets_dir: TargetsDirOption = None,
) -> int:
    """Show all that is known of a target, each value with its source; what is not known is called so.

    \b
    Example:
      edgekit targets show coral
    """
    from edgekit.devices import load_profiles

    profile = load_profiles(targets_dir).find(name)
    facts = profile.model_dump(mode="json", exclude_none=True)
    if as_json:
        answer_json({"schema": "edgekit.target/1", "target": facts})
        return 0
    rows = [row for key, value in facts.items() if key not in ("name", "title", "family") for row in _rows(key, value)]
    answer(f"{profile.name}: {profile.title} ({profile.family})\n\n{pairs(rows, indent='  ')}")
    return 0


@app.command("validate")
def validate_targets(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Profiles (YAML) to look through.")],
    as_json: JsonOption = False,
) -> int:
    """Look through profiles of your own: every mistake with its line, and exit code 2 if there is one.

    \b
    Example:
      edgekit targets validate boards/my-board.yaml
    """
    from edgekit.devices import validate_profile
    from edgekit.errors import Mistake, RecipeError
    from edgekit.recipe.uses import check_routes

    names: list[str] = []
    mistakes: list[Mistake] = []
    for file in files:
        try:
            names.append(validate_profile(file, check_routes=check_routes).name)
        except RecipeError as error:
            if not error.mistakes:
                raise
            mistakes.extend(error.mistakes)
    if mistakes:
        raise RecipeError(f"{len(mistakes)} mistake{'s' * (len(mistakes) > 1)} in target profiles", mistakes=mistakes)
    if as_json:
        answer_json({"schema": "edgekit.valid/1", "valid": True, "files": [str(file) for file in files]})
    else:
        answer("\n".join(f"{file}: a valid profile of {name}" for file, name in zip(files, names, strict=True)))
    return 0


def _summary(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "family": profile.family,
        "formats": profile.formats.value or [],
        "precisions": list(profile.routes),
    }


def _rows(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """A part of a profile as (dotted name, text); facts carry their source in a line below."""
    if isinstance(value, dict) and value and set(value) <= FACT_KEYS:
        yield name, _fact(value)
    elif isinstance(value, dict) and {"step", "options"} == set(value):
        yield name, _step(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _rows(f"{name}.{key}", item)
    elif isinstance(value, list) and name.startswith("routes."):
        yield name, " -> ".join(_step(item) for item in value)
    elif isinstance(value, list) and name == "reference":
        for figure in value:
            yield name, _figure(figure)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _rows(f"{name}.{index}", item)
    else:
        yield name, _text(value)


def _fact(fact: dict[str, Any]) -> str:
    if "unknown" in fact:
        lines = ["not known", f"searched: {fact['unknown']}"]
    else:
        lines = [_text(fact["value"]), f"source: {fact['source']}"]
    if "note" in fact:
        lines.append(f"note: {fact['note']}")
    return "\n".join(lines)


def _figure(figure: dict[str, Any]) -> str:
    """A published figure: ``MobileNet v2 224, latency 2.6 ms (Dev Board)`` and its source."""
    first, *rest = _fact(figure["result"]).split("\n")
    conditions = f" ({figure['conditions']})" if "conditions" in figure else ""
    return "\n".join([f"{figure['model']}, {figure['metric']} {first} {figure['unit']}{conditions}", *rest])


def _step(use: dict[str, Any]) -> str:
    options = ", ".join(f"{key}: {_text(value)}" for key, value in use["options"].items())
    return f"{use['step']} {{{options}}}" if options else use["step"]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
