"""The paths that ``edgekit init`` writes hold where the recipe will lie."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_paths_start_from_the_recipes_folder(edgekit_command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").touch()
    flags = ["--weights", "w.npz", "--data", "../photos", "-t", "coral", "-t", "coral"]
    done = edgekit_command("init", "net.py:build", *flags, "-o", "new/mine.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 places to fill in" in done.stderr
    text = (tmp_path / "new" / "mine.yaml").read_text()
    assert "file: ../net.py:build\n" in text
    assert "weights: ../w.npz " in text
    assert "data: ../../photos\n" in text
    assert text.count("  coral:") == 1


@pytest.mark.parametrize(
    ("flag", "name", "near"), [("--preprocess", "imagnet", "imagenet"), ("--task", "clasification", "classification")]
)
def test_names_are_checked(flag: str, name: str, near: str, edgekit_command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").touch()
    done = edgekit_command("init", "net.py:build", flag, name, "-o", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert f"did you mean `{near}`?" in done.stderr
    assert not (tmp_path / "mine.yaml").exists()


def test_an_absolute_path_stays_absolute(edgekit_command: Command, tmp_path: Path) -> None:
    (tmp_path / "net.py").touch()
    done = edgekit_command("init", "net.py:build", "--data", "/srv/photos", "-o", "new/mine.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "data: /srv/photos\n" in (tmp_path / "new" / "mine.yaml").read_text()
