"""What the tests of formats share: source artifacts of torch files, and small ONNX models made by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgekit.artifact import IO, Artifact, Build, hash_files
from edgekit.formats import FORMATS, Declared


@pytest.fixture(scope="session")
def artifact_at() -> Callable[..., Artifact]:
    """``artifact_at(path, "onnx")``: the source artifact of a file, its io read from it (or given)."""

    def make(
        path: Path, name: str, *, shapes: dict[str, Any] | None = None, build: Build | None = None, io: IO | None = None
    ) -> Artifact:
        known = FORMATS.get(name)
        io = io or known.read_io(path, Declared(dict(shapes or {})), build)
        sha256, size = hash_files(known.files(path))
        return Artifact(path, name, sha256, size, io, build)

    return make


@pytest.fixture(scope="session")
def torch_source(
    networks: ModuleType, networks_file: Path, artifact_at: Callable[..., Artifact]
) -> Callable[[str], Artifact]:
    """``torch_source("detector")``: a network of tests/networks.py as a source."""
    return lambda name: artifact_at(networks_file, "torch", shapes=networks.INPUTS[name], build=Build(name))


@pytest.fixture(scope="session")
def files(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """detector.pt2, detector.pt (TorchScript), and the image they were made with."""
    import torch

    folder = tmp_path_factory.mktemp("torch")
    module, image = networks.detector(), torch.randn(networks.INPUTS["detector"]["image"])
    torch.export.save(torch.export.export(module, (image,)), folder / "detector.pt2")
    torch.jit.trace(module, image).save(str(folder / "detector.pt"))
    return folder


@pytest.fixture
def conv_model() -> Callable[..., Any]:
    """A ModelProto `y = conv(x)`, 4 to 6 channels, 3x3, on 8x10, with seeded weights; ``rename`` its tensors."""

    def make(x: str = "x", y: str = "y", seed: int = 0) -> Any:
        from onnx import TensorProto, helper, numpy_helper

        generator = np.random.default_rng(seed)
        weight = numpy_helper.from_array(generator.standard_normal((6, 4, 3, 3)).astype(np.float32), "weight")
        bias = numpy_helper.from_array(generator.standard_normal(6).astype(np.float32), "bias")
        node = helper.make_node("Conv", [x, "weight", "bias"], [y], name="conv", pads=[1, 1, 1, 1])
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 4, 8, 10])],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, [1, 6, 8, 10])],
            [weight, bias],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    return make
