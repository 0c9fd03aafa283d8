"""What is compared in blocks against the same sample by sample, in plain NumPy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.checks import comparing
from edgekit.checks.comparing import Comparer
from edgekit.checks.records import Records, Reference, ReferenceWriter
from edgekit.checks.walk import Seen
from edgekit.errors import StepError
from edgekit.tasks import make_task

COUNT = 150


@pytest.fixture
def source() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "scores": generator.normal(size=(COUNT, 1, 7)).astype(np.float32),
        "maps": generator.normal(size=(COUNT, 1, 3, 4)).astype(np.float32),
    }


@pytest.fixture
def reference(tmp_path: Path, source: dict[str, np.ndarray]) -> Reference:
    with ReferenceWriter(tmp_path, COUNT, {name: rows[0] for name, rows in source.items()}, {}) as writer:
        for index in range(COUNT):
            row = {name: rows[index] for name, rows in source.items()}
            writer.append(row, {}, np.asarray(row["scores"].argmax(), np.int64))
    (tmp_path / "reference.json").write_text(json.dumps(writer.info()))
    Records(COUNT, 2).save(tmp_path, decides=True)
    return Reference(tmp_path)


def compare(reference: Reference, found: dict[str, np.ndarray]) -> Records:
    task = make_task("classification", {"output": "scores"})
    task.check_outputs({"scores": (1, 7), "maps": (1, 3, 4)})
    records = Records(COUNT, 2)
    comparer = Comparer(reference, records, task)
    for index in range(COUNT):
        outputs = {name: rows[index] for name, rows in found.items()}
        comparer.add(Seen(index, outputs, 1.0), task.decide(outputs))
    comparer.flush()
    return records


@pytest.mark.parametrize(("samples", "bytes_"), [(64, 10**9), (1, 10**9), (64, 300), (COUNT, 10**9)])
def test_blocks_change_nothing(
    reference: Reference,
    source: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    samples: int,
    bytes_: int,
) -> None:
    monkeypatch.setattr(comparing, "_SAMPLES", samples)
    monkeypatch.setattr(comparing, "_BYTES", bytes_)
    generator = np.random.default_rng(1)
    found = {name: rows + generator.normal(0, 0.5, rows.shape).astype(np.float32) for name, rows in source.items()}
    found["maps"][140, 0, 1, 1] = np.inf
    found["scores"][17, 0, 2] = np.nan
    records = compare(reference, found)
    for place, name in enumerate(("scores", "maps")):
        for index in range(COUNT):
            exact, other = source[name][index].astype(np.float64), found[name][index].astype(np.float64)
            assert records.signal[index, place] == pytest.approx(np.sum(exact**2))
            assert records.noise[index, place] == pytest.approx(np.sum((exact - other) ** 2), nan_ok=True)
    same = source["scores"].argmax(axis=-1)[:, 0] == found["scores"].argmax(axis=-1)[:, 0]
    same[17] = False  # what is not a number agrees with nothing
    np.testing.assert_array_equal(records.agreement, same.astype(float))
    assert np.flatnonzero(records.nonfinite).tolist() == [17, 140]


@pytest.mark.parametrize("shape", [(COUNT, 1, 8), (COUNT, 7), None])
def test_another_shape_or_none(reference: Reference, source: dict[str, np.ndarray], shape: tuple | None) -> None:
    found = dict(source)
    del found["scores"]
    if shape is not None:
        found["scores"] = np.zeros(shape, np.float32)
    comparer = Comparer(reference, Records(COUNT, 2), make_task(None))
    with pytest.raises(StepError, match="the output `scores` is"):
        comparer.add(Seen(0, {name: rows[0] for name, rows in found.items()}, 1.0), None)
