"""Compares an artifact's outputs with the source model's, a block of samples at a time."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

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

    def __init__(self, reference: Reference, records: Records, task: Task, behind: Collection[str] = ()) -> None:
        """``behind``: the artifact's outputs that come from a selection."""
        self._reference, self._records, self._task, self._behind = reference, records, task, behind
        self._columns: list[list[np.ndarray]] = [[] for _ in reference.columns]
        self._entries = [place for place, column in enumerate(reference.columns) if column["entry"]]
        self._decisions: list[np.ndarray | None] = []
        self._start = self._bytes = 0

    def add(self, seen: Seen, decision: np.ndarray | None) -> None:
        """The next sample.

        Raises:
            StepError: an output is missing or has another shape than the source's.
        """
        entries = self._find_entries(seen.entries)
        for place, column in enumerate(self._reference.columns):
            array = entries.get(place) if column["entry"] else self._find_output(seen, column)
            if array is None:
                self._records.columns[place] = False
                continue
            self._columns[place].append(array)
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
        for place, arrays in enumerate(self._columns):
            if records.columns[place]:
                signal, noise = signals_and_noises(expected[place], np.stack(arrays))
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

    def _find_output(self, seen: Seen, column: Mapping[str, Any]) -> np.ndarray | None:
        """The artifact's array for an output of the source; None where a selection gave it another size."""
        name, shape = column["name"], tuple(column["shape"])
        array = seen.outputs.get(name)
        if array is not None and array.shape == shape:
            return array
        if array is not None and name in self._behind:
            return None
        found = "is missing" if array is None else f"is {list(array.shape)}"
        raise StepError(
            f"the output `{name}` {found}, but the source model's is {list(shape)}",
            where=name,
            remedy="the step that made this file changed what the model computes",
            code="outputs_differ",
        )

    def _find_entries(self, entries: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
        """{column: the artifact's array for it}: by name where all are called as the source's, else by their order;
        nothing where they are others."""
        shapes = [tuple(self._reference.columns[place]["shape"]) for place in self._entries]
        names = [self._reference.columns[place]["name"] for place in self._entries]
        arrays = [entries[name] for name in names] if set(names) == set(entries) else list(entries.values())
        if [array.size for array in arrays] != [math.prod(shape) for shape in shapes]:
            return {}
        return {place: array.reshape(shape) for place, array, shape in zip(self._entries, arrays, shapes, strict=True)}
