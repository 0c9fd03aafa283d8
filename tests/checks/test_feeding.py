"""Reading pictures directly gives what computing gives, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit.artifact import IO, Tensor
from edgekit.checks.feeding import make_feed
from edgekit.datasets.rows import RowWriter
from edgekit.datasets.stored import StoredSamples
from edgekit.formats.runner import feed
from edgekit.graph import Quantization

ONE_MEAN = ({"normalize": {"mean": 127.0, "std": 128.0}},)
MEANS = ({"scale": {"divide": 255.0}}, {"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}})
AXIS_QUANTIZATION = Quantization((0.01, 0.02, 0.03), (1, 2, 3), axis=1)


def store(folder: Path, tail: tuple, layout: str | None, dtype: str = "uint8") -> StoredSamples:
    """Four pictures of 5 x 7 that hold every value of 8 bits."""
    values = np.random.default_rng(0).permutation(np.arange(420) % 256).reshape(4, 5, 7, 3).astype(dtype)
    with RowWriter(folder / "image.npy", 4) as rows:
        for picture in values:
            rows.append(picture)
    entry = {"name": "image", "file": "image.npy", "dtype": "float32", "layout": layout, "picture": True, "tail": tail}
    index = {"ids": list("abcd"), "class_names": None, "named": False, "sha256": "", "labels": None, "samples": 4}
    (folder / "index.json").write_text(json.dumps({**index, "inputs": [entry]}))
    return StoredSamples(folder)


@pytest.mark.parametrize("tail", [ONE_MEAN, MEANS])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("permutation", [None, (0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)])
@pytest.mark.parametrize(
    ("dtype", "quantization"),
    [
        ("float32", None),
        ("float16", None),
        ("int8", Quantization((0.0078,), (-1,))),
        ("int8", Quantization((0.0078125,), (-1,))),  # with one mean: each value less 128
        ("uint8", Quantization((0.0187,), (114,))),
        ("int16", Quantization((0.0001,), (0,))),
    ],
)
def test_as_computed(
    tmp_path: Path,
    tail: tuple,
    layout: str,
    permutation: tuple[int, ...] | None,
    dtype: str,
    quantization: Quantization | None,
) -> None:
    samples = store(tmp_path, tail, layout)
    io = IO((Tensor("own", "image", (1, 3, 5, 7), dtype, permutation, quantization, layout),), ())
    read = make_feed(io, samples)
    for index in range(len(samples)):
        computed, looked_up = feed(io, samples[index])["own"], read(index)["own"]
        assert looked_up.dtype == computed.dtype
        np.testing.assert_array_equal(looked_up, computed)
        assert looked_up.flags.c_contiguous
        assert looked_up.flags.writeable


@pytest.mark.parametrize(
    ("quantization", "stored"), [(AXIS_QUANTIZATION, "uint8"), (Quantization((0.1,), (0,)), "float32")]
)
def test_what_no_table_holds_is_computed(tmp_path: Path, quantization: Quantization, stored: str) -> None:
    samples = store(tmp_path, ONE_MEAN, "NCHW", stored)
    io = IO((Tensor("own", "image", (1, 3, 5, 7), "int8", None, quantization, "NCHW"),), ())
    np.testing.assert_array_equal(make_feed(io, samples)(2)["own"], feed(io, samples[2])["own"])


@pytest.mark.parametrize("permutation", [None, (0, 2, 3, 4, 1)])
def test_of_five_axes(tmp_path: Path, permutation: tuple[int, ...] | None) -> None:
    """A volume or video (N, C, D, H, W) of a TFLite file, whose converter moved the channels last."""
    values = np.random.default_rng(1).normal(size=(2, 3, 4, 5, 6)).astype("float32")
    with RowWriter(tmp_path / "image.npy", 2) as rows:
        for volume in values:
            rows.append(volume)
    entry = {"name": "image", "file": "image.npy", "dtype": "float32", "layout": None, "picture": False, "tail": []}
    index = {"ids": list("ab"), "class_names": None, "named": False, "sha256": "", "labels": None, "samples": 2}
    (tmp_path / "index.json").write_text(json.dumps({**index, "inputs": [entry]}))
    expected = values[1][None] if permutation is None else np.moveaxis(values[1][None], 1, -1)
    io = IO((Tensor("own", "image", expected.shape, "float32", permutation),), ())
    np.testing.assert_array_equal(make_feed(io, StoredSamples(tmp_path))(1)["own"], expected)
