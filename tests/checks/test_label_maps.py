"""Segmentation from prepared data to measurement: scores are vectors, agreement is a share of pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.artifact import IO, Artifact, Tensor
from edgekit.checks.measure import compute_reference, measure
from edgekit.datasets.prepare import prepare
from edgekit.datasets.stored import open_samples
from edgekit.plan import Data, DataSource, TaskUse

TASK = TaskUse("segmentation")
IMAGE = Tensor("image", "image", (1, 2, 8, 9), "float32")


def write_network(path: Path, weights: np.ndarray) -> Artifact:
    """A 1x1 convolution from 2 channels to 4 class scores."""
    onnx = pytest.importorskip("onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w"], ["scores"])],
        "segmentation",
        [helper.make_tensor_value_info("image", kinds.FLOAT, [1, 2, 8, 9])],
        [helper.make_tensor_value_info("scores", kinds.FLOAT, [1, 4, 8, 9])],
        [onnx.numpy_helper.from_array(weights.astype(np.float32).reshape(4, 2, 1, 1), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    io = IO((IMAGE,), (Tensor("scores", "scores", (1, 4, 8, 9), "float32"),))
    return Artifact(path, "onnx", "0" * 64, path.stat().st_size, io)


def test_mean_iou_and_agreement(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(4, 2))
    x = generator.normal(size=(30, 2, 8, 9)).astype(np.float32)
    truth = np.einsum("kc,nchw->nkhw", weights, x).argmax(axis=1)
    np.savez(tmp_path / "d.npz", x=x, y=truth)
    prepare(Data(evaluate=DataSource(tmp_path / "d.npz")), (IMAGE,), None, tmp_path / "d", roles=["evaluate"])
    samples = open_samples(tmp_path / "d", "evaluate")
    reference = compute_reference(write_network(tmp_path / "a.onnx", weights), samples, tmp_path / "ref", task=TASK)
    assert reference["measurement"]["metric"] == "mean_iou"
    assert reference["measurement"]["value"] == pytest.approx(1.0)
    assert reference["chance"] is None

    turned = weights + generator.normal(0, 0.15, (4, 2))
    found = measure(write_network(tmp_path / "b.onnx", turned), samples, tmp_path / "ref", tmp_path / "m", task=TASK)
    decided = np.einsum("kc,nchw->nkhw", turned, x).argmax(axis=1)
    ious = [
        ((decided == number) & (truth == number)).sum() / ((decided == number) | (truth == number)).sum()
        for number in range(4)
    ]
    assert 0.3 < np.mean(ious) < 0.99
    assert found.value == pytest.approx(np.mean(ious))
    assert found.drop_points == pytest.approx(100 * (1 - np.mean(ious)))
    assert found.agreement == pytest.approx((decided == truth).mean())
    for figure, interval in ((found.value, found.interval), (found.agreement, found.agreement_interval)):
        assert interval is not None
        assert figure is not None
        assert interval[0] < figure < interval[1]
