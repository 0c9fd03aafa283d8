"""TensorFlow Lite in 8-bit integers, by the LiteRT quantizer, whose silent faults are mended and read back.

What is mended: biases that overflow where a channel's weights are nearly zero; constants outside the FlatBuffer;
operator versions; operators left in float that have an int8 kernel; and, for runtimes of TensorFlow 2.5's level,
weights of FULLY_CONNECTED with a scale per channel, which load there and compute garbage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from edgekit.artifact import IO, Artifact, Tensor
from edgekit.errors import InputError, StepError
from edgekit.formats.runner import feed_real
from edgekit.formats.tflite import describe_model, own_names, read_own_io
from edgekit.formats.tflite_file import (
    Model,
    StoredOperator,
    ensure_signature,
    load_model,
    name_of,
    save_model,
    type_of,
)
from edgekit.formats.tflite_flatbuffer import StoredModel, read_model
from edgekit.formats.tflite_integer import find_faults, mend_biases, per_tensor_types
from edgekit.formats.tflite_io import change_io
from edgekit.formats.tflite_islands import absorb_islands, find_float_operators
from edgekit.formats.tflite_shapes import fix_shapes
from edgekit.formats.tflite_versions import find_newer_operators, load_table
from edgekit.steps import Context, Produced, StepOptions, step
from edgekit.steps.compress.litert import import_quantizer, raise_versions
from edgekit.steps.compress.tflite_padding import bound_padding
from edgekit.steps.compress.tflite_ranges import Ranges, collect_ranges


class Options(StepOptions):
    io: Literal["int8", "uint8", "float32"] = Field(
        "int8", description="type of inputs and outputs; uint8 and float32 put a QUANTIZE or DEQUANTIZE at each end"
    )
    compatible: Literal["tf2.5", "current"] = Field(
        "tf2.5",
        description="tf2.5: what a runtime of TensorFlow 2.5's level (the Edge TPU's compiler) reads, and computes the "
        "same with; current: what LiteRT reads",
    )
    ranges: Literal["minmax", "average"] = Field(
        "minmax",
        description="range of an activation: the widest over all samples, or the average of the samples' ranges",
    )
    calibration: Literal["auto", "profiler", "tensors"] = Field(
        "auto",
        description="how ranges are read: by LiteRT's profiler, or from every tensor (slower); auto: the profiler, and "
        "the tensors where it misses one",
    )
    float_operators: Literal["auto", "refuse", "allow"] = Field(
        "auto", description="operators that have no int8 form; auto refuses them where compatible is tf2.5"
    )

    @property
    def refuses_float(self) -> bool:
        """Whether an operator that has no int8 form ends the step."""
        old = self.compatible == "tf2.5"
        return self.float_operators == "refuse" or (self.float_operators == "auto" and old)


@step(
    "tflite_int8",
    accepts="tflite",
    produces="tflite",
    stack="litert",
    version=2,
    options=Options,
    calibrates=True,
    requires=("litert-quantizer", "ai-edge-litert"),
)
def tflite_int8(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Quantize weights and activations to 8-bit integers, calibrated on samples."""
    if context.samples is None or len(context.samples) == 0:
        raise InputError(
            "tflite_int8 needs calibration samples", remedy="name data.calibrate", code="no_calibration_data"
        )
    litert = import_quantizer()
    data = _prepare(artifact.path, context.threads)
    ranges = collect_ranges(
        litert,
        data,
        (feed_real(artifact.io, sample) for sample in context.samples),
        count=len(context.samples),
        merge=options.ranges,
        mode=options.calibration,
        threads=context.threads,
        progress=context.progress,
    )
    data, ranges = bound_padding(data, ranges)
    float_model = load_model(data)
    model = load_model(_quantize(litert, data, ranges, options, artifact.path.name))
    notes = _finish(model, float_model, ranges, options)
    written = raise_versions(save_model(model))
    path = context.workdir / f"{context.stem}.tflite"
    path.write_bytes(written)
    stored = read_model(path)
    _check(stored, load_model(written), float_model, options)
    return Produced(path, _describe_io(stored, artifact.io), notes)


def _prepare(path: Path, threads: int) -> bytes:
    """The file with fixed shapes and one signature by the artifact's own names: the quantizer needs both, and not every
    tool writes them."""
    stored = read_model(path)
    load_model(stored.data)  # what is damaged must not reach the runtime
    small = [tensor for tensor in stored.main.tensors if tensor.scale or tensor.dtype in ("float16", "bfloat16")]
    if small:
        raise InputError(
            f"the model is compressed already: its tensor `{small[0].name}` is {small[0].dtype}",
            where=path.name,
            remedy="start from the float32 model",
            code="already_quantized",
        )
    data, loose = fix_shapes(stored, threads)
    if loose is not None:
        raise StepError(
            f"the size of `{loose}` depends on the input's numbers; an int8 file has fixed shapes",
            where=loose,
            code="operator_refused",
        )
    inputs, outputs = own_names(stored)
    if [(signature.inputs, signature.outputs) for signature in stored.signatures] == [(inputs, outputs)]:
        return data
    model = load_model(data)
    model.signatureDefs = []
    ensure_signature(model, inputs, outputs)
    return save_model(model)


