"""The contract of a task: what a model's outputs mean, sample by sample.

A task is a file in this package with one class; see ``classification.py``:

    @task("classification", metric="top1", proportion=True)
    class Classification(Task): ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgekit.registry import Registry


class TaskOptions(BaseModel):
    """The base of every task's options; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Task:
    """What each task answers. An instance holds its options and the data set's class names (None without labels).

    ``metric`` is the name of its figure. ``proportion``: each sample's score is 0 or 1, so that the value's interval is
    Wilson's. ``chance`` gives the score of blind guessing, where there is one.
    """

    name: ClassVar[str]
    metric: ClassVar[str | None]
    proportion: ClassVar[bool]
    options_model: ClassVar[type[TaskOptions]]

    def __init__(self, options: Any, classes: Sequence[str] | None) -> None:
        self.options = options
        self.classes = classes

    def check_outputs(self, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        """Refuse a model whose outputs cannot be this task's (InputError), before anything runs."""

    def decide(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """The decision of one sample as an array of integers (a class index, a label map); None if the task has none."""
        return None

    def score(self, outputs: Mapping[str, np.ndarray], label: Any) -> float | None:
        """The score of one sample against its label: 0..1, or None without a label."""
        return None

    def aggregate(self, scores: np.ndarray) -> float:
        """The metric of all samples from their scores (float64, one a sample); the mean unless the task says otherwise."""
        return float(np.mean(scores))

    def chance(self) -> float | None:
        """The metric that guessing reaches (1 / classes), or None."""
        return None


TASKS: Registry[type[Task]] = Registry("task", "edgekit.tasks")


def task(
    name: str, *, metric: str | None, proportion: bool = False, options: type[TaskOptions] = TaskOptions
) -> Callable[[type[Task]], type[Task]]:
    """Register the decorated class as a task."""

    def register(kind: type[Task]) -> type[Task]:
        kind.name, kind.metric, kind.proportion, kind.options_model = name, metric, proportion, options
        TASKS.add(name, kind, defined_in=kind)
        return kind

    return register
