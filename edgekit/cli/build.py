"""`edgekit convert` and `edgekit quantize`: a small recipe made of flags, and the same road as `run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.apps import JsonOption, TargetsDirOption
from edgekit.cli.flag_groups import with_group
from edgekit.cli.model_flags import (
    CalibrateOption,
    DataOption,
    EvaluateOption,
    Flags,
    LabelsOption,
    ModelArgument,
    PreprocessOption,
    RecipeOption,
    ShapeOption,
    TaskOption,
    WeightsOption,
    make_recipe,
    read_sidecar,
)
from edgekit.cli.run import JobsOption, NoCacheOption, NoEvalOption, OutOption, SetOption, StrictOption
from edgekit.cli.terminal import answer
from edgekit.errors import EdgekitError, InputError

# What to do about an error that a recipe's writer would mend in the recipe.
FLAG_REMEDIES = {
    "no_calibration_data": "give samples: --calibrate PATH, or --data PATH to have them split",
}

PrecisionOption = Annotated[
    str | None, typer.Option("--precision", metavar="NAME", help="int8, fp16, ... as the target's profile lists them.")
]
ForTargetOption = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="NAME", help="Make what this target loads. Repeatable."),
]
PrintRecipeOption = Annotated[
    bool, typer.Option("--print-recipe", help="Print the recipe that these flags come to, and run nothing.")
]


@dataclass(frozen=True)
class BuildFlags:
    """What `convert` and `quantize` share: the recipe that is made of flags, and how it is carried out."""

    out: OutOption = None
    recipe: RecipeOption = None
    weights: WeightsOption = None
    shape: ShapeOption = None
    preprocess: PreprocessOption = None
    data: DataOption = None
    calibrate: CalibrateOption = None
    evaluate: EvaluateOption = None
    labels: LabelsOption = None
    task: TaskOption = None
    set_: SetOption = None
    print_recipe: PrintRecipeOption = False
    no_cache: NoCacheOption = False
    no_eval: NoEvalOption = False
    strict: StrictOption = False
    jobs: JobsOption = None
    targets_dir: TargetsDirOption = None
    as_json: JsonOption = False

    def flags(self, model: str | None) -> Flags:
        return Flags(
            model=model,
            recipe=self.recipe,
            weights=self.weights,
            shape=tuple(self.shape or ()),
            preprocess=self.preprocess,
            data=self.data,
            calibrate=self.calibrate,
            evaluate=self.evaluate,
            labels=self.labels,
            task=self.task,
            overrides=tuple(self.set_ or ()),
        )


@with_group(BuildFlags)
def convert(
    group: BuildFlags,
    model: ModelArgument = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help="The format: onnx, tflite, openvino.")
    ] = None,
    target: ForTargetOption = None,
    precision: PrecisionOption = None,
) -> int:
    """Convert a model: to a format by the shortest chain of exact steps, or to what a target loads.

    Every step is checked: on your samples (--data, --evaluate), or on random ones where there are none.

    \b
    Examples:
      edgekit convert model.pt2 --to onnx
      edgekit convert net.py:build --weights net.safetensors --shape 1x3x224x224 --to tflite
      edgekit convert model.onnx --target openvino-cpu
    """
    if (to is None) == (not target):
        raise InputError(
            "convert needs either --to FORMAT or --target NAME", remedy="edgekit convert --help", code="usage"
        )
    flags = group.flags(model)
    if to is not None and precision is not None:
        raise InputError(
            "--to keeps the model's own precision",
            remedy="quantize makes another: --target NAME --precision P",
            code="usage",
        )
    sections = {"steps": _chain(flags, to)} if to is not None else {"targets": wanted_targets(target or [], precision)}
    return _build(flags, sections, group)


@with_group(BuildFlags)
def quantize(
    group: BuildFlags,
    model: ModelArgument = None,
    target: ForTargetOption = None,
    precision: PrecisionOption = "int8",
) -> int:
    """Make the file of lower precision that a target loads: INT8, or what --precision says.

    \b
    Examples:
      edgekit quantize model.onnx --target coral --data photos/ --preprocess imagenet --task classification
      edgekit quantize model.onnx -t coral -t openvino-cpu --calibrate calib/ --evaluate val/ --preprocess imagenet
      edgekit quantize model.pt2 --target android-cpu --precision fp16
    """
    if not target:
        raise InputError("quantize needs --target NAME", remedy="edgekit targets list", code="usage")
    return _build(group.flags(model), {"targets": wanted_targets(target, precision)}, group)


def _build(flags: Flags, sections: dict[str, Any], group: BuildFlags) -> int:
    """Make the recipe, and print it, or carry it out and say what to feed the files."""
    from edgekit.cli.execution import RESOLVED, Wishes, carry_out
    from edgekit.cli.feeding import feeding_text
    from edgekit.devices import load_profiles
    from edgekit.planning.build import build_plan

    profiles = load_profiles(group.targets_dir)
    recipe = make_recipe(flags, sections, profiles)
    if group.print_recipe:
        answer(recipe.to_yaml())
        return 0
    try:
        plan = build_plan(recipe, profiles, evaluate=not group.no_eval)
    except EdgekitError as error:
        if flags.recipe is None:
            error.remedy = FLAG_REMEDIES.get(error.word, error.remedy)
        raise
    out = group.out or Path("edgekit-out") / plan.name
    wishes = Wishes(
        out=out,
        jobs=group.jobs,
        use_cache=not group.no_cache,
        evaluate=not group.no_eval,
        strict=group.strict,
        as_json=group.as_json,
        recipe=str(out / RESOLVED),
    )
    result = carry_out(plan, recipe.to_yaml(), wishes)
    made = [output.artifact for output in result.outputs if output.artifact is not None]
    if made and not group.as_json:
        told = (feeding_text(artifact, read_sidecar(artifact.path).get("preprocess")) for artifact in made)
        answer("\n" + "\n\n".join(told))
    return result.exit_code


def _chain(flags: Flags, to: str) -> list[str]:
    """The steps of ``--to``, from the model of the flags or, without one, that of the recipe."""
    from edgekit.cli.chains import format_of, shortest_chain
    from edgekit.recipe import load_recipe

    model = flags.model
    if model is None and flags.recipe is not None:
        model = load_recipe(flags.recipe, flags.overrides).model.file
    if model is None:
        raise InputError("no model: name its file, or give --recipe", code="usage")
    return shortest_chain(format_of(model), to)


def wanted_targets(names: list[str], precision: str | None) -> dict[str, Any]:
    """The recipe's `targets` for ``--target NAME`` or ``--target NAME/PRECISION``, the latter before ``precision``."""
    wanted: dict[str, Any] = {}
    for text in names:
        name, _, own = text.partition("/")
        entry = wanted.setdefault(name, {})
        chosen = own or precision
        if chosen:
            entry["precision"] = [*entry.get("precision", []), chosen]
    return wanted
