"""What `edgekit check` proposes next: the steps that remedies name and that would change this very model."""

from __future__ import annotations

import shlex
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.cli.step_flags import step_text
from edgekit.errors import EdgekitError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgekit.artifact import Artifact
    from edgekit.cli.check import Question
    from edgekit.cli.jobs import Jobs
    from edgekit.devices.placement import Placement
    from edgekit.engine.results import RunResult
    from edgekit.planning.checking import Written


#: A batch of pictures has as many axes at least.
_PICTURE_AXES = 4


@dataclass(frozen=True)
class Way:
    """The files on the way to the one that is judged. ``reached`` is the last of each format; ``unchanged`` are the
    steps of ``--step`` that left the file as it was."""

    steps: tuple[str, ...] = ()
    reached: Mapping[str, Artifact] = field(default_factory=dict)
    unchanged: tuple[str, ...] = ()


def way_of(result: RunResult, asked: Sequence[Written]) -> Way:
    """The way that a run of steps, one after the other, took. ``asked``: those of ``--step``. What onnx_fix_shapes is
    told holds from the source on, so that its file may be as it was and yet be its doing."""
    from edgekit.planning.free_sizes import FIX

    named = {name for written in asked for name, told in written.items() if name != FIX or not told}
    reached: dict[str, Artifact] = {}
    unchanged: list[str] = []
    before = result.source
    for node in result.nodes:
        if node.artifact is None:
            continue
        name = node.node.partition("@")[0]
        if before is not None and name in named and node.artifact.sha256 == before.sha256:
            unchanged.append(name)
        reached[node.artifact.format] = before = node.artifact
    return Way(tuple(node.node.partition("@")[0] for node in result.nodes), reached, tuple(unchanged))


@dataclass(frozen=True)
class Further:
    """``command`` judges the model with the steps that remedies name (None: none, or none that changes it); ``idle``
    are those that remedies name and that find nothing in it to rewrite, ``failed`` those that ended with an error when
    they were tried, each with that error in one line."""

    command: str | None = None
    idle: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


def propose(jobs: Jobs, question: Question, placement: Placement, given: str, way: Way) -> tuple[Further, Placement]:
    """The command with the steps that are named by remedies, not taken yet, and that change the model when they are
    tried on the file that they would get; and the placement, in which the next remedy stands for one whose steps cannot
    help, and those are marked that have none."""
    from edgekit.planning.checking import applicable, in_order, mark_remedies, pass_over, remedy_steps

    if any(violation.rule == "batch" for violation in placement.violations):
        return Further(_with_batch_of_one(question, given)), placement
    taken: list[Written] = [*question.steps]
    taken += [{name: {}} for name in way.steps]
    placement = pass_over(placement, taken, ())
    tried: list[Written] = []
    idle: list[Written] = []
    failed: list[Written] = []
    reasons: dict[str, str] = {}
    while True:
        named = applicable(remedy_steps(placement, taken), question.profile, question.precision, given)
        untried = [written for written in named if written not in tried]
        tried += untried
        for written in untried:
            try:
                idle += [] if _changes(jobs, question, written, given, way) else [written]
            except EdgekitError as error:
                if isinstance(error, Interrupted):
                    raise
                failed.append(written)
                reasons[step_text(written)] = " ".join(error.message.split())
        following = pass_over(placement, taken, [*idle, *failed])
        if following == placement:
            break
        placement = following
    changing = [written for written in named if written not in idle and written not in failed]
    command = command_with(question, in_order(changing)) if changing else None
    return Further(command, tuple(map(step_text, idle)), reasons), mark_remedies(placement, taken, idle, failed)


def command_with(question: Question, steps: Sequence[Written]) -> str:
    """Of the model with the sizes of its flags, the steps of ``--step`` and then ``steps``."""
    flags, profile, precision = question.flags, question.profile, question.precision
    words = ["edgekit", "check", str(flags.model)]
    words += ["--weights", str(flags.weights)] if flags.weights is not None else []
    words += [word for shape in flags.shape for word in ("--shape", shape)]
    words += ["--target", profile.name if precision == profile.default_precision else f"{profile.name}/{precision}"]
    words += ["--targets-dir", str(question.targets_dir)] if question.targets_dir is not None else []
    texts = [step_text(written) for written in (*question.steps, *steps)]
    return shlex.join([*words, *(word for text in texts for word in ("--step", text))])


def _with_batch_of_one(question: Question, given: str) -> str | None:
    """The command for one picture, before which no step can cure anything: with 1 for the batch of ``--shape``. None
    where the file itself says how many there are."""
    from edgekit.formats import FORMATS
    from edgekit.recipe.paths import split_factory

    file, factory = split_factory(str(question.flags.model))
    stored = {} if factory is not None else FORMATS.get(given).read_header(Path(file)).inputs
    shapes = []
    for shape in question.flags.shape:
        name, equals, sizes = shape.rpartition("=")
        first, *others = sizes.split("x")
        known = stored.get(name, next(iter(stored.values()), ()) if not name else ())
        free = len(others) >= _PICTURE_AXES - 1 and known[:1] in ((), (None,))
        shapes.append(name + equals + "x".join(["1" if free else first, *others]))
    if tuple(shapes) == question.flags.shape:
        return None
    return command_with(replace(question, flags=replace(question.flags, shape=tuple(shapes))), ())


def _changes(jobs: Jobs, question: Question, written: Written, given: str, way: Way) -> bool:
    """Whether a step makes another file of the one that it would get.

    Raises:
        EdgekitError: it refuses the model, crashes or runs out of time; or a step before it does.
    """
    from edgekit.planning.checking import steps_to_judged
    from edgekit.steps import STEPS

    ((name, _),) = written.items()
    start = way.reached.get(STEPS.get(name).accepts)
    if start is None:
        return True  # it stands where nothing was made yet: what it would get is not known
    before: list[Written] = []
    if not way.steps:  # the model is judged as it is; a step gets it from those of the route
        chain = steps_to_judged(question.profile, question.precision, given, (*question.steps, written))
        before = chain[: [next(iter(each)) for each in chain].index(name)]
    with tempfile.TemporaryDirectory(prefix="edgekit-check-") as folder:
        for place, each in enumerate(before):
            start = run_step(jobs, each, start, Path(folder) / str(place))
        return run_step(jobs, written, start, Path(folder) / "last").sha256 != start.sha256


def run_step(jobs: Jobs, written: Written, artifact: Artifact, folder: Path) -> Artifact:
    """What one step makes of a file, in ``folder``, without samples."""
    from edgekit.artifact import Artifact
    from edgekit.steps import STEPS

    ((name, options),) = written.items()
    (folder / "work").mkdir(parents=True)
    job = {
        "kind": "step",
        "step": name,
        "options": options,
        "artifact": replace(artifact, tail=None).to_dict(),
        "workdir": str(folder / "work"),
        "out": str(folder / "out"),
    }
    made = Artifact.from_dict(jobs.call(STEPS.get(name).stack, job, label=f"trying {name}")["artifact"])
    return replace(made, path=folder / "out" / made.path)
