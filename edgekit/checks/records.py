"""What a measurement keeps of each sample, and the raw outputs of the source model, on disk.

A reference folder holds ``reference.json``, ``output_K.npy`` (one row per sample: the source's output K, real numbers),
``decisions.npy`` where the task decides, and ``records.npz``. A measurement's folder holds ``records.npz`` alone:

    seconds (samples)                    in the runtime's call
    scores (samples, columns)            against the label, where there are labels
    agreement (samples)                  0..1, where the task decides           (not of the source)
    signal, noise (samples, outputs)     sums of reference^2, (reference - x)^2 (not of the source)
    decisions (samples)                  where a sample has one
    nonfinite (samples)                  whether an output held NaN or infinity
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgekit.datasets.rows import RowReader, RowWriter
from edgekit.errors import InputError, StepError

REFERENCE = "reference.json"
RECORDS = "records.npz"
DECISIONS = "decisions.npy"


class Records:
    """Per-sample figures, gathered in arrays of fixed size."""

    def __init__(self, samples: int, outputs: int) -> None:
        self.seconds = np.zeros(samples)
        self.signal = np.zeros((samples, outputs))
        self.noise = np.zeros((samples, outputs))
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
            arrays |= {"signal": self.signal, "noise": self.noise}
            if decides:
                arrays["agreement"] = self.agreement
        np.savez(folder / RECORDS, allow_pickle=False, **arrays)


class ReferenceWriter:
    """Writes the source model's outputs and decisions, one sample after the other, in a ``with`` block.

    ``first`` are its outputs on some sample, which tell their names, shapes and types.
    """

    def __init__(self, folder: Path, samples: int, first: Mapping[str, np.ndarray]) -> None:
        self._folder = folder
        self._samples = samples
        self._first = first
        self._files = {name: f"output_{place}.npy" for place, name in enumerate(first)}
        self._open = ExitStack()
        self._rows: dict[str, RowWriter] = {}
        self._decisions: RowWriter | None = None
        self._digest = hashlib.sha256()

    def __enter__(self) -> ReferenceWriter:
        for name, file in self._files.items():
            self._rows[name] = self._open.enter_context(RowWriter(self._folder / file, self._samples))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def decides(self) -> bool:
        """Whether the task had a decision on any sample."""
        return self._decisions is not None

    def append(self, outputs: Mapping[str, np.ndarray], decision: np.ndarray | None) -> None:
        """The next sample's.

        Raises:
            StepError: an output has another shape or type than the first one's.
        """
        for name, array in outputs.items():
            try:
                self._rows[name].append(array)
            except ValueError as error:
                raise StepError(
                    f"the source model's output `{name}` changes from sample to sample: {error}",
                    where=name,
                    remedy="only outputs of one size can be compared: make the files with --no-eval, or give a model "
                    "that ends before it selects (NMS)",
                    code="outputs_differ",
                ) from error
            self._digest.update(np.ascontiguousarray(array).data)
        if decision is not None:
            if self._decisions is None:
                self._decisions = self._open.enter_context(RowWriter(self._folder / DECISIONS, self._samples))
            self._decisions.append(decision)

    def info(self) -> dict[str, Any]:
        """{samples, outputs: [{name, file, shape, dtype}], sha256 of the raw outputs, decides}."""
        outputs = [
            {"name": name, "file": file, "shape": list(self._first[name].shape), "dtype": str(self._first[name].dtype)}
            for name, file in self._files.items()
        ]
        digest = self._digest.hexdigest()
        return {"samples": self._samples, "outputs": outputs, "sha256": digest, "decides": self.decides}


class Reference:
    """The source model's outputs on the samples of a run."""

    def __init__(self, folder: Path) -> None:
        try:
            self.info: dict[str, Any] = json.loads((folder / REFERENCE).read_text())
            with np.load(folder / RECORDS, allow_pickle=False) as records:
                self.scores: np.ndarray | None = records.get("scores")
        except (OSError, ValueError) as error:
            raise InputError(f"no outputs of the source model in {folder}: {error}", where=str(folder)) from error
        self.names: list[str] = [output["name"] for output in self.info["outputs"]]
        self._rows = {output["name"]: RowReader(folder / output["file"]) for output in self.info["outputs"]}
        decisions = folder / DECISIONS
        self._decisions = RowReader(decisions) if decisions.exists() else None

    def __len__(self) -> int:
        return int(self.info["samples"])

    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """{source output name: shape}, the batch axis included."""
        return {output["name"]: tuple(output["shape"]) for output in self.info["outputs"]}

    def read(self, start: int, stop: int) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """(outputs by name, decisions) of the samples from ``start`` up to ``stop``, which are the first axis."""
        outputs = {name: rows.read(start, stop) for name, rows in self._rows.items()}
        return outputs, None if self._decisions is None else self._decisions.read(start, stop)
