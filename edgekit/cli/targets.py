"""`edgekit targets list|show|validate`: what is known of each device, and from where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.apps import JsonOption, TargetsDirOption, command_group
from edgekit.cli.terminal import answer, answer_json, table

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
    from edgekit.cli.datasheet import datasheet
    from edgekit.devices import load_profiles

    profile = load_profiles(targets_dir).find(name)
    if as_json:
        facts = profile.model_dump(mode="json", exclude_none=True)
        answer_json({"schema": "edgekit.target/1", "target": facts})
        return 0
    answer(datasheet(profile))
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
    from edgekit.devices.profiles import two_of_one_name
    from edgekit.errors import Mistake, RecipeError
    from edgekit.recipe.uses import check_profile

    names: list[str] = []
    mistakes: list[Mistake] = []
    seen: dict[str, Path] = {}
    for file in files:
        if file.stem in seen and not file.samefile(seen[file.stem]):
            raise two_of_one_name(seen[file.stem], file)
        seen[file.stem] = file
        try:
            names.append(validate_profile(file, check_names=check_profile).name)
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
