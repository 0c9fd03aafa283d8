"""Runs an artifact over samples, one at a time, with the next sample made ready while the current one runs."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from edgekit.artifact import Artifact
from edgekit.errors import EdgekitError, StepError
from edgekit.formats import FORMATS, Session
from edgekit.formats.runner import collect, feed

Progress = Callable[[int, int], None]
# Samples made ready ahead: more would only hold memory.
_AHEAD = 2
_PROGRESS_EVERY_SECONDS = 0.1


class SampleSequence(Protocol):
    """Sized samples by number: stored ones, or a list of synthetic ones."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, np.ndarray]: ...


@dataclass(frozen=True)
class Seen:
    """What one sample came to: outputs by the source's names, seconds in the runtime's own call, and what ``beside``
    gave."""

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
        self._session: Session = known.open(artifact, threads)

    def run_one(self, sample: Mapping[str, np.ndarray], name: str = "0") -> dict[str, np.ndarray]:
        """The outputs for one sample."""
        return collect(self.artifact.io, self._call(feed(self.artifact.io, sample), name))

    def run_all(
        self, samples: SampleSequence, progress: Progress, beside: Callable[[int], Any] = lambda index: None
    ) -> Iterator[Seen]:
        """All samples in order. ``beside(index)`` is read ahead together with the sample, in the same thread."""
        count = len(samples)
        last = 0.0

        def make_ready(index: int) -> tuple[dict[str, np.ndarray], Any]:
            return feed(self.artifact.io, samples[index]), beside(index)

        for index, (feeds, extra) in enumerate(_read_ahead(make_ready, count)):
            started = time.perf_counter()
            results = self._call(feeds, str(index))
            finished = time.perf_counter()
            yield Seen(index, collect(self.artifact.io, results), finished - started, extra)
            if finished - last >= _PROGRESS_EVERY_SECONDS or index + 1 == count:
                last = finished
                progress(index + 1, count)

    def _call(self, feeds: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
        try:
            return self._session.run(feeds)
        except EdgekitError:
            raise
        except Exception as error:  # every runtime has errors of its own
            raise StepError(
                f"{self.runtime} failed on sample {name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
                where=str(self.artifact.path),
                code="runtime_failed",
            ) from error


def _read_ahead(make_ready: Callable[[int], Any], count: int) -> Iterator[Any]:
    """``make_ready(0 .. count - 1)`` in order, made by one thread that stays a little ahead."""
    ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(_AHEAD)
    stop = threading.Event()

    def fill() -> None:
        for index in range(count):
            try:
                item: tuple[Any, BaseException | None] = (make_ready(index), None)
            except BaseException as error:
                item = (None, error)
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if stop.is_set() or item[1] is not None:
                return

    reader = threading.Thread(target=fill, name="read-ahead", daemon=True)
    reader.start()
    try:
        for _ in range(count):
            value, error = ready.get()
            if error is not None:
                raise error
            yield value
    finally:
        stop.set()
        reader.join()


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"
