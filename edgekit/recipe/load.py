"""From a recipe's text to a ``Recipe``: everything that can be known without running anything is checked here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.devices.profile import Profile
from edgekit.devices.profiles import Profiles, load_profiles
from edgekit.documents import UNFILLED, Node, Place, from_plain, read_file
from edgekit.errors import Mistake, RecipeError
from edgekit.recipe import preprocess
from edgekit.recipe.overrides import apply_override
from edgekit.recipe.schema import Recipe
from edgekit.recipe.spelling import Folders, fill_in, find_unfilled, make_paths_absolute, spell_out
from edgekit.recipe.uses import check_steps, check_targets, check_task
from edgekit.validation import check, raise_mistakes


def load_recipe(path: Path, overrides: Sequence[str] = (), *, profiles: Mapping[str, Profile] | None = None) -> Recipe:
    """The recipe in ``path`` after the ``--set`` texts in ``overrides``. ``profiles``: the targets that may be named
    (default: ``load_profiles()``).

    Raises:
        RecipeError: all its mistakes, each with file, line and column.
        InputError: there is no such file, it is no text, or a ``--set`` is not PATH=VALUE.
    """
    tree, mistakes = read_file(path)
    folders = Folders(path.absolute().parent, Path.cwd())
    return _finish(tree, mistakes, folders, str(path), _default_name(path.stem), overrides, profiles)


def load_mapping(
    mapping: Mapping[str, Any],
    *,
    base: Path,
    label: str,
    overrides: Sequence[str] = (),
    profiles: Mapping[str, Profile] | None = None,
) -> Recipe:
    """As ``load_recipe``, from plain data that a command made of its flags. Relative paths start from ``base``;
    ``label`` stands in mistakes where a file's name would."""
    tree = from_plain({"edgekit": 1, **mapping}, label)
    return _finish(tree, [], Folders(base.absolute(), Path.cwd()), label, "model", overrides, profiles)


def load_words(path: Path) -> Any:
    """What a YAML file says that holds only what a recipe has under `preprocess`, as plain data.

    Raises:
        RecipeError: all its mistakes, each with file, line and column.
        InputError: there is no such file, or it is no text.
    """
    words, mistakes = read_file(path)
    if isinstance(words.value, dict) and "preprocess" in words.value:
        message = "this file holds what stands under `preprocess`, without that key; for a recipe give --recipe FILE"
        raise_mistakes([*mistakes, words.key_place("preprocess").mistake(message)], str(path))
    tree = Node({"preprocess": words}, words.place)
    find_unfilled(words, mistakes, ("preprocess",))
    fill_in(tree, mistakes)
    blank = {node.place for node in tree.walk() if node.value == UNFILLED}
    written = words.plain()
    preprocess.spell_out(words, None, mistakes)
    raise_mistakes(_without_echoes(mistakes, blank), str(path))
    return written


def _default_name(stem: str) -> str:
    """The file's stem as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "recipe"


def _finish(
    tree: Node,
    mistakes: list[Mistake],
    folders: Folders,
    label: str,
    name: str,
    overrides: Sequence[str],
    profiles: Mapping[str, Profile] | None,
) -> Recipe:
    if not isinstance(tree.value, dict):
        raise_mistakes([*mistakes, tree.place.mistake("a recipe is a map; it begins with `edgekit: 1`")], label)
    for text in overrides:
        apply_override(tree, text, mistakes)
    find_unfilled(tree, mistakes)
    led = fill_in(tree, mistakes)
    blank = {node.place for node in tree.walk() if node.value == UNFILLED}
    spell_out(tree, mistakes)
    make_paths_absolute(tree, folders, led)
    _spell_out_preprocess(tree, mistakes)
    if "name" not in tree.value:
        tree.set("name", Node(name, tree.place))
    recipe = check(Recipe, tree, mistakes=mistakes)
    known = load_profiles() if profiles is None else profiles
    steps = check_steps(tree, mistakes)
    check_targets(tree, known, steps, mistakes)
    check_task(tree, mistakes)
    _check_numbers(tree, mistakes)
    raise_mistakes(_without_echoes(mistakes, blank), _subject(label))
    if recipe is None:
        raise RecipeError(f"{label} is not a recipe", where=label)
    recipe._tree = tree
    return recipe


def _check_numbers(tree: Node, mistakes: list[Mistake]) -> None:
    """Options that go to the user's code must be finite: what is not cannot be written as JSON nor hashed."""
    for path in (
        ("model", "options"),
        ("data", "split", "options"),
        ("data", "evaluate", "options"),
        ("data", "calibrate", "options"),
    ):
        options = tree.get(*path)
        for node in options.walk() if options is not None else ():
            if isinstance(node.value, float) and not math.isfinite(node.value):
                mistakes.append(node.place.mistake(f"an option must be finite, not {node.value}"))


def _spell_out_preprocess(tree: Node, mistakes: list[Mistake]) -> None:
    node = tree.get("preprocess")
    if node is None:
        return
    inputs = tree.get("model", "inputs")
    size = preprocess.input_size(inputs.plain() if inputs is not None and isinstance(inputs.value, dict) else None)
    tree.set("preprocess", preprocess.spell_out(node, size, mistakes), tree.key_place("preprocess"))


def _without_echoes(mistakes: list[Mistake], blank: set[Place]) -> list[Mistake]:
    """The mistakes without those that only say that a value which is not filled in has the wrong type."""
    told: dict[Place, list[Mistake]] = {}
    for item in mistakes:
        told.setdefault(Place(item.file, item.line, item.column), []).append(item)
    return [item for place, items in told.items() for item in (items[:1] if place in blank else items)]


def _subject(label: str) -> str:
    return f"the recipe {label}" if label.endswith((".yaml", ".yml")) else label


__all__ = ["Profiles", "load_mapping", "load_recipe", "load_words"]
