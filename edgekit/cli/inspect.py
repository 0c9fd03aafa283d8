"""`edgekit inspect MODEL`: what is in a model file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.apps import JsonOption
from edgekit.cli.feeding import output_rows, tensor_text
from edgekit.cli.model_flags import ShapeOption, WeightsOption
from edgekit.cli.terminal import answer, answer_json, pairs, table

if TYPE_CHECKING:
    from edgekit.artifact import Artifact, Tensor
    from edgekit.graph import Graph, Operator


#: Types of constants that are biases, sizes and indices, and never weights.
_INDICES = ("int32", "int64", "bool")
FLOATS = ("float16", "float32", "float64", "bfloat16")


def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file, or file.py:NAME.")],
    weights: WeightsOption = None,
    shape: ShapeOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show a model's inputs, outputs, operators, MACs, parameters and quantization.

    MACs are those of convolutions, transposed convolutions and matrix products.

    \b
    Examples:
      edgekit inspect model.tflite
      edgekit inspect net.py:build --weights net.safetensors --shape 1x3x224x224
    """
    from edgekit.cli.jobs import Jobs
    from edgekit.cli.model_flags import Flags, parse_inputs

    flags = Flags(model=model, weights=weights, shape=tuple(shape or ()))
    inputs = parse_inputs(flags)
    with Jobs() as jobs:
        artifact = jobs.read_named(model, inputs, weights)
        graph = jobs.describe(artifact)
    if as_json:
        answer_json(inspection(artifact, graph))
    else:
        answer(inspection_text(model, artifact, graph))
    return 0


def inspection(artifact: Artifact, graph: Graph) -> dict[str, Any]:
    """The document ``edgekit.inspect/1``."""
    return {
        "schema": "edgekit.inspect/1",
        "format": artifact.format,
        "bytes": artifact.bytes,
        "sha256": artifact.sha256,
        "inputs": [_tensor(tensor) for tensor in artifact.io.inputs],
        "outputs": [_tensor(tensor) for tensor in artifact.io.outputs],
        "tail": _tail(artifact),
        "operators": graph.count_types(),
        "macs": graph.macs,
        "params": graph.params,
        "quantization": quantization(graph),
        "metadata": {name: value for name, value in graph.metadata.items() if name != "quantization"},
    }


def quantization(graph: Graph) -> dict[str, Any]:
    """How a graph is quantized. A format that keeps it in its own way says so itself (``qdq``, ``fake_quantize``); else
    ``scheme`` is none, weights or full, by the tensors. ``float_operators`` counts the convolutions and matrix products
    that compute in floating point."""
    told = graph.metadata.get("quantization")
    if isinstance(told, dict):
        return told
    constants = [tensor for tensor in graph.tensors if tensor.constant]
    flowing = [tensor for tensor in graph.tensors if not tensor.constant]
    weights = [tensor for tensor in constants if tensor.quantization is not None]
    activations = [tensor for tensor in flowing if tensor.quantization is not None]
    ends = [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)]
    return {
        "scheme": "full" if activations else "weights" if weights else "none",
        "weights": _main_type(weights or _large(constants)),
        "activations": _main_type(activations or [tensor for tensor in flowing if tensor.dtype in FLOATS]),
        "per_channel": any(tensor.quantization is not None and tensor.quantization.per_channel for tensor in weights),
        "io": sorted({tensor.dtype for tensor in ends}),
        "float_operators": sum(1 for operator in graph.operators if operator.macs and _is_float(graph, operator)),
    }


def inspection_text(name: str, artifact: Artifact, graph: Graph) -> str:
    """The same for a reader."""
    from edgekit.cli.inside import TOLD, compiled_rows, is_compiled
    from edgekit.report import figures

    found, compiled = quantization(graph), is_compiled(graph.metadata)
    outside = " in the operators on the CPU" if compiled else ""
    told = TOLD if compiled else frozenset()
    rows = [
        ("format", artifact.format),
        ("size", f"{figures.size(artifact.bytes)} ({artifact.bytes} bytes)"),
        ("sha256", artifact.sha256),
        *(("input", tensor_text(tensor)) for tensor in artifact.io.inputs),
        *output_rows(artifact),
        *(compiled_rows(graph.metadata) if compiled else ()),
        ("MACs", count_text(graph.macs) + outside),
        ("parameters", count_text(graph.params) + outside),
        ("quantization", _scheme_text(found)),
        *(
            (name, _metadata_text(value))
            for name, value in graph.metadata.items()
            if name not in {"quantization", *told}
        ),
    ]
    operators = [(type_, str(count)) for type_, count in graph.count_types().items()]
    return f"{name}\n\n{pairs(rows, indent='  ')}\n\n{table(('operator', 'count'), operators)}"


def count_text(number: int) -> str:
    """The figure in full, and in millions where it has some."""
    return f"{number:,}" + (f" ({number / 1e6:.3g} M)" if number >= 100_000 else "")


def _metadata_text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value) or "none"


def _tensor(tensor: Tensor) -> dict[str, Any]:
    quantization = None
    if tensor.quantization is not None:
        quantization = {"scale": tensor.quantization.scale[0], "zero_point": tensor.quantization.zero_point[0]}
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "layout": tensor.layout,
        "quantization": quantization,
    }


def _tail(artifact: Artifact) -> dict[str, Any] | None:
    """What the host runs after the file; its inputs by the names of the file's outputs."""
    tail = artifact.tail
    if tail is None:
        return None
    own = {tensor.source_name: tensor.name for tensor in artifact.io.outputs}
    return {
        "file": tail.path.name,
        "bytes": tail.bytes,
        "sha256": tail.sha256,
        "inputs": [{**_tensor(tensor), "output": own[tensor.source_name]} for tensor in tail.io.inputs],
        "outputs": [_tensor(tensor) for tensor in tail.io.outputs],
    }


def _large(constants: list[Any]) -> list[Any]:
    """Weights rather than shapes and scalars: constants of two axes or more, else all."""
    return [tensor for tensor in constants if len(tensor.shape) > 1] or constants


def _main_type(tensors: list[Any]) -> str | None:
    """The type that most of the numbers are of."""
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.dtype] += tensor.elements or 1
    return max(counts, key=lambda name: (counts[name], name)) if counts else None


def _is_float(graph: Graph, operator: Operator) -> bool:
    """Whether all that flows through an operator is floating point."""
    values = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    return all(tensor.dtype in FLOATS for tensor in values if not tensor.constant)


def _scheme_text(found: dict[str, Any]) -> str:
    if found["scheme"] == "none":
        return f"none: weights {found['weights'] or 'none'}"
    spread = "per channel" if found["per_channel"] else "per tensor"
    kind = found["weights"]
    weights = "no weights" if kind in (None, *_INDICES) else f"weights {kind} {spread}"
    parts = [f"{found['scheme']}: {weights}"]
    if found["activations"]:
        parts.append(f"activations {found['activations']}")
    parts.append(f"inputs and outputs {', '.join(found['io'])}")
    left = found["float_operators"]
    parts.append(f"{left or 'no'} convolutions and matrix products in floating point")
    return "; ".join(parts)
