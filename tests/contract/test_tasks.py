"""Every registered task on made-up outputs: what measuring relies on, whatever the outputs mean."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import EdgekitError, InputError
from edgekit.tasks import Task, make_task

#: Outputs of many kinds of models; a task fits at least one of them.
OUTPUTS = {
    "scores": {"scores": (1, 10)},
    "map": {"map": (1, 5, 6, 8)},
    "detections": {"detections": (1, 12, 6)},
    "boxes and scores": {"boxes": (1, 12, 4), "scores": (1, 12, 5)},
    "sequence": {"sequence": (1, 7, 16)},
    "picture": {"picture": (1, 3, 6, 8)},
    "number": {"number": (1, 1)},
}


def fitting(name: str) -> list[tuple[Task, dict[str, np.ndarray]]]:
    """(the task, outputs that it takes) of every kind that it does not refuse."""
    generator = np.random.default_rng(0)
    found = []
    for shapes in OUTPUTS.values():
        judge = make_task(name)
        outputs = {key: generator.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}
        try:
            judge.check_outputs(dict(shapes))
        except InputError as error:
            assert error.message
            assert error.where
        else:
            found.append((judge, outputs))
    return found


def test_it_fits_some_model(task_name: str) -> None:
    assert fitting(task_name)


def test_decisions(task_name: str) -> None:
    for judge, outputs in fitting(task_name):
        decision = judge.decide(outputs)
        if decision is None:
            continue
        assert decision.dtype.kind in ("f" if judge.varying else "iu")
        assert np.array_equal(decision, judge.decide({key: value.copy() for key, value in outputs.items()}))
        assert judge.agree(decision, decision) == 1.0
        broken = judge.decide({key: np.full_like(value, np.nan) for key, value in outputs.items()})
        assert broken is not None
        assert judge.agree(broken, decision) == 0.0
        assert judge.agree(broken, broken) == 0.0, "what is not a number agrees with nothing"


def test_figures(task_name: str) -> None:
    for judge, outputs in fitting(task_name):
        chance = judge.chance()
        assert chance is None or 0 < chance <= 1
        assert judge.score(outputs, judge.decide(outputs), None) is None, "without a label there is no score"
        assert judge.score(outputs, judge.decide(outputs), object()) is None, (
            "nor with one that the task does not understand"
        )
        if judge.metric is None:
            continue
        assert judge.metric_name()
        score = np.atleast_1d(np.zeros(2) if not judge.proportion else 0.0)
        resamples = np.zeros((4, *score.shape))
        assert judge.aggregate(resamples).shape == (4,)


def test_an_unknown_option_is_refused(task_name: str) -> None:
    with pytest.raises(EdgekitError, match="no_such_option"):
        make_task(task_name, {"no_such_option": 1})
