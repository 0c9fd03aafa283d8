"""torch -> onnx, by PyTorch's own exporters."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekit.artifact import Artifact
from edgekit.errors import InputError, StepError
from edgekit.formats.onnx_file import opset_of, write_model
from edgekit.formats.torch_load import EXPORTED, SCRIPTED, Program, example_feeds, load_program, to_tensors
from edgekit.steps import Context, Produced, StepOptions, step

# The opset each exporter is asked for unless the options say: dynamo writes 18 or later only.
DEFAULT_OPSET = {"torchscript": 17, "dynamo": 18}
# From which opset on PyTorch writes attention by itself.
ATTENTION, ATTENTION_OPSET = "aten::scaled_dot_product_attention", 14


class Options(StepOptions):
    exporter: Literal["auto", "dynamo", "torchscript"] = Field(
        "auto", description="torchscript takes half a second, dynamo several; auto tries them in that order"
    )
    opset: int | None = Field(
        None, ge=11, le=25, description="ONNX opset; 17 from torchscript and 18 from dynamo unless given"
    )


@step(
    "torch_to_onnx",
    accepts="torch",
    produces="onnx",
    stack="torch",
    version=2,
    options=Options,
    exact=True,
    requires=("torch", "onnx"),
)
def torch_to_onnx(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Export a PyTorch model to ONNX with a fixed batch, names of inputs and outputs kept."""
    import onnx
    import torch

    torch.set_num_threads(max(1, context.threads))
    program = load_program(artifact.path, artifact.build)
    feeds = example_feeds(artifact.io.inputs)
    examples = to_tensors(feeds, [tensor.name for tensor in artifact.io.inputs])
    path = context.workdir / f"{context.stem}.onnx"
    exporters = _choose_exporters(options.exporter, program)
    failures: list[Exception] = []
    for exporter in exporters:
        opset = options.opset or DEFAULT_OPSET[exporter]
        try:
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                EXPORTERS[exporter](program, examples, artifact, opset, path)
            model = onnx.load_model(path)
            _check_opset(exporter, opset, model)
            break
        except InputError:
            raise
        except Exception as error:
            context.log.warning("the %s exporter failed: %s", exporter, error, exc_info=True)
            failures.append(error)
    else:
        raise _refused(artifact.path, exporters, failures)
    write_model(model, path)
    notes = [f"the {exporters[0]} exporter refused the model; exported by {exporter}"] if failures else []
    return Produced(path, _read_io(model, artifact), tuple(notes))


def _choose_exporters(wanted: str, program: Program) -> list[str]:
    if program.kind == SCRIPTED:
        if wanted == "dynamo":
            raise StepError(
                "the dynamo exporter does not take TorchScript",
                where="torch_to_onnx",
                remedy="use exporter: torchscript, or give the model as .pt2 or file.py:factory",
            )
        return ["torchscript"]
    return ["torchscript", "dynamo"] if wanted == "auto" else [wanted]


def _export_torchscript(program: Program, examples: list[Any], artifact: Artifact, opset: int, path: Path) -> None:
    import torch

    with _attention_at(opset):
        torch.onnx.export(
            # A scripted module inside another cannot be traced; alone it need not be.
            program.module if program.kind == SCRIPTED else _flat(program),
            tuple(examples),
            path,
            input_names=[tensor.name for tensor in artifact.io.inputs],
            output_names=[tensor.name for tensor in artifact.io.outputs],
            opset_version=opset,
            dynamo=False,
            verbose=False,
        )


@contextmanager
def _attention_at(opset: int) -> Iterator[None]:
    """Attention in operators of the opset. PyTorch's fused multi-head attention has no ONNX form. How to write plain
    attention it registers from opset 14 on, though only a causal mask needs an operator (Trilu) of that opset: it is
    lent to older ones, which old devices need."""
    import torch
    from torch.onnx import symbolic_opset14

    onnx: Any = torch.onnx  # not all that it documents is in its `__all__`
    fused, old = torch.backends.mha.get_fastpath_enabled(), opset < ATTENTION_OPSET

    def write(g: Any, query: Any, key: Any, value: Any, mask: Any, dropout: Any, causal: Any, *more: Any) -> Any:
        if causal.node().t("value").item():
            raise StepError(
                f"causal attention cannot be written at opset {opset}",
                where="aten::scaled_dot_product_attention",
                remedy=f"give the mask as a tensor (attn_mask), or ask for opset {ATTENTION_OPSET} or newer",
                code="operator_refused",
            )
        return symbolic_opset14.scaled_dot_product_attention(g, query, key, value, mask, dropout, causal, *more)

    torch.backends.mha.set_fastpath_enabled(False)
    if old:
        onnx.register_custom_op_symbolic(ATTENTION, write, opset)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        if old:
            onnx.unregister_custom_op_symbolic(ATTENTION, opset)


