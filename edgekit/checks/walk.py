"""Runs an artifact over samples, one after the other.

Nothing else runs beside the runtime, which has all the threads of the job: on as many cores, a thread that reads ahead
or compares would only hold up one of its own, and the rest wait for that one at every operator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TypeVar

import numpy as np

from edgekit.artifact import Artifact
from edgekit.checks.feeding import SampleSequence, make_feed
from edgekit.errors import EdgekitError, InputError, StepError
from edgekit.formats import FORMATS
from edgekit.formats.runner import collect, feed, open_tail, read_entries

Given = TypeVar("Given")
Progress = Callable[[int, int], None]
_PROGRESS_EVERY_SECONDS = 0.1
#: The kinds of NumPy types that hold text: ONNX Runtime's objects, bytes, str.
TEXT = "OSU"


@dataclass(frozen=True)
class Seen:
    """What one sample came to: outputs by the source's names, and seconds in the runtime's own call and the tail's."""

    index: int
    outputs: dict[str, np.ndarray]
    seconds: float
    #: What the model selects from at its end, by the tensors' own names: see ``formats.onnx_selection``.
    entries: dict[str, np.ndarray] = field(default_factory=dict)


class Walk:
    """An artifact opened in its runtime, with its tail. ``runtime`` is ``DISTRIBUTION VERSION``."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        known = FORMATS.get(artifact.format)
        if known.runtime is None:
            raise StepError(f"no runtime for {artifact.format} files is on this machine", code="no_runtime")
        self.artifact = artifact
        self.runtime = f"{known.runtime} {_version(known.runtime)}"
        self._watched = known.open_watched(artifact, threads)
        self._tail = open_tail(artifact.tail, threads)
        if self._tail is not None:
            self.runtime += f", then {self._tail.runtime}"

    @property
    def behind(self) -> frozenset[str]:
        """The outputs, by the source's names, that come from what the model selects at its end."""
        watched = self._watched if self._tail is None else self._tail.watched
        return frozenset(tensor.source_name for tensor in self.artifact.outputs if tensor.name in watched.behind)

    def run_one(self, sample: Mapping[str, np.ndarray], name: str = "0") -> Seen:
        """What one sample comes to.

        Raises:
            InputError: an input or output is no array of numbers (ONNX has texts, sequences and maps too).
            StepError: the runtime failed.
        """
        for tensor in self.artifact.io.inputs:
            if tensor.dtype == "object":
                raise self._no_numbers("input", tensor.name, "text")
        return self._run(feed(self.artifact.io, sample), name, 0, check=True)

    def run_all(self, samples: SampleSequence, progress: Progress) -> Iterator[Seen]:
        """All samples in order; one that cannot be read, or does not run, is raised in its place."""
        read, count = make_feed(self.artifact.io, samples), len(samples)
        last = 0.0
        for index in range(count):
            seen = self._run(read(index), str(index), index)
            now = time.perf_counter()
            yield seen
            if now - last >= _PROGRESS_EVERY_SECONDS or index + 1 == count:
                last = now
                progress(index + 1, count)

    def _run(self, feeds: Mapping[str, np.ndarray], name: str, index: int, *, check: bool = False) -> Seen:
        """``check``: whether the outputs are numbers. Seconds are those in the runtime and in the tail."""
        started = time.perf_counter()
        results = self._call(self._watched.session.run, feeds, name)
        seconds = time.perf_counter() - started
        for own, array in results.items() if check else ():
            if not isinstance(array, np.ndarray):
                raise self._no_numbers("output", own, "a sequence or map")
            if array.dtype.kind in TEXT:
                raise self._no_numbers("output", own, "text")
        outputs = collect(self.artifact.io, results)
        if self._tail is None:
            return Seen(index, outputs, seconds, read_entries(self._watched, results))
        started = time.perf_counter()
        outputs, entries = self._call(self._tail.run_watched, outputs, name)
        return Seen(index, outputs, seconds + time.perf_counter() - started, entries)

    def _no_numbers(self, kind: str, name: str, what: str) -> InputError:
        return InputError(
            f"the {kind} `{name}` of {self.artifact.path.name} is {what}; edgekit measures arrays of numbers",
            where=str(self.artifact.path),
            remedy=f"export the model without the {kind} `{name}`",
            code="not_numbers",
        )

    def _call(
        self, run: Callable[[Mapping[str, np.ndarray]], Given], feeds: Mapping[str, np.ndarray], name: str
    ) -> Given:
        try:
            return run(feeds)
        except EdgekitError:
            raise
        except Exception as error:  # every runtime has errors of its own
            raise StepError(
                f"{self.runtime} failed on sample {name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
                where=str(self.artifact.path),
                code="runtime_failed",
            ) from error


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "of unknown version"
