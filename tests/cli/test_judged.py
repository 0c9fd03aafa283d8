"""`eval` and `compare` with models that Python files build, and with what flags and `--set` say of a model."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]
SHAPE = "image=1x3x6x6"
NETWORK = """\
import torch


class Network(torch.nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        torch.manual_seed(channels)
        self.dense = torch.nn.Linear(channels * 36, classes)

    def forward(self, image):
        return self.dense(image.flatten(1))


def build(channels: int = 4, classes: int = 5):
    return Network(channels, classes).eval()


def three():
    return build(3)
"""
RECIPE = """\
edgekit: 1
model: {file: net.py:build, options: {channels: 3}, weights: trained.pt, inputs: {image: {shape: [1, 3, 6, 6]}}}
data: {evaluate: {path: samples.npz}}
task: classification
targets: {onnxruntime-cpu: {precision: fp16}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``net.py`` (``build`` has 4 channels unless told, ``three`` has 3), weights ``trained.pt`` of 3
    channels, ``net.onnx`` (the same by hand), ``samples.npz`` (labels are its decisions but for 10 of 80),
    ``shuffled.npz`` (the same pictures, labels without meaning) and ``recipe.yaml``."""
    import onnx
    import torch
    from onnx import TensorProto, helper, numpy_helper

    made = tmp_path_factory.mktemp("judged")
    (made / "net.py").write_text(NETWORK)
    (made / "recipe.yaml").write_text(RECIPE)
    random = np.random.default_rng(7)
    weight, bias = (random.normal(size=size).astype(np.float32) for size in ((5, 108), (5,)))
    state = {"dense.weight": torch.from_numpy(weight), "dense.bias": torch.from_numpy(bias)}
    torch.save(state, made / "trained.pt")
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["out"], transB=1)],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 5])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), made / "net.onnx")
    x = random.normal(size=(80, 3, 6, 6)).astype(np.float32)
    y = (x.reshape(80, -1) @ weight.T + bias).argmax(axis=1)
    np.savez(made / "shuffled.npz", x=x, y=random.permutation(y))
    y[:10] = (y[:10] + 1) % 5
    np.savez(made / "samples.npz", x=x, y=y)
    return made


@pytest.fixture
def judge(folder: Path, edgekit_command: Command) -> Callable[..., dict[str, Any]]:
    """The JSON of a command that ends well."""

    def run(*words: str) -> dict[str, Any]:
        done = edgekit_command(*words, "--json", cwd=folder)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return run


@pytest.fixture
def refuse(folder: Path, edgekit_command: Command) -> Callable[..., str]:
    """The errors of a command that ends with 2."""

    def run(*words: str) -> str:
        done = edgekit_command(*words, cwd=folder)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        return done.stderr

    return run


def test_the_model_is_the_recipes(judge: Callable[..., dict[str, Any]]) -> None:
    """What ``--set`` says of it counts, and so does what ``--recipe`` says of it, weights included."""
    words = ("--data", "samples.npz", "--task", "classification")
    told = judge("eval", "net.py:build", "--set", "model.options={channels: 3}", "--shape", SHAPE, *words)
    assert told["samples"] == 80
    trained = judge("eval", "net.py:build", "--set", "model.options={channels: 3}", "--weights", "trained.pt", *words,
                    "--set", "model.inputs={image: {shape: [1, 3, 6, 6]}}")  # fmt: skip
    assert trained["value"] == pytest.approx(70 / 80)
    assert judge("eval", "net.py:build", "--recipe", "recipe.yaml")["value"] == pytest.approx(70 / 80)
    both = judge("compare", "net.py:build", "net.onnx", "--recipe", "recipe.yaml")
    assert both["sqnr_db"] > 100


@pytest.mark.parametrize("shape", [[], ["--shape", "1x3x6x6"]])
def test_a_reference_that_python_builds(shape: list[str], judge: Callable[..., dict[str, Any]]) -> None:
    words = ["eval", "net.onnx", "--data", "samples.npz", "--task", "classification", *shape]
    found = judge(*words, "--reference", "net.py:three", "--reference-weights", "trained.pt")
    assert (found["agreement"], found["value"]) == (1.0, pytest.approx(70 / 80))
    assert found["sqnr_db"] > 100


def test_a_reference_that_is_the_recipes_model(judge: Callable[..., dict[str, Any]]) -> None:
    assert judge("eval", "net.onnx", "--recipe", "recipe.yaml", "--reference", "net.py:build")["sqnr_db"] > 100


def test_compare_with_python_on_either_side(judge: Callable[..., dict[str, Any]]) -> None:
    assert judge("compare", "net.onnx", "net.py:three", "--weights-b", "trained.pt")["sqnr_db"] > 100
    assert judge("compare", "net.py:three", "net.onnx", "--weights", "trained.pt")["sqnr_db"] > 100
    words = ("--weights", "trained.pt", "--weights-b", "trained.pt", "--shape", SHAPE)
    assert judge("compare", "net.py:three", "net.py:three", *words)["sqnr_db"] == 200.0


def test_labels_of_a_sidecar_can_be_set(folder: Path, judge: Callable[..., dict[str, Any]]) -> None:
    """The sidecar is no flag: `--set` goes before it."""
    told = {"task": {"name": "classification", "options": {}}, "labels": ["a", "b", "c", "d", "e"]}
    (folder / "net.edgekit.json").write_text(json.dumps(told))
    (folder / "names.txt").write_text("v\nw\nx\ny\nz\n")
    found = judge("eval", "net.onnx", "--data", "samples.npz", "--set", "task.labels=names.txt")
    (folder / "net.edgekit.json").unlink()
    assert found["value"] == pytest.approx(70 / 80)


def test_one_thing_said_twice(refuse: Callable[..., str]) -> None:
    words = ("eval", "net.onnx", "--data", "samples.npz")
    assert "--data and --evaluate say the same here" in refuse(*words, "--evaluate", "shuffled.npz")
    assert "a flag both say `data.evaluate.path`" in refuse(*words, "--set", "data.evaluate.path=shuffled.npz")
    assert "a flag both say `model.inputs.image.shape`" in refuse(
        *words, "--shape", SHAPE, "--set", "model.inputs={image: {shape: [1, 3, 6, 6]}}"
    )
    assert "--reference-weights without --reference" in refuse(*words, "--reference-weights", "trained.pt")


@pytest.mark.parametrize(
    "words",
    [
        ("convert", "net.py:three", "--weights", "gone.pt", "--shape", SHAPE, "--to", "onnx"),
        ("inspect", "net.py:three", "--weights", "gone.pt", "--shape", SHAPE),
        ("compare", "net.py:three", "net.onnx", "--weights", "gone.pt"),
        ("compare", "net.onnx", "net.py:three", "--weights-b", "gone.pt"),
    ],
)
def test_weights_that_are_not_there(words: tuple[str, ...], refuse: Callable[..., str]) -> None:
    flag = words[words.index("gone.pt") - 1]
    said = refuse(*words)
    assert "error: no weights file at gone.pt\n" in said
    assert f"where: {flag}\n" in said
    assert "model.weights" not in said


def test_weights_for_a_file(refuse: Callable[..., str]) -> None:
    said = refuse("compare", "net.onnx", "net.onnx", "--weights-b", "trained.pt")
    assert "--weights-b is for a model that a Python file builds" in said


def test_eval_at_chance_says_so(folder: Path, edgekit_command: Command) -> None:
    words = ("eval", "net.onnx", "--task", "classification", "--data")
    done = edgekit_command(*words, "shuffled.npz", cwd=folder)
    assert done.returncode == 0
    assert "note: the model is hardly better than chance: top1 " in done.stderr
    assert "hardly" not in edgekit_command(*words, "samples.npz", cwd=folder).stderr
    compared = edgekit_command(*words, "shuffled.npz", "--reference", "net.onnx", cwd=folder)
    assert "hardly better than chance" in compared.stderr
