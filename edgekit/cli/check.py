"""`edgekit check MODEL --target NAME`: would it run there, all of it, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.apps import JsonOption, TargetsDirOption
from edgekit.cli.model_flags import ShapeOption, WeightsOption
from edgekit.cli.terminal import answer, answer_json
from edgekit.errors import EdgekitError, ExcludedError, InputError, from_dict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgekit.checks.measurement import Verdict
    from edgekit.cli.jobs import Jobs
    from edgekit.cli.model_flags import Flags
    from edgekit.devices import Profile
    from edgekit.devices.judge import Judgement
    from edgekit.devices.latency import Estimate
    from edgekit.devices.placement import Placement
    from edgekit.graph import Graph

FOLDER = Path("edgekit-out") / "check"

TargetOption = Annotated[
    str, typer.Option("--target", "-t", metavar="NAME[/PRECISION]", help="The device, as in `targets list`.")
]
MinMappedOption = Annotated[
    str | None,
    typer.Option("--min-mapped", metavar="SHARE", help="Exit 1 below this share of operators on the accelerator."),
]
MinMacsOption = Annotated[
    str | None, typer.Option("--min-mapped-macs", metavar="SHARE", help="Exit 1 below this share of MACs there.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="What is not known ends with exit 6.")]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FOLDER", help="Where a converted file is kept. [default: edgekit-out/check/NAME]"
    ),
]


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file, or file.py:NAME.")],
    target: TargetOption,
    min_mapped: MinMappedOption = None,
    min_mapped_macs: MinMacsOption = None,
    strict: StrictOption = False,
    weights: WeightsOption = None,
    shape: ShapeOption = None,
    out: OutOption = None,
    targets_dir: TargetsDirOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show whether a device runs a model, all of it, and where each operator goes: on the accelerator or not, and why.

    A file in the target's own format is judged as it is. Any other is converted first, without samples, and judged as
    if it were quantized where the target wants that.

    \b
    Examples:
      edgekit check model.onnx --target coral
      edgekit check net.py:build --weights net.safetensors --shape 1x3x224x224 --target coral
      edgekit check model_int8.tflite --target coral --min-mapped 95% --min-mapped-macs 99%
    """
    from edgekit.cli.model_flags import Flags
    from edgekit.cli.placement import check_document, check_text
    from edgekit.devices import load_profiles

    limits = _limits(min_mapped, min_mapped_macs)
    profiles = load_profiles(targets_dir)
    name, _, precision = target.partition("/")
    profile = profiles.find(name)
    flags = Flags(model=model, weights=weights, shape=tuple(shape or ()))
    judged = _judge(flags, profile, _precision(profile, precision), profiles, out)
    judged = replace(judged, verdicts=_judge_limits(judged.judgement, limits), strict=strict)
    if as_json:
        answer_json(check_document(judged))
    else:
        answer(check_text(judged))
    return judged.exit_code


@dataclass(frozen=True)
class Checked:
    """A model, the file that was judged, and what came of it."""

    model: str
    profile: Profile
    precision: str
    path: Path
    format: str
    judgement: Judgement
    verdicts: tuple[Verdict, ...] = ()
    strict: bool = False
    latency: Estimate | None = None

    @property
    def exit_code(self) -> int:
        """4: the device does not take it; 1: a limit is missed; 6: strict, and something is not known; else 0."""
        from edgekit.checks.gates import exit_code
        from edgekit.errors import first_exit_code

        verdict = self.judgement.placement.verdict()
        codes = [exit_code(self.verdicts, strict=self.strict), 4 if verdict == "violates" else 0]
        codes.append(6 if self.strict and verdict == "not_known" else 0)
        return first_exit_code(codes)


def _limits(min_mapped: str | None, min_mapped_macs: str | None) -> dict[str, float]:
    """{gate: limit} of the flags."""
    from edgekit.recipe.shares import parse_share

    found = {}
    for gate, flag, text in (
        ("min_mapped_operators", "--min-mapped", min_mapped),
        ("min_mapped_macs", "--min-mapped-macs", min_mapped_macs),
    ):
        if text is None:
            continue
        try:
            found[gate] = parse_share(flag, text if text.strip().endswith("%") else _number(text))
        except ValueError as error:
            raise InputError(str(error), where=flag, remedy="write 95% or 0.95", code="invalid_limit") from None
    return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _judge_limits(judgement: Judgement, limits: Mapping[str, float]) -> tuple[Verdict, ...]:
    """A limit is missed where even what is not known, taken as mapped, does not reach it; what lies between is open."""
    from edgekit.checks.gates import judge

    found: list[Verdict] = []
    for gate, limit in limits.items():
        figure = gate.removeprefix("min_")
        ends = judgement.mapped_range(figure)
        known = ends is not None and (ends[0] >= limit or ends[1] < limit)
        found += judge(None, {gate: limit}, placement={figure: ends[0]} if known and ends else {})
    return tuple(found)


def _precision(profile: Profile, named: str) -> str:
    """The precision that is meant (ExcludedError with the reason where the profile has none of that name)."""
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


