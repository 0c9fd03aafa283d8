"""A folder with what recipes name, and real model files in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .planned import HEAD


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A model that a Python file builds, and a folder of pictures per class for each role."""
    (tmp_path / "net.py").write_text("raise SystemExit('a plan runs no code of the user')\n")
    (tmp_path / "net.pt").write_bytes(b"weights")
    for role in ("val", "calib"):
        (tmp_path / role / "cat").mkdir(parents=True)
        (tmp_path / role / "cat" / "1.jpg").write_bytes(b"\xff\xd8")
    return tmp_path


def _model(folder: Path, shared: Path, name: str) -> str:
    """The head of a recipe for a real model file of the test data."""
    target = folder / Path(name).name
    target.write_bytes((shared / name).read_bytes())
    return HEAD.replace('{file: "net.py:build", weights: net.pt}', target.name)


@pytest.fixture
def float_tflite(folder: Path, shared_data: object) -> str:
    return _model(folder, shared_data("models"), "cifar10_resnet8_float.tflite")  # type: ignore[operator]


@pytest.fixture
def detector_onnx(folder: Path, shared_data: object) -> str:
    return _model(folder, shared_data("detection"), "FastestDet.onnx")  # type: ignore[operator]
