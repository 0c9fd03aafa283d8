"""recipe + targets + steps -> Plan. Decides all that runs, in which order and with which options; runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit.checks.gates import GATES
from edgekit.devices.judge import judges
from edgekit.devices.profile import Profile
from edgekit.errors import EdgekitError, ExcludedError, InputError, first_exit_code
from edgekit.formats import FORMATS, Header
from edgekit.plan import Data, DataSource, Handover, Node, Output, Plan, Source, TaskUse, add_traits
from edgekit.planning.chains import Use, make_chain
from edgekit.planning.free_sizes import FIX, agreed_sizes, sizes_of_step
from edgekit.planning.preconditions import (
    check_labels,
    check_labels_file,
    check_programs,
    check_samples,
    find_source,
)
from edgekit.planning.selection import Wanted, choose_outputs
from edgekit.recipe.paths import split_factory
from edgekit.recipe.schema import Recipe, Samples


@dataclass
class _Draft:
    """A node while the plan is being made: its place in the tree, and the outputs that come through it."""

    use: Use
    parent: _Draft | None
    outputs: list[Wanted] = field(default_factory=list)
    children: dict[str, _Draft] = field(default_factory=dict)
    id: str = ""


def build_plan(
    recipe: Recipe, profiles: Mapping[str, Profile], *, select: Sequence[str] = (), evaluate: bool = True
) -> Plan:
    """The plan of a recipe; no framework is imported and no code of the user's is run. ``select`` holds the texts of
    ``--target NAME[/PRECISION]``; ``evaluate`` is False for ``--no-eval``, which needs no evaluation samples or labels.

    Raises:
        RecipeError, InputError: exit 2, what was asked cannot be, or a file that is named is not there.
        AbsentError: exit 3, declared weights or distributions are not on this machine.
        ExcludedError: exit 4, a target's profile rules the output out.
    """
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
    check_programs(recipe, [(output.entry, use.step) for output, uses in chains for use in uses], problems)
    check_samples(recipe, calibrating, evaluate, problems)
    check_labels_file(recipe, problems)
    if evaluate:
        check_labels(recipe, [output.entry for output in wanted], problems)
    _raise_first(problems)
    nodes, makers = _share(chains)
    plan = Plan(
        name=recipe.name,
        recipe_sha256=recipe.sha256,
        source=_with_sizes_of_steps(source, [uses for _, uses in chains]),
        nodes=nodes,
        outputs=tuple(
            _output(recipe, output, makers[output.name], _compiled_from(uses), profiles) for output, uses in chains
        ),
        data=plan_data(recipe),
        task=None if recipe.task is None else plan_task(recipe),
    )
    return add_traits(plan)


def _with_sizes_of_steps(source: Source, chains: Sequence[Sequence[Use]]) -> Source:
    """The source with the sizes that the step onnx_fix_shapes is given for inputs of which the recipe says none."""
    fixing = [use.options for uses in chains for use in uses if use.step.name == FIX]
    if not fixing:
        return source
    header = Header() if source.factory else FORMATS.get(source.format).read_header(source.file)
    inputs = dict(source.inputs)
    for name, shape in agreed_sizes(sizes_of_step(options, header) for options in fixing).items():
        inputs[name] = {"shape": list(shape), **inputs.get(name, {})}
    return replace(source, inputs=inputs)


def _raise_first(problems: list[EdgekitError]) -> None:
    """Raise the problem whose exit code comes first in edgekit's order."""
    if problems:
        code = first_exit_code(problem.exit_code for problem in problems)
        raise next(problem for problem in problems if problem.exit_code == code)


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


def _compiled_from(uses: Sequence[Use]) -> list[str]:
    """The format of an output's file and, where a program of others compiled it, of the one that it was made from."""
    if not uses:
        return []
    last = uses[-1].step
    return [last.produces, last.accepts] if last.programs else [last.produces]


def _output(
    recipe: Recipe, output: Wanted, node: str | None, judged: Sequence[str], profiles: Mapping[str, Profile]
) -> Output:
    """``judged`` are the formats that rules may read: ``_compiled_from``."""
    entry = recipe.targets.get(output.entry)
    gates = {**recipe.gates, **({} if entry is None else entry.gates)}
    if node is None:
        raise InputError(
            f"{output.name} needs no step: the model is already what {output.target} loads",
            remedy="copy the file; `edgekit eval` measures it",
            code="nothing_to_do",
        )
    profile = profiles[output.target] if output.target else None
    simulated = profile is not None and profile.toolchain.compiler is not None
    compiled = len(judged) > 1
    device = None
    if profile is not None and judges(profile) in judged:
        device = profile.model_dump(mode="json", exclude_none=True)
    handover = () if profile is None else _handover(profile, output.precision, compiled)
    return Output(output.name, output.entry, output.target, output.precision, node, gates, simulated, device, handover)


def _handover(profile: Profile, precision: str, compiled: bool) -> tuple[Handover, ...]:
    """What is left to be done with the file; ``compiled``: the step that a profile hands over was done on request."""
    return tuple(
        Handover(one.title, one.command, one.why.value, one.why.source)
        for one in profile.handovers(precision)
        if not (compiled and one.step is not None)
    )


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


def plan_data(recipe: Recipe) -> Data | None:
    if recipe.data is None:
        return None
    return Data(
        preprocess=tuple(recipe.preprocess),
        split=_data_source(recipe.data.split),
        evaluate=_data_source(recipe.data.evaluate),
        calibrate=_data_source(recipe.data.calibrate),
    )


def plan_task(recipe: Recipe) -> TaskUse:
    assert recipe.task is not None
    labels = None if recipe.task.labels is None else _path(recipe.task.labels)
    return TaskUse(recipe.task.name, dict(recipe.task.options), labels)
