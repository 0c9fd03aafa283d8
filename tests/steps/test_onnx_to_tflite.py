"""onnx_to_tflite in a child process of its own: both backends, what each refuses, names, layout, and good manners."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import IO, Artifact, hash_files
from edgekit.errors import from_dict
from edgekit.formats import FORMATS, Declared
from edgekit.formats.runner import open_runner
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import read_model
from edgekit.installation import install_command
from edgekit.numerics.sqnr import sqnr_db
from edgekit.toolchains import find

CHILD = Path(__file__).with_name("onnx2tf_main.py")
Answer = dict[str, Any]
draw = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    return draw.standard_normal(shape).astype(np.float32)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str]],
    outputs: list[str],
    **constants: np.ndarray,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


@pytest.fixture(scope="session")
def convert(
    require: Callable[[str, str], None], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[list[Answer]], list[Answer]]:
    """Runs jobs in one child process; each gets a folder of its own."""
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")

    def run(jobs: list[Answer]) -> list[Answer]:
        folder = tmp_path_factory.mktemp("onnx2tf")
        listed = [{**job, "path": str(job["path"]), "folder": str(folder / str(i))} for i, job in enumerate(jobs)]
        (folder / "jobs.json").write_text(json.dumps(listed))
        command = [sys.executable, "-P", str(CHILD), str(folder / "jobs.json")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


def compare(path: Path, answer: Answer) -> float:
    """SQNR of the written file against the ONNX file on fresh samples, through the io that the step gave."""
    source = Artifact(path, "onnx", *hash_files([path]), FORMATS.get("onnx").read_io(path, Declared()))
    written = Path(answer["path"])
    artifact = Artifact(written, "tflite", *hash_files([written]), IO.from_dict(answer["io"]))
    first, second = open_runner(source, 1), open_runner(artifact, 1)
    sample = {
        tensor.source_name: np.random.default_rng(9)
        .standard_normal([size or 1 for size in tensor.shape])
        .astype(np.float32)
        for tensor in source.io.inputs
    }
    expected, found = first.run(sample), second.run(sample)
    assert expected.keys() == found.keys()
    return min(sqnr_db(expected[name], found[name]) for name in expected)


@pytest.fixture(scope="session")
def direct(convert: Callable[[list[Answer]], list[Answer]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Models that the direct writer takes, converted twice in one child: {name: (ONNX file, answer, second answer)}."""
    folder = tmp_path_factory.mktemp("direct")
    pads = {"pads": [1, 1, 1, 1]}
    paths = {
        "names": save(
            folder / "names.onnx",
            [
                helper.make_node("Conv", ["input.1", "w"], ["onnx::mid"], **pads),
                helper.make_node("Relu", ["onnx::mid"], ["scores:0"]),
                helper.make_node("GlobalAveragePool", ["onnx::mid"], ["pooled"]),
            ],
            {"input.1": [1, 3, 8, 8]},
            ["scores:0", "pooled"],
            w=numbers(4, 3, 3, 3),
        ),
        # No shape tells whether this is transposed.
        "square": save(
            folder / "square.onnx",
            [helper.make_node("Conv", ["x", "w"], ["y"], **pads)],
            {"x": [1, 8, 8, 8]},
            ["y"],
            w=numbers(8, 8, 3, 3),
        ),
        "free": save(
            folder / "free.onnx",
            [helper.make_node("Conv", ["x", "w"], ["y"], **pads)],
            {"x": ["batch", 3, 8, 8]},
            ["y"],
            w=numbers(4, 3, 3, 3),
        ),
        "stem": save(
            folder / "stem.onnx",
            [
                helper.make_node("Conv", ["x", "w"], ["c"], **pads),
                helper.make_node("Relu", ["c"], ["r"]),
                helper.make_node("MaxPool", ["r"], ["y"], kernel_shape=[3, 3], strides=[2, 2], **pads),
            ],
            {"x": [1, 3, 8, 8]},
            ["y"],
            w=numbers(4, 3, 3, 3),
        ),
        "recurrent": save(
            folder / "recurrent.onnx",
            [helper.make_node("LSTM", ["x", "w", "r"], ["y", "h"], hidden_size=6)],
            {"x": [5, 1, 4]},
            ["y"],
            w=numbers(1, 24, 4),
            r=numbers(1, 24, 6),
        ),
    }
    answers = convert([{"path": path} for path in (*paths.values(), *paths.values())])
    first, second = answers[: len(paths)], answers[len(paths) :]
    return {name: (path, first[i], second[i]) for i, (name, path) in enumerate(paths.items())}


@pytest.mark.parametrize("name", ["names", "square", "free", "stem", "recurrent"])
def test_the_direct_writer_is_exact_static_and_signed(direct: dict[str, Any], name: str):
    path, answer, again = direct[name]
    assert "error" not in answer, answer
    assert answer["notes"] == []
    assert compare(path, answer) >= 60
    model = read_model(Path(answer["path"]))
    assert not any(None in tensor.shape for tensor in model.main.tensors)
    assert len(model.signatures) == 1
    assert Path(answer["path"]).read_bytes() == Path(again["path"]).read_bytes()
    assert [entry.name for entry in Path(answer["path"]).parent.iterdir()] == ["model.tflite"]


