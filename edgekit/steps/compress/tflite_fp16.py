"""TensorFlow Lite with float16 weights: half the size, inputs, outputs and arithmetic stay float32."""

from __future__ import annotations

import numpy as np

from edgekit.artifact import Artifact
from edgekit.errors import StepError
from edgekit.formats.tflite import read_own_io
from edgekit.formats.tflite_file import load_model, save_model
from edgekit.formats.tflite_flatbuffer import parse_model
from edgekit.steps import Context, Produced, StepOptions, step
from edgekit.steps.compress.litert import import_quantizer, raise_versions


class Options(StepOptions):
    """None: what has a float16 form gets it."""


@step(
    "tflite_fp16",
    accepts="tflite",
    produces="tflite",
    stack="litert",
    version=1,
    options=Options,
    requires=("litert-quantizer", "ai-edge-litert"),
)
def tflite_fp16(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Store the weights of convolutions and matrix products as float16, each behind a DEQUANTIZE."""
    litert = import_quantizer()
    quantizer = litert.quantizer.Quantizer(save_model(load_model(artifact.path)))
    qtyping = litert.qtyping
    quantizer.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        algorithm_key="float_casting",
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
    )
    try:
        written = quantizer.quantize(enable_progress_bar=False, enable_progress_report=False).quantized_model
    except Exception as error:  # the library raises what its parts raise
        raise StepError(
            f"the LiteRT quantizer cannot store the weights as float16: {error}", where=artifact.path.name
        ) from error
    data = raise_versions(save_model(load_model(bytes(written))))
    stored = _check_finite(data)
    path = context.workdir / f"{context.stem}.tflite"
    path.write_bytes(data)
    return Produced(path, artifact.io, notes=() if stored else ("no weight of this model has a float16 form",))


def _check_finite(data: bytes) -> int:
    """How many tensors are float16 now. None of them was beyond what float16 holds, and the interface is as before.

    Raises:
        StepError: a weight became infinite, or an input or output float16.
    """
    model = parse_model(data)
    halves = [tensor for tensor in model.main.tensors if tensor.dtype == "float16"]
    for tensor in halves:
        constant = model.read_constant(tensor)
        if constant is not None and not np.isfinite(constant).all():
            raise StepError(
                f"a weight of `{tensor.name}` is too large for float16 (65504)",
                where=tensor.name,
                remedy="keep this model in float32, or quantize it to int8",
                code="overflow",
            )
    io = read_own_io(model)
    if any(tensor.dtype == "float16" for tensor in (*io.inputs, *io.outputs)):
        raise StepError("the LiteRT quantizer changed the type of an input or output to float16")
    return len(halves)