def _quantize(litert: SimpleNamespace, data: bytes, ranges: Ranges, options: Options, where: str) -> bytes:
    """What the quantizer makes of the float model, int8 at its ends."""
    quantizer = litert.quantizer.Quantizer(data)
    quantizer.load_quantization_recipe(litert.recipe.static_wi8_ai8())
    for name in per_tensor_types(old=options.compatible == "tf2.5"):
        quantizer.update_quantization_recipe(
            regex=".*",
            operation_name=litert.qtyping.TFLOperationName(name),
            algorithm_key="min_max_uniform_quantize",
            op_config=_per_tensor(litert.qtyping),
        )
    seen = {
        name: {"min": np.array([lowest], np.float32), "max": np.array([highest], np.float32)}
        for name, (lowest, highest) in ranges.items()
    }
    try:
        with np.errstate(invalid="ignore"):  # biases that overflow: they are written anew
            result = quantizer.quantize(seen, enable_progress_bar=False, enable_progress_report=False)
    except Exception as error:  # the library raises what its parts raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StepError(
            f"the LiteRT quantizer refuses the model: {reason}", where=where, code="operator_refused"
        ) from error
    return bytes(result.quantized_model)


def _per_tensor(qtyping: Any) -> Any:
    """The configuration of the recipe, with one scale for all of an operator's weights."""
    tensorwise = qtyping.QuantGranularity.TENSORWISE
    return qtyping.OpQuantizationConfig(
        activation_tensor_config=qtyping.TensorQuantizationConfig(num_bits=8, symmetric=False, granularity=tensorwise),
        weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=8, symmetric=True, granularity=tensorwise),
        compute_precision=qtyping.ComputePrecision.INTEGER,
    )


def _finish(model: Model, float_model: Model, ranges: Ranges, options: Options) -> tuple[str, ...]:
    """Mend the model in place; notes on what was done."""
    absorb_islands(model, ranges)
    left = [_title(model, operator) for operator in find_float_operators(model)]
    if left and options.refuses_float:
        raise StepError(
            f"no int8 form of {_list(left)}",
            where=left[0],
            remedy="replace the operator in the model, or set the option float_operators to allow",
            code="operator_refused",
        )
    mended = mend_biases(model, float_model)
    change_io(model, options.io)
    notes = []
    if left:
        notes.append(f"left in float: {_list(left)}")
    if mended:
        notes.append(f"weight scales raised so that no bias overflows: {_list(mended)}")
    return tuple(notes)


def _title(model: Model, operator: StoredOperator) -> str:
    output = model.subgraphs[0].tensors[operator.outputs[0]]
    return f"{type_of(model, operator)} `{name_of(output)}`"


def _list(names: Sequence[str], most: int = 5) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _check(stored: StoredModel, model: Model, float_model: Model, options: Options) -> None:
    """The written file is what it should be.

    Raises:
        StepError: it is not; the message says where.
    """
    old = options.compatible == "tf2.5"
    if old and (newer := find_newer_operators(describe_model(stored))):
        raise StepError(
            f"a runtime of {load_table().runtime}'s level does not have {_list([str(operator) for operator in newer])}",
            where=newer[0].type,
            remedy="replace the operator in the model, or set the option compatible to current",
            code="operator_refused",
        )
    faults = find_faults(model, float_model, per_tensor=per_tensor_types(old=old))
    if any(buffer.external for buffer in stored.buffers):
        faults.append("constants lie outside the FlatBuffer")
    if any(None in tensor.shape for tensor in stored.main.tensors):
        faults.append("a shape is not fixed")
    wrong = [tensor.name for tensor in read_own_io(stored).inputs if tensor.dtype not in _allowed(options.io)]
    faults += [f"the input `{name}` is not {options.io}" for name in wrong]
    if faults:
        raise StepError(f"the quantized file is faulty: {_list(faults)}", where=faults[0], code="faulty_file")


def _allowed(io: str) -> tuple[str, ...]:
    """Types that an input may have: indices and masks keep theirs."""
    return io, "int32", "int64", "bool"


def _describe_io(stored: StoredModel, parent: IO) -> IO:
    """The parent's io with the types and quantization of the written file (names and layout are the same)."""
    own = {tensor.name: tensor for tensor in (*read_own_io(stored).inputs, *read_own_io(stored).outputs)}

    def renew(tensor: Tensor) -> Tensor:
        new = own[tensor.name]
        return replace(tensor, shape=new.shape, dtype=new.dtype, quantization=new.quantization)

    return IO(tuple(map(renew, parent.inputs)), tuple(map(renew, parent.outputs)))
