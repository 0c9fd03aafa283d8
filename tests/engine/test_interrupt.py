"""Runs that are cut short, in processes of their own: by Ctrl-C, a termination signal, or death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

MAIN = Path(__file__).with_name("tiny_main.py")
# Longer than any test waits: a run that ends was ended.
LONG = [["copy", None, {}], ["sleep", "copy", {"seconds": 3000.0}]]
PATIENCE_SECONDS = 120


def start(folder: Path, nodes: list[Any] = LONG, out: str = "out") -> subprocess.Popen[str]:
    """A run in a process of its own, which is killed if a test hangs on it."""
    command = [sys.executable, str(MAIN), str(folder), json.dumps(nodes), out]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    guard = threading.Timer(PATIENCE_SECONDS, process.kill)
    guard.daemon = True
    guard.start()
    return process


def wait_for(process: subprocess.Popen[str], task: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("at") == task:
            return
    raise AssertionError(f"{task} never began")


def last_answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    answer = [json.loads(line) for line in process.stdout][-1]
    assert process.wait(timeout=30) == 0
    return dict(answer)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_ends_its_workers_and_leaves_nothing_half_made(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    process = start(tmp_path)
    wait_for(process, "sleep")
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(number)
    answer = last_answer(process)
    assert answer["exit_code"] == code and "step sleep" in answer["error"]["where"]
    assert answer["nodes"]["copy"][0] == "done" and answer["nodes"]["sleep"][0] == "skipped"
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    left = [p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert {str(p) for p in left if p.parts[0] != "logs"} == {".edgekit-out.json"}
    assert not list((tmp_path / "cache/tmp").iterdir())

    again = start(tmp_path, [LONG[0], ["sleep", "copy", {"seconds": 0.1}]])
    answer = last_answer(again)
    assert answer["exit_code"] == 0
    assert [answer["nodes"][id][0] for id in ("copy", "sleep")] == ["cached", "done"], "it goes on where it was"


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for(process, "sleep")
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, "workers end when the run that started them is gone"
    assert len(list((tmp_path / "cache/tmp").iterdir())) == 2, "a scratch folder and its lock were left"

    answer = last_answer(start(tmp_path, [LONG[0], ["sleep", "copy", {"seconds": 0.1}]]))
    assert answer["exit_code"] == 0
    assert [answer["nodes"][id][0] for id in ("copy", "sleep")] == ["cached", "done"]
    assert not list((tmp_path / "cache/tmp").iterdir()), "and swept by the next run"


def test_two_runs_at_once_on_one_cache_are_both_right(tmp_path: Path) -> None:
    nodes = [["copy", None, {}], ["sleep", "copy", {"seconds": 0.5}], ["sleep_b", "copy", {"seconds": 0.5}]]
    runs = [start(tmp_path, nodes, out=f"out{number}") for number in range(2)]
    one, two = (last_answer(run) for run in runs)
    assert one["exit_code"] == two["exit_code"] == 0
    assert one["outputs"] == two["outputs"] and all(one["outputs"].values())
    kept = [json.loads(path.read_text())["kind"] for path in (tmp_path / "cache/entries").glob("*/*/entry.json")]
    assert sorted(kept) == ["read", "step", "step", "step"]
    assert not list((tmp_path / "cache/tmp").iterdir())
