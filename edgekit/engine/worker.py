"""The child that runs the jobs of one stack: ``python -P -m edgekit.engine.worker STACK [--toolchain FOLDER]
[--module FILE]``.

Jobs come as JSON lines on standard input, answers go as JSON lines to what was standard output when it started. Both
are moved to descriptors of their own, and 0, 1 and 2 point at nothing and at a log before anything heavy is imported,
so that no library can disturb the line, whatever it prints:

    {"kind": "step", "label": "step onnx_int8", "log": ".../onnx_int8.log", ...}  ->
    <- {"progress": [done, total]}  ...  <- {"done": {...}} or {"error": {...}}, each with "peak_rss_bytes"

The child ends when its input is closed: also when the parent was killed, and in the middle of a job.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edgekit.engine.stacks import HEAVY, get_stack

Job = dict[str, Any]

_REPORT_SECONDS = 0.1


class Line:
    """The two ends of the line to the parent, on descriptors of their own."""

    def __init__(self) -> None:
        self._jobs = os.fdopen(os.dup(0), "rb")
        self._answers = os.fdopen(os.dup(1), "wb")
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 (a descriptor is wanted, not a path)
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)
        self._lock = threading.Lock()
        self._waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()

    def listen(self) -> None:
        """Read jobs from now on, in a thread of its own."""
        threading.Thread(target=self._read, name="jobs", daemon=True).start()

    def next_job(self) -> Job:
        """The next job; waits for it."""
        return self._waiting.get()

    def send(self, answer: dict[str, Any]) -> None:
        with self._lock:
            self._answers.write(json.dumps(answer).encode() + b"\n")
            self._answers.flush()

    def _read(self) -> None:
        for line in self._jobs:
            self._waiting.put(json.loads(line))
        # The parent has gone, or wants no more: with everything that was started from here (it leads its own group).
        if os.getpgid(0) == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)


class Reports:
    """How far a job is, sent on a few times a second at most."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._sent = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - self._sent >= _REPORT_SECONDS:
            self._sent = now
            self._line.send({"progress": [done, total]})


def main() -> None:
    """Set the process up for its stack, then run one job after the other."""
    arguments = _parse_arguments()
    line = Line()
    faulthandler.enable(file=2, all_threads=False)
    line.listen()
    _shut_out(arguments.stack)
    if arguments.toolchain:
        sys.path.append(arguments.toolchain)
    _import_ahead(arguments.stack, arguments.module)
    line.send({"ready": True, "peak_rss_bytes": peak_rss()})
    while True:
        job = line.next_job()
        with _logged(job.get("log")):
            answer = _run(arguments.stack, job, Reports(line))
        line.send(answer)


def peak_rss() -> int:
    """The most memory this process held, in bytes, since ``reset_peak`` (or ever, where the system keeps no such
    mark)."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for row in Path("/proc/self/status").read_text().splitlines():
            if row.startswith("VmHWM:"):
                return int(row.split()[1]) * 1024
    import resource

    # Kilobytes on Linux, bytes on macOS.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Begin a new mark for ``peak_rss``, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="edgekit.engine.worker")
    parser.add_argument("stack")
    parser.add_argument("--toolchain")
    parser.add_argument("--module", action="append", default=[], help="a Python file to load first")
    return parser.parse_args()


def _run(stack: str, job: Job, progress: Callable[[int, int], None]) -> dict[str, Any]:
    from edgekit.engine.faults import translate

    reset_peak()
    try:
        from edgekit.engine.jobs import run_job

        answer: dict[str, Any] = {"done": run_job(job, progress)}
        json.dumps(answer)
    except BaseException as raised:  # the parent must hear of everything, SystemExit of a library included
        traceback.print_exc()
        answer = {
            "error": translate(raised, label=str(job.get("label") or job.get("kind")), stack=stack, log=job.get("log"))
        }
    return {**answer, "peak_rss_bytes": peak_rss()}


def _shut_out(stack: str) -> None:
    allowed = get_stack(stack).allows
    for name in HEAVY:
        if name not in allowed:
            # None in sys.modules: an import of it raises ModuleNotFoundError, as if it were not installed.
            sys.modules[name] = None  # type: ignore[assignment]


def _import_ahead(stack: str, files: list[str]) -> None:
    """What fails here fails again, and is told, in the job that needs it."""
    for module in ("edgekit.engine.jobs", *get_stack(stack).imports):
        try:
            importlib.import_module(module)
        except Exception:
            traceback.print_exc()
    for file in files:
        load_module(Path(file))


def load_module(file: Path) -> None:
    """Load a Python file under its stem as the module's name."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)


@contextlib.contextmanager
def _logged(log: str | None) -> Iterator[None]:
    """Send descriptors 1 and 2, and what Python and C hold back for them, to a log file while a job runs."""
    file = None
    if log is not None:
        # Without a log (a full disk) the job is still worth running.
        with contextlib.suppress(OSError):
            file = Path(log).open("ab")  # noqa: SIM115 (closed as soon as it is duplicated)
    if file is None:
        yield
        return
    _flush()
    kept = os.dup(2)
    with file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        _flush()
        os.dup2(kept, 1)
        os.dup2(kept, 2)
        os.close(kept)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    import ctypes

    with contextlib.suppress(Exception):
        ctypes.CDLL(None).fflush(None)


if __name__ == "__main__":
    main()
