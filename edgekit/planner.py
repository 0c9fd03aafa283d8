"""recipe + targets + steps -> Plan. Decides all that runs, in which order and with which options; runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgekit.checks.gates import GATES
from edgekit.devices.profile import Profile
from edgekit.devices.profiles import Profiles
from edgekit.errors import EdgekitError, ExcludedError, InputError, Mistake, RecipeError, UnknownName, first_exit_code
from edgekit.plan import Data, DataSource, Node, Output, Plan, Source, TaskUse, add_traits
from edgekit.preconditions import check_labels, check_labels_file, check_samples, find_source
from edgekit.recipe.schema import Entry, Recipe, Samples, check_entry_name, split_factory
from edgekit.recipe.uses import check_routes
from edgekit.registry import did_you_mean
from edgekit.steps import STEPS, Step
from edgekit.validation import explain, raise_mistakes


@dataclass(frozen=True)
class Wanted:
    """An output that was asked for, before its chain of steps is known."""

    entry: str
    target: str
    precision: str

    @property
    def name(self) -> str:
        return f"{self.entry}/{self.precision}"


@dataclass(frozen=True)
class Use:
    """A step in an output's chain: complete options, where each came from, and gates of its own."""

    step: Step
    options: dict[str, Any]
    origins: dict[str, str]
    gates: dict[str, float]


@dataclass
class _Draft:
    """A node while the plan is being made: its place in the tree, and the outputs that come through it."""

    use: Use
    parent: _Draft | None
    outputs: list[Wanted] = field(default_factory=list)
    children: dict[str, _Draft] = field(default_factory=dict)
    id: str = ""


def make_plan(
    recipe: Recipe, profiles: Mapping[str, Profile], *, select: Sequence[str] = (), evaluate: bool = True
) -> Plan:
    """See ``edgekit.plan.build_plan``, which is what others call."""
    wanted = choose_outputs(recipe, profiles, select)
    problems: list[EdgekitError] = []
    source = Source(
        file=_path(recipe.model.file),
        format=find_source(recipe, problems),
        factory=split_factory(recipe.model.file)[1],
        options=dict(recipe.model.options),
        weights=None if recipe.model.weights is None else _path(recipe.model.weights.path),
        weights_get=None if recipe.model.weights is None else recipe.model.weights.get,
        inputs={name: given.model_dump(exclude_none=True) for name, given in recipe.model.inputs.items()},
        requires=tuple(recipe.model.requires),
    )
    chains: list[tuple[Wanted, list[Use]]] = []
    for output in wanted:
        try:
            if source.format:
                chains.append((output, make_chain(recipe, profiles, output, source.format)))
        except (InputError, ExcludedError) as error:
            problems.append(error)
    calibrating = [(output.name, use.step.name) for output, uses in chains for use in uses if use.step.calibrates]
    check_samples(recipe, calibrating, evaluate, problems)
    check_labels_file(recipe, problems)
    if evaluate:
        check_labels(recipe, [output.entry for output in wanted], problems)
    _raise_first(problems)
    nodes, makers = _share(chains)
    plan = Plan(
        name=recipe.name,
        recipe_sha256=recipe.sha256,
        source=source,
        nodes=nodes,
        outputs=tuple(_output(recipe, output, makers[output.name]) for output, _ in chains),
        data=_plan_data(recipe),
        task=None if recipe.task is None else _plan_task(recipe),
    )
    return add_traits(plan)


def _raise_first(problems: list[EdgekitError]) -> None:
    """Raise the problem whose exit code comes first in edgekit's order."""
    if problems:
        code = first_exit_code(problem.exit_code for problem in problems)
        raise next(problem for problem in problems if problem.exit_code == code)


# --- which outputs ---------------------------------------------------------------------------------------------------


def choose_outputs(recipe: Recipe, profiles: Mapping[str, Profile], select: Sequence[str]) -> list[Wanted]:
    """The outputs that the recipe asks for, or only those of ``select``; each once, in the order they were asked for.

    Raises:
        UnknownName: a selected name is neither an entry of the recipe nor a profile.
        InputError: there is nothing to make.
    """
    if not select:
        chosen = [output for name in recipe.targets for output in _entry_outputs(recipe, profiles, name)]
    else:
        chosen = [output for text in select for output in _selected(recipe, profiles, text)]
    if not chosen and recipe.steps:
        chosen = [_without_target(recipe)]
    if not chosen:
        raise InputError(
            "nothing to make: the recipe has no `targets`",
            where=str(recipe.place("targets")),
            remedy=f"add them, or give --target NAME with one of {', '.join(profiles)}",
            code="no_targets",
        )
    return list(dict.fromkeys(chosen))