def _judge(
    flags: Flags, profile: Profile, precision: str, profiles: Mapping[str, Profile], out: Path | None
) -> Checked:
    """Convert what has to be, describe it, and judge it."""
    from edgekit.cli.chains import format_of
    from edgekit.cli.jobs import Jobs
    from edgekit.cli.model_flags import parse_shapes
    from edgekit.devices.judge import judge_graph
    from edgekit.devices.latency import estimate

    assert flags.model is not None
    steps = steps_to_judged(profile, precision, format_of(flags.model))
    path = _convert(flags, steps, profiles, out) if steps else None
    with Jobs() as jobs:
        if path is None:
            inputs = {name: {"shape": sizes} for name, sizes in parse_shapes(flags).items()}
            artifact = jobs.read_named(flags.model, inputs, flags.weights)
        else:
            artifact = jobs.read_model(path)
        graph = jobs.describe(artifact)
        judged = path or Path(flags.model)

        def ask(predicted: Placement) -> Placement:
            return ask_compiler(jobs, profile, judged, predicted)

        judgement = judge_graph(graph, profile, precision=precision, converted=path is not None, ask=ask)
    latency = estimate(graph, profile, judgement.placement, precision=precision)
    return Checked(flags.model, profile, precision, judged, artifact.format, judgement, latency=latency)


def ask_compiler(jobs: Jobs, profile: Profile, model: Path, predicted: Placement) -> Placement:
    """What the device's own compiler says of a file, where it is installed; else, and where it gives no answer that is
    understood, the prediction with a note that says so."""
    import tempfile

    from edgekit.devices.programs import ask, find_program

    program = find_program(profile)
    if program is None:
        return predicted
    if program.find() is None:
        note = f"{program.name} is not on PATH, so this is a prediction: {program.get}"
        return replace(predicted, notes=(*predicted.notes, note))

    def describe(path: Path) -> Graph:
        return jobs.describe(jobs.read_model(path))

    with tempfile.TemporaryDirectory(prefix="edgekit-check-") as folder:
        try:
            answer = ask(program, model, predicted, Path(folder), describe)
        except EdgekitError as error:
            note = f"{program.name} gave no answer ({error.message}), so this is a prediction"
            return replace(predicted, notes=(*predicted.notes, note))
    if answer.placement is not None:
        return answer.placement
    there = _keep(program.name, model, answer.text)
    note = f"the answer of {program.name} was not understood, so this is a prediction; what it said is in {there}"
    return replace(predicted, notes=(*predicted.notes, note))


def _keep(program: str, model: Path, text: str) -> Path:
    """The file with what a program printed about a model."""
    from edgekit.cli.model_flags import model_name
    from edgekit.engine.files import write_atomically

    there = FOLDER / f"{model_name(str(model))}.{program}.txt"
    there.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(there, text.encode())
    return there


def steps_to_judged(profile: Profile, precision: str, given: str) -> list[dict[str, Any]]:
    """The exact steps of the profile's route, as a recipe writes them, from the format of the model to the format that
    the profile's rules read (without rules: to where the route first compresses); none for a file in the target's own
    format, which is judged as it is.

    Raises:
        InputError: the file is compiled already.
        ExcludedError: no step of the route takes the model's format, or the rules read none that the route makes.
    """
    from edgekit.devices.judge import judges
    from edgekit.steps import STEPS

    wanted = judges(profile)
    if given == "edgetpu":
        raise InputError(
            "the file is compiled already, and no longer says what its operators were",
            remedy="check the file that it was compiled from; `edgekit inspect` shows what is inside this one",
            code="compiled_already",
        )
    if given == wanted or (wanted is None and given in (profile.formats.value or [])):
        return []
    route = [(use, STEPS.get(use.step)) for use in profile.routes[precision]]
    start = next((place for place, (_, step) in enumerate(route) if step.accepts == given), len(route))
    taken, reached = [], 0
    for use, step in route[start:]:
        if not step.exact:
            break
        taken.append({use.step: dict(use.options)})
        if wanted is None or step.produces == wanted:
            reached = len(taken)
    if not reached and not (wanted is None and start < len(route)):
        steps = " -> ".join(use.step for use, _ in route)
        raise ExcludedError(
            f"{profile.title} cannot be checked with a model in the format {given}: "
            f"no exact step of its route leads from there to {wanted or 'what it loads'}",
            where=f"the route {steps}",
            remedy=f"check a model in the format {wanted or route[0][1].accepts}",
            code="no_route",
        )
    return taken[:reached]


def _convert(flags: Flags, steps: list[dict[str, Any]], profiles: Mapping[str, Profile], out: Path | None) -> Path:
    """The converted file, by the engine (cached), in ``out``; nothing is measured."""
    from edgekit.cli.model_flags import make_recipe
    from edgekit.cli.progress import show_progress
    from edgekit.engine.run import run_plan
    from edgekit.engine.settings import Settings
    from edgekit.planning.build import build_plan

    recipe = make_recipe(flags, {"steps": steps}, profiles)
    plan = build_plan(recipe, profiles, evaluate=False)
    settings = Settings(out=out or FOLDER / plan.name, evaluate=False)
    with show_progress() as listen:
        result = run_plan(plan, settings, listen)
    errors = [error for error in (result.error, *(node.error for node in result.nodes)) if error is not None]
    if errors:
        raise from_dict(errors[0])
    artifact = result.outputs[0].artifact
    if artifact is None:
        raise EdgekitError(f"{flags.model} was not converted", where=plan.outputs[0].node)
    return artifact.path
