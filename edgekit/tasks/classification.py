"""One class per sample: the decision is the largest of the class scores, the metric the share of right ones (top-1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from pydantic import Field

from edgekit.errors import InputError
from edgekit.tasks import Task, TaskOptions, task


class Options(TaskOptions):
    label_offset: int = Field(
        0, ge=0, description="added to a label to get the model's class (1: class 0 is background)"
    )
    top_k: int = Field(1, ge=1, description="a sample is right when its class is among the k largest scores")
    output: str | None = Field(None, description="which of several outputs holds the class scores")


@task("classification", metric="top1", proportion=True, options=Options)
class Classification(Task):
    """Works on scores of any scale: logits and probabilities decide alike."""

    _output: str | None = None
    _count: int | None = None

    def metric_name(self) -> str | None:
        return f"top{self.options.top_k}"

    def check_outputs(self, shapes: Mapping[str, tuple[int | None, ...]]) -> None:
        wanted = self.options.output
        if wanted is not None and wanted not in shapes:
            raise InputError(
                f"the model has no output `{wanted}`",
                where="task.output",
                remedy=f"its outputs are {', '.join(shapes)}",
                code="unknown_output",
            )
        fitting = [name for name in shapes if _classes_of(shapes[name]) is not None]
        chosen = [wanted] if wanted is not None else fitting
        if len(chosen) != 1 or chosen[0] not in fitting:
            listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            problem = "several outputs" if len(chosen) > 1 else "no output"
            raise InputError(
                f"classification finds {problem} of the shape [1, classes] among {listed}",
                where="task",
                remedy="name the one with `task: {name: classification, output: NAME}`"
                if len(chosen) > 1
                else "choose another task; `compare` fits any model",
                code="outputs_do_not_fit",
            )
        self._output, self._count = chosen[0], _classes_of(shapes[chosen[0]])

    def check_labels(self, highest: int | None, *, named: bool) -> None:
        count, offset = self._count, self.options.label_offset
        if count is None:
            return
        if highest is not None and highest + offset >= count:
            shifted = f" (label {highest} + label_offset {offset})" if offset else ""
            raise InputError(
                f"a label is class {highest + offset}{shifted}, but the model's output "
                f"`{self._output}` has the classes 0 to {count - 1}",
                where="data",
                remedy="give the data or the labels file that belong to this model, or correct task.label_offset",
                code="classes_differ",
            )
        if named and highest is not None:
            _refuse_numbers_as_text(self.classes or ())
        if self.classes is None or highest is None or len(self.classes) + offset == count:
            return
        origin = "class folders or label names" if named else "class names"
        raise InputError(
            f"the data have {len(self.classes)} {origin}, but the model's output `{self._output}` has {count} classes"
            + (f" ({offset} of them before the labels)" if offset else ""),
            where="data",
            remedy="give all the model's class names in order with `task: {labels: FILE}`, and task.label_offset for a "
            "background class",
            code="classes_differ",
        )

    def decide(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        scores = self._scores(outputs)
        return np.asarray(np.argmax(scores) if np.isfinite(scores).all() else -1, np.int64)

    def score(self, outputs: Mapping[str, np.ndarray], decision: np.ndarray | None, label: Any) -> float | None:
        if decision is None or not isinstance(label, int | np.integer):
            return None
        target = int(label) + self.options.label_offset
        if decision < 0:
            return 0.0
        if self.options.top_k == 1:
            return float(decision == target)
        scores = self._scores(outputs)
        # Ties count as argmax does: of equal scores the lower class comes first.
        ahead = np.count_nonzero(scores > scores[target]) + np.count_nonzero(scores[:target] == scores[target])
        return float(ahead < self.options.top_k)

    def chance(self) -> float | None:
        return None if not self._count else min(1.0, self.options.top_k / self._count)

    def constant_answer(self, labels: Any) -> float | None:
        """The share of the commonest label; with ``top_k`` of the k commonest."""
        known = [int(label) for label in labels if isinstance(label, int | np.integer)]
        if not known:
            return None
        commonest = Counter(known).most_common(self.options.top_k)
        return sum(count for _, count in commonest) / len(known)

    def _scores(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        name = self._output if self._output is not None else next(iter(outputs))
        return outputs[name].ravel()


def _refuse_numbers_as_text(names: Sequence[str]) -> None:
    """Refuse class folders that are numbers where the order of their names, which would count, is another than that of
    the numbers: which of the two a model was trained with cannot be known."""
    if not all(name.isdecimal() for name in names) or sorted(names) == sorted(names, key=int):
        return
    first = next(pair for pair in pairwise(sorted(names)) if int(pair[0]) > int(pair[1]))
    raise InputError(
        f"the class folders are numbers, of which `{first[0]}` comes before `{first[1]}` in the order of names: the "
        "model's order may be either",
        where="data",
        remedy="put a labels.txt beside them: their names, one a line, in the order of the model's outputs",
        code="classes_differ",
    )


def _classes_of(shape: tuple[int | None, ...]) -> int | None:
    """How many classes an output of this shape scores: one axis beside the batch that is longer than 1 (or None)."""
    if len(shape) < 2 or any(size is None for size in shape[1:]):
        return None
    sizes = [size for size in shape[1:] if size is not None and size != 1]
    return prod(sizes) if len(sizes) == 1 else None
