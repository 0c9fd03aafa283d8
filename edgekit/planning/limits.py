"""What a target's profile rules out besides a precision: an opset that the device does not read, sizes it does not
take. Told before anything runs, with the profile's reason and source, and the alternative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from edgekit.devices.profile import Fact, Profile
from edgekit.errors import ExcludedError
from edgekit.formats import FORMATS, Header
from edgekit.planning.free_sizes import FIX, find_free, refuse_in_recipe, sizes_of_step
from edgekit.recipe.paths import split_factory
from edgekit.recipe.schema import Recipe
from edgekit.steps import Step


class UsedStep(Protocol):
    """A step of a chain with its complete options, and where each value came from."""

    @property
    def step(self) -> Step: ...
    @property
    def options(self) -> Mapping[str, Any]: ...
    @property
    def origins(self) -> Mapping[str, str]: ...


def is_quantized(recipe: Recipe, format_name: str) -> bool:
    """Whether the recipe's model computes with integers that have a scale, so far as its file tells without its
    library."""
    return FORMATS.get(format_name).read_header(Path(split_factory(recipe.model.file)[0])).quantized


def check_limits(recipe: Recipe, profile: Profile, output: str, uses: Sequence[UsedStep], format_name: str) -> None:
    """Hold the chain of one output against the opsets and shapes that its profile takes.

    Raises:
        ExcludedError: the device does not read what would be made.
    """
    file = Path(split_factory(recipe.model.file)[0])
    header = FORMATS.get(format_name).read_header(file)
    _check_opset(recipe, profile, output, uses, format_name, header)
    _check_shapes(recipe, profile, output, uses, header)


def _check_opset(
    recipe: Recipe,
    profile: Profile,
    output: str,
    uses: Sequence[UsedStep],
    format_name: str,
    header: Header,
) -> None:
    """The opset of the file that the device gets: the source's, or what the last step with that option writes."""
    most, least = profile.opset.max, profile.opset.min
    if most is None and least is None:
        return
    if (uses[-1].step.produces if uses else format_name) != "onnx":
        return
    opset, where, how = header.opset, str(recipe.place("model", "file")), "export the model again"
    or_lower = "; or add the step onnx_lower_opset with that opset"
    for use in uses:
        if "opset" in use.options:
            opset = use.options["opset"]
            where = f"{use.step.name}: opset ({use.origins.get('opset', 'default')})"
            how, or_lower = f"set the option of {use.step.name} (leave it out to have the route's)", ""
            if opset is None and most is not None and most.known:
                raise _unset_opset(profile, output, use.step.name, most)
    if opset is None:
        return
    if most is not None and most.value is not None and opset > most.value:
        older = "at which newer operators are written in older ones"
        raise ExcludedError(
            f"{output} would have opset {opset}; {profile.title} reads up to {most.value} ({most.source})",
            where=where,
            remedy=f"{how} with opset {most.value} or lower, {older}{or_lower}",
            code="excluded_opset",
        )
    if least is not None and least.value is not None and opset < least.value:
        raise ExcludedError(
            f"{output} would have opset {opset}; {profile.title} reads {least.value} and later ({least.source})",
            where=where,
            remedy=f"{how} with opset {least.value} or higher",
            code="excluded_opset",
        )


def _unset_opset(profile: Profile, output: str, step: str, most: Fact[int]) -> ExcludedError:
    return ExcludedError(
        f"{output} would have an opset that nothing sets; {profile.title} reads up to {most.value} ({most.source})",
        where=f"{step}: opset",
        remedy=f"give {step} an opset, in the recipe or in the profile's route",
        code="excluded_opset",
    )


def _check_shapes(recipe: Recipe, profile: Profile, output: str, uses: Sequence[UsedStep], header: Header) -> None:
    """Sizes of the inputs, as far as the recipe or the header of the model file tells them."""
    declared = {name: tuple(given.shape) for name, given in recipe.model.inputs.items() if given.shape is not None}
    for use in uses:
        if use.step.name == FIX:
            declared = {**sizes_of_step(use.options, header), **declared}
    static, batch = profile.shapes.static, profile.shapes.max_batch
    if static is not None and static.value:
        free = find_free(header, declared)
        if free:
            raise refuse_in_recipe(profile, output, header, free, str(recipe.place("model", "file")))
    if batch is not None and batch.value is not None:
        for name, sides in {**header.inputs, **declared}.items():
            first = sides[0] if len(sides) == 4 else None
            if first is not None and first > batch.value:
                raise _excluded_shape(
                    f"{output} cannot have a batch of {first} (input `{name}`): {profile.title} takes {batch.value}",
                    batch,
                    str(recipe.place("model", "inputs", name, "shape")),
                    f"give the input a batch of {batch.value}, and call it once for each picture",
                )


def _excluded_shape(message: str, fact: Fact[Any], where: str, remedy: str) -> ExcludedError:
    return ExcludedError(f"{message} ({fact.source})", where=where, remedy=remedy, code="excluded_shape")
