"""What `edgekit check` converts a model by before it judges it: the exact steps of the target's route, with remedy
steps among them where they were asked for; and which steps the remedies of a placement name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.devices.judge import judges
from edgekit.devices.placement import Placement
from edgekit.devices.profile import Profile
from edgekit.documents import resolve_scalar
from edgekit.errors import ExcludedError, InputError
from edgekit.formats import FORMATS
from edgekit.planning.free_sizes import FIX, find_free, refuse_in_check
from edgekit.steps import STEPS, Step

#: A step as a recipe writes it: {name: options}.
Written = dict[str, dict[str, Any]]

#: A step in a remedy's text, with the options that it is told with: NAME, NAME:OPTION=VALUE.
_STEP = re.compile(r"\b(\w+)((?::\w+=[\w.+-]+(?:,\w+=[\w.+-]+)*)?)")
#: Steps that stand before, and behind, those that are not named here.
_FIRST = (
    *(FIX, "onnx_lower_opset", "onnx_simplify", "onnx_widen_1d", "onnx_convolve_shuffles", "onnx_lower_rank"),
    "onnx_convolve_products",
)
_LAST = ("onnx_spread_products", "onnx_cut_tail", "onnx_split_large")


def choose_precision(profile: Profile, named: str) -> str:
    """The precision that is meant, the profile's first where none is named.

    Raises:
        ExcludedError: the profile has none of that name; with the reason.
    """
    if not named:
        return profile.default_precision
    if named in profile.routes:
        return named
    fact = profile.excluded.get(named)
    known = ", ".join(profile.routes)
    why = f"{fact.value} ({fact.source})" if fact is not None and fact.known else f"its profile lists {known}"
    raise ExcludedError(
        f"{profile.title} has no precision {named}: {why}",
        where=f"--target {profile.name}/{named}",
        remedy=f"ask for {' or '.join(f'{profile.name}/{name}' for name in profile.routes)}",
        code="excluded_precision",
    )


def is_compiled_for(profile: Profile, precision: str, given: str) -> bool:
    """Whether a file of the format ``given`` is what the device's own compiler writes."""
    step = profile.compile_step(precision)
    return step is not None and STEPS.get(step).produces == given


def steps_to_judged(profile: Profile, precision: str, given: str, named: Sequence[Written] = ()) -> list[Written]:
    """The steps from the format of the model to the format that the profile's rules read (without rules: to where the
    route first compresses); none for a file in the target's own format, which is judged as it is.

    ``named`` steps stand where a recipe has them: after the route's own steps of the format that they take (after
    onnx_simplify, which they rely on). If one of the route's own is among them, they stand in that order. A first one
    that fixes sizes stands before the route's own, which then fold what followed from them.

    Raises:
        InputError: the file is compiled already; a named step measures ranges, or takes a format that is not reached.
        ExcludedError: no step of the route takes the model's format, or the rules read none that the route makes.
    """
    wanted = judges(profile)
    if given in _compiled_formats():
        raise InputError(
            f"the file is compiled already, and not for {profile.title}",
            remedy="check the file that it was compiled from; `edgekit inspect` shows what is inside this one",
            code="compiled_already",
        )
    if not named and (given == wanted or (wanted is None and given in (profile.formats.value or []))):
        return []
    own = _own_steps(profile, precision, given, named) if named else []
    reached = STEPS.get(_name(own[-1])).produces if own else given
    taken = [*own, *_rest_of_route(profile, precision, reached, wanted, own)]
    return _with_route_options(profile, precision, taken)


def check_sizes(
    profile: Profile, model: Path, given: str, declared: Sequence[str], named: Sequence[Written]
) -> tuple[str, ...]:
    """The inputs whose free first size is taken as a batch of 1, since nobody says it. Refuse a model whose file leaves
    other sizes free that nobody says: not ``declared``, the inputs that ``--shape`` names (an empty name is the only
    input's), and not by the step onnx_fix_shapes among the ``named``.

    Raises:
        ExcludedError: the device takes fixed sizes only.
        InputError: only edgekit has to know them.
    """
    header = FORMATS.get(given).read_header(model)
    told = set(header.inputs) if "" in declared else set(declared)
    fixing = [written[FIX] for written in named if FIX in written]
    for options in fixing:
        shapes = options.get("shapes")
        told |= set(shapes) if isinstance(shapes, dict) else set()
    free = find_free(header, told)
    if free:
        raise refuse_in_check(profile, str(model), header, free)
    if any(options.get("batch") is not None for options in fixing):
        return ()
    return tuple(name for name, sizes in header.inputs.items() if sizes[:1] == (None,) and name not in told)


