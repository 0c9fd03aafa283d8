"""A file that was broken on purpose is caught by the next check, whichever way it was broken.

Each breaks what a step made and runs the check that follows an exact step (60 dB) and the default gates of an output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.artifact import Artifact, Tensor
from edgekit.checks.gates import DEFAULT_GATES, EXACT_GATES, judge
from edgekit.checks.measure import compute_reference, measure
from edgekit.checks.measurement import Measurement
from edgekit.datasets.stored import StoredSamples
from edgekit.plan import TaskUse

from .conftest import SAMPLES, artifact_of, write_classifier

TASK = TaskUse("classification", {"output": "scores"})
Check = Callable[[Artifact], Measurement]


@pytest.fixture
def check(tmp_path: Path, source: Artifact, pictures: Callable[..., StoredSamples]) -> Check:
    """Measures an artifact against the whole source, with labels on which the source is right."""
    compute_reference(source, pictures(), tmp_path / "first", task=TASK)
    labels = np.load(tmp_path / "first" / "decisions.npy")
    assert len(np.unique(labels)) > 4, "the network decides for too few classes to show anything"
    samples = pictures(labels)
    compute_reference(source, samples, tmp_path / "ref", task=TASK)
    return lambda artifact: measure(artifact, samples, tmp_path / "ref", tmp_path / "m", task=TASK)


def failed(measurement: Measurement, gates: dict[str, float]) -> set[str]:
    return {verdict.gate for verdict in judge(measurement, gates) if verdict.result == "fail"}


def test_the_whole_file_passes(check: Check, source: Artifact) -> None:
    measurement = check(source)
    assert not failed(measurement, EXACT_GATES | DEFAULT_GATES)


def test_perturbed_weights(check: Check, tmp_path: Path) -> None:
    slightly = check(artifact_of(write_classifier(tmp_path / "slight.onnx", noise=0.002)))
    assert failed(slightly, EXACT_GATES) == {"min_sqnr_db"}
    assert not failed(slightly, DEFAULT_GATES)
    badly = check(artifact_of(write_classifier(tmp_path / "bad.onnx", noise=1.0)))
    assert failed(badly, DEFAULT_GATES) == set(DEFAULT_GATES)


def test_bgr_for_rgb(check: Check, source: Artifact, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(source.path)
    first = next(tensor for tensor in model.graph.initializer if tensor.name == "first")
    swapped = onnx.numpy_helper.to_array(first)[:, ::-1].copy()
    first.CopyFrom(onnx.numpy_helper.from_array(swapped, "first"))
    onnx.save(model, tmp_path / "bgr.onnx")
    measurement = check(artifact_of(tmp_path / "bgr.onnx"))
    assert failed(measurement, EXACT_GATES) == {"min_sqnr_db"}
    assert {"max_drop", "min_agreement"} <= failed(measurement, DEFAULT_GATES)


def test_a_lost_softmax_is_seen_by_sqnr_and_not_by_agreement(check: Check, tmp_path: Path) -> None:
    measurement = check(artifact_of(write_classifier(tmp_path / "logits.onnx", softmax=False)))
    assert (measurement.agreement, measurement.drop_points) == (1.0, 0.0)
    assert failed(measurement, EXACT_GATES) == {"min_sqnr_db"}
    assert failed(measurement, DEFAULT_GATES) == {"min_sqnr_db"}


def test_exchanged_outputs(check: Check, source: Artifact) -> None:
    """Both outputs are [1, 10]: no shape tells them apart."""
    measurement = check(artifact_of(source.path, outputs=("features", "scores")))
    assert failed(measurement, EXACT_GATES) == {"min_sqnr_db"}
    assert failed(measurement, DEFAULT_GATES) == set(DEFAULT_GATES)


def test_nhwc_read_as_nchw(tmp_path: Path) -> None:
    """The input is [1, 16, 16, 16] either way: only the figures show that the permutation is lost."""
    image = Tensor("image", "image", (1, 16, 16, 16), "float32", layout="NCHW")
    whole = artifact_of(write_classifier(tmp_path / "nchw.onnx", channels=16), image=image)
    path = write_classifier(tmp_path / "nhwc.onnx", channels=16, nhwc=True)
    right = artifact_of(path, image=replace(image, permutation=(0, 2, 3, 1)))
    wrong = artifact_of(path, image=image)
    generator = np.random.default_rng(2)
    samples = [{"image": generator.normal(size=(1, 16, 16, 16)).astype(np.float32)} for _ in range(SAMPLES)]
    compute_reference(whole, samples, tmp_path / "ref", task=TASK)
    measurement = measure(right, samples, tmp_path / "ref", tmp_path / "m", task=TASK)
    assert not failed(measurement, EXACT_GATES)
    assert measurement.agreement == 1.0
    measurement = measure(wrong, samples, tmp_path / "ref", tmp_path / "m", task=TASK)
    assert failed(measurement, EXACT_GATES) == {"min_sqnr_db"}
    assert {"min_agreement", "min_sqnr_db"} <= failed(measurement, DEFAULT_GATES)
