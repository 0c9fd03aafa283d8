"""openvino -> openvino: weights and activations in 8 bits, by nncf's post-training quantization."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from edgekit.artifact import Artifact
from edgekit.errors import InputError, StepError
from edgekit.formats.openvino_file import import_openvino, node_names, read_model, reason, write_model
from edgekit.formats.runner import feed_real
from edgekit.steps import Context, Produced, Samples, StepOptions, step
from edgekit.steps.compress.running_means import running_means


class Options(StepOptions):
    preset: Literal["performance", "mixed"] = Field(
        "performance", description="symmetric activations, or asymmetric where they are not positive (mixed)"
    )
    fast_bias_correction: bool = Field(True, description="correct biases by layers alone; false: exactly, and slowly")
    model_type: Literal["transformer"] | None = Field(
        None, description="transformer: keep what attention needs precise"
    )


@step(
    "openvino_int8",
    accepts="openvino",
    produces="openvino",
    stack="openvino",
    version=1,
    options=Options,
    calibrates=True,
    requires=("openvino", "nncf"),
)
def openvino_int8(context: Context, artifact: Artifact, options: Options) -> Produced:
    """Quantize weights and activations to 8 bits over all calibration samples, with bias correction (nncf)."""
    if context.samples is None or len(context.samples) == 0:
        raise InputError("openvino_int8 needs calibration samples", code="no_samples")
    import_openvino()
    import nncf

    nncf.set_log_level(logging.WARNING)
    model = read_model(artifact.path)
    known = node_names(model)
    feeds = _Feeds(context, artifact, context.samples)
    try:
        with running_means():
            quantized = nncf.quantize(
                model,
                nncf.Dataset(feeds),
                subset_size=len(context.samples),
                preset=nncf.QuantizationPreset(options.preset),
                fast_bias_correction=options.fast_bias_correction,
                model_type=None if options.model_type is None else nncf.ModelType(options.model_type),
            )
    except Exception as error:
        raise StepError(f"nncf cannot quantize the model: {reason(error)}", where="openvino_int8") from error
    path = context.workdir / f"{context.stem}.xml"
    write_model(quantized, path, half=False, known=known)
    return Produced(path, artifact.io)


class _Feeds:
    """The samples as OpenVINO is fed, {input name: array}; nncf goes through them once or twice and reports nothing,
    so the progress is told from here."""

    def __init__(self, context: Context, artifact: Artifact, samples: Samples) -> None:
        self._context, self._artifact, self._samples = context, artifact, samples

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for done, sample in enumerate(self._samples, 1):
            yield feed_real(self._artifact.io, sample)
            self._context.progress(done, len(self._samples))


__all__ = ["Options", "openvino_int8"]
