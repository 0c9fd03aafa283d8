"""A child process that runs the jobs of one stack, as the system sees it: its memory, its signals, its death."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import StepError

Job = dict[str, Any]

_MEMORY_SHARE = 0.9


@dataclass
class Child:
    """``job`` is what it works on and ``ticket`` its number; ``began`` and ``looked`` are monotonic seconds.

    ``peak`` and ``family_peak`` are the most bytes that were seen during the job, of itself and of all it started.
    ``ended``: it was told to go; ``fate``: why it was killed.
    """

    stack: str
    process: subprocess.Popen[bytes]
    log: Path
    ready: bool = False
    job: Job | None = None
    ticket: str = ""
    began: float = 0.0
    peak: int = 0
    family_peak: int = 0
    looked: float = 0.0
    ended: bool = False
    fate: StepError | None = None

    @property
    def label(self) -> str:
        """What it is doing, for a message."""
        return str(
            (self.job or {}).get("label") or (self.job or {}).get("kind") or f"the start of the worker for {self.stack}"
        )

    def family_rss(self) -> int:
        """Bytes held at the moment by it and all it started."""
        import psutil

        total = 0
        with contextlib.suppress(psutil.Error):
            parent = psutil.Process(self.process.pid)
            for process in (parent, *parent.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += process.memory_info().rss
        return total

    def close_input(self) -> None:
        """Want nothing more of it: it ends when it has read this."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()

    def signal(self, number: int) -> None:
        """To the child and all it started: it leads a process group of its own, which outlives it if they do."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def death(self, code: int) -> StepError:
        """The error for a child that ended in the middle of its job, without a word."""
        peak = f"the peak memory seen was {megabytes(max(self.peak, self.family_peak))}"
        if code >= 0:
            return StepError(
                f"{self.label} ended its worker (exit code {code}); {peak}",
                where=self.label,
                remedy="the end of the log shows what it said last",
                code="crashed",
            )
        name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
        if -code == signal.SIGKILL:
            return StepError(
                f"{self.label} was killed by signal {-code} ({name}), possibly for want of memory; {peak}",
                where=self.label,
                remedy="if nobody ended it on purpose, give it more memory, fewer samples, or a smaller input",
                code="killed",
            )
        return StepError(
            f"{self.label} was ended by signal {-code} ({name}); {peak}",
            where=self.label,
            remedy="the end of the log shows where",
            code="crashed",
        )


def machine_memory() -> int:
    """Nine tenths of the machine's memory, or of what its control group allows."""
    import psutil

    total = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return int(total * _MEMORY_SHARE)


def megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"
