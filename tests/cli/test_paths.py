"""Paths at which there is no file, and what each is said to be; a copy of a profile; `python -m edgekit`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.devices.profiles import own_folder

Command = Callable[..., subprocess.CompletedProcess[str]]


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The error's first line, of a command that ends with 2 and prints nothing else."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    return next(line for line in done.stderr.splitlines() if line.startswith("error: "))


@pytest.mark.parametrize("words", [("run", ""), ("inspect", ""), ("convert", "", "--to", "tflite")])
def test_an_empty_argument(words: tuple[str, ...], edgekit_command: Command) -> None:
    assert refusal(edgekit_command(*words)) == f'error: the argument after `edgekit {words[0]}` is empty: ""'


@pytest.mark.parametrize(("command", "suffix"), [("run", "yaml"), ("inspect", "onnx"), ("targets validate", "yaml")])
def test_what_is_no_file(command: str, suffix: str, edgekit_command: Command, tmp_path: Path) -> None:
    name, dangling, folder, pipe = (f"{stem}.{suffix}" for stem in ("loop", "gone", "folder", "pipe"))
    (tmp_path / name).symlink_to(name)
    (tmp_path / dangling).symlink_to("nowhere")
    (tmp_path / folder).mkdir()
    os.mkfifo(tmp_path / pipe)
    kind = {"run": "file", "inspect": "model file"}.get(command, "target profile")
    for path, said in (
        (name, f"{name} is a symbolic link that leads in a circle"),
        (dangling, f"{dangling} is a symbolic link to nowhere, where nothing is"),
        (folder, f"{folder} is a folder, not a {kind}"),
        (pipe, f"{pipe} is a pipe, not a {kind}"),
        ("/dev/null", f"/dev/null is a device, not a {kind}"),
        (f"unlike-the-others.{suffix}", f"no {kind} at unlike-the-others.{suffix}"),
    ):
        assert refusal(edgekit_command(*command.split(), path, cwd=tmp_path)) == f"error: {said}"


def test_a_profile_of_edgekits_own_name(edgekit_command: Command, tmp_path: Path) -> None:
    """The same text elsewhere is that profile, of a checkout beside the installation; another text is another."""
    copy = tmp_path / "coral.yaml"
    shutil.copy(own_folder() / "coral.yaml", copy)
    done = edgekit_command("targets", "validate", "coral.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "coral.yaml: a valid profile of coral\n"), done.stderr
    assert edgekit_command("targets", "show", "coral", "--targets-dir", tmp_path).returncode == 0
    copy.write_text(copy.read_text() + "# mine\n")
    said = refusal(edgekit_command("targets", "validate", "coral.yaml", cwd=tmp_path))
    assert said.startswith("error: `coral` is the name of a profile of edgekit's own, which says something else: ")


def test_as_a_module(edgekit_command: Command) -> None:
    done = subprocess.run([sys.executable, "-m", "edgekit", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == edgekit_command("--version").stdout
    bad = subprocess.run([sys.executable, "-m", "edgekit", "rn"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "no command is called `rn`" in bad.stderr
