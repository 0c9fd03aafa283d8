"""Places that cannot be written to: told by the user's own path, before any work begins."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def refuse(here: Path, edgekit_command: Command) -> Callable[..., str]:
    """The error of a command that ends with 2 and did nothing before."""

    def run(*words: str) -> str:
        done = edgekit_command(*words, cwd=here)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert done.stderr.startswith("error: "), "work was begun"
        return done.stderr

    return run


@pytest.fixture
def locked(here: Path) -> Path:
    """A folder in which nothing can be made; as root, one of the kernel's."""
    if os.geteuid():
        folder = here / "locked"
        folder.mkdir(mode=0o555)
        return folder
    folder = Path("/proc/tty/ldisc")
    if not folder.is_dir() or any(folder.iterdir()):
        pytest.skip("root may write everywhere, and this system has no /proc/tty/ldisc")
    return folder


@pytest.mark.parametrize("view", ["json", "junit", "markdown"])
def test_a_report_where_nothing_can_be_written(view: str, locked: Path, here: Path, refuse: Callable[..., str]) -> None:
    path = locked / "report.out"
    said = refuse("run", "tiny.yaml", "--report", f"{view}={path}")
    assert f"error: the report {path} cannot be written: " in said
    assert f"where: {path}\n" in said
    assert not (here / "edgekit-out").exists()


def test_a_report_onto_what_is_no_file(here: Path, refuse: Callable[..., str]) -> None:
    assert "error: /dev/null is a device, not a file\n" in refuse("run", "tiny.yaml", "--report", "json=/dev/null")
    assert Path("/dev/null").is_char_device()
    assert "model.onnx/r.json cannot be written" in refuse("run", "tiny.yaml", "--report", "json=model.onnx/r.json")


def test_an_output_folder_that_cannot_be_written_to(locked: Path, refuse: Callable[..., str]) -> None:
    said = refuse("run", "tiny.yaml", "--out", str(locked))
    assert f"error: the output folder {locked} cannot be written to: " in said
    assert f"where: {locked / '.edgekit-out.json'}\n" in said
    assert f"error: the output folder {locked / 'below'} cannot be made: " in refuse(
        "convert", "model.onnx", "--to", "openvino", "--out", str(locked / "below")
    )


def test_a_report_elsewhere_leaves_nothing_else(tiny: Any, here: Path, edgekit_command: Command) -> None:
    done = edgekit_command("run", "tiny.yaml", "--no-eval", "--report", "junit=new/results.xml", cwd=here)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (here / "new").iterdir()] == ["results.xml"]
