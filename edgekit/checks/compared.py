"""A finished comparison of two models, read back from the figures that it left sample by sample."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.checks.measurement import Measurement
from edgekit.numerics.sqnr import decibels


@dataclass(frozen=True)
class Compared:
    """A measurement against a reference, and the folders that hold its figures sample by sample."""

    measurement: Measurement
    records: Path
    reference: Path

    def outputs(self) -> list[tuple[str, float]]:
        """(name, SQNR in dB over all samples) of each output."""
        names = [output["name"] for output in json.loads((self.reference / "reference.json").read_text())["outputs"]]
        signal, noise = self._sums()
        return [
            (name, decibels(float(signal[:, place].sum()), float(noise[:, place].sum())))
            for place, name in enumerate(names)
        ]

    def worst(self, ids: list[str] | None, count: int) -> list[dict[str, Any]]:
        """The samples that differ most: {sample, sqnr_db of its worst output, same_decision or None}."""
        signal, noise = self._sums()
        figures = [
            min(decibels(float(s), float(n)) for s, n in zip(*row, strict=True))
            for row in zip(signal, noise, strict=True)
        ]
        with np.load(self.records / "records.npz", allow_pickle=False) as records:
            agreement = records.get("agreement")
        order = sorted(range(len(figures)), key=lambda index: (figures[index], index))[:count]
        return [
            {
                "sample": ids[index] if ids else str(index),
                "sqnr_db": figures[index],
                "same_decision": None if agreement is None else bool(agreement[index] == 1),
            }
            for index in order
        ]

    def _sums(self) -> tuple[Any, Any]:
        with np.load(self.records / "records.npz", allow_pickle=False) as records:
            return records["signal"], records["noise"]
