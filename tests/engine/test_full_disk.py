"""A full disk, in the cache and in the output folder: an error with its name, and nothing half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Tiny

MAIN = Path(__file__).with_name("tiny_main.py")

# The limit on the size of a file is inherited by the workers, and ends a write with an error as a full disk does.
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def run_limited(folder: Path, nodes: list[Any], limit: int) -> dict[str, Any]:
    command = [sys.executable, "-c", LIMITED, str(limit), str(MAIN), str(folder), json.dumps(nodes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_step_that_hits_the_limit_fails_and_leaves_nothing(tmp_path: Path) -> None:
    answer = run_limited(tmp_path, [["fill_disk", None, {}], ["copy", None, {}]], 5_000_000)
    status, _, error = answer["nodes"]["fill_disk"]
    assert (status, error["code"], error["exit_code"]) == ("failed", "disk_full", 5)
    assert "fill_disk" in error["where"]
    assert answer["nodes"]["copy"][0] == "done" and answer["exit_code"] == 5
    assert not list(tmp_path.rglob("large.bin")) and not list((tmp_path / "cache/tmp").iterdir())


def test_a_cache_that_cannot_take_an_entry_is_told(tmp_path: Path) -> None:
    """So small a limit that even the record of an entry cannot be written."""
    answer = run_limited(tmp_path, [["copy", None, {}]], 300)
    assert answer["exit_code"] == 5 and "full" in str(answer)
    assert not list(tmp_path.glob("cache/entries/*/*"))
    assert not list((tmp_path / "cache/tmp").iterdir())


def test_a_full_cache(tiny: Tiny, small_disk: Path) -> None:
    result = tiny.run(tiny.plan(("fill_disk", None, {}), ("copy", None, {})), evaluate=False, cache=small_disk / "c")
    nodes = {node.node: node for node in result.nodes}
    assert nodes["fill_disk"].error is not None and nodes["fill_disk"].error["code"] == "disk_full"
    assert result.exit_code == 5 and nodes["copy"].status == "done"
    assert not list((small_disk / "c/tmp").iterdir())


def test_a_full_output_folder(tiny: Tiny, small_disk: Path) -> None:
    tiny.write_model([float(number) for number in range(1, 60_000)])
    out = small_disk / "out"
    (small_disk / "ballast").write_bytes(bytes(600_000))
    result = tiny.run(tiny.plan(("copy", None, {})), evaluate=False, out=out)
    assert result.exit_code == 5 and result.error is not None and result.error["code"] == "disk_full"
    assert result.nodes[0].status == "done" and result.outputs[0].artifact is None
    assert result.outputs[0].exit_code == 5
    assert not [path.name for path in out.rglob("*") if path.is_file() and "tiny-copy" in path.name]
    (small_disk / "ballast").unlink()
    again = tiny.run(tiny.plan(("copy", None, {})), evaluate=False, out=out)
    assert again.exit_code == 0 and again.nodes[0].status == "cached"
