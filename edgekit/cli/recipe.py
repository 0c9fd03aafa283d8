"""`edgekit recipe schema|validate`: the language, and whether a recipe keeps to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.apps import JsonOption, TargetsDirOption, command_group
from edgekit.cli.run import SetOption
from edgekit.cli.terminal import answer, answer_json

app = command_group(
    """Validate a recipe, or print the language's JSON Schema.

\b
Examples:
  edgekit recipe validate lite0.yaml
  edgekit recipe schema > edgekit.schema.json
"""
)


@app.command("validate")
def validate_recipe(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe (YAML).")],
    set_: SetOption = None,
    targets_dir: TargetsDirOption = None,
    as_json: JsonOption = False,
) -> int:
    """Look through a recipe: every mistake with its line and column, and exit code 2 if there is one.

    Nothing is run: neither the model's Python file nor any step.

    \b
    Example:
      edgekit recipe validate recipes/quickstart.yaml
    """
    from edgekit.devices import load_profiles
    from edgekit.recipe import load_recipe

    loaded = load_recipe(recipe, set_ or (), profiles=load_profiles(targets_dir))
    if as_json:
        answer_json({"schema": "edgekit.valid/1", "valid": True, "files": [str(recipe)], "sha256": loaded.sha256})
    else:
        answer(f"{recipe}: a valid recipe of {loaded.name}, for {', '.join(loaded.targets) or 'no target'}")
    return 0


@app.command("schema")
def show_schema() -> int:
    """Print the JSON Schema of the recipe language, for editors and other tools.

    \b
    Example:
      edgekit recipe schema > edgekit.schema.json
    """
    from edgekit.recipe import schema

    answer_json(schema())
    return 0
