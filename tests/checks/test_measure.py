"""Measuring a real file in its real runtime (ONNX Runtime) against figures computed here by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.artifact import Artifact, Tensor
from edgekit.checks.gates import judge
from edgekit.checks.measure import compute_reference, measure
from edgekit.checks.measurement import Measurement
from edgekit.datasets.stored import StoredSamples
from edgekit.errors import InputError, StepError
from edgekit.plan import TaskUse
from edgekit.tasks import Task

from .conftest import CLASSES, SAMPLES, artifact_of, write_classifier

TASK = TaskUse("classification", {"output": "scores"})
Pictures = Callable[..., StoredSamples]


def run(artifact: Artifact, samples: StoredSamples) -> dict[str, np.ndarray]:
    """{output: (samples, 10)} by ONNX Runtime alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
    rows = [session.run(["scores", "features"], sample) for sample in samples]
    return {name: np.concatenate([row[place] for row in rows]) for place, name in enumerate(("scores", "features"))}


class Distance(Task):
    """How far the largest score lies from the label's, in the scores' own unit."""

    name, metric, share, proportion = "distance", "distance", False, False

    def score(self, outputs: Mapping[str, np.ndarray], decision: np.ndarray | None, label: Any) -> float:
        scores = outputs["scores"].ravel()
        return float(scores.max() - scores[int(label)])


