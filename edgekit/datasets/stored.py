"""Prepared samples on disk, as calibrating steps and measurements read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.datasets.preprocess import apply_tail, apply_tail_to_picture, channel_axis
from edgekit.datasets.rows import RowReader
from edgekit.errors import InputError

INDEX = "index.json"


@dataclass(frozen=True)
class Column:
    """One model input of prepared samples. ``picture``: rows are (height, width, channels) and go into ``layout``
    when read; other rows are in the model's own layout. ``dtype`` is what the model takes."""

    name: str
    rows: RowReader
    dtype: str
    layout: str | None
    picture: bool
    tail: tuple[dict[str, Any], ...]

    def read(self, index: int) -> np.ndarray:
        """The array that the model takes, with a batch axis of 1."""
        row = self.rows[index]
        if self.picture:
            row = apply_tail_to_picture(row, self.tail, planar=self.layout == "NCHW")
        elif self.tail:
            row = apply_tail(row, self.tail, channel_axis(self.layout, row.ndim, picture=False))
        return row.astype(self.dtype, copy=False)[None]

    def value_range(self, lowest: np.ndarray, highest: np.ndarray) -> tuple[float, float]:
        """The prepared input's range for the extremes of the stored rows: one for each channel, or (where no axis is
        that of the channels) of all together."""
        ends = [apply_tail(end, self.tail) for end in (lowest, highest)]
        return float(min(end.min() for end in ends)), float(max(end.max() for end in ends))


class StoredSamples:
    """The samples of one role; implements ``edgekit.steps.Samples`` and may be read from several threads.

    ``labels`` are class indices (int64 array), label maps (``RowReader``), lists of boxes, or None; ``classes`` the
    class names or None; ``named`` whether their order is only that of sorted names; ``ids`` say where each sample
    came from; ``columns`` are the model's inputs by name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info: dict[str, Any] = _read_index(folder)
        self.ids: list[str] = self.info["ids"]
        self.classes: tuple[str, ...] | None = (
            None if self.info["class_names"] is None else tuple(self.info["class_names"])
        )
        self.named: bool = self.info["named"]
        self.sha256: str = self.info["sha256"]
        self.labels: Any = _read_labels(folder, self.info["labels"])
        columns = [
            Column(
                name=entry["name"],
                rows=RowReader(folder / entry["file"]),
                dtype=entry["dtype"],
                layout=entry["layout"],
                picture=entry["picture"],
                tail=tuple(entry["tail"]),
            )
            for entry in self.info["inputs"]
        ]
        self.columns: dict[str, Column] = {column.name: column for column in columns}

    def __len__(self) -> int:
        return int(self.info["samples"])

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return {name: column.read(index) for name, column in self.columns.items()}

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[index] for index in range(len(self)))


def open_samples(folder: Path, role: str) -> StoredSamples:
    """The prepared samples of a role (``calibrate`` or ``evaluate``).

    Raises:
        InputError: they are not there, or not whole.
    """
    return StoredSamples(folder / role)


def _read_index(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / INDEX).read_text()))
    except (OSError, ValueError) as error:
        raise InputError(f"no prepared samples in {folder}: {error}", where=str(folder), code="missing_data") from error


def _read_labels(folder: Path, file: str | None) -> Any:
    if file is None:
        return None
    if file.endswith(".json"):
        return json.loads((folder / file).read_text())
    rows = RowReader(folder / file)
    return np.load(folder / file, allow_pickle=False) if rows.shape == () else rows
