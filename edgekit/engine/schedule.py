"""Walks the tasks: takes from the cache what is there, gives the rest to the children, and follows what becomes of it.

No worker is started before something is found that is not in the cache. Steps go before measurements, the longest chain
first; while a place is free, the next stack that will be needed is started ahead.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.engine.cache import Cache
from edgekit.engine.events import Event, Failed, Finished, Note, Progress, Started
from edgekit.engine.faults import disk_full, is_disk_full
from edgekit.engine.keys import Inputs, explain, key_of
from edgekit.engine.pool import Answer, Pool
from edgekit.engine.settings import Settings
from edgekit.engine.task import Done, Task
from edgekit.engine.tasks import StepTask
from edgekit.errors import BugError, EdgekitError, InputError

ErrorDict = dict[str, Any]

WAITING, RUNNING, DONE, FAILED, SKIPPED = "waiting", "running", "done", "failed", "skipped"


@dataclass
class State:
    """Where a task is. ``inputs``, ``key`` and ``reason`` (why it is run) are set once its turn has come."""

    task: Task
    status: str = WAITING
    inputs: Inputs | None = None
    key: str = ""
    reason: str = ""
    error: ErrorDict | None = None
    started: float = 0.0
    seconds: float = 0.0
    peak_rss_bytes: int | None = None
    folder: Path | None = None
    cause: str | None = None

    @property
    def over(self) -> bool:
        return self.status in (DONE, FAILED, SKIPPED)


class Schedule:
    """The tasks of one run. ``done`` and ``states`` may be read while it walks and afterwards. ``on_end`` is called
    for each task that was done (with None for one that failed); it may ``skip_below``, or raise what ends the run."""

    def __init__(
        self,
        tasks: list[Task],
        cache: Cache,
        settings: Settings,
        *,
        logs: Path,
        listen: Callable[[Event], None],
        began: float,
        last_inputs: dict[str, Inputs],
        on_end: Callable[[Task, Done | None], None],
    ) -> None:
        self.states = {task.id: State(task) for task in tasks}
        self.done: dict[str, Done] = {}
        self.error: ErrorDict | None = None
        self._cache = cache
        self._settings = settings
        self._logs = logs
        self._listen = listen
        self._began = began
        self._last_inputs = last_inputs
        self._on_end = on_end
        self._pool: Pool | None = None
        self._tickets: dict[str, str] = {}
        self._by_key: dict[str, str] = {}
        self._idle = 0

    def walk(self) -> None:
        """Until nothing is left, or the caller is interrupted (the children have ended then)."""
        try:
            while not all(state.over for state in self.states.values()):
                if self._settle_ready():
                    continue
                self._dispatch()
                self._follow()
        except OSError as error:
            self.stop(_own_error(error, "the engine").to_dict(), "the run was ended")
        finally:
            if self._pool is not None:
                self._pool.close()

    def skip_below(self, id: str, reason: str) -> None:
        """Whatever descends from a task is skipped, and ended where it runs; ``reason`` names the task."""
        for state in self.states.values():
            if state.task.id != id and id in self._ancestors(state.task) and state.task.id != f"measure {id}":
                self._skip(state, reason, id)

    def stop(self, error: ErrorDict, reason: str) -> None:
        """End the run: nothing more is begun, what runs is ended."""
        self.error = self.error or error
        for state in self.states.values():
            if not state.over:
                self._skip(state, reason, None)

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def _ancestors(self, task: Task) -> set[str]:
        found: set[str] = set()
        waiting = list(task.needs)
        while waiting:
            id = waiting.pop()
            if id not in found:
                found.add(id)
                waiting += self.states[id].task.needs
        return found

    def _skip(self, state: State, reason: str, cause: str | None) -> None:
        if state.status == SKIPPED:
            return
        if state.status == RUNNING and self._pool is not None:
            self._pool.cancel(state.task.stack)
            self._tickets = {ticket: id for ticket, id in self._tickets.items() if id != state.task.id}
        self.done.pop(state.task.id, None)
        state.status, state.reason, state.cause = SKIPPED, reason, cause
        self._listen(Failed(state.task.id, state.task.kind, self.now(), SKIPPED, reason))

    def _settle_ready(self) -> bool:
        """Take from the cache what is there, skip what waits for something that failed; whether anything changed."""
        changed = False
        for state in self.states.values():
            if state.status != WAITING:
                continue
            bad = next((id for id in state.task.needs if self.states[id].status in (FAILED, SKIPPED)), None)
            if bad is not None:
                cause = self.states[bad].cause or bad
                self._skip(
                    state, f"{cause} failed" if self.states[bad].status == FAILED else self.states[bad].reason, cause
                )
                changed = True
            elif not state.key and all(id in self.done for id in state.task.needs):
                changed = self._look_up(state) or changed
        return changed

    def _look_up(self, state: State) -> bool:
        task = state.task
        try:
            state.inputs = task.inputs(self.done)
            state.key = key_of(state.inputs)
            entry, missing = self._cache.find(state.key, remember_hashes=task.remember_hashes)
            if entry is not None:
                result = task.settle(entry.result, entry.folder)
                self._finish(state, Done(result, entry.folder, entry.key, "cached", "unchanged", 0.0, self.now()))
                return True
            state.reason = self._why(task, state.inputs, missing)
            task.check(state.inputs)
        except EdgekitError as error:
            self._fail(state, error.to_dict())
            return True
        except OSError as error:
            self._fail(state, _input_error(error, task).to_dict())
            return True
        return False

    def _why(self, task: Task, inputs: Inputs, missing: str) -> str:
        if not self._settings.use_cache:
            return "the cache is not used"
        if missing == "damaged":
            return "the cache entry was damaged"
        if not isinstance(task, StepTask):
            return ""
        return explain(self._last_inputs.get(task.id), inputs) or "not in the cache any more"

    def _dispatch(self) -> None:
        """Give ready tasks to free children, as many as may be busy; then start the next stack ahead."""
        ready = [state for state in self.states.values() if state.status == WAITING and state.key]
        for state in sorted(ready, key=lambda state: (state.task.late, -state.task.rank)):
            if state.key in self._by_key:
                continue  # An equal task is at work; its answer will be in the cache.
            pool = self._open_pool()
            starting = pool.is_starting(state.task.stack)
            if pool.is_free(state.task.stack) and (starting or pool.busy() < self._settings.busy_limit):
                self._begin(state, pool)
        if self._pool is not None:
            self._start_ahead(self._pool)

    def _begin(self, state: State, pool: Pool) -> None:
        task = state.task
        try:
            folder = Path(tempfile.mkdtemp(dir=self._cache.scratch(), prefix=f"{task.kind}-"))
            state.folder = folder
            (folder / "work").mkdir()
            log = self._logs / f"{task.id.replace(' ', '-')}.log"
            job = {
                **task.job(self.done),
                "label": task.label,
                "out": str(folder / "out"),
                "workdir": str(folder / "work"),
                "log": str(log),
                "threads": self._settings.thread_share,
            }
            ticket = pool.submit(task.stack, job, task.toolchain)
        except EdgekitError as error:
            self._fail(state, error.to_dict())
            return
        except OSError as error:
            self._fail(state, _own_error(error, task.label).to_dict())
            return
        state.status, state.started = RUNNING, self.now()
        self._tickets[ticket] = task.id
        self._by_key[state.key] = task.id
        self._listen(Started(task.id, task.kind, state.started, state.reason))

    def _start_ahead(self, pool: Pool) -> None:
        """In the order in which their tasks stand; a stack that nothing waits for any more is let go."""
        needed: dict[str, str | None] = {}
        for state in self.states.values():
            if not state.over:
                needed.setdefault(state.task.stack, state.task.toolchain)
                needed[state.task.stack] = needed[state.task.stack] or state.task.toolchain
        for stack in pool.started():
            if stack not in needed:
                pool.retire(stack)
        for stack, toolchain in needed.items():
            if pool.busy() >= self._settings.busy_limit:
                return
            if not pool.is_started(stack):
                try:
                    pool.start(stack, toolchain)
                except EdgekitError:
                    continue  # Told when the first task that needs it is begun.

    def _follow(self) -> None:
        """Wait for the children, on a job or starting, and take what they say."""
        if self._pool is None or not (self._tickets or self._pool.busy()):
            # A task that could not be begun has just failed; what waits for it is seen to in the next round.
            self._idle += 1
            if self._idle > len(self.states) + 1:
                raise BugError("nothing is at work and yet not all is done", remedy="please report it, with the recipe")
            return
        self._idle = 0
        for answer in self._pool.wait():
            id = self._tickets.get(answer.ticket)
            if id is None:
                continue
            state = self.states[id]
            if answer.kind == "progress":
                self._listen(Progress(id, state.task.kind, self.now(), *answer.value))
                continue
            del self._tickets[answer.ticket]
            self._by_key.pop(state.key, None)
            for other in self.states.values():
                if other.status == WAITING and other.key == state.key:
                    other.key = ""  # It waited for its twin: to be looked up again.
            state.seconds, state.peak_rss_bytes = self.now() - state.started, answer.peak_rss_bytes
            if answer.kind == "error":
                self._fail(state, answer.value)
            else:
                self._keep(state, answer)
            if state.folder is not None:
                shutil.rmtree(state.folder, ignore_errors=True)

    def _keep(self, state: State, answer: Answer) -> None:
        task, result = state.task, dict(answer.value)
        assert state.folder is not None
        try:
            task.learn(result)
            inputs = task.inputs(self.done)
            out = state.folder / "out"
            entry = self._cache.put(task.kind, inputs, result, out if out.exists() else None)
        except EdgekitError as error:
            self._fail(state, error.to_dict())
            return
        except OSError as error:
            self._fail(state, _own_error(error, task.label).to_dict())
            return
        except ValueError as error:
            self._fail(state, BugError(f"{task.label} gave an answer that cannot be kept: {error}").to_dict())
            return
        state.inputs = inputs
        done = Done(
            task.settle(entry.result, entry.folder),
            entry.folder,
            entry.key,
            "done",
            state.reason,
            state.seconds,
            state.started,
            state.peak_rss_bytes,
        )
        self._finish(state, done)

    def _finish(self, state: State, done: Done) -> None:
        state.status = DONE
        state.started = done.started
        self.done[state.task.id] = done
        self._listen(
            Finished(state.task.id, state.task.kind, self.now(), done.status, done.seconds, done.reason, done.result)
        )
        self._tell(state.task, done)

    def _tell(self, task: Task, done: Done | None) -> None:
        try:
            self._on_end(task, done)
        except EdgekitError as error:
            self.stop(error.to_dict(), f"the run was ended ({error.word})")

    def _fail(self, state: State, error: ErrorDict) -> None:
        state.status, state.error, state.cause = FAILED, error, state.task.id
        self._listen(Failed(state.task.id, state.task.kind, self.now(), FAILED, error["message"], error, state.seconds))
        # Everything hangs on the source, its data and its outputs: what is wrong with them ends the run.
        if state.task.kind in ("read", "prepare", "reference"):
            self.stop(error, f"{state.task.id} failed")
        self._tell(state.task, None)

    def _open_pool(self) -> Pool:
        if self._pool is None:
            self._logs.mkdir(parents=True, exist_ok=True)
            self._pool = Pool(
                threads=self._settings.thread_share,
                folder=self._cache.scratch() / "workers",
                modules=self._settings.extra_modules,
                time_limit_seconds=self._settings.time_limit_seconds,
                memory_limit_bytes=self._settings.memory_limit_bytes,
            )
        return self._pool

    def note(self, text: str) -> None:
        self._listen(Note(text, self.now()))


# What a place says in which nothing can be made: it is the user's to choose another one.
_UNUSABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
)


def _input_error(error: OSError, task: Task) -> EdgekitError:
    """A file of the user's that cannot be read, while a key is made of it."""
    if is_disk_full(error):
        return disk_full(task.label, error.filename)
    return InputError(
        f"{task.label}: {error.filename or 'a file'} cannot be read: {error.strerror or error}",
        where=str(error.filename or task.label),
        remedy="remove or replace it",
        code="unreadable_file",
    )


def _own_error(error: OSError, label: str) -> EdgekitError:
    """A file of edgekit's own that cannot be written."""
    if is_disk_full(error):
        return disk_full(label, error.filename)
    if error.errno in _UNUSABLE:
        return InputError(
            f"{label}: cannot write {error.filename}: {error.strerror}",
            where=str(error.filename),
            remedy="choose another place with --out and EDGEKIT_CACHE",
            code="not_writable",
        )
    return BugError(f"{label}: {error}", where=label, remedy="please report it, with the log")