def test_the_stem_of_a_residual_network_is_padded_with_zeros(direct: dict[str, Any]):
    """Not by PADV2 with the lowest number there is, which the Edge TPU does not take and eight bits cannot hold."""
    graph = describe_model(read_model(Path(direct["stem"][1]["path"])))
    assert [operator.type for operator in graph.operators if "PAD" in operator.type][-1] == "PAD"
    assert "PADV2" not in graph.count_types()


def test_it_neither_connects_nor_starts_programs(direct: dict[str, Any]):
    assert [answer["seen"] for _, answer, _ in direct.values()] == [[]] * len(direct)


def test_names_are_kept_and_the_permutation_found(direct: dict[str, Any]):
    io = IO.from_dict(direct["names"][1]["io"])
    assert [(tensor.name, tensor.source_name) for tensor in io.inputs] == [("input.1", "input.1")]
    assert [tensor.source_name for tensor in io.outputs] == ["scores:0", "pooled"]
    assert io.inputs[0].permutation == (0, 2, 3, 1)
    assert io.inputs[0].shape == (1, 8, 8, 3)
    square = IO.from_dict(direct["square"][1]["io"])
    assert square.inputs[0].permutation == (0, 2, 3, 1)


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models that the direct writer cannot convert."""
    folder = tmp_path_factory.mktemp("odd")
    image: dict[str, list[int | str]] = {"x": [1, 3, 8, 8]}
    norm = helper.make_node("LpNormalization", ["x"], ["y"], p=1, axis=1)
    pool = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1, "count_include_pad": 1}
    return {
        # left as a custom operator, which no runtime has
        "norm": save(folder / "norm.onnx", [norm], image, ["y"]),
        # written without complaint, and wrong (12 dB)
        "pool": save(folder / "pool.onnx", [helper.make_node("AveragePool", ["x"], ["y"], **pool)], image, ["y"]),
        # refused by both
        "dilated": save(
            folder / "dilated.onnx",
            [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2])],
            image,
            ["y"],
        ),
        "sizes": save(
            folder / "sizes.onnx",
            [helper.make_node("NonZero", ["x"], ["i"]), helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT)],
            {"x": [4, 5]},
            ["y"],
        ),
    }


def test_what_the_direct_writer_refuses_is_named(convert: Callable[[list[Answer]], list[Answer]], odd: dict[str, Path]):
    names = ["norm", "pool", "dilated", "sizes"]
    answers = convert([{"path": odd[name], "options": {"backend": "direct"}} for name in names])
    errors = [from_dict(answer["error"]) for answer in answers]
    assert [error.exit_code for error in errors] == [5, 5, 5, 5]
    assert "LpNormalization" in errors[0].message
    assert "output `y` reaches" in errors[1].message
    assert "MaxPool" in errors[2].message
    assert "depends on the input's numbers" in errors[3].message
    assert {error.remedy for error in errors[:3]} == {"set the option backend to auto"}
    assert "onnx_cut_tail" in str(errors[3].remedy)
    assert [str(error.where).split()[0] for error in errors] == ["LpNormalization", "AveragePool", "MaxPool", "NonZero"]


def test_without_tensorflow_the_command_that_installs_it_is_told(
    convert: Callable[[list[Answer]], list[Answer]], odd: dict[str, Path]
):
    jobs = [{"options": {"backend": "auto"}}, {"options": {"backend": "tensorflow"}}]
    answers = convert([{**job, "path": odd["norm"], "without": ["tensorflow"]} for job in jobs])
    for answer in answers:
        assert answer["error"]["exit_code"] == 3
        assert answer["error"]["remedy"] == install_command("tensorflow")
    assert "LpNormalization" in answers[0]["error"]["message"]


def test_the_tensorflow_backend_converts_what_the_direct_writer_cannot(
    convert: Callable[[list[Answer]], list[Answer]], odd: dict[str, Path], require: Callable[[str, str], None]
):
    if find_spec("tensorflow") is None:
        require("tensorflow", f"not installed: {install_command('tensorflow')}")
    names = ["norm", "pool", "dilated"]
    answers = convert([{"path": odd[name]} for name in names])
    for name, answer in zip(names[:2], answers, strict=False):
        assert "error" not in answer, answer
        assert compare(odd[name], answer) >= 60
        assert "TensorFlow backend" in answer["notes"][0]
        io = IO.from_dict(answer["io"])
        assert [tensor.name for tensor in (*io.inputs, *io.outputs)] == ["x", "y"]
        assert describe_model(read_model(Path(answer["path"]))).metadata["signatures"] == ["serving_default"]
    assert "LpNormalization" in answers[0]["notes"][0]
    error = from_dict(answers[2]["error"])
    assert error.exit_code == 5
    assert "MaxPool" in error.message and "TensorFlow backend" in error.message
    assert not any("socket.connect" in event for answer in answers for event in answer["seen"])
