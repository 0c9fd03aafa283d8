"""The contract of a task: what a model's outputs mean, sample by sample.

A task is a file in this package with one class; see ``classification.py``:

    @task("classification", metric="top1", proportion=True)
    class Classification(Task): ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit.errors import InputError
from edgekit.registry import Registry


class TaskOptions(BaseModel):
    """The base of every task's options; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Task:
    """What each task answers. An instance holds its options and the data set's class names (None without labels).

    ``metric`` is the name of its figure. ``share``: the figure is a share (0..1), read as per cent, and a drop of it is
    in points (0.01); else it has a unit of its own, and so has the drop. ``proportion``: each sample's score is 0 or 1,
    so that the value's interval is Wilson's. ``single``: a sample has one decision, so that agreement is a proportion
    too. ``varying``: a decision is an array whose first axis has another length for every sample (detections).
    """

    name: ClassVar[str]
    metric: ClassVar[str | None]
    share: ClassVar[bool] = True
    proportion: ClassVar[bool]
    options_model: ClassVar[type[TaskOptions]]
    single: ClassVar[bool] = True
    varying: ClassVar[bool] = False

    def __init__(self, options: Any, classes: Sequence[str] | None) -> None:
        self.options = options
        self.classes = classes

    def metric_name(self) -> str | None:
        """The figure's name with these options."""
        return self.metric

    def check_outputs(self, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        """Refuse a model whose outputs cannot be this task's (InputError), before anything runs."""

    def check_labels(self, highest: int | None, *, named: bool) -> None:
        """Refuse labels that the model's outputs cannot mean (InputError); called after ``check_outputs``.

        ``highest`` is the largest class index among the samples (None without such labels); ``named``: the class
        order is only that of sorted folder names, so that their number has to be the model's.
        """

    def decide(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """The decision of one sample as an array of integers (a class index, a label map) or, where it is ``varying``,
        of numbers; None if the task has none.

        Where an output is not a number there is no decision to speak of: -1 (NaN), which agrees with nothing."""
        return None

    def agree(self, decision: np.ndarray, reference: np.ndarray) -> float:
        """How far two decisions on one sample are the same, 0..1: the share of equal elements that are decisions."""
        same = (decision == reference) & (decision >= 0)
        return float(same.mean() if decision.ndim else same)

    def score(
        self, outputs: Mapping[str, np.ndarray], decision: np.ndarray | None, label: Any
    ) -> float | np.ndarray | None:
        """The score of one sample against its label: a number, a vector whose length is the same for all, or None
        without a label that the task understands. ``decision`` is what ``decide`` made of the same outputs."""
        return None

    def aggregate(self, means: np.ndarray) -> np.ndarray:
        """The metric from mean scores: ``means`` has the scores' elements on its last axis (one, or a vector's), and
        any leading axes (resamples) are kept. The mean itself unless the task says otherwise."""
        return means[..., 0]

    def chance(self) -> float | None:
        """The metric that guessing reaches (1 / classes), or None; known after ``check_outputs``."""
        return None

    def constant_answer(self, labels: Any) -> float | None:
        """The metric that one answer to every sample reaches at best, or None where the task does not ask.

        ``labels`` are the samples' (array or list). Chance is the larger of this and ``chance``, not 1 / classes
        alone: labels are rarely spread evenly, and a model that says one class always (which is what wrong
        preprocessing mostly comes to) scores the share of the commonest label.
        """
        return None


TASKS: Registry[type[Task]] = Registry("task", "edgekit.tasks")


def task(
    name: str,
    *,
    metric: str | None,
    share: bool = True,
    proportion: bool = False,
    options: type[TaskOptions] = TaskOptions,
) -> Callable[[type[Task]], type[Task]]:
    """Register the decorated class as a task."""

    def register(kind: type[Task]) -> type[Task]:
        kind.name, kind.metric, kind.share, kind.proportion = name, metric, share, proportion
        kind.options_model = options
        TASKS.add(name, kind, defined_in=kind)
        return kind

    return register


def make_task(name: str | None, options: Mapping[str, Any] | None = None, classes: Sequence[str] | None = None) -> Task:
    """The task of that name (None: ``compare``, which has no decision and no metric), with its options validated.

    Raises:
        UnknownName: no task is called so.
        InputError: an option that it lacks, or of another type.
    """
    kind = TASKS.get(name or "compare")
    try:
        validated = kind.options_model(**(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.options_model.model_fields) or "none"
        raise InputError(
            f"task `{kind.name}`, option `{where}`: {first['msg']}",
            where="task",
            remedy=f"its options are {known}",
            code="invalid_option",
        ) from error
    return kind(validated, classes)
