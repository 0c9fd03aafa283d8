"""What ends a step becomes an error that names it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from edgekit.engine.faults import first_line, translate
from edgekit.engine.results import RunResult
from edgekit.engine.schedule import Schedule
from edgekit.errors import InputError

if TYPE_CHECKING:
    from conftest import Tiny


def error_of(result: RunResult, node: str) -> dict:
    (found,) = [each for each in result.nodes if each.node == node]
    assert found.status == "failed" and found.error is not None and found.artifact is None
    return found.error


@pytest.mark.parametrize(
    ("how", "code", "exit_code", "said"),
    [
        ("signal", "crashed", 5, "signal 11 (SIGSEGV)"),
        ("exit", "crashed", 5, "exit code 3"),
        ("memory", "out_of_memory", 5, "no room for 1e12 numbers"),
        ("disk", "disk_full", 5, "the disk is full"),
        ("import", "package_absent", 3, "a_library_that_is_not_there"),
        ("torch", "step_failed", 5, "torch, which is shut out"),
        ("no_file", "no_file", 5, "wrote no file"),
        ("exception", "step_failed", 5, "RuntimeError: the operator Frobnicate is not supported"),
    ],
)
def test_a_step_that_ends_badly_is_named(tiny: Tiny, how: str, code: str, exit_code: int, said: str) -> None:
    result = tiny.run(tiny.plan(("crash", None, {"how": how}), ("sleep_b", None, {"seconds": 0.0})), evaluate=False)
    error = error_of(result, "crash")
    assert (error["code"], error["exit_code"], result.exit_code) == (code, exit_code, exit_code)
    assert said in error["message"] and "crash" in f"{error['message']} {error['where']}"
    assert error["log"] == str(tiny.folder / "out/logs/crash.log")
    other = next(node for node in result.nodes if node.node == "sleep_b")
    assert other.status == "done", "a new worker was started for the next job"
    files = [path.name for path in (tiny.folder / "cache").rglob("*.tiny")]
    assert files == ["model.tiny"], "what was half made is gone"
    assert not list((tiny.folder / "cache/tmp").iterdir())


def test_a_worker_that_outgrows_its_memory_is_ended(tiny: Tiny) -> None:
    plan = tiny.plan(("eat_memory", None, {"megabytes": 600, "seconds": 30.0}))
    result = tiny.run(plan, evaluate=False, memory_limit_bytes=400_000_000)
    error = error_of(result, "eat_memory")
    assert error["code"] == "out_of_memory" and "step eat_memory outgrew its memory limit of 400 MB" in error["message"]
    peak = result.nodes[0].peak_rss_bytes
    assert peak is not None and peak > 400_000_000


def test_a_worker_that_outlives_its_time_is_ended(tiny: Tiny) -> None:
    result = tiny.run(tiny.plan(("sleep", None, {"seconds": 60.0})), evaluate=False, time_limit_seconds=2.0)
    error = error_of(result, "sleep")
    assert error["code"] == "time_limit" and "after 2 s" in error["message"]


def test_a_worker_killed_from_outside_is_named(tiny: Tiny) -> None:
    def kill() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            children = psutil.Process(os.getpid()).children(recursive=True)
            if any(getattr(event, "task", None) == "sleep" and getattr(event, "total", 0) for event in tiny.events):
                for child in children:
                    with contextlib.suppress(psutil.Error):
                        if "tiny-a" in child.cmdline():
                            child.kill()
                            return
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    result = tiny.run(tiny.plan(("sleep", None, {"seconds": 30.0}), ("copy_b", None, {})), evaluate=False)
    killer.join()
    error = error_of(result, "sleep")
    assert error["code"] == "killed" and "step sleep was killed by signal 9 (SIGKILL)" in error["message"]
    assert "the peak memory seen was" in error["message"]
    assert next(node for node in result.nodes if node.node == "copy_b").status == "done"


def test_a_failed_measurement_fails_its_node(tiny: Tiny) -> None:
    """The tiny format runs in worker tiny-a; a model with another number of weights cannot be run on the data."""
    data = tiny.data()
    plan = tiny.plan(("copy", None, {}), **data)
    plan = replace(plan, task=replace(data["task"], options={"nonsense": 1}))
    result = tiny.run(plan)
    assert result.exit_code != 0 and result.error is not None, "the reference could not be computed"
    assert [output.artifact for output in result.outputs] == [None]


def test_the_first_line_that_says_something_is_told() -> None:
    assert first_line(ValueError("\n\n=====\n  bad shape [1, 2]  \nmore")) == "ValueError: bad shape [1, 2]"
    assert first_line(KeyError()) == "KeyError"
    assert len(first_line(RuntimeError("x" * 5000))) == 300


def test_an_error_of_edgekit_keeps_its_words_and_gains_the_log() -> None:
    told = translate(InputError("bad", where="here", code="odd"), label="step a", stack="data", log="a.log")
    assert (told["code"], told["where"], told["log"], told["exit_code"]) == ("odd", "here", "a.log", 2)


def test_an_exception_in_edgekits_own_code_is_a_bug() -> None:
    try:
        Schedule.walk(None)  # type: ignore[arg-type]
    except AttributeError as raised:
        told = translate(raised, label="reading m.onnx", stack="onnx", log=None)
    assert (told["exit_code"], told["code"]) == (70, "bug")
