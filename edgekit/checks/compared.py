"""A finished comparison of two models, read back from the figures that it left sample by sample."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.checks.measurement import Measurement
from edgekit.checks.records import compared_columns
from edgekit.numerics.sqnr import decibels


@dataclass(frozen=True)
class Compared:
    """A measurement against a reference, and the folders that hold its figures sample by sample."""

    measurement: Measurement
    records: Path
    reference: Path

    def outputs(self) -> list[dict[str, Any]]:
        """{name, sqnr_db over all samples, or None where it was not compared} of each output; behind a selection, of
        what is selected from, with {selected_from: true}."""
        info = json.loads((self.reference / "reference.json").read_text())
        signal, noise, compared = self._sums()
        found = [{"name": output["name"], "sqnr_db": None} for output in info["outputs"] if output["file"] is None]
        for place, column in enumerate(compared_columns(info)):
            figure = decibels(float(signal[:, place].sum()), float(noise[:, place].sum())) if compared[place] else None
            entry = {"selected_from": True} if column["entry"] else {}
            found.append({"name": column["name"], "sqnr_db": figure, **entry})
        return found

    def worst(self, ids: list[str] | None, count: int) -> list[dict[str, Any]]:
        """The samples that differ most: {sample, sqnr_db of its worst output or None, same_decision or None}."""
        signal, noise, compared = self._sums()
        figures = [
            min((decibels(float(s), float(n)) for s, n in zip(*row, strict=True)), default=None)
            for row in zip(signal[:, compared], noise[:, compared], strict=True)
        ]
        with np.load(self.records / "records.npz", allow_pickle=False) as records:
            agreement = records.get("agreement")
        shares = [0.0] * len(figures) if agreement is None else agreement.tolist()
        order = sorted(range(len(figures)), key=lambda index: (figures[index] or 0.0, shares[index], index))[:count]
        return [
            {
                "sample": ids[index] if ids else str(index),
                "sqnr_db": figures[index],
                "same_decision": None if agreement is None else bool(agreement[index] == 1),
            }
            for index in order
        ]

    def _sums(self) -> tuple[Any, Any, Any]:
        with np.load(self.records / "records.npz", allow_pickle=False) as records:
            return records["signal"], records["noise"], records["compared"]
