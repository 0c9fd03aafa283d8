"""What a measurement keeps of each sample, and the raw outputs of the source model, on disk.

A reference folder holds ``reference.json``, ``output_K.npy`` (one row per sample: the source's output K, real numbers),
``entry_K.npy`` (what it selects from), ``decisions.npy`` where the task decides, and ``records.npz``. What has another
size on every sample, or comes from a selection whose entries are known, is not kept and not compared number by number.
The *columns* of a comparison are the outputs that are kept and the entries, in that order. A measurement's folder holds
``records.npz`` alone:

    seconds (samples)                    in the runtime's call
    scores (samples, columns)            against the label, where there are labels
    agreement (samples)                  0..1, where the task decides           (not of the source)
    signal, noise (samples, columns)     sums of reference^2, (reference - x)^2 (not of the source)
    compared (columns)                   whether the artifact's could be held against the source's (not of the source)
    decisions (samples)                  where a sample has one
    nonfinite (samples)                  whether an output held NaN or infinity
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgekit.datasets.rows import RaggedReader, RaggedWriter, RowReader, RowWriter, offsets_of
from edgekit.errors import InputError

REFERENCE = "reference.json"
RECORDS = "records.npz"
DECISIONS = "decisions.npy"


class Records:
    """Per-sample figures, gathered in arrays of fixed size."""

    def __init__(self, samples: int, columns: int = 0) -> None:
        self.seconds = np.zeros(samples)
        self.signal = np.zeros((samples, columns))
        self.noise = np.zeros((samples, columns))
        self.columns = np.ones(columns, bool)
        self.agreement = np.zeros(samples)
        self.nonfinite = np.zeros(samples, bool)
        self.scores: np.ndarray | None = None
        self.decisions: np.ndarray | None = None
        self.compared = False
        self._samples = samples

    def add_score(self, index: int, score: float | np.ndarray) -> None:
        """The first score says how many columns there are."""
        row = np.atleast_1d(np.asarray(score, np.float64))
        if self.scores is None:
            self.scores = np.zeros((self._samples, len(row)))
        self.scores[index] = row

    def add_decision(self, index: int, decision: np.ndarray) -> None:
        """Kept where it is a single number."""
        if decision.ndim:
            return
        if self.decisions is None:
            self.decisions = np.zeros(self._samples, np.int64)
        self.decisions[index] = decision

    def save(self, folder: Path, *, decides: bool) -> None:
        """Write ``records.npz``."""
        arrays: dict[str, np.ndarray] = {"seconds": self.seconds, "nonfinite": self.nonfinite}
        if self.scores is not None:
            arrays["scores"] = self.scores
        if self.decisions is not None:
            arrays["decisions"] = self.decisions
        if self.compared:
            arrays |= {"signal": self.signal, "noise": self.noise, "compared": self.columns}
            if decides:
                arrays["agreement"] = self.agreement
        np.savez(folder / RECORDS, allow_pickle=False, **arrays)


class ReferenceWriter:
    """Writes the source model's outputs and decisions, one sample after the other, in a ``with`` block.

    ``outputs`` and ``entries`` are those of some sample, which tell their names, shapes and types; outputs ``behind``
    a selection are not kept. ``varying``: decisions have another length on every sample.
    """

    def __init__(
        self,
        folder: Path,
        samples: int,
        outputs: Mapping[str, np.ndarray],
        entries: Mapping[str, np.ndarray],
        *,
        behind: Collection[str] = (),
        varying: bool = False,
    ) -> None:
        self._folder = folder
        self._samples = samples
        self._varying = varying
        self._outputs = {name: _Kept(array) for name, array in outputs.items()}
        self._entries = {name: _Kept(array) for name, array in entries.items()}
        for name in behind:
            self._outputs[name].varies = True
        self._open = ExitStack()
        self._decisions: RowWriter | RaggedWriter | None = None
        self._digest = hashlib.sha256()

    def __enter__(self) -> ReferenceWriter:
        for kind, group in (("output", self._outputs), ("entry", self._entries)):
            for place, kept in enumerate(group.values()):
                if not kept.varies:
                    path = self._folder / f"{kind}_{place}.npy"
                    kept.rows = self._open.enter_context(RowWriter(path, self._samples))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def decides(self) -> bool:
        """Whether the task had a decision on any sample; a list of nothing on all of them is none."""
        if isinstance(self._decisions, RaggedWriter):
            return self._decisions.rows > 0
        return self._decisions is not None

    def append(
        self, outputs: Mapping[str, np.ndarray], entries: Mapping[str, np.ndarray], decision: np.ndarray | None
    ) -> None:
        """The next sample's."""
        for group, arrays in ((self._outputs, outputs), (self._entries, entries)):
            for name, array in arrays.items():
                group[name].append(array)
                self._digest.update(np.ascontiguousarray(array).data)
        if decision is not None:
            if self._decisions is None:
                path = self._folder / DECISIONS
                self._decisions = RaggedWriter(path) if self._varying else RowWriter(path, self._samples)
                self._open.enter_context(self._decisions)
            self._decisions.append(decision)

    def info(self) -> dict[str, Any]:
        """{samples, outputs and entries: [{name, file (None where it is not compared), shape (with None for a size that
        changes), dtype}], sha256 of all of them, decides}."""
        told = {
            kind: [kept.info(name) for name, kept in group.items()]
            for kind, group in (("outputs", self._outputs), ("entries", self._entries))
        }
        return {"samples": self._samples, **told, "sha256": self._digest.hexdigest(), "decides": self.decides}