def _export_dynamo(program: Program, examples: list[Any], artifact: Artifact, opset: int, path: Path) -> None:
    import torch

    exportable: Any = program.exported if program.kind == EXPORTED else _flat(program)
    torch.onnx.export(
        exportable,
        () if program.kind == EXPORTED else tuple(examples),
        path,
        input_names=[tensor.name for tensor in artifact.io.inputs],
        output_names=[tensor.name for tensor in artifact.io.outputs],
        opset_version=opset,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


EXPORTERS = {"torchscript": _export_torchscript, "dynamo": _export_dynamo}


def _flat(program: Program) -> Any:
    """A module that takes the input tensors one by one and returns a tuple of the output tensors."""
    import torch

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = program.module
            self.training = False

        def forward(self, *tensors: Any) -> tuple[Any, ...]:
            return tuple(program.run(tensors).values())

        def train(self, mode: bool = True) -> Any:
            # The model is in evaluation mode already, and an exported program refuses to be asked.
            return self

    return Flat()


def _check_opset(exporter: str, wanted: int, model: Any) -> None:
    found = opset_of(model)
    if found != wanted:
        raise StepError(
            f"the {exporter} exporter wrote opset {found} where {wanted} was asked for",
            where="torch_to_onnx",
            remedy=f"ask for opset {found}" + (", or use exporter: torchscript" if exporter == "dynamo" else ""),
            code="opset_changed",
        )


def _read_io(model: Any, artifact: Artifact) -> Any:
    """The source's io: names are kept; shapes and dtypes are those of the source, which the export fixed."""
    inputs = [value.name for value in model.graph.input]
    outputs = [value.name for value in model.graph.output]
    missing = [tensor.name for tensor in artifact.io.inputs if tensor.name not in inputs]
    if missing:
        raise StepError(
            f"the model does not use its input `{missing[0]}`, so the exporter dropped it",
            where="torch_to_onnx",
            remedy="leave it out of the model's call, or use it",
        )
    if outputs != [tensor.name for tensor in artifact.io.outputs]:
        raise StepError(f"the exporter wrote the outputs {', '.join(outputs)}", where="torch_to_onnx")
    return replace(artifact.io, inputs=tuple(replace(tensor) for tensor in artifact.io.inputs))


def _refused(path: Path, exporters: list[str], failures: list[Exception]) -> StepError:
    """One error for all exporters, naming the operator that the first of them did not know. That the second wrote
    another opset matters only where nothing else failed."""
    told = [error for error in failures if isinstance(error, StepError)]
    said = [error for error in told if error.word != "opset_changed" or len(failures) == 1]
    if said:
        return said[0]
    operators = [name for name in (_operator_in(error) for error in failures) if name]
    what = f"operator `{operators[0]}` is not supported" if operators else _reason(failures[0])
    return StepError(
        f"{' and '.join(exporters)} cannot export {path.name} to ONNX: {what}",
        where=operators[0] if operators else "torch_to_onnx",
        remedy="replace the operator in the model, or try another opset or exporter",
        code="operator_refused" if operators else "step_failed",
    )


# How the two exporters name an operator that they do not know.
_OPERATOR = re.compile(
    r"(?:operator|No decompositions registered for|No ONNX function found for)\W{1,20}"
    r"(?:OpOverload\(op=)?'?((?:\w+::\w+|\w+\.\w+)(?:\.\w+)?)"
)


def _operator_in(error: BaseException) -> str | None:
    """The operator that an exporter's message, or one that caused it, says it does not know (``aten::x``)."""
    cause: BaseException | None = error
    while cause is not None:
        found = _OPERATOR.search(str(cause))
        if found:
            return found.group(1)
        cause = cause.__cause__ or cause.__context__
    return None


def _reason(error: BaseException) -> str:
    """The telling line of an exporter's message: what is below dynamo's "Exception summary", else the first."""
    text = re.sub(r"\x1b\[\d+m", "", str(error))
    _, _, summary = text.partition("## Exception summary")
    lines = [line.strip() for line in (summary or text).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
