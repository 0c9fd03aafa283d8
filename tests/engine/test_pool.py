"""The children by themselves: single jobs, as commands give them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from edgekit.engine.pool import Pool
from edgekit.engine.settings import Settings, default_cache
from edgekit.errors import BugError, InputError

if TYPE_CHECKING:
    from conftest import Tiny

TINY = str(Path(__file__).with_name("tiny_steps.py"))


def children() -> list[psutil.Process]:
    return psutil.Process(os.getpid()).children()


def test_a_single_job_and_its_error(tiny: Tiny) -> None:
    job = {"kind": "read_source", "file": str(tiny.model), "format": "tiny", "label": "reading the model"}
    with Pool(modules=(TINY,)) as pool:
        answer = pool.call("tiny-a", job)
        assert answer["artifact"]["io"]["inputs"][0]["shape"] == [1, 4]
        (worker,) = children()
        assert pool.call("tiny-a", {"kind": "describe", "artifact": answer["artifact"]})["graph"]["format"] == "tiny"
        assert children() == [worker], "the child is reused"
        tiny.model.write_text('{"weights": [1.0')
        with pytest.raises(InputError, match="truncated"):
            pool.call("tiny-a", job)
        with pytest.raises(BugError, match="no job is called `nonsense`"):
            pool.call("tiny-a", {"kind": "nonsense"})
    assert not children()


def test_progress_is_heard(tiny: Tiny) -> None:
    heard = []
    with Pool(modules=(TINY,)) as pool:
        read = {"kind": "read_source", "file": str(tiny.model), "format": "tiny"}
        artifact = pool.call("tiny-a", read)["artifact"]
        (tiny.folder / "work").mkdir()
        job = {
            "kind": "step",
            "step": "sleep",
            "options": {"seconds": 0.5},
            "artifact": artifact,
            "workdir": str(tiny.folder / "work"),
            "out": str(tiny.folder / "made"),
        }
        made = pool.call("tiny-a", job, listen=lambda done, total: heard.append((done, total)))["artifact"]
    assert heard[0] == (0, 10) and len(heard) > 2
    assert (tiny.folder / "made" / made["path"]).read_text() == '{"weights": [1.04, 2.0, 3.0, 4.0]}'.replace(
        "1.04", str(1.0399999618530273)
    )


def test_a_retired_child_goes_and_a_closed_pool_leaves_none() -> None:
    pool = Pool(modules=(TINY,))
    pool.start("tiny-a")
    pool.start("tiny-b")
    one, two = children()
    while pool.busy():
        pool.wait()
    pool.retire("tiny-a")
    _, alive = psutil.wait_procs([one], timeout=10)
    assert not alive and two.is_running()
    pool.close()
    assert not two.is_running()


def test_a_child_that_dies_while_it_starts_is_not_started_ahead_again(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import os\nos._exit(1)\n")
    with Pool(modules=(str(bad),)) as pool:
        pool.start("tiny-a")
        while pool.busy():
            pool.wait()
        assert pool.is_started("tiny-a") and not pool.started()


def test_threads_are_shared_and_the_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edgekit.engine.settings.usable_cores", lambda: 8)
    assert Settings(tmp_path).busy_limit == 8 and Settings(tmp_path).thread_share == 1
    assert Settings(tmp_path, jobs=2).thread_share == 4
    assert Settings(tmp_path, jobs=16).thread_share == 1 and Settings(tmp_path, threads=3).thread_share == 3
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "c"))
    assert default_cache() == tmp_path / "c"
