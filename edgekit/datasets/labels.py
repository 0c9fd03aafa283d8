"""Labels of prepared samples on disk: class indices, label maps, or lists of boxes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.datasets.listing import MAX_INDEX
from edgekit.datasets.rows import RowWriter
from edgekit.datasets.source import Source, repeated
from edgekit.errors import InputError

LABEL_ALL = "give every sample a label of one kind, or none of them"
SAVE_INDICES = "save class indices, whole numbers from 0"
GIVE_NAMES = "give all class names in the model's order: `task: {labels: FILE}`, --labels FILE, or `classes` in an .npz"


class LabelWriter:
    """Writes the labels of one role: numbers and maps as ``labels.npy``, boxes as ``labels.json``. Does nothing, and
    leaves ``file`` None, for a source without labels."""

    def __init__(self, folder: Path, source: Source) -> None:
        self.file: str | None = None
        self._folder = folder
        self._source = source
        self._place = {name: index for index, name in enumerate(source.classes or ())}
        self._twice = repeated(source.classes or ())
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
        boxes = isinstance(label, list) and all(isinstance(box, dict) for box in label)
        file = "labels.json" if boxes else "labels.npy"
        if self.file not in (None, file):
            what = (
                "is a list of boxes, and those before it are none" if boxes else "is no list of boxes, as those before"
            )
            raise self._refuse(index, what, LABEL_ALL)
        if boxes:
            self._add_boxes(index, label)
            return
        row = self._to_row(index, label)
        if self._rows is None:
            self._rows = RowWriter(self._folder / "labels.npy", len(self._source))
            self.file = "labels.npy"
        try:
            self._rows.append(row)
        except ValueError as error:
            raise self._refuse(index, f"is not like the others: {error}", LABEL_ALL) from error
        self._digest.update(np.ascontiguousarray(row).data)

    def _add_boxes(self, index: int, boxes: list[dict[str, Any]]) -> None:
        try:
            json.dumps(boxes)
        except (TypeError, ValueError) as error:
            remedy = "give plain numbers and texts: {category, bbox: [x, y, width, height]}"
            raise self._refuse(index, f"holds what cannot be stored: {error}", remedy) from error
        self._boxes.append(boxes)
        self.file = "labels.json"

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
        if isinstance(label, bytes):
            label = label.decode("utf-8", "replace")
        if isinstance(label, str):
            return np.asarray(self._place_of(index, label), np.int64)
        if label is None:
            raise self._refuse(index, "is missing, though other samples have one", LABEL_ALL)
        array = np.asarray(label)
        if array.ndim and array.size == 1:
            array = array.reshape(())
        if array.dtype.kind == "O" and all(isinstance(value, int) for value in array.flat):
            array = array.astype(np.float64)  # whole numbers beyond 64 bits, which are refused below
        if array.dtype.kind not in "iub" and not (array.dtype.kind == "f" and (array == np.floor(array)).all()):
            raise self._refuse(index, f"is {_show(label)}, neither a class index nor a class name", SAVE_INDICES)
        if array.ndim == 1:
            what = f"is a row of {array.size} numbers (one-hot?), not a class index or a label map"
            raise self._refuse(index, what, "save the place of each row's 1, as y.argmax(axis=1)")
        if array.size and (array.max() > MAX_INDEX or array.min() < -MAX_INDEX):
            worst = array.max() if array.max() > MAX_INDEX else array.min()
            what = "is" if array.ndim == 0 else "is a map that holds"
            raise self._refuse(index, f"{what} {worst}, which is no class index", SAVE_INDICES)
        if array.ndim == 0:
            self._check_index(index, int(array))
        return array.astype(np.int64 if array.ndim == 0 else np.int32)

    def _place_of(self, index: int, name: str) -> int:
        """The class index of a name."""
        if not self._place:
            digits = name.strip().isdecimal()
            raise self._refuse(
                index,
                f"is the text `{name}`, and nothing gives the class names in the model's order",
                "save the labels as integers" if digits else GIVE_NAMES,
            )
        if name not in self._place:
            raise self._refuse(index, f"is `{name}`, which is not among the {len(self._place)} class names", GIVE_NAMES)
        if name in self._twice:
            raise self._refuse(index, f"is `{name}`, as two classes are called", SAVE_INDICES)
        return self._place[name]

    def _check_index(self, index: int, label: int) -> None:
        if label < 0:
            what = f"is {label}, and class indices count from 0"
            raise self._refuse(index, what, "leave out samples without a class, and count the others from 0")
        classes = self._source.classes
        if classes is not None and label >= len(classes):
            what = f"is {label}, but the classes are 0 to {len(classes) - 1}, as {len(classes)} class names are given"
            raise self._refuse(index, what, GIVE_NAMES)

    def _refuse(self, index: int, what: str, remedy: str) -> InputError:
        sample = self._source.ids[index]
        return InputError(f"the label of {sample} {what}", where=sample, remedy=remedy, code="classes_differ")


def _show(label: Any) -> str:
    text = " ".join(str(label).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
