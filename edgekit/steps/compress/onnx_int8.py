"""onnx -> onnx with Q/DQ pairs: ONNX Runtime's static quantization, with ranges collected by edgekit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from edgekit.artifact import Artifact
from edgekit.errors import InputError, StepError, UnknownName
from edgekit.formats.onnx_file import opset_of, read_constants, read_model, write_model
from edgekit.formats.onnx_ranges import Range, collect_ranges
from edgekit.formats.onnx_selection import selecting_nodes
from edgekit.formats.onnx_session import open_session
from edgekit.formats.runner import feed_real
from edgekit.registry import did_you_mean
from edgekit.steps import Context, Produced, StepOptions, step

# Per-channel Q/DQ needs the attribute `axis` of opset 13.
LOWEST_OPSET = 13
# Beyond this a tensor is a mask (-3.4e38 where attention must not look), not a signal: 8 bits cannot hold it.
LARGEST_SIGNAL = 1e9


class Options(StepOptions):
    per_channel: bool = Field(True, description="one scale per output channel of a weight; per tensor loses points")
    activations: Literal["uint8", "int8"] = Field("uint8", description="stored type of activations")
    symmetric: bool = Field(False, description="zero points of 0 (needs activations: int8), as TensorRT requires")
    float_weights: bool = Field(
        False, description="weights stay float32 behind a Q/DQ pair, as TensorRT 8 reads them; the file is no smaller"
    )
    quantize_bias: bool = Field(True, description="biases as int32; TensorRT takes them in floating point only")
    reduce_range: bool = Field(False, description="7-bit weights, for x86 processors without VNNI, which saturate")
    exclude: tuple[str, ...] = Field((), description="names of nodes that stay in floating point")

    @model_validator(mode="after")
    def _signed_where_symmetric(self) -> Options:
        if self.symmetric and self.activations == "uint8":
            raise ValueError("`symmetric` needs `activations: int8`: the zero point of uint8 is 128 then, not 0")
        return self


@step(
    "onnx_int8",
    accepts="onnx",
    produces="onnx",
    stack="onnx",
    version=2,
    options=Options,
    calibrates=True,
    requires=("onnx", "onnxruntime"),
)
def onnx_int8(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Quantize weights and activations to 8 bits (Q/DQ) with the lowest and highest value of each over all samples."""
    if context.samples is None or len(context.samples) == 0:
        raise InputError("onnx_int8 needs calibration samples", code="no_samples")
    model = _prepare(read_model(artifact.path))
    _check_names(model, options.exclude)
    collected, borrowed = choose_tensors(model)
    total = len(context.samples)
    feeds: Iterator[dict[str, np.ndarray]] = (feed_real(artifact.io, sample) for sample in context.samples)
    ranges = collect_ranges(model, collected, feeds, context.threads, lambda done: context.progress(done, total))
    ranges.update({tensor: ranges[source] for tensor, source in borrowed.items()})
    masked = _touching_masks(model, ranges)
    selecting = [node.name for node in selecting_nodes(model)]
    quantized = _quantize(model, ranges, options, [*options.exclude, *masked, *selecting])
    path = context.workdir / f"{context.stem}.onnx"
    write_model(quantized, path)
    open_session(path, context.threads)
    left = {"their values are masks": masked, "they select, or move what was selected": selecting}
    notes = tuple(f"{len(names)} nodes stay in floating point: {why}" for why, names in left.items() if names)
    return Produced(path, artifact.io, notes)