def test_a_metric_with_a_unit_of_its_own(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    """No share: neither the value nor the drop is in hundredths."""
    labels = np.arange(SAMPLES) % CLASSES
    samples = pictures(labels)
    noisy = artifact_of(write_classifier(tmp_path / "noisy.onnx", noise=0.2))
    before, after = (
        float(np.mean(scores.max(axis=1) - scores[np.arange(SAMPLES), labels]))
        for scores in (run(source, samples)["scores"], run(noisy, samples)["scores"])
    )
    task = Distance(None, None)
    own = compute_reference(source, samples, tmp_path / "ref", task=task)["measurement"]
    assert (own["metric"], own["share"], own["value"]) == ("distance", False, pytest.approx(before, abs=1e-5))
    found = measure(noisy, samples, tmp_path / "ref", tmp_path / "m", task=task)
    assert found.drop_points == pytest.approx(before - after, abs=1e-5)
    assert Measurement.from_dict(found.to_dict()) == found


def test_figures_are_those_computed_by_hand(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    decided = run(source, pictures())["scores"].argmax(axis=1)
    labels = np.where(np.arange(SAMPLES) % 5 == 0, (decided + 1) % CLASSES, decided)  # the source is right on 4 of 5
    samples = pictures(labels)
    noisy = artifact_of(write_classifier(tmp_path / "noisy.onnx", noise=0.2))
    expected, found = run(source, samples), run(noisy, samples)

    reference = compute_reference(source, samples, tmp_path / "ref", task=TASK)
    assert (reference["samples"], reference["labelled"], reference["decides"], reference["chance"]) == (
        60,
        True,
        True,
        max(np.bincount(labels)) / SAMPLES,  # labels are not spread evenly: over 1 / 10
    )
    own = reference["measurement"]
    assert (own["metric"], own["value"], own["sqnr_db"], own["agreement"], own["drop_points"]) == (
        "top1", 0.8, None, None, None,
    )  # fmt: skip
    assert own["share"] is True
    stored = np.load(tmp_path / "ref" / "output_0.npy", mmap_mode="r")
    np.testing.assert_allclose(stored[:, 0], expected["scores"], atol=1e-6)

    seen: list[tuple[int, int]] = []
    measurement = measure(
        noisy,
        samples,
        tmp_path / "ref",
        tmp_path / "m",
        task=TASK,
        progress=lambda done, total: seen.append((done, total)),
    )
    decisions = found["scores"].argmax(axis=1)
    correct = decisions == labels
    assert 0.1 < correct.mean() < 0.8  # else this shows nothing
    assert measurement.value == pytest.approx(correct.mean())
    assert measurement.drop_points == pytest.approx(100 * (0.8 - correct.mean()))
    low, high = measurement.drop_points_interval or (0, 0)
    assert low < measurement.drop_points < high
    assert measurement.agreement == pytest.approx((decisions == decided).mean())
    ratios = {
        name: 10 * np.log10((expected[name].astype(float) ** 2).sum() / ((expected[name] - found[name]) ** 2).sum())
        for name in expected
    }
    assert measurement.sqnr_db == pytest.approx(min(ratios.values()), abs=1e-3)
    assert (measurement.samples, measurement.data, measurement.nonfinite) == (SAMPLES, "evaluate", 0)
    assert measurement.runtime == f"onnxruntime {version('onnxruntime')}"
    assert measurement.latency_ms is not None
    assert 0 < measurement.latency_ms.p10 <= measurement.latency_ms.median <= measurement.latency_ms.p90
    assert seen[-1] == (SAMPLES, SAMPLES)
    with np.load(tmp_path / "m" / "records.npz", allow_pickle=False) as records:
        np.testing.assert_array_equal(records["decisions"], decisions)
        np.testing.assert_array_equal(records["scores"][:, 0], correct)
        assert records["noise"].shape == (SAMPLES, 2)


def test_the_same_file_is_identical(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    compute_reference(source, pictures(), tmp_path / "ref", task=TASK)
    measurement = measure(source, pictures(), tmp_path / "ref", tmp_path / "m", task=TASK, simulated=True)
    assert (measurement.sqnr_db, measurement.agreement, measurement.simulated) == (200.0, 1.0, True)
    assert (measurement.metric, measurement.value, measurement.interval, measurement.drop_points) == (None,) * 4


def test_a_drop_of_exactly_the_limit_holds(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    """100 * (x - (x - k / 60)) must come out as 100 * k / 60, not a hair above."""
    samples = pictures(run(source, pictures())["scores"].argmax(axis=1))
    compute_reference(source, samples, tmp_path / "ref", task=TASK)
    noisy = artifact_of(write_classifier(tmp_path / "noisy.onnx", noise=0.2))
    measurement = measure(noisy, samples, tmp_path / "ref", tmp_path / "m", task=TASK)
    assert measurement.value is not None
    limit = 100 * (SAMPLES - round(measurement.value * SAMPLES)) / SAMPLES
    assert [verdict.result for verdict in judge(measurement, {"max_drop": round(limit, 9)})] == ["pass"]


def test_synthetic_samples(tmp_path: Path, source: Artifact) -> None:
    from edgekit.formats.matching import synthetic_samples

    samples = synthetic_samples(source.io, 8, seed=0)
    reference = compute_reference(source, samples, tmp_path / "ref")
    assert (reference["samples"], reference["labelled"], reference["decides"]) == (8, False, False)
    measurement = measure(source, samples, tmp_path / "ref", tmp_path / "m")
    assert (measurement.data, measurement.sqnr_db, measurement.agreement) == ("synthetic", 200.0, None)


def test_the_reference_hash_is_of_the_outputs(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    noisy = artifact_of(write_classifier(tmp_path / "noisy.onnx", noise=0.01))
    hashes = [
        compute_reference(artifact, pictures(), tmp_path / name, task=TASK)["sha256"]
        for name, artifact in (("a", source), ("b", source), ("c", noisy))
    ]
    assert hashes[0] == hashes[1] != hashes[2]
    assert json.loads((tmp_path / "a" / "reference.json").read_text())["sha256"] == hashes[0]


def test_labels_that_the_model_cannot_mean(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    samples = pictures(np.full(SAMPLES, CLASSES))
    with pytest.raises(InputError, match="a label is class 10") as caught:
        compute_reference(source, samples, tmp_path / "ref", task=TASK)
    assert caught.value.word == "classes_differ"
    samples = pictures(np.zeros((SAMPLES, 4, 4), int))
    with pytest.raises(InputError, match="not what the task `classification` takes"):
        compute_reference(source, samples, tmp_path / "maps", task=TASK)
    with pytest.raises(InputError, match="several outputs"):
        compute_reference(source, pictures(), tmp_path / "two", task=TaskUse("classification"))


def test_a_source_that_gives_nan(tmp_path: Path, pictures: Pictures) -> None:
    poisoned = artifact_of(write_classifier(tmp_path / "nan.onnx", poison=True))
    with pytest.raises(InputError, match=r"`scores` is NaN or infinite for sample plain.npz\[0\]") as caught:
        compute_reference(poisoned, pictures(), tmp_path / "ref", task=TASK)
    assert caught.value.word == "nan_in_outputs"
    assert not (tmp_path / "ref" / "reference.json").exists()


def test_an_artifact_that_gives_nan_fails_every_gate(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    samples = pictures(run(source, pictures())["scores"].argmax(axis=1))
    compute_reference(source, samples, tmp_path / "ref", task=TASK)
    poisoned = artifact_of(write_classifier(tmp_path / "nan.onnx", poison=True))
    measurement = measure(poisoned, samples, tmp_path / "ref", tmp_path / "m", task=TASK)
    assert (measurement.sqnr_db, measurement.agreement, measurement.value) == (-100.0, 0.0, 0.0)
    assert (measurement.drop_points, measurement.nonfinite) == (100.0, SAMPLES)


def test_other_samples_than_the_references(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    from edgekit.formats.matching import synthetic_samples

    compute_reference(source, pictures(), tmp_path / "ref", task=TASK)
    with pytest.raises(InputError, match="8 samples, but the source was run on 60"):
        measure(source, synthetic_samples(source.io, 8, seed=0), tmp_path / "ref", tmp_path / "m", task=TASK)


def test_a_runtime_that_refuses_a_sample(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    compute_reference(source, pictures(), tmp_path / "ref", task=TASK)
    wrong = Tensor("image", "image", (1, 16, 16, 3), "float32", permutation=(0, 2, 3, 1))
    broken = artifact_of(source.path, image=wrong)
    with pytest.raises(StepError, match=r"onnxruntime .* failed on sample 0"):
        measure(broken, pictures(), tmp_path / "ref", tmp_path / "m", task=TASK)


def test_an_output_of_another_shape(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    compute_reference(source, pictures(), tmp_path / "ref", task=TASK)
    turned = replace(source.io.outputs[0], permutation=(1, 0))
    broken = replace(source, io=replace(source.io, outputs=(turned, source.io.outputs[1])))
    with pytest.raises(StepError, match=r"`scores` is \[10, 1\], but the source model's is \[1, 10\]"):
        measure(broken, pictures(), tmp_path / "ref", tmp_path / "m", task=TASK)


def test_a_reference_that_is_not_there(tmp_path: Path, source: Artifact, pictures: Pictures) -> None:
    with pytest.raises(InputError, match="no outputs of the source model"):
        measure(source, pictures(), tmp_path / "ref", tmp_path / "m", task=TASK)
