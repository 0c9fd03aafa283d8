"""Published files with published counts, through data preparation, runtime and task at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.artifact import Artifact
from edgekit.checks.measure import compute_reference
from edgekit.checks.measurement import Measurement
from edgekit.datasets.prepare import prepare
from edgekit.datasets.stored import open_samples
from edgekit.formats import FORMATS, Declared
from edgekit.plan import Data, DataSource, TaskUse


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., Measurement]:
    """The measurement of a TFLite file as a source model on labelled data."""
    pytest.importorskip("ai_edge_litert")

    def run(model: Path, data: Path, words: tuple[dict, ...], task: TaskUse) -> Measurement:
        io = FORMATS.get("tflite").read_io(model, Declared())
        prepare(
            Data(preprocess=words, evaluate=DataSource(data)),
            io.inputs,
            task,
            tmp_path / "d",
            roles=["evaluate"],
            threads=2,
        )
        artifact = Artifact(model, "tflite", "0" * 64, model.stat().st_size, io)
        samples = open_samples(tmp_path / "d", "evaluate")
        return Measurement.from_dict(compute_reference(artifact, samples, tmp_path / "r", task=task)["measurement"])

    return run


def test_resnet8_of_mlperf_tiny(evaluate: Callable[..., Measurement], shared_data: Callable[[str], Path]) -> None:
    """No preprocessing at all: 1516 of 2000 CIFAR-10 test pictures."""
    model = shared_data("models/cifar10_resnet8_float.tflite")
    measurement = evaluate(model, shared_data("cifar10/cifar10_test.npz"), (), TaskUse("classification"))
    assert (measurement.samples, measurement.metric) == (2000, "top1")
    assert measurement.value is not None
    assert abs(round(measurement.value * 2000) - 1516) <= 2
    assert measurement.runtime.startswith("ai-edge-litert ")


def test_mobilenet_v1_quantized(
    evaluate: Callable[..., Measurement], shared_data: Callable[[str], Path], ilsvrc_val: Path
) -> None:
    """A quantized source (uint8, scale 1/128, zero point 128) with a background class: 444 of 850 ImageNet pictures."""
    words = (
        {"resize": {"short_side": 146, "interpolation": "bilinear"}},
        {"crop": {"center": 128}},
        {"normalize": {"mean": 128.0, "std": 128.0}},
    )
    model = shared_data("coral/mobilenet_v1_0.25_128_quant.tflite")
    measurement = evaluate(model, ilsvrc_val, words, TaskUse("classification", {"label_offset": 1}))
    assert measurement.value is not None
    assert abs(round(measurement.value * 850) - 444) <= 3  # kernels of different versions settle near ties differently
