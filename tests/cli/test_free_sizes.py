"""A model whose file leaves height and width free: what its sizes are is said with ``--shape``, by every command."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ..tflite_models import classifier

Command = Callable[..., subprocess.CompletedProcess[str]]
SIZES = "1x3x16x16"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``free.onnx``, a convolution of ``image`` (n, 3, h, w) with its mean as the output ``out`` (n, 5),
    and ``fixed.onnx``, the same for 1x3x16x16."""
    made = tmp_path_factory.mktemp("free")
    weights = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["out"]),
    ]
    for name, shape, out in (("free", ["n", 3, "h", "w"], ["n", 5]), ("fixed", [1, 3, 16, 16], [1, 5])):
        graph = helper.make_graph(
            nodes,
            "free",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, out)],
            [numpy_helper.from_array(weights, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.save(model, made / f"{name}.onnx")
    return made


@pytest.mark.parametrize("shape", [SIZES, f"image={SIZES}"])
def test_convert_to_tflite(shape: str, onnx2tf: Path, folder: Path, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("convert", "free.onnx", "--shape", shape, "--to", "tflite", "-o", tmp_path, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "1x16x16x3 float32" in done.stdout
    assert "out 1x5 float32" in done.stdout
    made = tmp_path / "tflite" / "free-tflite-fp32.tflite"
    compared = edgekit_command("compare", made, "free.onnx", "--shape", shape, "--json", cwd=folder)
    assert compared.returncode == 0, compared.stderr  # the shape is that of B; A has its own, in another order
    assert json.loads(compared.stdout)["sqnr_db"] > 100


def test_convert_to_openvino(folder: Path, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("convert", "free.onnx", "--shape", SIZES, "--to", "openvino", "-o", tmp_path, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "out 1x5 float32" in done.stdout
    import openvino

    model = openvino.Core().read_model(tmp_path / "openvino" / "free-openvino-fp32.xml")
    assert [list(port.shape) for port in (*model.inputs, *model.outputs)] == [[1, 3, 16, 16], [1, 5]]


def test_inspect(folder: Path, edgekit_command: Command) -> None:
    import openvino

    openvino.save_model(openvino.convert_model(folder / "free.onnx"), folder / "free.xml", compress_to_fp16=False)
    for name in ("free.onnx", "free.xml"):
        done = edgekit_command("inspect", name, "--shape", SIZES, "--json", cwd=folder)
        found = json.loads(done.stdout)
        assert [tensor["shape"] for tensor in (*found["inputs"], *found["outputs"])] == [[1, 3, 16, 16], [1, 5]]
        assert found["macs"] == 14 * 14 * 5 * 27
    refused = edgekit_command("inspect", "free.onnx", cwd=folder)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "has free sizes: ?x3x?x?" in refused.stderr
    assert "--shape image=" in refused.stderr


@pytest.mark.parametrize("pair", [("free.onnx", "fixed.onnx"), ("fixed.onnx", "free.onnx")])
def test_compare(pair: tuple[str, str], folder: Path, edgekit_command: Command) -> None:
    done = edgekit_command("compare", *pair, "--shape", SIZES, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sqnr_db"] == 200.0


def test_a_shape_without_a_name_is_of_the_only_input(edgekit_command: Command, tmp_path: Path) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4, "k"]) for name in ("a", "b", "sum")]
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "two", info[:2], info[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    done = edgekit_command("inspect", "m.onnx", "--shape", "1x4x8", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "m.onnx has several inputs: a, b" in done.stderr
    assert edgekit_command("inspect", "m.onnx", *("--shape", "a=1x4x8", "--shape", "b=1x4x8"), cwd=tmp_path).stdout


@pytest.fixture(scope="module")
def exported(folder: Path) -> Path:
    """The folder with ``free.pt2`` too, the same of any height and width, exported with 1x3x16x16."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 5, 3)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.relu(self.convolution(image)).mean((2, 3))

    free = torch.export.Dim.AUTO
    program = torch.export.export(
        Net().eval(), (torch.zeros(1, 3, 16, 16),), dynamic_shapes={"image": {2: free, 3: free}}
    )
    torch.export.save(program, folder / "free.pt2")
    return folder


#: What each profile says of free sizes: where it is asked, the exit code, and the source that the answer names.
DEVICES = [
    ("coral", 4, "coral.ai/docs/edgetpu/models-intro"),
    ("android-gpu", 4, "gpu_compatibility.cc"),
    ("ncs2", 4, "measured with openvino 2021.4.2"),
    ("jetson-nano", 2, "--optShapes gives a dynamic input its shape"),  # TensorRT takes them; edgekit writes none
]


@pytest.mark.parametrize(("target", "code", "source"), DEVICES)
@pytest.mark.parametrize(("model", "example"), [("free.onnx", "224, 224"), ("free.pt2", "16, 16")])
def test_check_says_both_ways(
    target: str, code: int, source: str, model: str, example: str, exported: Path, edgekit_command: Command
) -> None:
    """A device that takes fixed sizes only excludes the model; with another, edgekit alone has to know them."""
    done = edgekit_command("check", model, "--target", target, "--json", cwd=exported)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == error["exit_code"] == code
    assert error["code"] == ("excluded_shape" if code == 4 else "inputs_not_declared")
    assert f"the input `image` is {'?' if model == 'free.onnx' else '1'}x3x?x? in {model}" in error["message"]
    assert source in error["message"]
    assert f"--shape image=1x3x{example.replace(', ', 'x')}" in error["remedy"]
    assert f"--step 'onnx_fix_shapes:shapes={{image: [1, 3, {example}]}}'" in error["remedy"]


@pytest.mark.parametrize(("target", "model"), [("ncs2", "free.onnx"), ("coral", "free.pt2")])
def test_check_takes_either_way(
    target: str, model: str, exported: Path, edgekit_command: Command, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The two remedies, typed as they are told, judge the same network."""
    if target in ("coral", "android-gpu"):
        request.getfixturevalue("onnx2tf")
    refused = edgekit_command("check", model, "--target", target, cwd=exported).stderr
    (told,) = (line for line in refused.splitlines() if line.startswith("do: "))
    ways = [shlex.split(way) for way in told.partition("with your sizes: ")[2].split(", or ")]
    assert [way[0] for way in ways] == ["--shape", "--step"]
    found = []
    for way in ways:
        words = ("check", model, "--target", target, *way, "--json", "-o", tmp_path / way[0])
        done = edgekit_command(*words, cwd=exported)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert [document["violations"] for document in found] == [[], []]
    assert found[0]["totals"] == found[1]["totals"]
    sums = [sum(operator["macs"] for operator in document["operators"]) for document in found]
    side = 224 if model == "free.onnx" else 16
    assert sums == [(side - 2) ** 2 * 5 * 27] * 2
    steps = found[1]["steps"]  # sizes are fixed before what follows from them is folded
    assert steps.index("onnx_fix_shapes") < steps.index("onnx_simplify")


def test_a_free_batch_alone_is_a_batch_of_one(edgekit_command: Command, folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "fixed.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.save(model, tmp_path / "batch.onnx")
    for more in ((), ("--step", "onnx_fix_shapes")):
        done = edgekit_command("check", "batch.onnx", "--target", "ncs2", "--json", *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert sum(operator["macs"] for operator in found["operators"]) == 14 * 14 * 5 * 27
        assert any("the free batch of `image` is taken as 1" in note for note in found["notes"])
    said = edgekit_command("check", "batch.onnx", "--target", "ncs2", "--shape", SIZES, cwd=tmp_path).stdout
    assert "free batch" not in said


def test_run_with_the_step(folder: Path, edgekit_command: Command, tmp_path: Path) -> None:
    """What the step says of an input, the recipe need not say again: it is measured against the model of these
    sizes."""
    (tmp_path / "free.onnx").write_bytes((folder / "free.onnx").read_bytes())
    recipe = "edgekit: 1\nmodel: free.onnx\nsteps: [STEP, onnx_simplify]\ntargets: {ncs2: {precision: fp16}}\n"
    (tmp_path / "bare.yaml").write_text(recipe.replace("STEP", "onnx_fix_shapes"))
    refused = edgekit_command("run", "bare.yaml", cwd=tmp_path)
    assert refused.returncode == 4
    assert "onnx_fix_shapes: {shapes: {image: [1, 3, 224, 224]}}" in refused.stderr
    (tmp_path / "told.yaml").write_text(recipe.replace("STEP", "{onnx_fix_shapes: {shapes: {image: [1, 3, 16, 16]}}}"))
    done = edgekit_command("run", "told.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    fixed = next(node for node in json.loads(done.stdout)["nodes"] if node["step"] == "onnx_fix_shapes")
    assert (fixed["status"], fixed["measurement"]["sqnr_db"], fixed["measurement"]["data"]) == (
        "done",
        200.0,
        "synthetic",
    )


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("onnx_fix_shapes:shapes={image: [1, 3", "not YAML"),
        ("onnx_fix_shapes:shapes", "is no step"),
        ("onnx_fix_shapes:shapes={picture: [1, 3, 16, 16]}", "the input `image` is"),
        ("onnx_fix_shapes:shapes={image: [1, 4, 16, 16]}", "not 1x4x16x16"),
        ("onnx_fix_shapes:sizes={image: [1, 3, 16, 16]}", "sizes"),
    ],
)
def test_a_step_that_does_not_fit(step: str, said: str, folder: Path, edgekit_command: Command) -> None:
    done = edgekit_command("check", "free.onnx", "--target", "jetson-nano", "--step", step, cwd=folder)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert said in done.stderr


def test_sizes_that_a_file_for_the_device_leaves_free(edgekit_command: Command, tmp_path: Path) -> None:
    """A TFLite file is judged as it is, operators and all; the sizes can be fixed only where it is made."""
    (tmp_path / "free.tflite").write_bytes(classifier(free=(1, 2)))
    done = edgekit_command("check", "free.tflite", "--target", "android-gpu", "--json", cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    (violation,) = json.loads(done.stdout)["violations"]
    assert violation["rule"] == "dynamic_shape"
    assert "1x?x?x3" in violation["message"]
    assert "edgekit convert MODEL --target android-gpu --shape" in violation["remedy"]
    assert "gpu_compatibility.cc" in violation["source"]
