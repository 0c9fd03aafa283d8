"""Runs an artifact over samples, in order, and makes samples ready while others run.

Where the runtime has several lanes (``Format.open_lanes``), each has a thread that reads every so-manieth sample and
runs it. With one lane, a thread reads ahead of it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from edgekit.artifact import Artifact
from edgekit.checks.feeding import SampleSequence, make_feed
from edgekit.errors import EdgekitError, StepError
from edgekit.formats import FORMATS, Session
from edgekit.formats.runner import collect, feed

Progress = Callable[[int, int], None]
# Samples that each thread may be ahead by: more would only hold memory.
_AHEAD = 2
_PROGRESS_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Seen:
    """What one sample came to: outputs by the source's names, seconds in the runtime's own call (while another sample
    runs beside it, where there are lanes), and what ``beside`` gave."""

    index: int
    outputs: dict[str, np.ndarray]
    seconds: float
    beside: Any


class Walk:
    """An artifact opened in its runtime. ``runtime`` is ``DISTRIBUTION VERSION``."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        known = FORMATS.get(artifact.format)
        if known.runtime is None:
            raise StepError(f"no runtime for {artifact.format} files is on this machine", code="no_runtime")
        self.artifact = artifact
        self.runtime = f"{known.runtime} {_version(known.runtime)}"
        self._lanes: list[Session] = known.open_lanes(artifact, threads)

    def run_one(self, sample: Mapping[str, np.ndarray], name: str = "0") -> dict[str, np.ndarray]:
        """The outputs for one sample."""
        return collect(self.artifact.io, self._call(self._lanes[0], feed(self.artifact.io, sample), name))

    def run_all(
        self, samples: SampleSequence, progress: Progress, beside: Callable[[int], Any] = lambda index: None
    ) -> Iterator[Seen]:
        """All samples in order. ``beside(index)`` is read together with the sample, in the same thread."""
        count = len(samples)
        last = 0.0
        for seen in self._run_all(samples, beside):
            yield seen
            now = time.perf_counter()
            if now - last >= _PROGRESS_EVERY_SECONDS or seen.index + 1 == count:
                last = now
                progress(seen.index + 1, count)

    def _run_all(self, samples: SampleSequence, beside: Callable[[int], Any]) -> Iterator[Seen]:
        read = make_feed(self.artifact.io, samples)

        def make_ready(index: int) -> tuple[dict[str, np.ndarray], Any]:
            return read(index), beside(index)

        if len(self._lanes) == 1:
            for index, ready in enumerate(_work_ahead([make_ready], len(samples))):
                yield self._run(self._lanes[0], index, *ready)
            return

        def run_in(lane: Session) -> Callable[[int], Seen]:
            return lambda index: self._run(lane, index, *make_ready(index))

        yield from _work_ahead([run_in(lane) for lane in self._lanes], len(samples))

    def _run(self, lane: Session, index: int, feeds: Mapping[str, np.ndarray], extra: Any) -> Seen:
        started = time.perf_counter()
        results = self._call(lane, feeds, str(index))
        seconds = time.perf_counter() - started
        return Seen(index, collect(self.artifact.io, results), seconds, extra)

    def _call(self, lane: Session, feeds: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
        try:
            return lane.run(feeds)
        except EdgekitError:
            raise
        except Exception as error:  # every runtime has errors of its own
            raise StepError(
                f"{self.runtime} failed on sample {name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
                where=str(self.artifact.path),
                code="runtime_failed",
            ) from error


def _work_ahead(makers: Sequence[Callable[[int], Any]], count: int) -> Iterator[Any]:
    """What the makers give for 0 .. count - 1, in order. Each works in a thread of its own, on every so-manieth
    number, and stays a little ahead. What one raises is raised in its place."""
    stop = threading.Event()
    made: list[queue.Queue[tuple[Any, BaseException | None]]] = [queue.Queue(_AHEAD) for _ in makers]

    def fill(place: int) -> None:
        for index in range(place, count, len(makers)):
            try:
                item: tuple[Any, BaseException | None] = (makers[place](index), None)
            except BaseException as error:
                item = (None, error)
            while not stop.is_set():
                try:
                    made[place].put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if stop.is_set() or item[1] is not None:
                return

    threads = [
        threading.Thread(target=fill, args=(place,), name=f"samples {place}", daemon=True)
        for place in range(len(makers))
    ]
    for thread in threads:
        thread.start()
    try:
        for index in range(count):
            value, error = made[index % len(makers)].get()
            if error is not None:
                raise error
            yield value
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"