def _entry_outputs(recipe: Recipe, profiles: Mapping[str, Profile], name: str) -> list[Wanted]:
    entry = recipe.targets[name]
    target = entry.target or name
    precisions = entry.precision or [_profile(profiles, target).default_precision]
    return [Wanted(name, target, precision) for precision in precisions]


def _selected(recipe: Recipe, profiles: Mapping[str, Profile], text: str) -> list[Wanted]:
    name, slash, precision = text.partition("/")
    if slash and not precision:
        raise InputError(f"`--target {text}` names no precision", remedy=f"write {name} or {name}/int8")
    if name in recipe.targets:
        outputs = _entry_outputs(recipe, profiles, name)
    elif name in profiles:
        check_entry_name(name)
        outputs = [Wanted(name, name, profiles[name].default_precision)]
    else:
        known = list(dict.fromkeys([*recipe.targets, *profiles]))
        raise UnknownName(
            f"no target is called `{name}`{did_you_mean(name, known)}",
            where=f"--target {text}",
            remedy=f"the recipe's entries and the profiles are {', '.join(known)}",
            code="unknown_target",
        )
    return [replace(outputs[0], precision=precision)] if precision else outputs


def _without_target(recipe: Recipe) -> Wanted:
    """What a recipe of steps alone makes: an output called after the format that its last step writes."""
    steps = [STEPS.get(use.step) for use in recipe.steps]
    lossy = [step.name for step in steps if not step.exact]
    return Wanted(steps[-1].produces, "", lossy[-1].rpartition("_")[2] if lossy else "fp32")


def _profile(profiles: Mapping[str, Profile], name: str) -> Profile:
    if isinstance(profiles, Profiles):
        return profiles.find(name)
    if name not in profiles:
        raise UnknownName(f"no target is called `{name}`{did_you_mean(name, profiles)}", code="unknown_target")
    return profiles[name]


# --- the chain of steps of one output --------------------------------------------------------------------------------


def make_chain(recipe: Recipe, profiles: Mapping[str, Profile], output: Wanted, format_name: str) -> list[Use]:
    """The steps from the source to ``output``: the recipe's own, then the rest of the profile's route.

    Raises:
        RecipeError: a step of the recipe cannot take what comes to it, or its options do not fit together.
        ExcludedError: the profile has no such precision, or no step of its route takes what the recipe's steps give.
    """
    own = [STEPS.get(use.step) for use in recipe.steps]
    if own and own[0].accepts != format_name:
        place = recipe.place("steps", 0, "step")
        message = f"`{own[0].name}` takes {own[0].accepts}, but the model is {format_name}"
        raise_mistakes([place.mistake(message)], "the recipe")
    entry = recipe.targets.get(output.entry, Entry())
    if not output.target:
        return [_merge(recipe, output, entry, step, index, {}) for index, step in enumerate(own)]
    profile = _profile(profiles, output.target)
    _check_profile(profiles, profile)
    if output.precision not in profile.routes:
        raise _excluded(recipe, profile, output)
    route = profile.routes[output.precision]
    options = {use.step: use.options for use in route}
    uses = [_merge(recipe, output, entry, step, index, options.get(step.name, {})) for index, step in enumerate(own)]
    for use in route[_enter_route(profile, output, own, format_name) :]:
        uses.append(_merge(recipe, output, entry, STEPS.get(use.step), None, use.options))
    return uses


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
    place = recipe.place("targets", output.entry, "precision") if output.entry in recipe.targets else None
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
    try:
        complete = step.options.model_validate(values).model_dump(mode="json")
    except ValidationError as error:
        raise _misfit(recipe, output, step, error, paths) from None
    return Use(step, complete, {name: origins.get(name, "default") for name in complete}, gates)


