"""The children, one per stack, and what happens to them: jobs, limits, death, and the end.

One thread (the caller's) decides everything; a small reader thread per child only puts what the child says into one
queue. A child that dies, outgrows its memory or outlives its time becomes an error that names the job, and a new one is
started for the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edgekit.engine.child import Child, Job, machine_memory, megabytes
from edgekit.errors import BugError, StepError, from_dict

_LOOK_SECONDS = 0.2  # how often memory and time are looked at
_GRACE_SECONDS = 2.0  # how long a child that was asked to end may take
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


@dataclass(frozen=True)
class Answer:
    """Something a child said, or that happened to it. ``kind``: ready | progress | done | error.

    ``ticket`` is what ``submit`` returned (empty for ``ready``). ``value`` is [done, total], the job's answer, or the
    object of ``edgekit.error/1``.
    """

    stack: str
    kind: str
    ticket: str
    value: Any = None
    peak_rss_bytes: int | None = None
    seconds: float = 0.0


class Pool:
    """Children by stack. ``folder`` is where they work and log (a temporary one if None, removed at the end)."""

    def __init__(
        self,
        *,
        threads: int = 1,
        folder: Path | None = None,
        modules: tuple[str, ...] = (),
        time_limit_seconds: float | None = None,
        memory_limit_bytes: int | None = None,
    ) -> None:
        self._threads = threads
        self._temporary = tempfile.TemporaryDirectory(prefix="edgekit-") if folder is None else None
        self._folder = Path(self._temporary.name) if self._temporary else Path(folder or ".")
        self._modules = modules
        self._time_limit = time_limit_seconds
        self._memory_limit = memory_limit_bytes
        self._children: dict[str, Child] = {}
        self._said: queue.SimpleQueue[tuple[Child, dict[str, Any] | None]] = queue.SimpleQueue()
        self._tickets = 0
        self._died_early: set[str] = set()
        self._leaving: list[Child] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def busy(self) -> int:
        """How many children work at the moment, be it on a job or on their start."""
        return sum(1 for child in self._children.values() if child.job is not None or not child.ready)

    def is_free(self, stack: str) -> bool:
        """Whether the stack's child has no job (it may not exist yet, or still be starting)."""
        child = self._children.get(stack)
        return child is None or child.job is None

    def is_started(self, stack: str) -> bool:
        """Whether the stack's child is there. One that died while it started is not to be started ahead again."""
        return stack in self._children or stack in self._died_early

    def started(self) -> list[str]:
        """The stacks whose children are there."""
        return list(self._children)

    def is_starting(self, stack: str) -> bool:
        """Whether the stack's child is there but not ready (it takes a job all the same)."""
        child = self._children.get(stack)
        return child is not None and not child.ready

    def start(self, stack: str, toolchain: str | None = None) -> None:
        """Start the stack's child ahead of its first job, if it is not there.

        Raises:
            AbsentError: the toolchain it needs is not installed.
        """
        if stack in self._children:
            return
        child = self._spawn(stack, toolchain)
        self._children[stack] = child
        threading.Thread(target=self._read, args=(child,), name=f"{stack} answers", daemon=True).start()

    def submit(self, stack: str, job: Job, toolchain: str | None = None) -> str:
        """Hand a job to the stack's child, which must be free; returns its ticket.

        Raises:
            AbsentError: the toolchain it needs is not installed.
        """
        self.start(stack, toolchain)
        child = self._children[stack]
        if child.job is not None:
            raise BugError(f"the worker for {stack} is busy with {child.label}")
        self._tickets += 1
        child.job, child.ticket, child.began = job, str(self._tickets), time.monotonic()
        child.peak = child.family_peak = 0
        # A child that has just died is noticed by its reader, and then becomes the error of this job.
        with contextlib.suppress(BrokenPipeError):
            stdin = child.process.stdin
            assert stdin is not None
            stdin.write(json.dumps(job).encode() + b"\n")
            stdin.flush()
        return child.ticket

    def wait(self, seconds: float = _LOOK_SECONDS) -> list[Answer]:
        """What has been said and has happened since; waits for at most so long if that is nothing."""
        answers: list[Answer] = []
        deadline = time.monotonic() + seconds
        while not answers:
            self._look_at_limits()
            left = deadline - time.monotonic()
            try:
                child, message = self._said.get(timeout=max(0.0, min(left, _LOOK_SECONDS)))
            except queue.Empty:
                if left <= 0:
                    break
                continue
            answers += self._understand(child, message)
            while not self._said.empty():
                answers += self._understand(*self._said.get())
        return answers

    def call(
        self,
        stack: str,
        job: Job,
        *,
        toolchain: str | None = None,
        listen: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Any]:
        """Run one job and wait for its answer.

        Raises:
            EdgekitError: what the job ended with.
        """
        ticket = self.submit(stack, job, toolchain)
        while True:
            for answer in self.wait():
                if answer.ticket != ticket:
                    continue
                if answer.kind == "progress":
                    listen(*answer.value)
                elif answer.kind == "done":
                    return dict(answer.value)
                elif answer.kind == "error":
                    raise from_dict(answer.value)

    def cancel(self, stack: str) -> None:
        """End the stack's child in the middle of its job, without an answer."""
        child = self._children.pop(stack, None)
        if child is not None:
            child.ended = True
            self._leaving.append(child)
            child.signal(signal.SIGKILL)

    def retire(self, stack: str) -> None:
        """Let the stack's child go: nothing more is wanted of it."""
        child = self._children.pop(stack, None)
        if child is not None:
            child.ended = True
            self._leaving.append(child)
            child.close_input()

    def close(self) -> None:
        """End all children: those at work are asked to, and their process groups are killed after two seconds."""
        # Not those that have been waited for: their process number may be somebody else's by now.
        leaving = [child for child in self._leaving if child.process.returncode is None]
        children = [*self._children.values(), *leaving]
        self._children.clear()
        self._leaving.clear()
        try:
            for child in children:
                child.ended = True
                child.close_input()
                if child.job is not None or not child.ready:
                    child.signal(signal.SIGTERM)
            deadline = time.monotonic() + _GRACE_SECONDS
            for child in children:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.process.wait(timeout=max(0.0, deadline - time.monotonic()))
        finally:
            for child in children:
                child.signal(signal.SIGKILL)
                child.process.wait()
            if self._temporary is not None:
                self._temporary.cleanup()

    def _spawn(self, stack: str, toolchain: str | None) -> Child:
        command = [sys.executable, "-P", "-m", "edgekit.engine.worker", stack]
        if toolchain is not None:
            from edgekit.toolchains import require

            command += ["--toolchain", str(require(toolchain))]
        for module in self._modules:
            command += ["--module", module]
        self._folder.mkdir(parents=True, exist_ok=True)
        work = self._folder / f"cwd-{stack}"
        work.mkdir(exist_ok=True)
        log = self._folder / f"worker-{stack}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=work,
                env=self._environment(),
                start_new_session=True,
            )
        return Child(stack, process, log)

    def _environment(self) -> dict[str, str]:
        """The child's: its share of threads, no telemetry, no files of libraries in the home, the programs beside
        the interpreter first."""
        environment = dict(os.environ)
        environment.update(dict.fromkeys(_THREAD_VARIABLES, str(self._threads)))
        environment["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait do not take a core from another child
        environment["PYTHONHASHSEED"] = "0"  # a library that walks a set writes the same file every time
        environment["PYTHONUNBUFFERED"] = "1"
        environment["TF_CPP_MIN_LOG_LEVEL"] = "2"
        environment["NNCF_CI"] = "1"  # sends nothing over the network
        environment["ORT_DISABLE_TELEMETRY"] = "1"
        for name in ("KERAS_HOME", "MPLCONFIGDIR"):
            environment.setdefault(name, str(self._folder / "settings"))
        beside = str(Path(sys.executable).parent)
        environment["PATH"] = os.pathsep.join([beside, environment.get("PATH", "")])
        return environment

    def _read(self, child: Child) -> None:
        stdout = child.process.stdout
        assert stdout is not None
        for line in stdout:
            with contextlib.suppress(ValueError):
                self._said.put((child, json.loads(line)))
        self._said.put((child, None))

    def _understand(self, child: Child, message: dict[str, Any] | None) -> Iterator[Answer]:
        if message is None:
            yield from self._bury(child)
        elif "ready" in message:
            child.ready = True
            yield Answer(child.stack, "ready", "")
        elif "progress" in message:
            yield Answer(child.stack, "progress", child.ticket, message["progress"])
        else:
            kind = "done" if "done" in message else "error"
            yield self._answer(child, kind, message[kind], message.get("peak_rss_bytes") or 0)

    def _answer(self, child: Child, kind: str, value: Any, peak: int) -> Answer:
        answer = Answer(
            child.stack,
            kind,
            child.ticket,
            value,
            max(peak, child.peak, child.family_peak) or None,
            time.monotonic() - child.began,
        )
        child.job, child.ticket = None, ""
        return answer

    def _bury(self, child: Child) -> Iterator[Answer]:
        """Its line has ended. Whatever it started goes with it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(timeout=_GRACE_SECONDS)
        child.signal(signal.SIGKILL)
        code = child.process.wait()
        if child.ended:
            return
        child.ended = True
        if self._children.get(child.stack) is child:
            del self._children[child.stack]
        if child.job is not None:
            error = child.fate or child.death(code)
            error.log = error.log or child.job.get("log") or (None if self._temporary else str(child.log))
            yield self._answer(child, "error", error.to_dict(), 0)
        elif not child.ready:
            self._died_early.add(child.stack)

    def _look_at_limits(self) -> None:
        now = time.monotonic()
        for child in list(self._children.values()):
            if child.job is None or child.fate is not None or now - child.looked < _LOOK_SECONDS:
                continue
            child.looked = now
            child.family_peak = max(child.family_peak, child.family_rss())
            limit = self._memory_limit or machine_memory()
            if child.family_peak > limit:
                child.fate = StepError(
                    f"{child.label} outgrew its memory limit of {megabytes(limit)} "
                    f"and was ended; the peak seen was {megabytes(child.family_peak)}",
                    where=child.label,
                    remedy="give it more memory, fewer samples, or a smaller input",
                    code="out_of_memory",
                )
            elif self._time_limit is not None and now - child.began > self._time_limit:
                child.fate = StepError(
                    f"{child.label} was still at work after {self._time_limit:g} s and was ended; "
                    f"the peak memory seen was {megabytes(child.family_peak)}",
                    where=child.label,
                    remedy="allow it more time, or look into its log for what it waits for",
                    code="time_limit",
                )
            if child.fate is not None:
                child.signal(signal.SIGKILL)
