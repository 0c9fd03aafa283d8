"""Runs an artifact over samples, one after the other.

Nothing else runs beside the runtime, which has all the threads of the job: on as many cores, a thread that reads ahead
or compares would only hold up one of its own, and the rest wait for that one at every operator.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from edgekit.artifact import Artifact
from edgekit.checks.feeding import SampleSequence, make_feed
from edgekit.errors import EdgekitError, InputError, StepError
from edgekit.formats import FORMATS
from edgekit.formats.runner import collect, feed, open_tail

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


class Walk:
    """An artifact opened in its runtime, with its tail. ``runtime`` is ``DISTRIBUTION VERSION``."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        known = FORMATS.get(artifact.format)
        if known.runtime is None:
            raise StepError(f"no runtime for {artifact.format} files is on this machine", code="no_runtime")
        self.artifact = artifact
        self.runtime = f"{known.runtime} {_version(known.runtime)}"
        self._session = known.open(artifact, threads)
        self._tail = open_tail(artifact.tail, threads)
        if self._tail is not None:
            self.runtime += f", then {self._tail.runtime}"

    def run_one(self, sample: Mapping[str, np.ndarray], name: str = "0") -> dict[str, np.ndarray]:
        """The outputs for one sample.

        Raises:
            InputError: an input or output is no array of numbers (ONNX has texts, sequences and maps too).
            StepError: the runtime failed.
        """
        for tensor in self.artifact.io.inputs:
            if tensor.dtype == "object":
                raise self._no_numbers("input", tensor.name, "text")
        outputs, _ = self._run(feed(self.artifact.io, sample), name, check=True)
        return outputs

    def run_all(self, samples: SampleSequence, progress: Progress) -> Iterator[Seen]:
        """All samples in order; one that cannot be read, or does not run, is raised in its place."""
        read, count = make_feed(self.artifact.io, samples), len(samples)
        last = 0.0
        for index in range(count):
            outputs, seconds = self._run(read(index), str(index))
            now = time.perf_counter()
            yield Seen(index, outputs, seconds)
            if now - last >= _PROGRESS_EVERY_SECONDS or index + 1 == count:
                last = now
                progress(index + 1, count)

    def _run(
        self, feeds: Mapping[str, np.ndarray], name: str, *, check: bool = False
    ) -> tuple[dict[str, np.ndarray], float]:
        """(the source's outputs, seconds in the runtime and in the tail). ``check``: whether they are numbers."""
        started = time.perf_counter()
        results = self._call(self._session.run, feeds, name)
        seconds = time.perf_counter() - started
        for own, array in results.items() if check else ():
            if not isinstance(array, np.ndarray):
                raise self._no_numbers("output", own, "a sequence or map")
            if array.dtype.kind in TEXT:
                raise self._no_numbers("output", own, "text")
        outputs = collect(self.artifact.io, results)
        if self._tail is not None:
            started = time.perf_counter()
            outputs = self._call(self._tail.run, outputs, name)
            seconds += time.perf_counter() - started
        return outputs, seconds

    def _no_numbers(self, kind: str, name: str, what: str) -> InputError:
        return InputError(
            f"the {kind} `{name}` of {self.artifact.path.name} is {what}; edgekit measures arrays of numbers",
            where=str(self.artifact.path),
            remedy=f"export the model without the {kind} `{name}`",
            code="not_numbers",
        )

    def _call(
        self,
        run: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]],
        feeds: Mapping[str, np.ndarray],
        name: str,
    ) -> dict[str, np.ndarray]:
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
