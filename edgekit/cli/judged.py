"""The models that `eval` and `compare` are given, read: that of the recipe which the flags come to, and another one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.artifact import Artifact
    from edgekit.cli.jobs import Jobs
    from edgekit.cli.model_flags import Flags, Inputs
    from edgekit.recipe import Recipe


@dataclass(frozen=True)
class Other:
    """The second model as the command line names it, the flag that names its weights, and those."""

    model: str
    flag: str
    weights: Path | None = None


def fit_shapes(jobs: Jobs, flags: Flags, other: Other | None) -> Flags:
    """``--shape`` is of both models. A first one whose file says its own sizes, while the other one's does not, takes
    none: they may be in another order of axes."""
    first = flags.model
    if not flags.shape or other is None or first is None or _is_python(first) or _is_fixed(jobs, other.model):
        return flags
    return replace(flags, shape=()) if _is_fixed(jobs, first) else flags


def read_both(jobs: Jobs, recipe: Recipe, given: Flags, other: Other) -> tuple[Artifact, Artifact]:
    """The model of the recipe, and the other one. A model that a Python file builds, and whose inputs nothing says, has
    those of the other."""
    if _is_python(recipe.model.file) and not recipe.model.inputs and not _is_python(other.model):
        second = _read_other(jobs, other, given, {})
        return read_recipe_model(jobs, recipe, inputs_of(second)), second
    first = read_recipe_model(jobs, recipe)
    return first, _read_other(jobs, other, given, inputs_of(first))


def read_recipe_model(jobs: Jobs, recipe: Recipe, inputs: Inputs | None = None) -> Artifact:
    """The model of a recipe, with its options and weights, and its inputs or else those.

    Raises:
        InputError, AbsentError: it, its weights or what it requires are not there.
    """
    from edgekit.errors import EdgekitError
    from edgekit.planning.preconditions import find_source
    from edgekit.recipe.paths import split_factory

    problems: list[EdgekitError] = []
    find_source(recipe, problems)
    if problems:
        raise problems[0]
    model = recipe.model
    file, factory = split_factory(model.file)
    inputs = {name: given.model_dump(exclude_none=True) for name, given in model.inputs.items()} or inputs or {}
    if factory is None:
        return jobs.read_model(Path(file), inputs)
    weights = None if model.weights is None else model.weights.path
    return jobs.read_model(Path(file), inputs, factory=factory, options=dict(model.options), weights=weights)


def _read_other(jobs: Jobs, other: Other, flags: Flags, first: Inputs) -> Artifact:
    """The second model. One that is the model of ``--recipe`` is built as that says, and one that a Python file builds
    has the inputs of ``--shape``, or else those of the ``first``.

    Raises:
        InputError: it has weights, which only a model has that a Python file builds; or as ``Jobs.read_named``.
    """
    from edgekit.cli.model_flags import check_weights, own_model, parse_inputs

    if other.weights is not None:
        if not _is_python(other.model):
            message = f"{other.flag} is for a model that a Python file builds (file.py:NAME), not for {other.model}"
            raise InputError(message, remedy="leave it out", code="usage")
        check_weights(other.weights, other.flag)
    known = own_model(replace(flags, model=other.model))
    if known is not None and other.weights is None:
        return read_recipe_model(jobs, known)
    inputs: Inputs = {}
    if flags.shape and (_is_python(other.model) or not _is_fixed(jobs, other.model)):
        inputs = parse_inputs(replace(flags, model=other.model))
    elif _is_python(other.model):
        inputs = first
    return jobs.read_named(other.model, inputs, other.weights)


def inputs_of(artifact: Artifact) -> Inputs:
    """The inputs of a model as a recipe declares them, in the order of axes of the model that it was made from; empty
    for one whose file has its own order."""
    tensors = artifact.io.inputs
    if any(tensor.permutation is not None or tensor.layout == "NHWC" for tensor in tensors):
        return {}
    return {tensor.name: {"shape": list(tensor.shape), "dtype": tensor.dtype} for tensor in tensors}


def _is_python(model: str) -> bool:
    from edgekit.recipe.paths import split_factory

    return split_factory(model)[1] is not None


def _is_fixed(jobs: Jobs, model: str) -> bool:
    """Whether the model's file says the sizes of its inputs."""
    if _is_python(model):
        return False
    try:
        jobs.read_model(Path(model))
    except InputError as error:
        if error.word != "inputs_not_declared":
            raise
        return False
    return True
