"""onnx -> openvino: an IR with float32 weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.artifact import Artifact
from edgekit.errors import AmbiguousOutputs, StepError
from edgekit.formats.onnx_file import read_model
from edgekit.formats.openvino_file import import_openvino, reason, write_model
from edgekit.steps import Context, Produced, StepOptions, step
from edgekit.steps.convert.onnx_culprit import tell_culprit


class Options(StepOptions):
    """None: the weights stay float32; openvino_fp16 and openvino_int8 compress them."""


@step(
    "onnx_to_openvino",
    accepts="onnx",
    produces="openvino",
    stack="openvino",
    version=1,
    options=Options,
    exact=True,
    requires=("openvino",),
)
def onnx_to_openvino(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Convert ONNX to OpenVINO IR; names, layout and types of inputs and outputs are kept."""
    openvino = import_openvino()
    try:
        model = openvino.convert_model(artifact.path)
        shapes = {tensor.name: list(tensor.shape) for tensor in artifact.io.inputs if None not in tensor.shape}
        if model.is_dynamic() and shapes:
            model.reshape(shapes)
    except Exception as error:
        culprit = tell_culprit(context, artifact, _converts)
        raise StepError(
            f"OpenVINO refuses the model: {reason(error)}",
            where="onnx_to_openvino" if culprit is None else f"onnx_to_openvino: {culprit.title}",
            remedy=(culprit and culprit.remedy) or "replace the operator it names in the model",
            code="operator_refused",
        ) from error
    _keep_names(model, artifact)
    path = context.workdir / f"{context.stem}.xml"
    write_model(model, path, half=False, known=_names_in(artifact.path))
    return Produced(path, artifact.io)


def _converts(artifact: Artifact) -> bool:
    try:
        import_openvino().convert_model(artifact.path)
    except Exception:  # of many kinds, as above
        return False
    return True


def _names_in(path: Path) -> set[str]:
    """The names of an ONNX file's nodes and tensors, which OpenVINO gives to the nodes that it makes of them."""
    graph = read_model(path, with_data=False).graph
    nodes = {node.name for node in graph.node} | {name for node in graph.node for name in node.output}
    return nodes | {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}


def _keep_names(model: Any, artifact: Artifact) -> None:
    """Give each port exactly the name that it has in ONNX: OpenVINO's ports carry the names of all tensors that are
    one."""
    for kind, ports, tensors in (
        ("input", model.inputs, artifact.io.inputs),
        ("output", model.outputs, artifact.io.outputs),
    ):
        if len(ports) != len(tensors):
            raise AmbiguousOutputs(
                f"OpenVINO wrote {len(ports)} {kind}s for {len(tensors)}",
                where="onnx_to_openvino",
                remedy="give every input and output of the model a name and an operator of its own",
            )
        for tensor in tensors:
            matches = [port for port in ports if tensor.name in port.get_names()]
            if len(matches) != 1:
                raise AmbiguousOutputs(
                    f"{kind} `{tensor.name}` cannot be told apart: {len(matches)} of OpenVINO's {kind}s have that name",
                    where="onnx_to_openvino",
                    remedy=f"give every {kind} of the model a name of its own",
                )
            matches[0].get_tensor().set_names({tensor.name})
