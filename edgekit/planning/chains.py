"""The chain of steps from the source model to one output: the recipe's own, then the rest of the target's route."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgekit.devices.profile import Profile
from edgekit.devices.profiles import Profiles
from edgekit.documents import from_plain
from edgekit.errors import ExcludedError, Mistake, RecipeError
from edgekit.planning.limits import check_limits, is_quantized
from edgekit.planning.selection import Wanted, find_profile
from edgekit.recipe.schema import Entry, Recipe
from edgekit.recipe.uses import check_routes
from edgekit.steps import STEPS, Step
from edgekit.validation import check, raise_mistakes


@dataclass(frozen=True)
class Use:
    """A step in an output's chain: complete options, where each came from, and gates of its own."""

    step: Step
    options: dict[str, Any]
    origins: dict[str, str]
    gates: dict[str, float]


def make_chain(recipe: Recipe, profiles: Mapping[str, Profile], output: Wanted, format_name: str) -> list[Use]:
    """The steps from the source to ``output``: the recipe's own, then the rest of the profile's route. Own steps that
    end with the one that compiles for the device are all; so is that one alone, if the recipe has no others and its
    model is quantized already.

    Raises:
        RecipeError: a step of the recipe cannot take what comes to it, or its options do not fit together.
        ExcludedError: the profile has no such precision, opset or shape, or no step of its route takes what the
            recipe's steps give.
    """
    own = [STEPS.get(use.step) for use in recipe.steps]
    if own and own[0].accepts != format_name:
        place = recipe.place("steps", 0, "step")
        message = f"`{own[0].name}` takes {own[0].accepts}, but the model is {format_name}"
        raise_mistakes([place.mistake(message)], "the recipe")
    entry = recipe.targets.get(output.entry, Entry())
    if not output.target:
        return [_merge(recipe, output, entry, step, index, {}) for index, step in enumerate(own)]
    profile = find_profile(profiles, output.target)
    _check_profile(profiles, profile)
    if output.precision not in profile.routes:
        raise _excluded(recipe, profile, output)
    route = profile.routes[output.precision]
    options = {use.step: use.options for use in route}
    uses = [_merge(recipe, output, entry, step, index, options.get(step.name, {})) for index, step in enumerate(own)]
    compiled = bool(own) and own[-1].name == profile.compile_step(output.precision)
    if not own and entry.compile and is_quantized(recipe, format_name):
        step = _compile_step(recipe, profile, output)
        if step.accepts == format_name:
            compiled, uses = True, [_merge(recipe, output, entry, step, None, {})]
    for use in () if compiled else route[_enter_route(profile, output, own, format_name) :]:
        uses.append(_merge(recipe, output, entry, STEPS.get(use.step), None, use.options))
    if entry.compile and not compiled:
        uses.append(_merge(recipe, output, entry, _compile_step(recipe, profile, output), None, {}))
    check_limits(recipe, profile, output.name, uses, format_name)
    return uses


def _compile_step(recipe: Recipe, profile: Profile, output: Wanted) -> Step:
    name = profile.compile_step(output.precision)
    if name is None:
        told = [one.command for one in profile.handover if one.command is not None]
        raise ExcludedError(
            f"{output.name} has `compile: true`, and edgekit has no step that compiles for {profile.title}",
            where=str(recipe.place("targets", output.entry, "compile")),
            remedy=f"leave it out, and do it by hand: {told[0]}" if told else "leave it out",
            code="no_compiler",
        )
    return STEPS.get(name)


def _enter_route(profile: Profile, output: Wanted, own: list[Step], format_name: str) -> int:
    """Where the route is entered: after the last of its steps that the recipe already does, at the first step that
    takes the format that has been reached."""
    route = [STEPS.get(use.step) for use in profile.routes[output.precision]]
    done = {step.name for step in own}
    reached = own[-1].produces if own else format_name
    start = max((index + 1 for index, step in enumerate(route) if step.name in done), default=0)
    for index in range(start, len(route)):
        if route[index].accepts == reached:
            return index
    if start == len(route) and reached == route[-1].produces:
        return start
    steps = f"the recipe's steps end in {reached}" if own else f"the model is {reached}"
    formats = ", ".join(dict.fromkeys(step.accepts for step in route))
    raise ExcludedError(
        f"{output.name} cannot be made: {steps}, and no step of the route at {output.precision} takes that",
        where=f"the route {' -> '.join(step.name for step in route)}",
        remedy=f"start from a model in one of the formats {formats}",
        code="no_route",
    )


def _excluded(recipe: Recipe, profile: Profile, output: Wanted) -> ExcludedError:
    """Why a profile does not have a precision, and what it has instead."""
    fact = profile.excluded.get(output.precision)
    known = ", ".join(profile.routes)
    why = f"{fact.value} ({fact.source})" if fact is not None and fact.known else f"its profile lists {known}"
    written = output.entry in recipe.targets and output.precision in recipe.targets[output.entry].precision
    place = recipe.place("targets", output.entry, "precision") if written else None
    return ExcludedError(
        f"{profile.title} has no precision {output.precision}: {why}",
        where=str(place) if place is not None else f"--target {output.name}",
        remedy=f"ask for {' or '.join(f'{output.entry}/{name}' for name in profile.routes)}",
        code="excluded_precision",
    )


def _check_profile(profiles: Mapping[str, Profile], profile: Profile) -> None:
    """Refuse a profile whose routes name steps that do not exist, with its file and line."""
    if isinstance(profiles, Profiles):
        mistakes: list[Mistake] = []
        check_routes(profile, profiles.tree(profile.name), mistakes)
        raise_mistakes(mistakes, f"the target profile {profiles.files[profile.name]}")


def _merge(
    recipe: Recipe, output: Wanted, entry: Entry, step: Step, index: int | None, from_route: Mapping[str, Any]
) -> Use:
    """The options of one step: its defaults < the route's < the recipe's < the output's < ``--set``."""
    values = dict(from_route)
    origins = dict.fromkeys(from_route, f"route of {output.target}")
    paths: dict[str, tuple[str | int, ...]] = {}
    layers: list[tuple[tuple[str | int, ...], Mapping[str, Any]]] = []
    gates: dict[str, float] = {}
    if index is not None:
        layers.append((("steps", index, "options"), recipe.steps[index].options))
        gates.update(recipe.steps[index].gates)
    if step.name in entry.options:
        layers.append((("targets", output.entry, "options", step.name, "options"), entry.options[step.name].options))
        gates.update(entry.options[step.name].gates)
    for flagged in (False, True):
        for path, options in layers:
            for name, value in options.items():
                origin = recipe.origin((*path, name))
                if (origin == "--set") == flagged:
                    values[name], origins[name], paths[name] = value, origin, (*path, name)
    mistakes: list[Mistake] = []
    merged = check(step.options, from_plain(values, ""), mistakes=mistakes)
    if merged is None:
        raise _misfit(recipe, output, step, mistakes, paths)
    complete = merged.model_dump(mode="json")
    return Use(step, complete, {name: origins.get(name, "default") for name in complete}, gates)


def _misfit(
    recipe: Recipe,
    output: Wanted,
    step: Step,
    mistakes: list[Mistake],
    paths: Mapping[str, tuple[str | int, ...]],
) -> RecipeError:
    """Options that are right one by one and wrong together (or missing): told where the first of them was written."""
    place = recipe.place(*next(iter(paths.values()), ("targets", output.entry)))
    said = "; ".join(mistake.message for mistake in mistakes)
    mistake = place.mistake(f"the options of `{step.name}` for {output.name}: {said}")
    return RecipeError("the recipe has a mistake", where=str(place), mistakes=[mistake])
