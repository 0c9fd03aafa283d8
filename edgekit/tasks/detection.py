"""Detections, as they stand behind NMS: the decision is the list of them, of another length for every picture.

Two lists agree as far as their detections can be paired: same class, and boxes whose intersection over union reaches
``iou``. Those of the higher scores choose first, each the box that it covers best among those that are left. The
agreement of a picture is 2 * pairs / (detections here + detections there), 1 where both find nothing; that of a data
set is the mean over its pictures. Labels are not looked at: there is no metric yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from edgekit.errors import InputError
from edgekit.tasks import Task, TaskOptions, task

#: The columns of a decision: the corners, the score, the class.
COLUMNS = ("x1", "y1", "x2", "y2", "score", "label")
_UNUSED = "-"

Shapes = Mapping[str, tuple[int | None, ...]]


class Options(TaskOptions):
    boxes: str | None = Field(None, description="which output holds the boxes, [..., detections, 4]")
    scores: str | None = Field(None, description="which output holds the scores, [..., detections]")
    classes: str | None = Field(None, description="which output holds the classes, [..., detections]")
    rows: str | None = Field(None, description="which output holds all of it, one detection in each row")
    columns: tuple[str, ...] = Field(
        COLUMNS, description="what the numbers of a row are, in order; `-` is one that says nothing"
    )
    centred: bool = Field(False, description="boxes are centre and sides (x, y, w, h), not two corners")
    min_score: float = Field(0.25, ge=0, description="detections of a lower score are left aside")
    iou: float = Field(0.5, gt=0, le=1, description="from which intersection over union on two boxes are the same")


@task("detection", metric=None, options=Options)
class Detection(Task):
    """Works on outputs that change size and on padded ones, whose empty places have a score below ``min_score``."""

    single = False
    varying = True
    _parts: dict[str, str]

    def check_outputs(self, shapes: Shapes) -> None:
        self._parts = self._named(shapes) or _find_parts(shapes, len(self.options.columns))
        if sorted({*self.options.columns} - {_UNUSED}) != sorted(COLUMNS):
            raise InputError(
                f"a row of detections needs the columns {', '.join(COLUMNS)} once each",
                where="task.columns",
                remedy=f"name the others `{_UNUSED}`",
                code="invalid_option",
            )
        if not self._parts:
            listed = ", ".join(f"{name} {_text(shape)}" for name, shape in shapes.items())
            raise InputError(
                "detection needs an output of boxes [.., detections, 4] with one of scores and one of classes "
                f"[.., detections], or one output of rows [.., detections, {len(self.options.columns)}]; "
                f"the model has {listed}",
                where="task",
                remedy="name them: `task: {name: detection, boxes: NAME, scores: NAME, classes: NAME}`, or with "
                "`rows: NAME`",
                code="outputs_do_not_fit",
            )

    def decide(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The detections [K, 6] as float64, the highest score first: x1 <= x2, y1 <= y2, score, class. A row of NaN
        alone where an output is not a number."""
        table = self._table(outputs)
        if not np.isfinite(table).all():
            return np.full((1, len(COLUMNS)), np.nan)
        boxes, scores = table[:, :4], table[:, 4]
        if self.options.centred:
            boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
        corners = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], 1)
        found = np.column_stack([corners, scores, np.rint(table[:, 5])])[scores >= self.options.min_score]
        return found[np.argsort(-found[:, 4], kind="stable")]

    def agree(self, decision: np.ndarray, reference: np.ndarray) -> float:
        if np.isnan(decision).any() or np.isnan(reference).any():
            return 0.0
        if not len(decision) and not len(reference):
            return 1.0
        return 2 * count_pairs(decision, reference, self.options.iou) / (len(decision) + len(reference))

    def _named(self, shapes: Shapes) -> dict[str, str]:
        """{part: output} of the outputs that the options name."""
        named = {part: getattr(self.options, part) for part in ("rows", "boxes", "scores", "classes")}
        told = {part: name for part, name in named.items() if name is not None}
        unknown = [name for name in told.values() if name not in shapes]
        if unknown:
            raise InputError(
                f"the model has no output `{unknown[0]}`",
                where="task",
                remedy=f"its outputs are {', '.join(shapes)}",
                code="unknown_output",
            )
        if told and set(told) not in ({"rows"}, {"boxes", "scores", "classes"}):
            raise InputError(
                "name `boxes`, `scores` and `classes` all three, or `rows` alone", where="task", code="invalid_option"
            )
        return told

    def _table(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """[K, 6] in the order of COLUMNS, as float64."""
        if "rows" in self._parts:
            columns = self.options.columns
            rows = outputs[self._parts["rows"]].reshape(-1, len(columns)).astype(np.float64)
            return np.asarray(rows[:, [columns.index(name) for name in COLUMNS]])
        boxes = outputs[self._parts["boxes"]].reshape(-1, 4).astype(np.float64)
        others = [outputs[self._parts[part]].reshape(-1).astype(np.float64) for part in ("scores", "classes")]
        if any(len(other) != len(boxes) for other in others):
            raise InputError(
                f"{len(boxes)} boxes, {len(others[0])} scores and {len(others[1])} classes do not belong together",
                where="task",
                code="outputs_do_not_fit",
            )
        return np.column_stack([boxes, *others])


def count_pairs(first: np.ndarray, second: np.ndarray, least: float) -> int:
    """How many detections [K, 6] of ``first``, the highest score first, find one of their own in ``second`` [M, 6]."""
    overlaps = intersection_over_union(first[:, :4], second[:, :4])
    overlaps[first[:, None, 5] != second[None, :, 5]] = -1.0
    pairs = 0
    for row in overlaps if overlaps.size else ():
        best = int(row.argmax())
        if row[best] >= least:
            pairs += 1
            overlaps[:, best] = -1.0
    return pairs


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[K, M] of boxes [K, 4] and [M, 4] as corners; equal boxes without an area cover one another."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.prod(np.maximum(high - low, 0.0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - both
    equal = (first[:, None] == second[None]).all(axis=2)
    return np.where(union > 0, both / np.where(union > 0, union, 1.0), equal.astype(np.float64))


def _find_parts(shapes: Shapes, columns: int) -> dict[str, str]:
    """{part: output} where the shapes tell: one output of rows, or one of boxes and two of numbers, whose names say
    which of them are the scores; nothing where they do not."""
    rows = [name for name, shape in shapes.items() if len(shape) >= 2 and shape[-1] == columns]
    boxes = [name for name, shape in shapes.items() if len(shape) >= 2 and shape[-1] == 4]
    if len(rows) == 1 and (len(shapes) == 1 or not boxes):
        return {"rows": rows[0]}
    if len(boxes) != 1:
        return {}
    length = shapes[boxes[0]][:-1]
    others = [name for name, shape in shapes.items() if name != boxes[0] and shape in (length, (*length, 1))]
    scores = [name for name in others if "score" in name.lower() or "conf" in name.lower()]
    labels = [name for name in others if "label" in name.lower() or "class" in name.lower()]
    if len(scores) != 1 or len(labels) != 1 or scores == labels:
        return {}
    return {"boxes": boxes[0], "scores": scores[0], "classes": labels[0]}


def _text(shape: tuple[Any, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
