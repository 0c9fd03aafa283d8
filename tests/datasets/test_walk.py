"""Which files of a folder count, and that none is dropped without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.datasets.open import open_source
from edgekit.datasets.source import Source
from edgekit.errors import InputError


def open_at(path: Path) -> Source:
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return open_source(path, scratch=scratch)


def test_hidden_files_and_folders_are_no_samples(tmp_path: Path, draw) -> None:
    data = tmp_path / "data"
    for number, name in enumerate(
        [
            "cat/0.png", "cat/._0.png", "cat/.ipynb_checkpoints/0-checkpoint.png", "cat/sub/1.png", "cat/sub/.t/2.png",
            "dog/0.png", ".ipynb_checkpoints/0.png", "__MACOSX/cat/0.png", "__background__/0.png",
        ]
    ):  # fmt: skip
        draw(data / name, number)
    for name in (".DS_Store", "cat/.DS_Store", "dog/Thumbs.db"):
        (data / name).write_bytes(b"\0\0\0\1Bud1")
    source = open_at(data)
    assert list(source.ids) == ["__background__/0.png", "cat/0.png", "cat/sub/1.png", "dog/0.png"]
    assert source.classes == ("__background__", "cat", "dog")


def test_links_are_followed_once(tmp_path: Path, draw) -> None:
    draw(tmp_path / "elsewhere" / "0.png", 0)
    draw(tmp_path / "data" / "cat" / "1.png", 1)
    (tmp_path / "data" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "cat" / "again").symlink_to(tmp_path / "data" / "cat")
    (tmp_path / "data" / "dog").symlink_to(tmp_path / "elsewhere")
    assert list(open_at(tmp_path / "data").ids) == ["cat/1.png", "cat/more/0.png", "dog/0.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.symlink_to("gone.png"), "is a link to gone.png, which is not there"),
        (lambda path: path.with_suffix(".HEIC").touch(), "in a format that is not read here"),
    ],
)
@pytest.mark.parametrize("place", ["data", "data/cat"])
def test_pictures_that_would_be_dropped(tmp_path: Path, draw, place: str, make, message: str) -> None:
    draw(tmp_path / place / "0.png", 0)
    make(tmp_path / place / "1.png")
    with pytest.raises(InputError, match=message) as caught:
        open_at(tmp_path / "data")
    assert caught.value.where is not None
    assert caught.value.where.startswith(str(tmp_path / place / "1."))


READ = """
import ctypes, os, sys
from pathlib import Path
if os.geteuid() == 0:  # root, but without the right to read everything (all capabilities are given up)
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    ctypes.CDLL(None).capset(header, none)
from edgekit.datasets.open import open_source
from edgekit.errors import EdgekitError
try:
    print(len(open_source(Path(sys.argv[1]), scratch=Path("/nowhere"))))
except EdgekitError as error:
    print(error.exit_code, error.word, error.message)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="gives up root's rights in Linux's way")
@pytest.mark.parametrize("place", ["data/dog", "data/cat/sub", "data"])
@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_folder_without_rights(tmp_path: Path, draw, place: str, mode: int) -> None:
    """A real refusal by the system, in a child."""
    for number, name in enumerate(["cat/0.png", "cat/sub/1.png", "dog/0.png"]):
        draw(tmp_path / "data" / name, number)
    closed = tmp_path / place
    closed.chmod(mode)
    try:
        done = subprocess.run(
            [sys.executable, "-c", READ, tmp_path / "data"], capture_output=True, text=True, timeout=60
        )
    finally:
        closed.chmod(0o755)
    said = f"2 unreadable_data the folder {closed} cannot be read: Permission denied\n"
    assert done.stdout == said, done.stdout + done.stderr
