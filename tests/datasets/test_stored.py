"""Stored pixels through the table against the plain arithmetic, in both layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.artifact import Tensor
from edgekit.datasets.prepare import prepare
from edgekit.datasets.stored import open_samples
from edgekit.errors import InputError
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


@pytest.mark.parametrize(
    ("layout", "shape", "axis"),
    [
        ("NCHW", (3, 6, 5), 0),
        ("NCHW", (3, 4, 3), 0),  # as wide as it has channels
        ("NHWC", (3, 4, 3), 2),
        ("NCW", (3, 7), 0),
        ("NWC", (3, 3), 1),
        ("NC", (3,), 0),
        (None, (3,), 0),
    ],
)
def test_arrays_are_normalized_along_the_channels_of_the_models_layout(
    tmp_path: Path, layout: str | None, shape: tuple[int, ...], axis: int
) -> None:
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(np.float32) * 50
    np.savez(tmp_path / "d.npz", x=x)
    mean, std = [1.0, -20.0, 300.0], [2.0, 3.0, 0.5]
    inputs = (Tensor("x", "x", (1, *shape), "float32", layout=layout),)
    data = Data(preprocess=({"normalize": {"mean": mean, "std": std}},), evaluate=DataSource(tmp_path / "d.npz"))
    info = prepare(data, inputs, None, tmp_path / "out", roles=["evaluate"])
    along = [1] * len(shape)
    along[axis] = 3
    expected = (x - np.reshape(np.float32(mean), along)) / np.reshape(np.float32(std), along)
    samples = open_samples(tmp_path / "out", "evaluate")
    np.testing.assert_array_equal(np.concatenate([sample["x"] for sample in samples]), expected)
    assert info["evaluate"]["input_range"] == (expected.min(), expected.max())


NORMALIZE = {"normalize": {"mean": [1.0, 2.0, 3.0], "std": 1.0}}


@pytest.mark.parametrize(
    ("x", "tensor", "word", "message", "remedy"),
    [
        (
            np.zeros((2, 3, 7)),
            ((1, 3, 7), "float32", None),
            NORMALIZE,
            "which axis of the sample .*, .3, 7., has",
            "NCW",
        ),
        (np.zeros((2, 4, 3)), ((1, 4, 3), "float32", "NCW"), NORMALIZE, r"\[4, 3\] \(CW\), has 4", "one number"),
        (np.zeros((2, 5)), ((1, 5), "float32", None), NORMALIZE, r"\[5\] \(C\), has 5", "one number"),
        (
            np.zeros((2, 4, 4, 1), np.uint8),
            ((1, 1, 4, 4), "float32", "NCHW"),
            NORMALIZE,
            r"\[4, 4, 1\] \(height x width x channels\), has 1",
            "`color: {order: rgb}` makes three",
        ),
        (
            np.zeros((2, 4, 4, 3), np.uint8),
            ((1, 4, 4, 3), "uint8", "NHWC"),
            {"scale": {"divide": 255.0}},
            "`scale` makes real numbers, but .* takes uint8",
            "leave `scale` and `normalize` out",
        ),
        (np.zeros((2, 4), int), ((1, 4), "int64", None), {"scale": {"divide": 2.0}}, "takes int64", "leave `scale`"),
    ],
)
def test_arithmetic_that_is_not_what_it_says(
    tmp_path: Path, x: np.ndarray, tensor: tuple, word: dict, message: str, remedy: str
) -> None:
    np.savez(tmp_path / "d.npz", x=x)
    inputs = (Tensor("x", "x", tensor[0], tensor[1], layout=tensor[2]),)
    data = Data(preprocess=(word,), evaluate=DataSource(tmp_path / "d.npz"))
    with pytest.raises(InputError, match=message) as caught:
        prepare(data, inputs, None, tmp_path / "out", roles=["evaluate"])
    assert remedy in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("x", "dtype", "message"),
    [
        (np.array([[0, 300]]), "uint8", "holds 300, but .* takes uint8, 0 to 255"),
        (np.array([[-1, 3]]), "uint8", "holds -1, but"),
        (np.array([[0, 2**40]]), "int32", "holds 1099511627776, but"),
        (np.array([[0.0, 3.0]]), "int32", "holds float64, but .* takes int32"),
        (np.array([[0.0, 1e39]]), "float32", "a number too large for float32"),
    ],
)
def test_numbers_that_the_model_cannot_take(tmp_path: Path, x: np.ndarray, dtype: str, message: str) -> None:
    np.savez(tmp_path / "d.npz", x=x)
    data = Data(evaluate=DataSource(tmp_path / "d.npz"))
    with pytest.raises(InputError, match=message):
        prepare(data, (Tensor("x", "x", (1, 2), dtype),), None, tmp_path / "out", roles=["evaluate"])


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
