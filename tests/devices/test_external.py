"""Programs of others, run: real child processes, some of which do what they should not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.devices import external
from edgekit.devices.external import excerpt, run_program, shown_line
from edgekit.errors import StepError

Program = Callable[[str], list[str]]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """A shell script; it may note process numbers in the file PIDS of its folder."""

    def write(body: str) -> list[str]:
        script = tmp_path / "program"
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        return [str(script)]

    return write


def run(command: list[str], folder: Path, seconds: float = 60) -> tuple[int, bytes]:
    output = folder / "output.txt"
    code = run_program(command, output, folder=folder, seconds=seconds)
    return code, output.read_bytes()


def are_gone(folder: Path) -> bool:
    """Whether the processes noted there end within half a minute."""
    numbers = [int(word) for word in (folder / "PIDS").read_text().split()]
    for _ in range(600):
        if not any(_runs(number) for number in numbers):
            return True
        time.sleep(0.05)
    return False


def _runs(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_both_streams_and_the_code(program: Program, tmp_path: Path):
    assert run(program("echo out; echo err >&2; pwd; exit 7"), tmp_path) == (7, f"out\nerr\n{tmp_path}\n".encode())


def test_a_signal(program: Program, tmp_path: Path):
    assert run(program("echo before; kill -SEGV $$"), tmp_path) == (-signal.SIGSEGV, b"before\n")


HANGING = {
    "sleeps": "echo $$ > PIDS; echo begun; exec sleep 600",
    "ignores SIGTERM": "trap '' TERM; echo $$ > PIDS; echo begun; while :; do sleep 1; done",
    "has a child that holds its output": "sleep 600 & echo $$ $! > PIDS; echo begun; wait",
    "reads its input": "echo $$ > PIDS; echo begun; cat; exec sleep 600",
}


@pytest.mark.parametrize("way", HANGING)
def test_what_does_not_end_is_ended_with_all_it_started(way: str, program: Program, tmp_path: Path):
    with pytest.raises(StepError, match="did not end within 1 s") as caught:
        run(program(HANGING[way]), tmp_path, seconds=1)
    assert caught.value.word == "timeout"
    assert are_gone(tmp_path)
    assert (tmp_path / "output.txt").read_text() == "begun\n"


def test_a_child_that_is_left_holds_nothing_up(program: Program, tmp_path: Path):
    """The program has ended; what it left in the background still has its output open, and is ended."""
    assert run(program("sleep 600 & echo $! > PIDS; echo done"), tmp_path) == (0, b"done\n")
    assert are_gone(tmp_path)


def test_what_prints_without_end(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(external, "MOST_BYTES", 1 << 20)
    with pytest.raises(StepError, match="printed more than 1 MiB"):
        run(program("echo $$ > PIDS; exec yes"), tmp_path)
    assert are_gone(tmp_path)


@pytest.mark.parametrize("content", [b"no program at all", b"\x7fELF of another machine", b"#!/no/such/interpreter\n"])
def test_what_cannot_be_started(content: bytes, tmp_path: Path):
    script = tmp_path / "program"
    script.write_bytes(content)
    script.chmod(0o755)
    with pytest.raises(StepError, match="cannot be started") as caught:
        run([str(script)], tmp_path)
    assert caught.value.remedy


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_takes_the_program_along(number: signal.Signals, program: Program, tmp_path: Path):
    """As the engine kills a worker."""
    command = program("trap '' TERM; echo $$ > PIDS; while :; do sleep 1; done")
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgekit.devices.external import run_program\n"
        "run_program(sys.argv[1:], Path('output.txt'), folder=Path(), seconds=600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, *command], cwd=tmp_path) as parent:
        while not (tmp_path / "PIDS").exists() or not (tmp_path / "PIDS").read_text().endswith("\n"):
            time.sleep(0.02)
        os.kill(parent.pid, number)
        assert parent.wait(timeout=60) == -number
    assert are_gone(tmp_path)


def test_lines_as_they_are_shown():
    assert shown_line("  as it is \t") == "as it is"
    assert shown_line("\x1b[2Jgone\x07") == "\ufffd[2Jgone\ufffd"
    assert shown_line("x" * 1000) == "x" * 160 + "... (1000 characters)"


def test_an_excerpt_of_anything(tmp_path: Path):
    text = tmp_path / "said.txt"
    text.write_bytes(b"")
    assert excerpt(text) == ()
    text.write_bytes(b"one\n\n\xff\xfe two\r\n")
    assert excerpt(text) == ("one", "\ufffd\ufffd two")
    text.write_text("".join(f"{number}\n" for number in range(100)))
    shown = excerpt(text)
    assert (shown[0], shown[11], shown[12], shown[13], shown[-1]) == ("0", "11", "... (76 lines)", "88", "99")
    text.write_text("begin\n" + "x" * 5_000_000 + "\nend\n")
    shown = excerpt(text)
    assert (shown[0], shown[-1], len(shown)) == ("begin", "end", 5)
    assert all(len(line) < 200 for line in shown)
