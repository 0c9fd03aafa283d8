"""Shows the engine's events on standard error: bars on a terminal, plain lines elsewhere, one at least every 60 s."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edgekit.cli.terminal import is_interactive, note

if TYPE_CHECKING:
    from edgekit.engine.events import Event

HEARTBEAT_SECONDS = 60.0


@dataclass(frozen=True)
class Running:
    """A job at work; ``since`` is by ``time.monotonic``."""

    since: float
    done: int = 0
    total: int = 0

    def text(self, now: float) -> str:
        from edgekit.report import figures

        far = f", {self.done} of {self.total}" if self.total else ""
        return f"{figures.seconds(now - self.since)}{far}"


class PlainProgress:
    """A line when a job starts, one when it ends, and a sign of life when neither happened for 60 s."""

    def __init__(self, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._heartbeat = heartbeat
        self._running: dict[str, Running] = {}
        self._lock = threading.Lock()
        self._spoken = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> PlainProgress:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def __call__(self, event: Event) -> None:
        """Take one event of the engine."""
        with self._lock:
            self._keep(event)
            text = event_line(event)
            if text is not None:
                self._say(text)

    def _keep(self, event: Event) -> None:
        from edgekit.engine.events import Failed, Finished, Progress, Started

        if isinstance(event, Started):
            self._running[event.task] = Running(time.monotonic())
        elif isinstance(event, Progress) and event.task in self._running:
            self._running[event.task] = replace(self._running[event.task], done=event.done, total=event.total)
        elif isinstance(event, Finished | Failed):
            self._running.pop(event.task, None)

    def _say(self, text: str) -> None:
        self._spoken = time.monotonic()
        note(text)

    def _beat(self) -> None:
        while not self._ended.wait(min(1.0, self._heartbeat / 4)):
            now = time.monotonic()
            with self._lock:
                if now - self._spoken >= self._heartbeat and self._running:
                    busy = [f"{task} ({running.text(now)})" for task, running in self._running.items()]
                    self._say(f"still running: {', '.join(busy)}")


class TerminalProgress:
    """A bar for each job at work, below the lines of those that ended. Nothing is drawn before a job starts."""

    def __init__(self) -> None:
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._spoken = False
        self._lock = threading.Lock()

    def __enter__(self) -> TerminalProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
        if self._spoken:
            note("")  # the answer follows on the same terminal

    def __call__(self, event: Event) -> None:
        """Take one event of the engine."""
        from edgekit.engine.events import Failed, Finished, Progress, Started

        with self._lock:
            if isinstance(event, Started):
                self._tasks[event.task] = self._open().add_task(event.task, total=None)
            elif isinstance(event, Progress) and event.task in self._tasks:
                self._bars.update(self._tasks[event.task], completed=event.done, total=event.total)
            elif isinstance(event, Finished | Failed) and event.task in self._tasks:
                self._bars.remove_task(self._tasks.pop(event.task))
            text = None if isinstance(event, Started) else event_line(event)
            if text is not None:
                self._print(text)

    def _open(self) -> Any:
        """The bars, made when the first job starts: a run from the cache alone imports nothing."""
        if self._bars is None:
            from edgekit.cli.bars import make_bars

            self._bars = make_bars()
            self._bars.start()
        return self._bars

    def _print(self, text: str) -> None:
        self._spoken = True
        if self._bars is None:
            note(text)
        else:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)


def show_progress() -> PlainProgress | TerminalProgress:
    """Bars where standard error is a terminal that may be redrawn, else lines."""
    return TerminalProgress() if is_interactive() else PlainProgress()


def event_line(event: Event) -> str | None:
    """One event as a line; None for those that say nothing by themselves."""
    from edgekit.engine.events import Failed, Finished, Note, Progress, Started
    from edgekit.report import figures

    if isinstance(event, Progress):
        return None
    if isinstance(event, Note):
        return event.text
    if isinstance(event, Failed) and event.status == "skipped" and event.kind in ("measure", "reference", "place"):
        return None  # the step says it
    head = f"[{event.at:7.1f} s] {event.task}"
    if isinstance(event, Started):
        return f"{head} ..." + (f" ({event.reason})" if event.reason else "")
    if isinstance(event, Finished):
        if event.status == "cached":
            return f"{head}: cached{_result(event.result)}"
        return f"{head}: done in {figures.seconds(event.seconds)}{_result(event.result)}"
    return f"{head}: {event.status}, {' '.join(event.reason.split())}"


def _result(result: dict[str, Any]) -> str:
    """The few figures of a job's answer that a reader wants to see pass by."""
    from edgekit.report import figures

    parts = []
    artifact, measurement = result.get("artifact"), result.get("measurement")
    placement = result.get("placement")
    if isinstance(placement, dict) and placement.get("mapped_operators") is not None:
        told = "by its compiler" if placement.get("source") == "compiler" else "predicted"
        parts.append(f"{figures.share(placement['mapped_operators'])} of operators on the accelerator, {told}")
    if isinstance(artifact, dict) and artifact.get("bytes") is not None:
        parts.append(figures.size(artifact["bytes"]))
    if isinstance(measurement, dict):
        if measurement.get("value") is not None:
            parts.append(f"{measurement['metric']} {figures.metric(measurement)}")
        if measurement.get("agreement") is not None:
            parts.append(f"agreement {figures.share(measurement['agreement'])}")
        if measurement.get("sqnr_db") is not None:
            parts.append(figures.decibels(measurement["sqnr_db"]))
    return f", {', '.join(parts)}" if parts else ""