def remedy_steps(placement: Placement, taken: Iterable[Written] = ()) -> list[Written]:
    """The steps that remedies of a placement name, those of violations first; several forms of one are one step with
    the options of all. Not those that are ``taken`` already with these options."""
    texts = [violation.remedy for violation in placement.violations]
    texts += [placed.remedy for placed in placement.operators]
    named: dict[str, dict[str, Any]] = {}
    for text in dict.fromkeys(texts):
        for name, told in _named_in(text):
            named.setdefault(name, {}).update(told)
    done = [*taken]
    return [{name: told} for name, told in named.items() if not any(_covers(one, name, told) for one in done)]


def _named_in(text: str | None) -> list[tuple[str, dict[str, Any]]]:
    """(name, options) of the steps that a remedy's text names."""
    found = []
    for name, told in _STEP.findall(text or ""):
        if name in STEPS.names():
            pairs = (pair.partition("=") for pair in told.lstrip(":").split(",") if pair)
            found.append((name, {option: resolve_scalar(value) for option, _, value in pairs}))
    return found


def pass_over(placement: Placement, taken: Iterable[Written], idle: Iterable[Written]) -> Placement:
    """The placement, in which the next remedy stands for one that names nothing but steps which cannot help any more:
    those that were ``taken`` and left the operator, and those that were tried and are ``idle`` or failed. Where there
    is no other, the remedy stays."""
    vain = [*taken, *idle]

    def following(remedy: str | None, alternatives: tuple[str, ...]) -> dict[str, Any]:
        waiting = [*([] if remedy is None else [remedy]), *alternatives]
        for place, text in enumerate(waiting):
            named = _named_in(text)
            if not named or not all(any(_covers(one, *step) for one in vain) for step in named):
                return {"remedy": text, "alternatives": tuple(waiting[place + 1 :])}
        return {"remedy": remedy, "alternatives": alternatives}

    operators = tuple(replace(one, **following(one.remedy, one.alternatives)) for one in placement.operators)
    violations = tuple(replace(one, **following(one.remedy, one.alternatives)) for one in placement.violations)
    return replace(placement, operators=operators, violations=violations)


def mark_remedies(
    placement: Placement, taken: Iterable[Written], idle: Iterable[Written], failed: Iterable[Written] = ()
) -> Placement:
    """The placement, in which remedies that name nothing but steps which cannot help any more say so: those that were
    ``taken`` and left the operator, those that were tried and are ``idle``, and those that ``failed`` as they were."""
    done, vain, broken = [*taken], [*idle], [*failed]

    def mark(text: str | None) -> str | None:
        named = _named_in(text)
        if not named:
            return text
        if all(any(_covers(one, *step) for one in done) for step in named):
            return f"{text} (taken already: it leaves this one)"
        if all(any(_covers(one, *step) for one in (*done, *vain)) for step in named):
            return f"{text} (tried here: it finds nothing to rewrite)"
        if all(any(_covers(one, *step) for one in (*done, *vain, *broken)) for step in named):
            return f"{text} (tried here: it failed)"
        return text

    operators = tuple(replace(placed, remedy=mark(placed.remedy)) for placed in placement.operators)
    violations = tuple(replace(violation, remedy=mark(violation.remedy)) for violation in placement.violations)
    return replace(placement, operators=operators, violations=violations)


def _covers(written: Written, name: str, options: Mapping[str, Any]) -> bool:
    return name in written and options.items() <= written[name].items()


def applicable(steps: Iterable[Written], profile: Profile, precision: str, given: str) -> list[Written]:
    """Those of the steps that a check of a model of the format ``given`` can take among its own."""
    found = []
    for written in steps:
        try:
            _own_steps(profile, precision, given, [written])
        except InputError:
            continue
        found.append(written)
    return found


