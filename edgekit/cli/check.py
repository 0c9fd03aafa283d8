"""`edgekit check MODEL --target NAME`: would it run there, all of it, and where."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.cli.apps import JsonOption, TargetsDirOption
from edgekit.cli.asking import FOLDER
from edgekit.cli.further import Further, Way, command_with, propose, run_step, way_of
from edgekit.cli.model_flags import ShapeOption, WeightsOption
from edgekit.cli.terminal import answer, answer_json
from edgekit.errors import INEXPRESSIBLE, EdgekitError, InputError, Interrupted, from_dict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgekit.artifact import Artifact
    from edgekit.checks.measurement import Verdict
    from edgekit.cli.asking import Asked
    from edgekit.cli.jobs import Jobs
    from edgekit.cli.model_flags import Flags
    from edgekit.devices import Profile
    from edgekit.devices.judge import Judgement
    from edgekit.devices.latency import Estimate
    from edgekit.graph import Graph
    from edgekit.planning.checking import Written

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
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Exit 6 where it is not known where operators run, or whether memory suffices.")
]
StepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--step",
        metavar="NAME[:OPTION=VALUE]",
        help="Judge the model as this step would leave it, before the rest of the route. Repeatable, in order.",
    ),
]
CompiledFromOption = Annotated[
    Path | None,
    typer.Option(
        "--compiled-from", metavar="FILE", help="Of a compiled file: what it was made from, to tell what was mapped."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FOLDER", help="Where a converted file is kept. [default: edgekit-out/check/NAME]"
    ),
]


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file, or file.py:NAME.")],
    target: TargetOption,
    step: StepOption = None,
    compiled_from: CompiledFromOption = None,
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
    if it were quantized where the target wants that. A file that the device's compiler made shows what it did. With
    --step a remedy is tried: the model is judged as that step leaves it.

    \b
    Examples:
      edgekit check model.onnx --target coral
      edgekit check net.py:build --weights net.safetensors --shape 1x3x224x224 --target coral
      edgekit check model_int8.tflite --target coral --min-mapped 95% --min-mapped-macs 99%
      edgekit check model.onnx --target coral --step onnx_replace_activations --step onnx_pool_means
      edgekit check model_edgetpu.tflite --target coral
    """
    from edgekit.cli.model_flags import Flags
    from edgekit.cli.placement import check_document, check_text
    from edgekit.cli.step_flags import parse_steps
    from edgekit.devices import load_profiles
    from edgekit.planning.checking import choose_precision

    limits = _limits(min_mapped, min_mapped_macs)
    profiles = load_profiles(targets_dir)
    name, _, precision = target.partition("/")
    profile = profiles.find(name)
    flags = Flags(model=model, weights=weights, shape=tuple(shape or ()))
    steps = parse_steps(step or ())
    question = Question(flags, profile, choose_precision(profile, precision), steps, compiled_from, targets_dir)
    judged = _judge(question, profiles, out)
    judged = replace(judged, verdicts=_judge_limits(judged.judgement, limits), strict=strict)
    if as_json:
        answer_json(check_document(judged))
    else:
        answer(check_text(judged))
    return judged.exit_code


@dataclass(frozen=True)
class Question:
    """What is asked: the model as the flags name it, the device, the steps of ``--step`` as a recipe writes them, the
    file that a compiled one was made from, and the user's folder of profiles."""

    flags: Flags
    profile: Profile
    precision: str
    steps: tuple[Written, ...] = ()
    compiled_from: Path | None = None
    targets_dir: Path | None = None


@dataclass(frozen=True)
class Checked:
    """A model, the file that was judged, and what came of it. ``way`` has the steps that led to the file; ``further``
    the command that tries the steps that remedies name; ``tail`` is the file that the host runs after the judged one
    (None: nothing); ``asked`` is what came of asking the device's compiler."""

    model: str
    profile: Profile
    precision: str
    path: Path
    format: str
    judgement: Judgement
    verdicts: tuple[Verdict, ...] = ()
    strict: bool = False
    latency: Estimate | None = None
    way: Way = field(default_factory=Way)
    further: Further = field(default_factory=Further)
    tail: Path | None = None
    asked: Asked | None = None

    @property
    def exit_code(self) -> int:
        """4: the device does not take it; 1: a limit is missed; 6: strict, and something is not known; else 0."""
        from edgekit.checks.gates import exit_code
        from edgekit.errors import first_exit_code

        verdict = self.judgement.placement.verdict()
        codes = [exit_code(self.verdicts, strict=self.strict), 4 if verdict == "violates" else 0]
        open_ = verdict == "not_known" or self.judgement.unsettled()
        codes.append(6 if self.strict and open_ else 0)
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


