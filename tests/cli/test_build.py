"""`convert` and `quantize`: flags become a recipe, and the files are what `run` would make of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.cli.build import wanted_targets
from edgekit.cli.chains import shortest_chain
from edgekit.cli.model_flags import Flags, may_be_pictures, model_name, parse_inputs
from edgekit.errors import InputError

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tiny: Any, tmp_path: Path) -> Path:
    for name in ("model.onnx", "calibrate.npz", "evaluate.npz", "tiny.yaml"):
        shutil.copy(tiny.folder / name, tmp_path)
    return tmp_path


def test_convert_to_a_format(folder: Path, edgekit_command: Command, snapshot: Any) -> None:
    done = edgekit_command("convert", "model.onnx", "--to", "openvino", cwd=folder)
    assert done.returncode == 0, done.stderr
    snapshot("convert.out.txt", done.stdout)
    report = json.loads((folder / "edgekit-out" / "model" / "report.json").read_text())
    (node,) = report["nodes"]
    assert node["measurement"]["data"] == "synthetic"
    assert node["measurement"]["sqnr_db"] > 60
    assert node["measurement"]["value"] is None


def test_quantize(folder: Path, edgekit_command: Command, snapshot: Any) -> None:
    flags = ["--calibrate", "calibrate.npz", "--evaluate", "evaluate.npz", "--task", "classification"]
    done = edgekit_command("quantize", "model.onnx", "-t", "onnxruntime-cpu", *flags, cwd=folder)
    assert done.returncode == 0, done.stderr
    snapshot("quantize.out.txt", done.stdout)
    assert list((folder / "edgekit-out" / "model").rglob("*int8.onnx"))


def test_flags_and_recipe_make_the_same_file(folder: Path, edgekit_command: Command, tiny_run: Any) -> None:
    flags = ["--calibrate", "calibrate.npz", "--evaluate", "evaluate.npz", "--task", "classification"]
    done = edgekit_command("quantize", "model.onnx", "-t", "onnxruntime-cpu", *flags, "--json", cwd=folder)
    (made,) = json.loads(done.stdout)["outputs"]
    report = json.loads((tiny_run.out / "report.json").read_text())
    assert made["artifact"]["sha256"] in {output["artifact"]["sha256"] for output in report["outputs"]}


def test_print_recipe(folder: Path, edgekit_command: Command, snapshot: Any) -> None:
    flags = ["--calibrate", "calibrate.npz", "--evaluate", "evaluate.npz", "--task", "classification"]
    flags += ["--shape", "x=1x8", "-S", "gates.max_drop=2.5"]
    done = edgekit_command("quantize", "model.onnx", "-t", "onnxruntime-cpu", *flags, "--print-recipe", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    snapshot("print-recipe.txt", done.stdout, {folder: "HERE"})
    (folder / "printed.yaml").write_text(done.stdout)
    assert edgekit_command("run", "printed.yaml", "--dry-run", cwd=folder).returncode == 0
    assert not (folder / "edgekit-out").exists()


def test_print_recipe_of_a_conversion_runs(folder: Path, edgekit_command: Command) -> None:
    done = edgekit_command("convert", "model.onnx", "--to", "openvino", "--print-recipe", cwd=folder)
    (folder / "printed.yaml").write_text(done.stdout)
    plan = json.loads(edgekit_command("run", "printed.yaml", "--dry-run", "--json", cwd=folder).stdout)
    assert [node["step"] for node in plan["nodes"]] == ["onnx_to_openvino"]


def test_a_recipe_fills_in_what_no_flag_says(folder: Path, edgekit_command: Command) -> None:
    more = "    options: {onnx_int8: {per_channel: false}}\n"
    recipe = (folder / "tiny.yaml").read_text().replace("{precision: [fp16, int8]}", "\n    precision: [fp16]\n" + more)
    (folder / "mine.yaml").write_text(recipe)
    words = ["quantize", "--recipe", "mine.yaml", "-t", "onnxruntime-cpu", "--print-recipe"]
    done = edgekit_command(*words, "--evaluate", "calibrate.npz", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "per_channel: false" in done.stdout  # what it says of the target
    assert "- int8" in done.stdout and "fp16" not in done.stdout  # but for the precision
    assert done.stdout.count(str(folder / "calibrate.npz")) == 2  # the flag wins
    assert "max_drop: 5.0" in done.stdout


def test_the_sidecar_fills_in_the_rest(tiny_run: Any, edgekit_command: Command, tmp_path: Path) -> None:
    made = tiny_run.out / "onnxruntime-cpu" / "tiny-onnxruntime-cpu-fp16.onnx"
    done = edgekit_command("convert", made, "--to", "openvino", "--print-recipe", cwd=tmp_path)
    assert "classification" in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["convert"], "convert needs either --to FORMAT or --target NAME"),
        (["convert", "model.onnx"], "convert needs either --to FORMAT or --target NAME"),
        (["convert", "--to", "onnx"], "no model: name its file, or give --recipe"),
        (["convert", "model.onnx", "--to", "onnx"], "the model is in the format onnx already"),
        (["convert", "model.onnx", "--to", "cake"], "no exact steps lead from onnx to `cake`"),
        (["convert", "model.onnx", "--to", "tflite", "--precision", "fp16"], "--to keeps the model's own precision"),
        (["quantize", "model.onnx"], "quantize needs --target NAME"),
        (["quantize", "model.onnx", "-t", "corl"], "no target is called `corl`; did you mean `coral`?"),
        (["quantize", "model.onnx", "-t", "onnxruntime-cpu"], "needs calibration samples"),
        (["quantize", "model.onnx", "-t", "coral", "--shape", "big"], "--shape big is no shape"),
        (["quantize", "model.onnx", "-t", "coral", "--preprocess", "imagnet"], "did you mean `imagenet`?"),
        (["quantize", "model.onnx", "-t", "coral", "--data", "a", "--calibrate", "b"], "--data stands for both"),
        (["quantize", "model.onnx", "-t", "coral", "--data", "pictures"], "edgekit does not guess it"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_flags(words: list[str], says: str, folder: Path, edgekit_command: Command) -> None:
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.png").write_bytes(b"")
    done = edgekit_command(*words, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert 1 <= len(done.stderr.splitlines()) <= 4
    assert not (folder / "edgekit-out").exists()


def test_an_excluded_precision(folder: Path, edgekit_command: Command) -> None:
    done = edgekit_command("quantize", "model.onnx", "-t", "coral", "--precision", "fp16", cwd=folder)
    assert done.returncode == 4
    assert "Coral Edge TPU has no precision fp16" in done.stderr
    assert not (folder / "edgekit-out").exists()


def test_shapes() -> None:
    assert parse_inputs(Flags(model="net.py:build", shape=("1x3x8x8",))) == {"input": {"shape": [1, 3, 8, 8]}}
    assert parse_inputs(Flags(model="n.py:b", shape=("a=1x3", "b=2:int64"))) == {
        "a": {"shape": [1, 3]},
        "b": {"shape": [2], "dtype": "int64"},
    }
    for text in ("1x0x3", "=1x3", "1x", "a=", "1,3", "1x3:", "1x3:int3"):
        with pytest.raises(InputError):
            parse_inputs(Flags(model="net.py:build", shape=(text,)))
    with pytest.raises(InputError, match="twice"):
        parse_inputs(Flags(model="net.py:build", shape=("1x3", "1x4")))


def test_a_type_told_with_a_shape_reaches_the_model(edgekit_command: Command, tmp_path: Path) -> None:
    """An embedding takes indices, which a float32 example is not."""
    (tmp_path / "net.py").write_text(
        "import torch\ndef build():\n    return torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Linear(4, 2))\n"
    )
    done = edgekit_command("inspect", "net.py:build", "--shape", "ids=1x5:int64", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["inputs"][0]["dtype"] == "int64"
    done = edgekit_command("inspect", "net.py:build", "--shape", "ids=1x5", cwd=tmp_path)
    assert done.returncode == 2
    assert "ids 1x5 float32" in done.stderr and "--shape NAME=1x32:int64" in done.stderr


def test_the_only_input_is_named_by_the_file(folder: Path, edgekit_command: Command) -> None:
    words = ["convert", "model.onnx", "--to", "openvino", "--shape", "1x8", "--print-recipe"]
    assert "    x:\n" in edgekit_command(*words, cwd=folder).stdout


def test_targets_with_precisions() -> None:
    assert wanted_targets(["a", "b/fp16", "b/int8"], "int8") == {
        "a": {"precision": ["int8"]},
        "b": {"precision": ["fp16", "int8"]},
    }
    assert wanted_targets(["a"], None) == {"a": {}}


def test_model_names() -> None:
    assert model_name("x/my net (1).onnx") == "my-net-1"
    assert model_name("nets.py:build") == "nets"
    assert model_name("nets.py:lstm") == "nets-lstm"


def test_chains() -> None:
    assert shortest_chain("torch", "onnx") == ["torch_to_onnx"]
    assert shortest_chain("torch", "tflite") == ["torch_to_onnx", "onnx_to_tflite"]
    assert shortest_chain("onnx", "openvino") == ["onnx_to_openvino"]
    with pytest.raises(InputError, match="no exact steps lead from tflite to `onnx`"):
        shortest_chain("tflite", "onnx")


def test_what_may_be_pictures(tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "features.npz", x=np.zeros((3, 8), np.float32))
    np.savez(tmp_path / "images.npz", x=np.zeros((3, 8, 8, 3), np.uint8))
    np.savez(tmp_path / "packed.npz", jpeg=np.zeros(9, np.uint8), offsets=np.zeros(2), labels=np.zeros(1))
    assert not may_be_pictures(str(tmp_path / "features.npz"))
    assert may_be_pictures(str(tmp_path / "images.npz"))
    assert may_be_pictures(str(tmp_path / "packed.npz"))
    assert may_be_pictures(str(tmp_path))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    assert not may_be_pictures(str(tmp_path / "broken.npz"))
