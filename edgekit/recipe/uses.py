"""What a recipe names must exist and fit: steps and their options, targets, the task and its options."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.devices.profile import Profile
from edgekit.devices.rules import RULES
from edgekit.documents import Node
from edgekit.errors import Mistake
from edgekit.recipe.schema import can_name_entry
from edgekit.registry import did_you_mean
from edgekit.steps import STEPS, Step
from edgekit.tasks import TASKS
from edgekit.validation import check


def find_step(name: Node, mistakes: list[Mistake]) -> Step | None:
    """The step that a node names; an unknown name is told with the nearest one."""
    if not isinstance(name.value, str):
        return None
    if name.value not in STEPS:
        mistakes.append(
            name.place.mistake(f"no step is called `{name.value}`{did_you_mean(name.value, STEPS.names())}")
        )
        return None
    return STEPS.get(name.value)


def check_use(use: Node, mistakes: list[Mistake]) -> Step | None:
    """Check one ``{step, options}``: that the step exists and its options are its own."""
    name, options = use.get("step"), use.get("options")
    step = find_step(name, mistakes) if name is not None else None
    if step is not None and options is not None and isinstance(options.value, dict):
        check(step.options, options, partial=True, mistakes=mistakes)
    return step


def check_steps(tree: Node, mistakes: list[Mistake]) -> list[str]:
    """Check the recipe's ``steps``: known, each once, each taking what the one before gives. Gives back their names."""
    steps = tree.get("steps")
    if steps is None or not isinstance(steps.value, list):
        return []
    names: list[str] = []
    before: Step | None = None
    for use in steps.value:
        step = check_use(use, mistakes)
        place = use.nearest(("step",))
        if step is not None and step.name in names:
            mistakes.append(place.mistake(f"`{step.name}` stands in `steps` twice"))
        elif step is not None and before is not None and step.accepts != before.produces:
            mistakes.append(
                place.mistake(
                    f"`{step.name}` takes {step.accepts}, but `{before.name}` before it gives {before.produces}"
                )
            )
        if step is not None:
            names.append(step.name)
        before = step
    return names


def check_routes(profile: Profile, tree: Node, mistakes: list[Mistake]) -> None:
    """Check a profile's routes against the steps that exist."""
    routes = tree.get("routes")
    for precision in profile.routes:
        before: Step | None = None
        for index, _ in enumerate(profile.routes[precision]):
            use = routes.get(precision, index) if routes is not None else None
            if use is None:
                continue
            step = check_use(use, mistakes)
            if step is not None and before is not None and step.accepts != before.produces:
                place = use.nearest(("step",))
                mistakes.append(
                    place.mistake(f"`{step.name}` takes {step.accepts}, but `{before.name}` gives {before.produces}")
                )
            before = step


def check_profile(profile: Profile, tree: Node, mistakes: list[Mistake]) -> None:
    """Check all that a profile names and that is edgekit's: the steps of its routes and its rule set."""
    check_routes(profile, tree, mistakes)
    named = tree.get("operators", "rules")
    if named is not None and isinstance(named.value, str) and named.value not in RULES:
        mistakes.append(
            named.place.mistake(f"no rule set is called `{named.value}`{_near_or_all(named.value, RULES.names())}")
        )


def _near_or_all(name: str, known: list[str]) -> str:
    return did_you_mean(name, known) or f"; the rule sets are {', '.join(known)}"


def check_targets(tree: Node, profiles: Mapping[str, Profile], steps: list[str], mistakes: list[Mistake]) -> None:
    """Check the entries of ``targets``: known profiles, and options only for steps that their outputs come through."""
    targets = tree.get("targets")
    if targets is None or not isinstance(targets.value, dict):
        return
    for name, entry in targets.value.items():
        if not isinstance(entry.value, dict):
            continue
        if not can_name_entry(name):
            message = f"an entry of `targets` names a folder; `{name}` cannot be one"
            mistakes.append(targets.key_place(name).mistake(message))
        written = entry.get("target")
        target, place = (
            (name, targets.key_place(name))
            if written is None or written.value is None
            else (written.value, written.place)
        )
        if not isinstance(target, str):
            continue
        profile = profiles.get(target)
        if profile is None:
            near = did_you_mean(target, profiles) or f"; the targets are {', '.join(profiles)}"
            mistakes.append(place.mistake(f"no target is called `{target}`{near}"))
        _check_entry_options(name, entry, profile, steps, mistakes)


def _check_entry_options(
    name: str, entry: Node, profile: Profile | None, steps: list[str], mistakes: list[Mistake]
) -> None:
    options = entry.get("options")
    if options is None or not isinstance(options.value, dict):
        return
    passed = list(steps)
    if profile is not None:
        passed += [use.step for route in profile.routes.values() for use in route if use.step not in passed]
        passed += [one.step for one in profile.handover if one.step is not None]
        passed = list(dict.fromkeys(passed))
    for step_name, use in options.value.items():
        step = check_use(use, mistakes)
        if step is not None and profile is not None and step_name not in passed:
            mistakes.append(
                options.key_place(step_name).mistake(
                    f"no output of `{name}` comes through `{step_name}`; its steps are {', '.join(passed)}"
                )
            )


def check_task(tree: Node, mistakes: list[Mistake]) -> None:
    """Check the task's name and options."""
    name = tree.get("task", "name")
    if name is None or not isinstance(name.value, str):
        return
    if name.value not in TASKS:
        near = did_you_mean(name.value, TASKS.names()) or f"; the tasks are {', '.join(TASKS.names())}"
        mistakes.append(name.place.mistake(f"no task is called `{name.value}`{near}"))
        return
    task = TASKS.get(name.value)
    options = tree.get("task", "options")
    if options is not None and isinstance(options.value, dict):
        check(task.options_model, options, mistakes=mistakes)
