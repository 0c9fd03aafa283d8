"""Labels of prepared samples on disk: class indices, label maps, or lists of boxes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.datasets.rows import RowWriter
from edgekit.datasets.source import Source
from edgekit.errors import InputError


class LabelWriter:
    """Writes the labels of one role: numbers and maps as ``labels.npy``, boxes as ``labels.json``. Does nothing, and
    leaves ``file`` None, for a source without labels."""

    def __init__(self, folder: Path, source: Source) -> None:
        self.file: str | None = None
        self._folder = folder
        self._source = source
        self._place = {name: index for index, name in enumerate(source.classes or ())}
        self._rows: RowWriter | None = None
        self._boxes: list[Any] = []
        self._digest = hashlib.sha256()

    def add(self, index: int, label: Any) -> None:
        """The label of the sample ``index``.

        Raises:
            InputError: missing while others have one, a name or index that the classes lack, or of another kind.
        """
        if not self._source.labelled:
            return
        if isinstance(label, list) and all(isinstance(box, dict) for box in label):
            self._boxes.append(label)
            self.file = "labels.json"
            return
        row = self._to_row(index, label)
        if self._rows is None:
            self._rows = RowWriter(self._folder / "labels.npy", len(self._source))
            self.file = "labels.npy"
        try:
            self._rows.append(row)
        except ValueError as error:
            raise self._refuse(index, f"is not like the others: {error}") from error
        self._digest.update(np.ascontiguousarray(row).data)

    def close(self) -> None:
        """Finish the file."""
        if self._rows is not None:
            self._rows.close()
        if self._boxes:
            text = json.dumps(self._boxes)
            (self._folder / "labels.json").write_text(text)
            self._digest.update(text.encode())

    def sha256(self) -> str | None:
        """Of all labels; None without."""
        return None if self.file is None else self._digest.hexdigest()

    def _to_row(self, index: int, label: Any) -> np.ndarray:
        if isinstance(label, str):
            if label not in self._place:
                raise self._refuse(index, f"`{label}` is not among the {len(self._place)} class names")
            return np.asarray(self._place[label], np.int64)
        if label is None:
            raise self._refuse(index, "is missing, though other samples have one")
        array = np.asarray(label)
        if array.ndim and array.size == 1:
            array = array.reshape(())
        if array.dtype.kind not in "iub" and not (array.dtype.kind == "f" and (array == np.floor(array)).all()):
            raise self._refuse(index, f"is {label!r}, neither a class index nor a class name")
        if array.ndim == 1:
            raise self._refuse(index, f"is a row of {array.size} numbers (one-hot?), not a class index or a label map")
        row = array.astype(np.int64)
        classes = self._source.classes
        if row.ndim == 0 and (row < 0 or (classes is not None and row >= len(classes))):
            raise self._refuse(
                index, f"is {int(row)}, but the classes are {0 if classes is None else len(classes)} from 0"
            )
        return row if row.ndim == 0 else row.astype(np.int32)

    def _refuse(self, index: int, what: str) -> InputError:
        return InputError(
            f"the label of {self._source.ids[index]} {what}",
            where=self._source.ids[index],
            remedy="correct the data, or give the class names in order with `task: {labels: FILE}`",
            code="classes_differ",
        )
