"""Data that would give a figure of something else, through the real command: one clear error, exit 2, and its place."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CLASSES, SIDE = 9, 6
WORDS = "- scale: {divide: 255}\n"

Eval = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``model.onnx`` (3x6x6 pictures to 9 classes, by the brightness of the first pixels), ``words.yaml``, and
    ``data/`` with 54 pictures that it gets right and their ``labels.csv``."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper
    from PIL import Image

    folder = tmp_path_factory.mktemp("made")
    weights = np.eye(3 * SIDE * SIDE, CLASSES, dtype=np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["scores"])]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 3, SIDE, SIDE]), ("scores", [1, CLASSES]))
    ]
    graph = helper.make_graph(nodes, "tiny", ports[:1], ports[1:], [numpy_helper.from_array(weights, "w")])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    (folder / "words.yaml").write_text(WORDS)
    (folder / "data").mkdir()
    random = np.random.default_rng(0)
    for number in range(54):
        picture = random.integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)
        picture.reshape(-1, 3)[number % CLASSES, 0] = 255  # the red pixel that the weights look at
        Image.fromarray(picture).save(folder / "data" / f"{number}.png")
    rows = "".join(f"{number}.png,{number % CLASSES}\n" for number in range(54))
    (folder / "data" / "labels.csv").write_text(f"file,label\n{rows}")
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "here"))


@pytest.fixture
def evaluate(folder: Path, edgekit_command: Eval) -> Eval:
    def run(data: str = "data", words: str = "words.yaml") -> subprocess.CompletedProcess[str]:
        said = ("--data", data, "--preprocess", words, "--task", "classification")
        return edgekit_command("eval", "model.onnx", *said, cwd=folder, env={"EDGEKIT_CACHE": str(folder / "cache")})

    return run


def test_the_data_as_they_should_be(folder: Path, evaluate: Eval) -> None:
    """With what an operating system and a notebook leave in the folders."""
    (folder / "classes").mkdir()
    for number in range(54):
        place = folder / "classes" / f"{number % CLASSES}"
        (place / ".ipynb_checkpoints").mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "data" / f"{number}.png", place)
        shutil.copy(folder / "data" / f"{53 - number}.png", place / ".ipynb_checkpoints" / f"{number}-checkpoint.png")
        (place / f"._{number}.png").write_bytes(b"\0\5\x16\7")
        (place / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    for data in ("data", "classes"):
        done = evaluate(data)
        assert done.returncode == 0, done.stderr
        assert "samples       54" in done.stdout
        assert "100.0 %" in done.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("20.png,", "labels.csv has no label for 20.png"),
        ("x.png,²", "labels.csv has the label `²`, a name; numbers stand elsewhere"),
        ("x.png,-1", "labels.csv has the label `-1`, negative"),
        ("x.png,3\0", "labels.csv holds a byte of zero"),
    ],
)
def test_one_odd_line_in_labels_csv(folder: Path, evaluate: Eval, line: str, said: str) -> None:
    shutil.copy(folder / "data" / "0.png", folder / "data" / "x.png")
    with (folder / "data" / "labels.csv").open("a", encoding="utf-8") as listing:
        listing.write(f"{line}\n")
    done = evaluate()
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert f"{folder / 'data' / 'labels.csv'}:56" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("label", "said"),
    [(-1, "d.npz[1] is -1, and class indices"), ("b", "is the text `a`, and nothing"), (1e300, "[1] is 1e+300, which")],
)
def test_labels_in_an_npz(folder: Path, evaluate: Eval, label: object, said: str) -> None:
    first = "a" if isinstance(label, str) else 0
    np.savez(folder / "d.npz", x=np.zeros((2, SIDE, SIDE, 3), np.uint8), y=np.array([first, label]))
    done = evaluate("d.npz")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_mistakes_in_a_file_of_words(folder: Path, evaluate: Eval) -> None:
    (folder / "bad.yaml").write_text("- scale: {divide: 255}\n- normalise: {mean: 1}\n")
    done = evaluate(words="bad.yaml")
    assert done.returncode == 2
    assert "bad.yaml:2:3: no preprocessing word is called `normalise`; did you mean `normalize`?" in done.stderr
    assert "the command line" not in done.stderr


def test_float_planes_are_normalized_channel_by_channel(folder: Path, evaluate: Eval) -> None:
    """Along the first axis, which is that of the channels in the layout of an ONNX model (NCHW)."""
    (folder / "means.yaml").write_text("- normalize: {mean: [0, 500, 500], std: 1}\n")
    labels = np.arange(18) % CLASSES
    x = np.random.default_rng(1).random((18, 3, SIDE, SIDE), np.float32)
    x.reshape(18, 3, -1)[np.arange(18), 0, labels] = 2
    np.savez(folder / "planes.npz", x=x, y=labels)
    done = evaluate("planes.npz", "means.yaml")
    assert done.returncode == 0, done.stderr
    assert "100.0 %" in done.stdout
    assert "prepared samples reach from -500 to 2" in done.stdout
