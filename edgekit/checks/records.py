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

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.datasets.rows import RowReader
from edgekit.errors import InputError

REFERENCE = "reference.json"
RECORDS = "records.npz"


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
        decisions = folder / "decisions.npy"
        self._decisions = RowReader(decisions) if decisions.exists() else None

    def __len__(self) -> int:
        return int(self.info["samples"])

    def shapes(self) -> dict[str, tuple[int | None, ...]]:
        """{source output name: shape}, the batch axis included."""
        return {output["name"]: tuple(output["shape"]) for output in self.info["outputs"]}

    def read(self, index: int) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """(outputs, decision) of one sample."""
        outputs = {name: rows[index] for name, rows in self._rows.items()}
        return outputs, None if self._decisions is None else self._decisions[index]