class _Kept:
    """An output, or an entry, of the source model: its rows as long as all have one size."""

    def __init__(self, first: np.ndarray) -> None:
        self.rows: RowWriter | None = None
        self.varies = first.size == 0
        self._shape: tuple[int | None, ...] = first.shape
        self._dtype = first.dtype

    def append(self, array: np.ndarray) -> None:
        if array.shape != self._shape:
            same = len(array.shape) == len(self._shape)
            pairs = zip(self._shape, array.shape, strict=False)
            self._shape = tuple(a if a == b else None for a, b in pairs) if same else (None,)
            self.varies = True
        if self.varies and self.rows is not None:
            self.rows.close()
            self.rows.path.unlink()
            self.rows = None
        if self.rows is not None:
            self.rows.append(array)

    def info(self, name: str) -> dict[str, Any]:
        file = None if self.rows is None else self.rows.path.name
        return {"name": name, "file": file, "shape": list(self._shape), "dtype": str(self._dtype)}


class Reference:
    """The source model's outputs on the samples of a run."""

    def __init__(self, folder: Path) -> None:
        try:
            self.info: dict[str, Any] = json.loads((folder / REFERENCE).read_text())
            with np.load(folder / RECORDS, allow_pickle=False) as records:
                self.scores: np.ndarray | None = records.get("scores")
        except (OSError, ValueError) as error:
            raise InputError(f"no outputs of the source model in {folder}: {error}", where=str(folder)) from error
        self.columns = compared_columns(self.info)
        self._rows = [RowReader(folder / column["file"]) for column in self.columns]
        decisions = folder / DECISIONS
        self._decisions: RowReader | RaggedReader | None = None
        if decisions.exists():
            self._decisions = RaggedReader(decisions) if offsets_of(decisions).exists() else RowReader(decisions)

    def __len__(self) -> int:
        return int(self.info["samples"])

    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """{source output name: shape}, the batch axis included; a size that changes is None."""
        return {output["name"]: tuple(output["shape"]) for output in self.info["outputs"]}

    def read(self, start: int, stop: int) -> tuple[list[np.ndarray], Sequence[np.ndarray] | np.ndarray | None]:
        """(each column, decisions) of the samples from ``start`` up to ``stop``, which are the first axis."""
        columns = [rows.read(start, stop) for rows in self._rows]
        return columns, None if self._decisions is None else self._decisions.read(start, stop)


def compared_columns(info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns of ``reference.json``: {name, file, shape, dtype, entry: whether it is one}."""
    told = ((info["outputs"], False), (info["entries"], True))
    return [{**each, "entry": entry} for group, entry in told for each in group if each["file"] is not None]