def _judge(question: Question, profiles: Mapping[str, Profile], out: Path | None) -> Checked:
    """Convert what has to be, describe it, and judge it."""
    from edgekit.cli.asking import Asking
    from edgekit.cli.chains import format_of
    from edgekit.cli.jobs import Jobs
    from edgekit.cli.model_flags import parse_inputs
    from edgekit.devices.judge import judge_graph, judge_inexpressible
    from edgekit.devices.latency import estimate
    from edgekit.planning.checking import is_compiled_for, steps_to_judged
    from edgekit.planning.quantizing import judge_quantizer

    flags, profile, precision = question.flags, question.profile, question.precision
    assert flags.model is not None
    given = format_of(flags.model)
    compiled = is_compiled_for(profile, precision, given) and not question.steps
    if question.compiled_from is not None and not compiled:
        message = f"{flags.model} is no compiled file, so that --compiled-from means nothing"
        raise InputError(message, remedy="leave it out", code="usage")
    steps = [] if compiled else steps_to_judged(profile, precision, given, question.steps)
    notes = _check_sizes(question, given)
    path, way, refusal = _convert(question, steps, profiles, out) if steps else (None, Way(), None)
    with Jobs() as jobs:
        if path is None:
            inputs = parse_inputs(flags)
            artifact = jobs.read_named(flags.model, inputs, flags.weights)
        else:
            artifact = jobs.read_model(path)
        graph = jobs.describe(artifact)
        judged = path or Path(flags.model)
        asking = Asking(jobs, profile, judged)
        if refusal is not None:
            judgement = judge_inexpressible(graph, profile, refusal.message, refusal.remedy)
        elif compiled:
            judgement = _judge_compiled(jobs, question, graph)
        else:
            converted = path is not None
            judgement = judge_graph(graph, profile, precision=precision, converted=converted, ask=asking.ask)
            judgement = judge_quantizer(asking.finish(judgement), graph, profile, precision)
        start = way if steps else replace(way, reached={artifact.format: artifact})
        further = Further()
        if not compiled:
            further, placement = propose(jobs, question, judgement.placement, given, start)
            if not steps and further.command is None and placement.verdict() != "fits":
                further = replace(further, command=_with_own_steps(jobs, question, artifact, placement.verdict()))
            judgement = replace(judgement, placement=replace(placement, notes=(*placement.notes, *notes)))
    latency = None if compiled or refusal else estimate(graph, profile, judgement.placement, precision=precision)
    return Checked(
        flags.model,
        profile,
        precision,
        judged,
        artifact.format,
        judgement,
        latency=latency,
        way=way,
        further=further,
        tail=None if artifact.tail is None else artifact.tail.path,
        asked=asking.asked,
    )


def _with_own_steps(jobs: Jobs, question: Question, artifact: Artifact, verdict: str) -> str | None:
    """The command that judges a file, which was judged as it is, as the route's own steps leave it before they reach
    another format (as a run does); None where they do not change the verdict."""
    from edgekit.devices.judge import judge_graph
    from edgekit.steps import STEPS

    profile, precision = question.profile, question.precision
    route = ((use, STEPS.get(use.step)) for use in profile.routes[precision])
    own: list[Written] = [
        {use.step: dict(use.options)}
        for use, step in route
        if step.exact and step.accepts == step.produces == artifact.format
    ]
    if not own:
        return None
    try:
        with tempfile.TemporaryDirectory(prefix="edgekit-check-") as folder:
            for place, written in enumerate(own):
                artifact = run_step(jobs, written, artifact, Path(folder) / str(place))
            graph = jobs.describe(artifact)
    except EdgekitError as error:
        if isinstance(error, Interrupted):
            raise
        return None
    changed = judge_graph(graph, profile, precision=precision).placement.verdict() != verdict
    return command_with(question, own) if changed else None


def _check_sizes(question: Question, given: str) -> tuple[str, ...]:
    """Refuse free sizes that nobody says (``checking.check_sizes``); a note for each free batch, which is 1 then."""
    from edgekit.planning.checking import check_sizes
    from edgekit.recipe.paths import split_factory

    flags = question.flags
    file, factory = split_factory(str(flags.model))
    if factory is not None:
        return ()
    declared = [text.rpartition("=")[0] for text in flags.shape]
    batches = check_sizes(question.profile, Path(file), given, declared, question.steps)
    return tuple(f"the free batch of `{name}` is taken as 1; --shape says another" for name in batches)


def _judge_compiled(jobs: Jobs, question: Question, graph: Graph) -> Judgement:
    """What a compiled file shows, with the file that it was made from if that was named.

    Raises:
        InputError: that one is another model.
    """
    from edgekit.devices.compiled import belongs, judge_compiled

    if question.compiled_from is None:
        return judge_compiled(graph, question.profile)
    source = jobs.describe(jobs.read_model(question.compiled_from))
    if not belongs(graph, source):
        raise InputError(
            f"{question.flags.model} was not compiled from {question.compiled_from}",
            where="--compiled-from",
            remedy="its inputs and outputs, or operators that are left in it, are others; name the file it came from",
            code="other_model",
        )
    return judge_compiled(graph, question.profile, source)


def _convert(
    question: Question, steps: Sequence[Written], profiles: Mapping[str, Profile], out: Path | None
) -> tuple[Path, Way, EdgekitError | None]:
    """The converted file, by the engine (cached), in ``out``, and how it came there; nothing is measured. Where no file
    of the next format can hold the model: the last one that was made, and the refusal."""
    from edgekit.cli.model_flags import make_recipe
    from edgekit.cli.progress import show_progress
    from edgekit.engine.run import run_plan
    from edgekit.engine.settings import Settings
    from edgekit.planning.build import build_plan

    flags = question.flags
    recipe = make_recipe(flags, {"steps": list(steps)}, profiles)
    plan = build_plan(recipe, profiles, evaluate=False)
    settings = Settings(out=out or FOLDER / plan.name, evaluate=False)
    with show_progress() as listen:
        result = run_plan(plan, settings, listen)
    errors = [error for error in (result.error, *(node.error for node in result.nodes)) if error is not None]
    reached = [node.artifact for node in result.nodes if node.artifact is not None]
    if errors and errors[0]["code"] == INEXPRESSIBLE and (reached or result.source is not None):
        done = replace(result, nodes=tuple(node for node in result.nodes if node.artifact is not None))
        last = reached[-1] if reached else result.source
        assert last is not None
        return last.path, way_of(done, question.steps), from_dict(errors[0])
    if errors:
        raise from_dict(errors[0])
    artifact = result.outputs[0].artifact
    if artifact is None:
        raise EdgekitError(f"{flags.model} was not converted", where=plan.outputs[0].node)
    return artifact.path, way_of(result, question.steps), None
