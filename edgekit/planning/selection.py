"""Which outputs are to be made: those a recipe asks for, or those of ``--target NAME[/PRECISION]``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgekit.devices.profile import Profile
from edgekit.devices.profiles import Profiles
from edgekit.errors import InputError, UnknownName
from edgekit.recipe.schema import Recipe
from edgekit.registry import did_you_mean
from edgekit.steps import STEPS

#: Steps that change the type of numbers are called after it: ``tflite_int8``, ``onnx_fp16``.
_ENDS_IN_TYPE = re.compile(r"_([a-z]+\d+)$")


@dataclass(frozen=True)
class Wanted:
    """An output that was asked for, before its chain of steps is known."""

    entry: str
    target: str
    precision: str

    @property
    def name(self) -> str:
        return f"{self.entry}/{self.precision}"


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
        chosen = [_without_target(recipe, profiles)]
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
    precisions = entry.precision or [find_profile(profiles, target).default_precision]
    return [Wanted(name, target, precision) for precision in precisions]


def _selected(recipe: Recipe, profiles: Mapping[str, Profile], text: str) -> list[Wanted]:
    name, slash, precision = text.partition("/")
    if slash and not precision:
        raise InputError(f"`--target {text}` names no precision", remedy=f"write {name} or {name}/int8")
    if name in recipe.targets:
        outputs = _entry_outputs(recipe, profiles, name)
    elif name in profiles:
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


def _without_target(recipe: Recipe, profiles: Mapping[str, Profile]) -> Wanted:
    """What a recipe of steps alone makes: an output called after the format that its last step writes, of the type that
    a step compresses to, or that is compiled for a device."""
    steps = [STEPS.get(use.step) for use in recipe.steps]
    types = [found[1] for step in steps if not step.exact and (found := _ENDS_IN_TYPE.search(step.name))]
    if not types and steps[-1].programs:
        known = profiles.values()
        types = [kind for one in known for kind in one.routes if one.compile_step(kind) == steps[-1].name][:1]
    return Wanted(steps[-1].produces, "", types[-1] if types else "fp32")


def find_profile(profiles: Mapping[str, Profile], name: str) -> Profile:
    if isinstance(profiles, Profiles):
        return profiles.find(name)
    if name not in profiles:
        raise UnknownName(f"no target is called `{name}`{did_you_mean(name, profiles)}", code="unknown_target")
    return profiles[name]
