"""Stored pixels through the table against the plain arithmetic, in both layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.artifact import Tensor
from edgekit.datasets.prepare import prepare
from edgekit.datasets.stored import open_samples
from edgekit.plan import Data, DataSource


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("mean", [127.5, [103.9, 116.8, 123.7]])
def test_every_layout_and_mean(tmp_path: Path, layout: str, mean: float | list[float]) -> None:
    x = np.random.default_rng(0).integers(0, 256, (4, 9, 7, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x)
    words = ({"scale": {"divide": 2.0}}, {"normalize": {"mean": mean, "std": 58.0}})
    shape = (1, 3, 9, 7) if layout == "NCHW" else (1, 9, 7, 3)
    inputs = (Tensor("image", "image", shape, "float32", layout=layout),)
    data = Data(preprocess=words, evaluate=DataSource(tmp_path / "d.npz"))
    info = prepare(data, inputs, None, tmp_path / "out", roles=["evaluate"])
    expected = (x.astype(np.float32) / np.float32(2) - np.asarray(mean, np.float32)) / np.float32(58)
    samples = open_samples(tmp_path / "out", "evaluate")
    for index, sample in enumerate(samples):
        row = expected[index].transpose(2, 0, 1) if layout == "NCHW" else expected[index]
        np.testing.assert_array_equal(sample["image"], row[None])
    assert info["evaluate"]["input_range"] == pytest.approx((expected.min(), expected.max()))


def test_samples_may_be_read_from_threads_and_again(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    x = np.arange(50, dtype=np.float32)[:, None]
    np.savez(tmp_path / "d.npz", x=x)
    data = Data(calibrate=DataSource(tmp_path / "d.npz"))
    prepare(data, (Tensor("v", "v", (1, 1), "float32"),), None, tmp_path / "out", roles=["calibrate"])
    samples = open_samples(tmp_path / "out", "calibrate")
    with ThreadPoolExecutor(4) as pool:
        assert [float(sample["v"][0, 0]) for sample in pool.map(samples.__getitem__, range(50))] == list(range(50))
    assert len(list(samples)) == len(list(samples)) == 50
    with pytest.raises(IndexError):
        samples[50]
