"""The openvino format: what it recognizes, refuses, describes and runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit.artifact import Artifact
from edgekit.errors import InputError
from edgekit.formats import FORMATS, Declared, find_format
from edgekit.formats.openvino_file import import_openvino
from edgekit.formats.runner import open_runner

ov = import_openvino()
ArtifactAt = Callable[..., Artifact]
SHAPE = (1, 3, 6, 5)


@pytest.fixture
def weight() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((3, 2, 4, 4)).astype(np.float32)


@pytest.fixture
def ir(tmp_path: Path, weight: np.ndarray) -> Path:
    """`y` is a transposed convolution (4x4, stride 2) of `x` from 3 to 2 channels; `z` a sum of `y`."""
    ops = ov.opset13
    x = ops.parameter(SHAPE, np.float32, name="x")
    y = ops.convolution_backprop_data(x, ops.constant(weight), [2, 2], pads_begin=[1, 1], pads_end=[1, 1])
    z = ops.reduce_sum(y, ops.constant([2, 3]))
    for node, name in ((x, "x"), (y, "y"), (z, "z")):
        node.output(0).get_tensor().set_names({name})
    path = tmp_path / "m.xml"
    ov.save_model(ov.Model([y, z], [x], "m"), path, compress_to_fp16=False)
    return path


def test_io_and_a_run_against_numpy(ir: Path, weight: np.ndarray, artifact_at: ArtifactAt) -> None:
    assert find_format(ir).name == "openvino"
    artifact = artifact_at(ir, "openvino")
    assert [(t.name, t.shape, t.dtype, t.layout) for t in artifact.io.inputs] == [("x", SHAPE, "float32", "NCHW")]
    assert [(t.name, t.shape) for t in artifact.io.outputs] == [("y", (1, 2, 12, 10)), ("z", (1, 2))]
    assert artifact.bytes == ir.stat().st_size + ir.with_suffix(".bin").stat().st_size
    x = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    full = np.zeros((1, 2, 14, 12))
    for row, column in np.ndindex(6, 5):
        patch = np.einsum("bc,coij->boij", x[:, :, row, column], weight)
        full[:, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += patch
    found = open_runner(artifact, 2).run({"x": x})
    np.testing.assert_allclose(found["y"], full[:, :, 1:-1, 1:-1], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["z"], found["y"].sum((2, 3)), rtol=1e-4, atol=1e-4)


def test_results_are_not_overwritten_by_the_next_run(ir: Path, artifact_at: ArtifactAt) -> None:
    runner = open_runner(artifact_at(ir, "openvino"), 1)
    first = runner.run({"x": np.ones(SHAPE, np.float32)})["y"]
    kept = first.copy()
    runner.run({"x": np.zeros(SHAPE, np.float32)})
    np.testing.assert_array_equal(first, kept)


def test_costs(ir: Path, artifact_at: ArtifactAt) -> None:
    graph = FORMATS.get("openvino").describe(artifact_at(ir, "openvino"))
    assert graph.macs == 3 * 6 * 5 * 2 * 4 * 4
    assert graph.params == 3 * 2 * 4 * 4
    assert graph.count_types() == {"ConvolutionBackpropData": 1, "ReduceSum": 1}
    assert [graph.tensors[index].name for index in (*graph.inputs, *graph.outputs)] == ["x", "y", "z"]


def test_fake_quantize_is_read(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    ops = ov.opset13
    x = ops.parameter(SHAPE, np.float32, name="x")
    low, high = np.float32(-1.0), np.float32(127 / 128)
    fake = ops.fake_quantize(x, *(ops.constant(value) for value in (low, high, low, high)), 256)
    fake.output(0).get_tensor().set_names({"y"})
    x.output(0).get_tensor().set_names({"x"})
    path = tmp_path / "m.xml"
    ov.save_model(ov.Model([fake], [x], "m"), path, compress_to_fp16=False)
    graph = FORMATS.get("openvino").describe(artifact_at(path, "openvino"))
    found = next(tensor.quantization for tensor in graph.tensors if tensor.name == "y")
    assert found is not None
    assert found.scale == pytest.approx((1 / 128,))
    assert found.zero_point == (0,)


def test_nan_is_found(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    ops = ov.opset13
    x = ops.parameter(SHAPE, np.float32, name="x")
    bad = ops.constant(np.array([1, np.nan, 2], np.float32).reshape(1, 3, 1, 1), name="bad weight")
    path = tmp_path / "m.xml"
    ov.save_model(ov.Model([ops.multiply(x, bad)], [x], "m"), path, compress_to_fp16=False)
    assert FORMATS.get("openvino").find_nan(artifact_at(path, "openvino")) == "bad weight"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_xml(ir: Path, share: float) -> None:
    whole = ir.read_bytes()
    ir.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError) as raised:
        find_format(ir).read_io(ir, Declared())
    assert raised.value.exit_code == 2


def test_truncated_weights(ir: Path) -> None:
    weights = ir.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError):
        FORMATS.get("openvino").read_io(ir, Declared())


def test_missing_weights(ir: Path) -> None:
    ir.with_suffix(".bin").unlink()
    with pytest.raises(InputError, match=r"m\.bin, which is not beside it"):
        FORMATS.get("openvino").files(ir)


def test_an_external_entity_is_not_read(ir: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("1,3,6,5")
    text = ir.read_text()
    declared = text.replace("<net ", f'<!DOCTYPE net [<!ENTITY steal SYSTEM "file://{secret}">]><net ', 1).replace(
        'name="m"', 'name="&steal;"', 1
    )
    assert declared != text
    ir.write_text(declared)
    with pytest.raises(InputError) as raised:
        FORMATS.get("openvino").read_io(ir, Declared())
    assert raised.value.word == "hostile_xml"


def test_telemetry_is_shut_out() -> None:
    """openvino and nncf send usage statistics through this package, unasked."""
    with pytest.raises(ImportError):
        import openvino_telemetry  # noqa: F401
