"""Small picture files, different from each other and the same in every run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.artifact import Tensor

Draw = Callable[..., Path]


@pytest.fixture
def draw() -> Draw:
    """``draw(path, number)``: saves picture ``number`` (24 x 20 pixels, RGB) and gives its path."""

    def save(path: Path, number: int, size: tuple[int, int] = (20, 24), mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(path)
        return path

    return save


@pytest.fixture
def picture_input() -> tuple[Tensor, ...]:
    """The input of a model that takes one 24 x 20 picture, NCHW."""
    return (Tensor("image", "image", (1, 3, 24, 20), "float32", layout="NCHW"),)
