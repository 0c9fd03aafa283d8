"""The onnx format: what it recognizes, refuses, describes and runs; files made by hand with onnx.helper."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import Artifact
from edgekit.errors import InputError, StepError
from edgekit.formats import FORMATS, Declared, find_format
from edgekit.formats.onnx_file import looks_like_onnx, normalize, read_model, write_model
from edgekit.formats.onnx_ranges import collect_ranges
from edgekit.formats.runner import open_runner

ArtifactAt = Callable[..., Artifact]
MakeModel = Callable[..., Any]


def save(model: Any, path: Path) -> Path:
    onnx.save(model, path)
    return path


def test_io_and_a_run_against_a_plain_convolution(
    conv_model: MakeModel, tmp_path: Path, artifact_at: ArtifactAt
) -> None:
    path = save(conv_model(), tmp_path / "m.onnx")
    assert find_format(path).name == "onnx"
    artifact = artifact_at(path, "onnx")
    assert [(t.name, t.shape, t.dtype, t.layout) for t in artifact.io.inputs] == [
        ("x", (1, 4, 8, 10), "float32", "NCHW")
    ]
    assert [(t.name, t.shape) for t in artifact.io.outputs] == [("y", (1, 6, 8, 10))]
    x = np.random.default_rng(3).standard_normal((1, 4, 8, 10)).astype(np.float32)
    found = open_runner(artifact, 2).run({"x": x})["y"]
    weight, bias = (numpy_helper.to_array(tensor) for tensor in conv_model().graph.initializer)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    expected = np.einsum("bchwij,ocij->bohw", windows, weight) + bias[None, :, None, None]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", [b"", b"\x08", b"PK\x03\x04abcdefgh", b"<?xml version", b"\x1c\x00\x00\x00TFL3" * 4])
def test_other_heads_are_not_onnx(head: bytes) -> None:
    assert not looks_like_onnx(head)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9, 0.995])
def test_truncated(conv_model: MakeModel, tmp_path: Path, share: float) -> None:
    whole = conv_model().SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError) as raised:
        find_format(path).read_io(path, Declared())
    assert raised.value.exit_code == 2


def test_a_model_that_the_checker_refuses(conv_model: MakeModel, tmp_path: Path) -> None:
    model = conv_model()
    model.graph.node[0].input[0] = "nowhere"
    path = save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError, match="not valid ONNX"):
        FORMATS.get("onnx").read_io(path, Declared())


def test_an_operator_without_kernel_is_refused_by_name(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Frobnicate", ["x"], ["y"], domain="my.own")], "g", info[:1], info[1:])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)]
    path = save(helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(StepError, match="Frobnicate") as raised:
        open_runner(artifact_at(path, "onnx"), 1)
    assert raised.value.exit_code == 5


# --- external data ----------------------------------------------------------------------------------------------------


@pytest.fixture
def external(conv_model: MakeModel, tmp_path: Path) -> Path:
    path = tmp_path / "models" / "m.onnx"
    path.parent.mkdir()
    onnx.save(conv_model(), path, save_as_external_data=True, location="m.data", size_threshold=0)
    return path


def test_external_data_belong_to_the_artifact(external: Path, artifact_at: ArtifactAt, conv_model: MakeModel) -> None:
    artifact = artifact_at(external, "onnx")
    assert artifact.bytes == external.stat().st_size + (external.parent / "m.data").stat().st_size
    inside = external.with_name("inside.onnx")
    onnx.save(conv_model(), inside)
    x = {"x": np.ones((1, 4, 8, 10), np.float32)}
    expected = open_runner(artifact_at(inside, "onnx"), 1).run(x)["y"]
    np.testing.assert_array_equal(open_runner(artifact, 1).run(x)["y"], expected)


@pytest.mark.parametrize("what", ["read_io", "files"])
def test_external_data_that_are_missing(external: Path, what: str) -> None:
    (external.parent / "m.data").unlink()
    known = FORMATS.get("onnx")
    with pytest.raises(InputError, match="not beside it") as raised:
        known.files(external) if what == "files" else known.read_io(external, Declared())
    assert raised.value.word == "external_data_missing"


def test_external_data_that_are_cut_short(external: Path) -> None:
    data = external.parent / "m.data"
    data.write_bytes(data.read_bytes()[:-10])
    with pytest.raises(InputError, match="truncated"):
        FORMATS.get("onnx").read_io(external, Declared())


@pytest.mark.parametrize("way", ["parent", "absolute", "link"])
def test_external_data_outside_the_folder(external: Path, tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret.data"
    secret.write_bytes((external.parent / "m.data").read_bytes())
    location = {"parent": "../secret.data", "absolute": str(secret), "link": "m.data"}[way]
    if way == "link":
        (external.parent / "m.data").unlink()
        (external.parent / "m.data").symlink_to(secret)
    model = onnx.load(external, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    external.write_bytes(model.SerializeToString())
    with pytest.raises(InputError) as raised:
        FORMATS.get("onnx").read_io(external, Declared())
    assert raised.value.word == "external_data_outside"


def test_external_data_of_a_constant_in_a_subgraph(conv_model: MakeModel, tmp_path: Path) -> None:
    hidden = TensorProto(name="hidden", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    hidden.external_data.add(key="location", value="../../etc/passwd")
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])
    branch = helper.make_graph([helper.make_node("Constant", [], ["z"], value=hidden)], "branch", [], [value])
    model = conv_model()
    condition = numpy_helper.from_array(np.array(True), "condition")
    model.graph.initializer.append(condition)
    model.graph.node.append(helper.make_node("If", ["condition"], ["z0"], then_branch=branch, else_branch=branch))
    path = save(model, tmp_path / "m.onnx")
    with pytest.raises(InputError) as raised:
        FORMATS.get("onnx").read_io(path, Declared())
    assert raised.value.word == "external_data_outside"


# --- description ------------------------------------------------------------------------------------------------------


def test_costs_of_a_convolution(conv_model: MakeModel, tmp_path: Path, artifact_at: ArtifactAt) -> None:
    artifact = artifact_at(save(conv_model(), tmp_path / "m.onnx"), "onnx")
    graph = FORMATS.get("onnx").describe(artifact)
    assert graph.macs == 6 * 8 * 10 * 4 * 9
    assert graph.params == 6 * 4 * 9 + 6
    assert graph.count_types() == {"Conv": 1}
    assert [graph.tensors[index].name for index in (*graph.inputs, *graph.outputs)] == ["x", "y"]
    assert graph.operators[0].attributes["pads"] == [1, 1, 1, 1]


def test_shapes_that_inference_does_not_find_are_seen_in_a_run(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    """A reshape whose target comes through arithmetic on another input's shape: MatMul [6, 4] x [4, 5]."""
    nodes = [
        helper.make_node("NonZero", ["ones"], ["places"]),
        helper.make_node("Shape", ["places"], ["sizes"]),
        helper.make_node("Slice", ["sizes", "one", "two"], ["count"]),
        helper.make_node("Concat", ["count", "four"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["y"]),
    ]
    arrays = {
        "ones": np.ones(6, np.float32),
        "one": np.array([1]),
        "two": np.array([2]),
        "four": np.array([4]),
        "weight": np.ones((4, 5), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 5])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    artifact = artifact_at(save(model, tmp_path / "m.onnx"), "onnx")
    assert FORMATS.get("onnx").describe(artifact).macs == 6 * 4 * 5


def test_quantization_is_read(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    """x -> Q -> DQ -> Conv with per-channel int8 weights behind a DQ."""
    scales = np.array([0.5, 0.25], np.float32)
    arrays = {
        "scale": np.array(0.1, np.float32),
        "zero": np.array(7, np.uint8),
        "weight": np.arange(6, dtype=np.int8).reshape(2, 3, 1, 1),
        "scales": scales,
        "zeros": np.zeros(2, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "scale", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["weight", "scales", "zeros"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    described = FORMATS.get("onnx").describe(artifact_at(save(model, tmp_path / "m.onnx"), "onnx"))
    by_name = {tensor.name: tensor for tensor in described.tensors}
    activation, weight = by_name["xq"].quantization, by_name["weight"].quantization
    assert activation is not None and weight is not None
    assert (activation.scale, activation.zero_point, activation.axis) == ((pytest.approx(0.1),), (7,), None)
    assert (weight.scale, weight.zero_point, weight.axis) == ((0.5, 0.25), (0, 0), 0)
    assert weight.per_channel
    assert described.params == 6
    assert described.macs == 2 * 16 * 3
    said = described.metadata["quantization"]
    assert (said["scheme"], said["weights"], said["activations"], said["per_channel"]) == ("qdq", "int8", "uint8", True)
    assert said["float_operators"] == 0


def test_nan_is_found(conv_model: MakeModel, tmp_path: Path, artifact_at: ArtifactAt) -> None:
    model = conv_model()
    bias = numpy_helper.to_array(model.graph.initializer[1]).copy()
    bias[2] = np.inf
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(bias, "bias"))
    artifact = artifact_at(save(model, tmp_path / "m.onnx"), "onnx")
    assert FORMATS.get("onnx").find_nan(artifact) == "bias"
    clean = artifact_at(save(conv_model(), tmp_path / "clean.onnx"), "onnx")
    assert FORMATS.get("onnx").find_nan(clean) is None


# --- declared shapes --------------------------------------------------------------------------------------------------


def free_model(conv_model: MakeModel, *axes: int) -> Any:
    model = conv_model()
    for axis in axes:
        for value in (model.graph.input[0], model.graph.output[0]):
            value.type.tensor_type.shape.dim[axis].dim_param = f"d{axis}"
    return model


def test_a_free_batch_is_one(conv_model: MakeModel, tmp_path: Path, artifact_at: ArtifactAt) -> None:
    path = save(free_model(conv_model, 0), tmp_path / "m.onnx")
    assert artifact_at(path, "onnx").io.inputs[0].shape == (1, 4, 8, 10)


def test_other_free_sizes_must_be_declared(conv_model: MakeModel, tmp_path: Path, artifact_at: ArtifactAt) -> None:
    path = save(free_model(conv_model, 0, 2), tmp_path / "m.onnx")
    with pytest.raises(InputError) as raised:
        artifact_at(path, "onnx")
    assert raised.value.word == "inputs_not_declared"
    assert artifact_at(path, "onnx", shapes={"x": (1, 4, 32, 10)}).io.inputs[0].shape == (1, 4, 32, 10)
    with pytest.raises(InputError, match="no input `image`"):
        artifact_at(path, "onnx", shapes={"image": (1, 4, 32, 10)})
    with pytest.raises(InputError, match="is \\?x4x\\?x10, not 1x3x32x10"):
        artifact_at(path, "onnx", shapes={"x": (1, 3, 32, 10)})


# --- normalized files -------------------------------------------------------------------------------------------------


def test_equal_graphs_give_equal_bytes(conv_model: MakeModel, tmp_path: Path) -> None:
    """The same graph as two releases of an exporter might write it: other order, names of constants, notes,
    producer."""
    first, second = conv_model(), conv_model()
    first.producer_name, first.producer_version = "pytorch", "2.13.0"
    second.producer_name, second.producer_version, second.doc_string = "pytorch", "2.14.0", "exported on Tuesday"
    second.graph.node[0].doc_string = "net.py:12"
    second.graph.node[0].metadata_props.add(key="namespace", value="net")
    for model, number in ((first, 12), (second, 34)):
        for index, tensor in enumerate(model.graph.initializer):
            tensor.name = f"onnx::Conv_{number + index}"
            model.graph.node[0].input[1 + index] = tensor.name
    second.graph.initializer.reverse()
    second.graph.value_info.add(name="y")
    for model, name in ((first, "first.onnx"), (second, "second.onnx")):
        write_model(model, tmp_path / name)
    assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
    assert [tensor.name for tensor in first.graph.initializer] == ["constant_0", "constant_1"]


def test_normalizing_keeps_the_function(conv_model: MakeModel, tmp_path: Path, artifact_at: ArtifactAt) -> None:
    model = conv_model()
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "unused"))
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    onnx.save(model, before)
    write_model(model, after)
    x = {"x": np.random.default_rng(1).standard_normal((1, 4, 8, 10)).astype(np.float32)}
    results = [open_runner(artifact_at(path, "onnx"), 1).run(x)["y"] for path in (before, after)]
    np.testing.assert_array_equal(*results)
    assert "unused" not in {tensor.name for tensor in read_model(after).graph.initializer}


def test_normalizing_twice_changes_nothing(conv_model: MakeModel) -> None:
    model = conv_model()
    normalize(model)
    once = model.SerializeToString(deterministic=True)
    normalize(model)
    assert model.SerializeToString(deterministic=True) == once


# --- ranges -----------------------------------------------------------------------------------------------------------


def test_ranges_are_those_of_the_tensors_themselves(
    conv_model: MakeModel, tmp_path: Path, artifact_at: ArtifactAt
) -> None:
    model = conv_model()
    generator = np.random.default_rng(9)
    feeds = [{"x": generator.standard_normal((1, 4, 8, 10)).astype(np.float32)} for _ in range(5)]
    seen: list[int] = []
    found = collect_ranges(model, ["x", "y"], feeds, 1, seen.append)
    runner = open_runner(artifact_at(save(model, tmp_path / "m.onnx"), "onnx"), 1)
    results = [runner.run(feed)["y"] for feed in feeds]
    assert found["x"] == (min(f["x"].min() for f in feeds), max(f["x"].max() for f in feeds))
    assert found["y"] == pytest.approx((min(y.min() for y in results), max(y.max() for y in results)), rel=1e-6)
    assert seen == [1, 2, 3, 4, 5]


def test_ranges_without_samples(conv_model: MakeModel) -> None:
    with pytest.raises(InputError):
        collect_ranges(conv_model(), ["x"], [], 1)


def test_onnxruntime_sends_no_usage_statistics(conv_model: MakeModel, tmp_path: Path) -> None:
    """Left to itself it keeps what it is about to send, and an id of the machine, in the user's home."""
    path, home = save(conv_model(), tmp_path / "model.onnx"), tmp_path / "home"
    home.mkdir()
    code = (
        "import sys, pathlib; from edgekit.formats.onnx_session import open_session; "
        "open_session(pathlib.Path(sys.argv[1]), 1)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    environment["HOME"] = str(home)
    subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=True, timeout=120)
    assert [found for found in home.rglob("*") if found.is_file()] == []
