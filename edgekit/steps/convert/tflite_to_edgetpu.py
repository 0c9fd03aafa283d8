"""TensorFlow Lite to what the Edge TPU runs, by Coral's own compiler."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from edgekit.artifact import Artifact
from edgekit.devices.edgetpu_compiler import PROGRAM, SECONDS, Compilation, compile_model, output_file, same_ends
from edgekit.devices.external import excerpt
from edgekit.errors import InputError, StepError
from edgekit.formats.edgetpu import describe_compiled
from edgekit.formats.edgetpu_file import is_compiled
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import read_model
from edgekit.graph import Graph
from edgekit.steps import Context, Produced, StepOptions, step

#: How many of the last lines are told that the compiler said, where they are not understood.
SAID = 3


class Options(StepOptions):
    timeout_seconds: int = Field(SECONDS, ge=1, le=86400, description="seconds that the compiler may take")


@step(
    "tflite_to_edgetpu",
    accepts="tflite",
    produces="edgetpu",
    stack="litert",
    version=2,
    options=Options,
    exact=True,
    programs=(PROGRAM,),
)
def tflite_to_edgetpu(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Compile a fully quantized model with edgetpu_compiler; what it does not map stays on the CPU.

    Raises:
        AbsentError: the compiler is not on PATH.
        StepError: it refuses the model, maps none of it, or does not end in time.
    """
    try:
        made = compile_model(artifact.path, context.workdir, timeout_seconds=options.timeout_seconds)
    except StepError as error:
        if error.word == "timeout":
            error.remedy = "give it longer (the option timeout_seconds), or a smaller model"
        raise
    finally:
        _log(context, output_file(context.workdir))
    if made.compiled is None:
        raise _refusal(artifact.path.name, made)
    left = _describe(made.compiled, artifact).metadata["cpu_operators"]
    version = f" {made.report.version}" if made.report.version else ""
    notes = [
        f"compiled by {PROGRAM}{version}",
        f"{left} operators stay on the CPU" if left else "all of it is compiled",
    ]
    notes += ["compiled in part, with --search_delegate"] if made.searched else []
    return Produced(made.compiled, artifact.io, tuple(notes))


def _describe(compiled: Path, artifact: Artifact) -> Graph:
    """What the compiler wrote.

    Raises:
        StepError: it cannot be read, is another model, or has nothing compiled in it.
    """
    source = describe_model(read_model(artifact.path))
    try:
        mapped = is_compiled(compiled)
        graph = describe_compiled(compiled) if mapped else describe_model(read_model(compiled))
    except InputError as error:
        raise StepError(
            f"{PROGRAM} wrote a file that cannot be read: {error.message}",
            where=artifact.path.name,
            remedy="see in the log what it printed; a full disk leaves such files",
            code="compiled_unreadable",
        ) from error
    if not same_ends(graph, source):
        raise StepError(
            f"{PROGRAM} wrote a model with other inputs or outputs than it was given",
            where=artifact.path.name,
            remedy="see in the log what it printed, and which program of that name is on PATH",
            code="compiled_another",
        )
    if not mapped:
        raise StepError(
            f"{PROGRAM} maps none of the model's operators, so that its file is an unchanged copy",
            where=artifact.path.name,
            remedy="edgekit check says why of each operator",
            code="nothing_mapped",
        )
    return graph


def _refusal(name: str, made: Compilation) -> StepError:
    """The error of a compilation that wrote no file, with what the compiler said last where that is not understood."""
    log = "edgekit check MODEL --target coral says which operators map; its log has what the compiler printed"
    failures = made.report.failures
    if made.unclear is None and failures:
        told, remedy = f"{failures[0].means}: {failures[0].line}", failures[0].remedy
    else:
        said = " / ".join(excerpt(made.output)[-SAID:])
        told, remedy = f"{made.unclear}; the last that it said: {said or 'nothing'}", log
    message = f"{PROGRAM} does not compile the model: {told}"
    return StepError(message, where=name, remedy=remedy, code="compiler_refused")


def _log(context: Context, output: Path) -> None:
    """All that the compiler printed, of any size, into the log of the step."""
    if not output.exists():
        return
    with output.open("rb") as printed:
        while part := printed.read(1 << 20):
            context.log.info("%s", part.decode("utf-8", "replace"))
