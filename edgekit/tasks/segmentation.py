"""One class per pixel: the decision is the label map, the metric the mean intersection over union of the classes.

Agreement of a sample is the share of pixels that got the same class; that of a data set is the mean over its samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from edgekit.errors import InputError
from edgekit.tasks import Task, TaskOptions, task


class Options(TaskOptions):
    class_axis: int = Field(1, description="the axis of the class scores, the batch counted: 1 in NCHW, -1 in NHWC")
    ignore_label: int | None = Field(255, description="pixels of this label count for nothing (null: none)")
    output: str | None = Field(None, description="which of several outputs holds the class scores")


@task("segmentation", metric="mean_iou", options=Options)
class Segmentation(Task):
    """An output of integers is taken as the label map itself."""

    single = False
    _output: str | None = None
    _count: int | None = None

    def check_outputs(self, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        name = self.options.output
        if name is None and len(shapes) == 1:
            name = next(iter(shapes))
        if name is None or name not in shapes or len(shapes[name]) != 4:
            listed = ", ".join(f"{known} {list(shape)}" for known, shape in shapes.items())
            raise InputError(
                f"segmentation needs one output of four axes (batch, classes, height, width), the model has {listed}",
                where="task",
                remedy="name it with `task: {name: segmentation, output: NAME}`",
                code="outputs_do_not_fit",
            )
        if not -4 <= self.options.class_axis < 4:
            raise InputError(
                f"class_axis is {self.options.class_axis}, but `{name}` has 4 axes", where="task.class_axis"
            )
        self._output, self._count = name, shapes[name][self.options.class_axis]

    def decide(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        scores = outputs[self._output if self._output is not None else next(iter(outputs))]
        if scores.dtype.kind in "iub":
            return np.squeeze(scores, self.options.class_axis).astype(np.int32)
        decision = np.argmax(scores, axis=self.options.class_axis).astype(np.int32)
        if np.isfinite(scores).all():
            return decision
        return np.where(np.isfinite(scores).all(axis=self.options.class_axis), decision, -1)

    def score(self, outputs: Mapping[str, np.ndarray], decision: np.ndarray | None, label: Any) -> np.ndarray | None:
        """[pixels in the intersection of each class ..., in its union ...]."""
        if decision is None or not isinstance(label, np.ndarray) or label.ndim < 2 or self._count is None:
            return None
        decision = decision.reshape(-1)
        truth = label.reshape(-1)
        if decision.shape != truth.shape:
            raise InputError(
                f"a label map has {list(label.shape)} pixels, the model's has {decision.size} of them",
                where="data",
                remedy="give label maps at the size of the model's output",
                code="classes_differ",
            )
        if self.options.ignore_label is not None:
            counted = truth != self.options.ignore_label
            decision, truth = decision[counted], truth[counted]
        if truth.size and (truth.min() < 0 or truth.max() >= self._count):
            raise InputError(
                f"a label map holds class {int(truth.max())}, the model has 0 to {self._count - 1}",
                where="data",
                code="classes_differ",
            )
        both = _count_classes(truth[decision == truth], self._count)
        union = _count_classes(truth, self._count) + _count_classes(decision[decision >= 0], self._count) - both
        return np.concatenate([both, union]).astype(np.float64)

    def aggregate(self, means: np.ndarray) -> np.ndarray:
        """Over all pixels of the data set; a class that is neither there nor predicted counts for nothing."""
        half = means.shape[-1] // 2
        both, union = means[..., :half], means[..., half:]
        seen = union > 0
        ratios = np.divide(both, union, out=np.zeros_like(both), where=seen)
        return ratios.sum(axis=-1) / np.maximum(seen.sum(axis=-1), 1)


def _count_classes(pixels: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(pixels, minlength=count)[:count]