def in_order(steps: Iterable[Written]) -> list[Written]:
    """Steps in the order in which each leaves to the next what it does not take (docs/remedies.md)."""
    names = (*_FIRST, None, *_LAST)
    return sorted(steps, key=lambda written: names.index(_name(written) if _name(written) in names else None))


def _compiled_formats() -> set[str]:
    """What is written by programs of others: nothing here reads operators out of it."""
    return {step.produces for step in STEPS if step.programs}


def _own_steps(profile: Profile, precision: str, given: str, named: Sequence[Written]) -> list[Written]:
    """The named steps, after those of the route that lead to what the first of them takes."""
    steps = [STEPS.get(_name(written)) for written in named]
    for step in steps:
        if step.calibrates or step.programs:
            why = "measures ranges on samples" if step.calibrates else f"runs {', '.join(step.programs)}"
            raise InputError(
                f"`{step.name}` {why}, which a check does not do",
                where=f"--step {step.name}",
                remedy="name steps that rewrite the model; `edgekit steps list` tells of each",
                code="unfit_step",
            )
    leading, keeping = _lead_to(profile, precision, given, steps)
    reached = steps[0].accepts
    for step in steps:
        if step.accepts != reached:
            raise _unreached(step, f"the steps before it give {reached}")
        reached = step.produces
    first = 1 if steps[0].name == FIX else 0
    return [*leading, *named[:first], *keeping, *named[first:]]


def _lead_to(
    profile: Profile, precision: str, given: str, named: Sequence[Step]
) -> tuple[list[Written], list[Written]]:
    """(The route's steps from ``given`` to the format that the named ones take, those that then keep it; none of these
    where the route's own are among the named)."""
    wanted, names = named[0].accepts, {step.name for step in named}
    route = [use for use in profile.routes[precision] if STEPS.get(use.step).exact]
    ordered = any(use.step in names for use in route)
    leading: list[Written] = []
    keeping: list[Written] = []
    reached = given
    for use in route:
        known = STEPS.get(use.step)
        if reached != wanted and known.accepts == reached:
            leading.append({use.step: dict(use.options)})
            reached = known.produces
        elif reached == wanted == known.accepts == known.produces and not ordered:
            keeping.append({use.step: dict(use.options)})
    if reached != wanted:
        raise _unreached(named[0], f"the model is {given}")
    return leading, keeping


def _unreached(step: Step, why: str) -> InputError:
    return InputError(
        f"`{step.name}` takes {step.accepts}, but {why}",
        where=f"--step {step.name}",
        remedy=f"check a model in the format {step.accepts}, or the PyTorch model that it came from",
        code="unfit_step",
    )


def _rest_of_route(
    profile: Profile, precision: str, given: str, wanted: str | None, done: Sequence[Written]
) -> list[Written]:
    """The route's exact steps from ``given`` on, after those that are ``done``, to the format that is judged."""
    route = [(use, STEPS.get(use.step)) for use in profile.routes[precision]]
    names = {_name(written) for written in done}
    first = max((place + 1 for place, (_, step) in enumerate(route) if step.name in names), default=0)
    places = range(first, len(route))
    start = next((place for place in places if route[place][1].accepts == given), len(route))
    taken: list[Written] = []
    reached = 0
    for use, step in route[start:]:
        if not step.exact:
            break
        taken.append({use.step: dict(use.options)})
        if wanted is None or step.produces == wanted:
            reached = len(taken)
    arrived = given == wanted or (wanted is None and (start < len(route) or bool(done)))
    if not reached and not arrived:
        steps = " -> ".join(use.step for use, _ in route)
        raise ExcludedError(
            f"{profile.title} cannot be checked with a model in the format {given}: "
            f"no exact step of its route leads from there to {wanted or 'what it loads'}",
            where=f"the route {steps}",
            remedy=f"check a model in the format {wanted or route[0][1].accepts}",
            code="no_route",
        )
    return taken[:reached]


def _with_route_options(profile: Profile, precision: str, written: Iterable[Written]) -> list[Written]:
    """Named steps that the route has too get its options, but for those they were given."""
    options = {use.step: dict(use.options) for use in profile.routes[precision]}
    return [{name: {**options.get(name, {}), **own} for name, own in one.items()} for one in written]


def _name(written: Written) -> str:
    return next(iter(written))