def _misfit(
    recipe: Recipe, output: Wanted, step: Step, error: ValidationError, paths: Mapping[str, tuple[str | int, ...]]
) -> RecipeError:
    """Options that are right one by one and wrong together (or missing): told where the first of them was written."""
    path = next(iter(paths.values()), ("targets", output.entry))
    node, place = recipe.node(*path[:-1]) or recipe.node(), recipe.place(*path)
    assert node is not None
    said = "; ".join(item.message for item in explain(error, step.options, node))
    mistake = place.mistake(f"the options of `{step.name}` for {output.name}: {said}")
    return RecipeError("the recipe has a mistake", where=str(place), mistakes=[mistake])


# --- the graph -------------------------------------------------------------------------------------------------------


def _share(chains: list[tuple[Wanted, list[Use]]]) -> tuple[tuple[Node, ...], dict[str, str | None]]:
    """The nodes of all chains, equal prefixes once, parents first; and which node makes each output."""
    top: dict[str, _Draft] = {}
    drafts: list[_Draft] = []
    last: dict[str, _Draft | None] = {}
    for output, uses in chains:
        parent: _Draft | None = None
        for use in uses:
            siblings = top if parent is None else parent.children
            key = f"{use.step.name} {sorted(use.options.items())!r}"
            draft = siblings.get(key)
            if draft is None:
                draft = siblings[key] = _Draft(use, parent)
                drafts.append(draft)
            else:
                draft.use = replace(draft.use, gates=_strictest(draft.use.gates, use.gates))
            draft.outputs.append(output)
            parent = draft
        last[output.name] = parent
    _name(drafts)
    nodes = tuple(
        Node(
            id=draft.id,
            step=draft.use.step.name,
            options=draft.use.options,
            origins=draft.use.origins,
            parent=None if draft.parent is None else draft.parent.id,
            outputs=tuple(output.name for output in draft.outputs),
            gates=draft.use.gates,
        )
        for draft in drafts
    )
    return nodes, {name: None if draft is None else draft.id for name, draft in last.items()}


def _name(drafts: list[_Draft]) -> None:
    """A node's id is its step's name; several of one name are STEP@ENTRY, and within one entry STEP@ENTRY-PRECISION."""
    for draft in drafts:
        twins = [other for other in drafts if other.use.step.name == draft.use.step.name]
        first = draft.outputs[0]
        if len(twins) == 1:
            draft.id = draft.use.step.name
        elif sum(other.outputs[0].entry == first.entry for other in twins) == 1:
            draft.id = f"{draft.use.step.name}@{first.entry}"
        else:
            draft.id = f"{draft.use.step.name}@{first.entry}-{first.precision}"


def _strictest(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    """The gates of two outputs on a node that they share."""
    merged = dict(first)
    for gate, limit in second.items():
        if gate in merged:
            merged[gate] = min(merged[gate], limit) if GATES[gate].upper else max(merged[gate], limit)
        else:
            merged[gate] = limit
    return merged


def _output(recipe: Recipe, output: Wanted, node: str | None) -> Output:
    entry = recipe.targets.get(output.entry)
    gates = {**recipe.gates, **({} if entry is None else entry.gates)}
    if node is None:
        raise InputError(
            f"{output.name} needs no step: the model is already what {output.target} loads",
            remedy="copy the file; `edgekit eval` measures it",
            code="nothing_to_do",
        )
    return Output(output.name, output.entry, output.target, output.precision, node, gates)


# --- data and task ---------------------------------------------------------------------------------------------------


def _path(text: str) -> Path:
    return Path(split_factory(text)[0])


def _data_source(samples: Samples | None) -> DataSource | None:
    if samples is None:
        return None
    return DataSource(
        path=_path(samples.path),
        factory=split_factory(samples.path)[1],
        options=dict(samples.options),
        requires=tuple(samples.requires),
        samples=samples.samples,
        seed=samples.seed,
    )


def _plan_data(recipe: Recipe) -> Data | None:
    if recipe.data is None:
        return None
    return Data(
        preprocess=tuple(recipe.preprocess),
        split=_data_source(recipe.data.split),
        evaluate=_data_source(recipe.data.evaluate),
        calibrate=_data_source(recipe.data.calibrate),
    )


def _plan_task(recipe: Recipe) -> TaskUse:
    assert recipe.task is not None
    labels = None if recipe.task.labels is None else _path(recipe.task.labels)
    return TaskUse(recipe.task.name, dict(recipe.task.options), labels)
