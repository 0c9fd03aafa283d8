"""onnx -> onnx: constants folded, shapes fixed, what has no effect removed."""

from __future__ import annotations

from edgekit.artifact import Artifact
from edgekit.errors import StepError
from edgekit.formats.onnx_file import read_model, write_model
from edgekit.steps import Context, Produced, StepOptions, step


class Options(StepOptions):
    """None: onnxsim's own defaults."""


@step(
    "onnx_simplify",
    accepts="onnx",
    produces="onnx",
    stack="onnx",
    version=1,
    options=Options,
    exact=True,
    requires=("onnx", "onnxsim"),
)
def onnx_simplify(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Fold constants, fuse batch norms and remove what has no effect (onnxsim); the batch is fixed."""
    import onnxsim

    model = read_model(artifact.path)
    shapes = {tensor.name: list(tensor.shape) for tensor in artifact.io.inputs if None not in tensor.shape}
    try:
        # onnxsim's own check is left out: the engine measures the written file in its runtime.
        simplified, _ = onnxsim.simplify(model, check_n=0, overwrite_input_shapes=shapes)
    except Exception as error:
        raise StepError(
            f"onnxsim failed: {' '.join(str(error).split())[:300]}",
            where="onnx_simplify",
            remedy="leave onnx_simplify out of `steps`",
        ) from error
    path = context.workdir / f"{context.stem}.onnx"
    write_model(simplified, path)
    return Produced(path, artifact.io)