def choose_tensors(model: Any) -> tuple[list[str], dict[str, str]]:
    """(tensors to collect, {tensor: the one whose range it takes}) for a model with inferred shapes.

    Float tensors at the inputs and outputs of operators that ONNX Runtime quantizes. What only a Relu or Clip reads
    takes the range after it, as the quantizer does; so it need not be collected, and the two operators run as one.
    """
    from onnx import TensorProto

    graph = model.graph
    floats = {
        value.name
        for value in (*graph.value_info, *graph.input, *graph.output)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    } - {tensor.name for tensor in graph.initializer}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    outputs = {value.name for value in graph.output}
    types = _quantized_types()
    wanted: dict[str, None] = {}
    for node in graph.node:
        if node.op_type in types:
            wanted.update((name, None) for name in (*node.input, *node.output) if name in floats)
    borrowed = {}
    for name in wanted:
        reading = readers.get(name, [])
        if len(reading) == 1 and reading[0].op_type in ("Relu", "Clip") and name not in outputs:
            after = reading[0].output[0]
            if after in wanted and reading[0].input[0] == name:
                borrowed[name] = after
    # A chain (Relu then Clip) is followed to its end.
    ends = {name: _follow(borrowed, name) for name in borrowed}
    return [name for name in wanted if name not in ends], ends


def _follow(links: dict[str, str], name: str) -> str:
    while name in links:
        name = links[name]
    return name


def _quantized_types() -> list[str]:
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return sorted({*QLinearOpsRegistry, *QDQRegistry})


def _prepare(model: Any) -> Any:
    """The model with the shapes and types of all tensors, at an opset that has per-channel Q/DQ, and named nodes."""
    import onnx

    if opset_of(model) < LOWEST_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, LOWEST_OPSET)
        except Exception as error:
            raise StepError(
                f"opset {opset_of(model)} has no per-channel Q/DQ, and the model cannot be raised to {LOWEST_OPSET}: "
                f"{' '.join(str(error).split())[:200]}",
                where="onnx_int8",
                remedy=f"export the model at opset {LOWEST_OPSET} or later",
            ) from error
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    _name_nodes(model)
    return model


def _name_nodes(model: Any) -> None:
    taken = {node.name for node in model.graph.node}
    for index, node in enumerate(model.graph.node):
        if not node.name:
            name = f"{node.op_type}_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)


def _check_names(model: Any, excluded: tuple[str, ...]) -> None:
    names = [node.name for node in model.graph.node]
    for name in excluded:
        if name not in names:
            raise UnknownName(
                f"the model has no node `{name}` to exclude{did_you_mean(name, names)}", where="onnx_int8"
            )


def _touching_masks(model: Any, ranges: dict[str, Range]) -> list[str]:
    """The nodes that read or write a tensor, or read a constant, too large to be a signal."""
    large = {
        name for name, (low, high) in ranges.items() if not math.isfinite(high - low) or high - low > LARGEST_SIGNAL
    }
    for name, array in read_constants(model).items():
        if array.dtype.kind == "f" and array.size and not np.abs(array).max() <= LARGEST_SIGNAL:
            large.add(name)
    return [node.name for node in model.graph.node if large.intersection([*node.input, *node.output])]


def _quantize(model: Any, ranges: dict[str, Range], options: Options, excluded: list[str]) -> Any:
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    data = {name: (np.array(low, np.float32), np.array(high, np.float32)) for name, (low, high) in ranges.items()}
    try:
        quantizer = QDQQuantizer(
            model,
            options.per_channel,
            options.reduce_range,
            QuantType.QInt8,
            QuantType.QUInt8 if options.activations == "uint8" else QuantType.QInt8,
            TensorsData(CalibrationMethod.MinMax, data),
            [],
            excluded,
            _quantized_types(),
            {
                "ActivationSymmetric": options.symmetric,
                "AddQDQPairToWeight": options.float_weights,
                "QuantizeBias": options.quantize_bias,
            },
        )
        quantizer.quantize_model()
    except Exception as error:
        raise StepError(
            f"ONNX Runtime cannot quantize the model: {' '.join(str(error).split())[:300]}",
            where="onnx_int8",
            remedy="exclude the node it names (onnx_int8: {exclude: [NODE]})",
        ) from error
    # It appends the pairs at the end, where the checker refuses them, although ONNX Runtime sorts while loading.
    quantizer.model.topological_sort()
    return quantizer.model.model
