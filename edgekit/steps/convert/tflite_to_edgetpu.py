"""TensorFlow Lite to what the Edge TPU runs, by Coral's own compiler."""

from __future__ import annotations

from pydantic import Field

from edgekit.artifact import Artifact
from edgekit.devices.edgetpu_compiler import PROGRAM, compile_model
from edgekit.errors import StepError
from edgekit.formats.edgetpu import describe_compiled
from edgekit.formats.edgetpu_file import is_compiled
from edgekit.steps import Context, Produced, StepOptions, step


class Options(StepOptions):
    timeout_seconds: int = Field(180, ge=1, le=86400, description="seconds that the compiler may take")


@step(
    "tflite_to_edgetpu",
    accepts="tflite",
    produces="edgetpu",
    stack="litert",
    version=1,
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
    made = compile_model(artifact.path, context.workdir, timeout_seconds=options.timeout_seconds)
    context.log.info("%s\n%s", " ".join(made.command), made.report.text)
    if made.compiled is None:
        failures = made.report.failures
        said = f"{failures[0].means}: {failures[0].line}" if failures else "it does not say why in a form that is known"
        raise StepError(
            f"{PROGRAM} does not compile the model: {said}",
            where=artifact.path.name,
            remedy=failures[0].remedy
            if failures
            else "edgekit check MODEL --target coral says which operators map; its log has what the compiler printed",
            code="compiler_refused",
        )
    if not is_compiled(made.compiled):
        raise StepError(
            f"{PROGRAM} maps none of the model's operators, so that its file is an unchanged copy",
            where=artifact.path.name,
            remedy="edgekit check says why of each operator",
            code="nothing_mapped",
        )
    left = describe_compiled(made.compiled).metadata["cpu_operators"]
    notes = [f"{left} operators stay on the CPU"] if left else []
    notes += ["compiled in part, with --search_delegate"] if made.searched else []
    return Produced(made.compiled, artifact.io, tuple(notes))
