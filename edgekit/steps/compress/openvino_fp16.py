"""openvino -> openvino: float weights stored as float16."""

from __future__ import annotations

from edgekit.artifact import Artifact
from edgekit.formats.openvino_file import node_names, read_model, write_model
from edgekit.steps import Context, Produced, StepOptions, step


class Options(StepOptions):
    """None."""


@step(
    "openvino_fp16",
    accepts="openvino",
    produces="openvino",
    stack="openvino",
    version=1,
    options=Options,
    requires=("openvino",),
)
def openvino_fp16(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Store weights as float16; inputs, outputs and the processor's arithmetic stay float32."""
    path = context.workdir / f"{context.stem}.xml"
    model = read_model(artifact.path)
    write_model(model, path, half=True, known=node_names(model))
    return Produced(path, artifact.io)
