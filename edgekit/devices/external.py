"""Runs a program of others: in a folder, for a time, in a session of its own, with all that it prints in a file; and
shows what it printed, whatever that is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edgekit.errors import StepError

#: The most that a program may print.
MOST_BYTES = 256 << 20
#: The most seconds between two looks at a program that runs.
_PAUSE = 0.05

#: The most characters of a line that are shown; how many lines of a text are, from its begin and from its end; and the
#: most bytes that are read for them at either end.
_COLUMNS, _LINES, _END_BYTES = 160, 12, 1 << 16

#: Told the seconds that a program has run so far, again and again.
Waiting = Callable[[float], None]


def run_program(
    command: Sequence[str], output: Path, *, folder: Path, seconds: float, waiting: Waiting = lambda passed: None
) -> int:
    """Run a program until it ends and append to the file ``output`` what it prints, on either stream.

    It ends when the program itself does, also where something that it started holds on to its output; that is ended
    too. Returns the exit code, or minus the number of the signal that ended it.

    Raises:
        StepError: it cannot be started; it does not end within ``seconds`` or prints without end, and was killed with
            all it started.
    """
    name = Path(command[0]).name
    with output.open("ab") as printed:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise StepError(
                f"{name} cannot be started: {error.strerror}",
                where=command[0],
                remedy="look whether it is made for this machine, and whether you may run it",
                code="not_started",
            ) from error
    try:
        with _guard(process):
            _wait(process, name, output, seconds, waiting)
    finally:
        _kill_group(process)
        code = process.wait()
    return code


def _wait(process: subprocess.Popen[bytes], name: str, output: Path, seconds: float, waiting: Waiting) -> None:
    started, pause = time.monotonic(), 0.001
    while not _has_ended(process):
        passed = time.monotonic() - started
        if passed > seconds:
            raise StepError(
                f"{name} did not end within {seconds:g} s and was ended",
                remedy="give it longer, or a smaller model",
                code="timeout",
            )
        waiting(passed)
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE)
        _check_size(name, output)
    _check_size(name, output)


def _check_size(name: str, output: Path) -> None:
    if output.stat().st_size > MOST_BYTES:
        raise StepError(
            f"{name} printed more than {MOST_BYTES >> 20} MiB",
            remedy="run it by hand to see what it is at",
            code="prints_without_end",
        )


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether the program has; where the system can, it is left to be waited for, so that its number and that of its
    group stay its own."""
    if hasattr(os, "waitid"):
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    return process.poll() is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """All that is left of the session of the program, which it leads."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _guard(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the program also when this process is killed, as a worker is in the middle of its job: a shell waits for the
    end of a pipe that only this process holds open."""
    reading, writing = os.pipe()
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", 'read nothing; kill -s KILL -- "-$1"', "sh", str(process.pid)],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(reading)
    try:
        yield
    finally:
        guard.kill()
        guard.wait()
        os.close(writing)


def shown_line(line: str) -> str:
    """A line as it may be shown: without control characters, and not too long."""
    clean = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line.strip())
    return clean if len(clean) <= _COLUMNS else f"{clean[:_COLUMNS]}... ({len(clean)} characters)"


def excerpt(file: Path) -> tuple[str, ...]:
    """The first and the last lines of a text of any size and kind, as ``shown_line`` has them; empty ones left out."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        if size <= 2 * _END_BYTES:
            lines = _shown_lines(opened.read())
            left = len(lines) - 2 * _LINES
            return tuple(lines) if left <= 1 else (*lines[:_LINES], f"... ({left} lines)", *lines[-_LINES:])
        head = _shown_lines(opened.read(_END_BYTES))[:_LINES]
        opened.seek(size - _END_BYTES)
        return (*head, f"... (all of it: {size} bytes)", *_shown_lines(opened.read())[-_LINES:])


def _shown_lines(said: bytes) -> list[str]:
    return [shown_line(line) for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
