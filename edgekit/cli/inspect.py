"""`edgekit inspect MODEL`: what is in a model file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.apps import JsonOption
from edgekit.cli.feeding import tensor_text
from edgekit.cli.model_flags import ShapeOption, WeightsOption
from edgekit.cli.terminal import answer, answer_json, pairs, table

if TYPE_CHECKING:
    from edgekit.artifact import Artifact, Tensor
    from edgekit.graph import Graph


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
    from edgekit.cli.model_flags import Flags, parse_shapes

    flags = Flags(model=model, weights=weights, shape=tuple(shape or ()))
    inputs = {name: {"shape": sizes} for name, sizes in parse_shapes(flags).items()}
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
        "operators": graph.count_types(),
        "macs": graph.macs,
        "params": graph.params,
        "quantization": quantization(graph),
        "metadata": graph.metadata,
    }


def quantization(graph: Graph) -> dict[str, Any]:
    """How a graph is quantized: ``scheme`` is none, weights or full; ``float_operators`` are the types of those that
    compute in floating point."""
    constants = [tensor for tensor in graph.tensors if tensor.constant]
    flowing = [tensor for tensor in graph.tensors if not tensor.constant]
    weights = [tensor for tensor in constants if tensor.quantization is not None]
    activations = [tensor for tensor in flowing if tensor.quantization is not None]
    ends = [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)]
    scheme = "full" if activations else "weights" if weights else "none"
    return {
        "scheme": scheme,
        "weights": _main_type(weights or _large(constants)),
        "activations": _main_type(activations or [tensor for tensor in flowing if tensor.dtype in FLOATS]),
        "per_channel": any(tensor.quantization is not None and tensor.quantization.per_channel for tensor in weights),
        "io": sorted({tensor.dtype for tensor in ends}),
        "float_operators": _float_operators(graph) if activations else {},
    }


def inspection_text(name: str, artifact: Artifact, graph: Graph) -> str:
    """The same for a reader."""
    from edgekit.report import figures

    found = quantization(graph)
    rows = [
        ("format", artifact.format),
        ("size", f"{figures.size(artifact.bytes)} ({artifact.bytes} bytes)"),
        ("sha256", artifact.sha256),
        *(("input", tensor_text(tensor)) for tensor in artifact.io.inputs),
        *(("output", tensor_text(tensor)) for tensor in artifact.io.outputs),
        ("MACs", f"{graph.macs:,} ({graph.macs / 1e6:.1f} M)"),
        ("parameters", f"{graph.params:,} ({graph.params / 1e6:.2f} M)"),
        ("quantization", _scheme_text(found)),
        *((key, str(value)) for key, value in graph.metadata.items()),
    ]
    operators = [(type_, str(count)) for type_, count in graph.count_types().items()]
    return f"{name}\n\n{pairs(rows, indent='  ')}\n\n{table(('operator', 'count'), operators)}"


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


def _large(constants: list[Any]) -> list[Any]:
    """Weights rather than shapes and scalars: constants of two axes or more, else all."""
    return [tensor for tensor in constants if len(tensor.shape) > 1] or constants


def _main_type(tensors: list[Any]) -> str | None:
    """The type that most of the numbers are of."""
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.dtype] += tensor.elements or 1
    return max(counts, key=lambda name: (counts[name], name)) if counts else None


def _float_operators(graph: Graph) -> dict[str, int]:
    """{type: count} of operators all of whose values are floating point (a QUANTIZE has one side that is not)."""
    counts: Counter[str] = Counter()
    for operator in graph.operators:
        values = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
        flowing = [tensor for tensor in values if not tensor.constant]
        if flowing and all(tensor.dtype in FLOATS and tensor.quantization is None for tensor in flowing):
            counts[operator.type] += 1
    return dict(counts.most_common())


def _scheme_text(found: dict[str, Any]) -> str:
    if found["scheme"] == "none":
        return f"none: weights {found['weights'] or 'none'}"
    spread = "per channel" if found["per_channel"] else "per tensor"
    parts = [f"weights {found['weights']} {spread}"]
    if found["scheme"] == "full":
        parts.append(f"activations {found['activations']}")
    parts.append(f"inputs and outputs {', '.join(found['io'])}")
    left = ", ".join(f"{count} {type_}" for type_, count in found["float_operators"].items())
    parts.append(f"in floating point: {left}" if left else "nothing in floating point")
    return "; ".join(parts)
