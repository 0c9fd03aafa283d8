"""What OpenVINO models select from; the same model in ONNX Runtime is the oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit.artifact import Artifact, hash_files
from edgekit.formats import FORMATS, Declared, Watched
from edgekit.formats.onnx_selection import find_selection
from edgekit.formats.openvino_file import import_openvino

Open = Callable[[onnx.ModelProto], Watched]


@pytest.fixture(scope="module")
def networks(load_test_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_test_module("postprocessing")


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """The model converted to an IR and opened."""

    def convert(model: onnx.ModelProto) -> Watched:
        openvino = import_openvino()
        onnx.save(model, tmp_path / "model.onnx")
        path = tmp_path / "model.xml"
        openvino.save_model(openvino.convert_model(tmp_path / "model.onnx"), path, compress_to_fp16=False)
        known = FORMATS.get("openvino")
        artifact = Artifact(path, "openvino", *hash_files(known.files(path)), known.read_io(path, Declared()))
        return known.open_watched(artifact, 1)

    return convert


@pytest.mark.parametrize(
    ("name", "options"),
    [("detections", {}), ("detections", {"padded": 20}), ("detector_with_nms", {}), ("centre_points", {})],
)
def test_the_same_entries_as_in_onnx(networks: ModuleType, opened: Open, name: str, options: dict[str, Any]) -> None:
    model = getattr(networks, name)(**options)
    known = find_selection(model)
    watched = opened(model)
    assert watched.behind == set(known.behind)
    assert len(watched.entries) == len(known.entries) > 0
    own = [output.name for output in model.graph.output]
    model.graph.output.extend(onnx.ValueInfoProto(name=entry) for entry in known.entries)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for seed in range(3):
        picture = {"image": np.random.default_rng(seed).normal(size=(1, 3, 32, 32)).astype(np.float32)}
        expected = dict(zip([*own, *known.entries], session.run([*own, *known.entries], picture), strict=True))
        found = watched.session.run(picture)
        for entry, given in zip(known.entries, watched.entries, strict=True):
            np.testing.assert_allclose(found[given].ravel(), expected[entry].ravel(), rtol=1e-4, atol=1e-4)
        for output in own:
            if output not in known.behind:
                np.testing.assert_allclose(found[output], expected[output], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["detector", "detector_with_bins", "label_map", "regression"])
def test_models_that_select_nothing(networks: ModuleType, opened: Open, name: str) -> None:
    watched = opened(getattr(networks, name)())
    assert watched.entries == {} and watched.behind == frozenset()
