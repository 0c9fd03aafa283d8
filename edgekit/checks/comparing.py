"""Compares an artifact's outputs with the source model's, a block of samples at a time."""

from __future__ import annotations

import numpy as np

from edgekit.checks.records import Records, Reference
from edgekit.checks.walk import Seen
from edgekit.errors import StepError
from edgekit.numerics.sqnr import signals_and_noises
from edgekit.tasks import Task

# A block ends with either: what NumPy costs per call is spread over samples, and memory stays bounded.
_SAMPLES, _BYTES = 64, 16_000_000


class Comparer:
    """Enters into ``records`` how each sample's outputs and decision compare with the reference's.

    Samples come in order; what was added is entered at the latest by ``flush``.
    """

    def __init__(self, reference: Reference, records: Records, task: Task) -> None:
        self._reference, self._records, self._task = reference, records, task
        self._shapes = reference.shapes()
        self._outputs: dict[str, list[np.ndarray]] = {name: [] for name in self._shapes}
        self._decisions: list[np.ndarray | None] = []
        self._start = self._bytes = 0

    def add(self, seen: Seen, decision: np.ndarray | None) -> None:
        """The next sample.

        Raises:
            StepError: an output is missing or has another shape than the source's.
        """
        for name, shape in self._shapes.items():
            array = seen.outputs.get(name)
            if array is None or array.shape != shape:
                found = "is missing" if array is None else f"is {list(array.shape)}"
                raise StepError(
                    f"the output `{name}` {found}, but the source model's is {list(shape)}",
                    where=name,
                    remedy="the step that made this file changed what the model computes",
                    code="outputs_differ",
                )
            self._outputs[name].append(array)
            self._bytes += array.nbytes
        self._decisions.append(decision)
        if len(self._decisions) == _SAMPLES or self._bytes > _BYTES:
            self.flush()

    def flush(self) -> None:
        """Enter what was added since the last time."""
        start, stop = self._start, self._start + len(self._decisions)
        if start == stop:
            return
        expected, decisions = self._reference.read(start, stop)
        records = self._records
        for place, (name, arrays) in enumerate(self._outputs.items()):
            signal, noise = signals_and_noises(expected[name], np.stack(arrays))
            records.signal[start:stop, place], records.noise[start:stop, place] = signal, noise
            # The noise's power is not finite exactly when an element is not (or is beyond 1e154).
            records.nonfinite[start:stop] |= ~np.isfinite(noise)
            arrays.clear()
        if decisions is not None:
            for place, own in enumerate(self._decisions):
                if own is not None:
                    records.agreement[start + place] = self._task.agree(own, decisions[place])
                    records.add_decision(start + place, own)
        self._decisions.clear()
        self._start, self._bytes = stop, 0
