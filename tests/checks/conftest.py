"""A small classifier written directly in ONNX, and prepared samples for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.artifact import IO, Artifact, Tensor, hash_files
from edgekit.datasets.prepare import prepare
from edgekit.datasets.stored import StoredSamples, open_samples
from edgekit.plan import Data, DataSource

SAMPLES = 60
CLASSES = 10


def write_classifier(
    path: Path, *, channels: int = 3, noise: float = 0.0, softmax: bool = True, nhwc: bool = False, poison: bool = False
) -> Path:
    """Two strided convolutions, a dense layer of 10 classes named `scores`, and an output `features` of 10 numbers.

    ``noise`` is added to the weights relative to their own spread; ``nhwc`` puts a transpose before the network;
    ``poison`` makes the scores NaN.
    """
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    generator, disturb = np.random.default_rng(7), np.random.default_rng(8)

    def weight(name: str, *shape: int) -> Any:
        array = generator.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape)
        array = array + disturb.normal(0, noise * array.std(), shape) if noise else array
        return onnx.numpy_helper.from_array(array.astype(np.float32), name)

    constants = [
        weight("first", 12, channels, 3, 3),
        weight("second", 16, 12, 3, 3),
        weight("dense", CLASSES, 256),
        weight("other", CLASSES, 256),
        onnx.numpy_helper.from_array(np.array([1, 256], np.int64), "flat_shape"),
        onnx.numpy_helper.from_array(np.array(np.nan if poison else 2.0, np.float32), "gain"),
    ]
    strided = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Transpose", ["image"], ["planar"], perm=[0, 3, 1, 2])
        if nhwc
        else helper.make_node("Identity", ["image"], ["planar"]),
        helper.make_node("Conv", ["planar", "first"], ["c1"], **strided),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "second"], ["c2"], **strided),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Reshape", ["r2", "flat_shape"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense"], ["logits"], transB=1),
        helper.make_node("Mul", ["logits", "gain"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["scores"], axis=1)
        if softmax
        else helper.make_node("Identity", ["scaled"], ["scores"]),
        helper.make_node("Gemm", ["flat", "other"], ["features"], transB=1),
    ]
    shape = [1, 16, 16, channels] if nhwc else [1, channels, 16, 16]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", kinds.FLOAT, shape)],
        [helper.make_tensor_value_info(name, kinds.FLOAT, [1, CLASSES]) for name in ("scores", "features")],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def artifact_of(
    path: Path, *, image: Tensor | None = None, outputs: tuple[str, str] = ("scores", "features")
) -> Artifact:
    """The artifact at ``path``; ``outputs`` are the source's names for the file's `scores` and `features`."""
    image = image or Tensor("image", "image", (1, 3, 16, 16), "float32", layout="NCHW")
    io = IO(
        (image,),
        tuple(
            Tensor(name, source, (1, CLASSES), "float32")
            for name, source in zip(("scores", "features"), outputs, strict=True)
        ),
    )
    sha256, size = hash_files([path])
    return Artifact(path, "onnx", sha256, size, io)


@pytest.fixture
def source(tmp_path: Path) -> Artifact:
    """The classifier as it should be."""
    return artifact_of(write_classifier(tmp_path / "source.onnx"))


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., StoredSamples]:
    """``pictures(labels)``: 60 prepared pictures with these labels (none without)."""

    def make(labels: np.ndarray | None = None) -> StoredSamples:
        generator = np.random.default_rng(1)
        coarse = generator.integers(0, 256, (SAMPLES, 4, 4, 3), dtype=np.uint8)
        x = np.stack([np.asarray(Image.fromarray(small).resize((16, 16))) for small in coarse])
        arrays = {"x": x} if labels is None else {"x": x, "y": labels}
        name = "plain" if labels is None else "labelled"
        out = tmp_path / f"prepared {len(list(tmp_path.iterdir()))}"
        np.savez(tmp_path / f"{name}.npz", **arrays)
        data = Data(
            preprocess=({"normalize": {"mean": 127.0, "std": 128.0}},), evaluate=DataSource(tmp_path / f"{name}.npz")
        )
        inputs = (Tensor("image", "image", (1, 3, 16, 16), "float32", layout="NCHW"),)
        prepare(data, inputs, None, out, roles=("evaluate",))
        return open_samples(out, "evaluate")

    return make
