"""Decisions, scores and what does not fit, for one class per sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import InputError, UnknownName
from edgekit.tasks import Task, make_task


def classifier(classes: list[str] | None = None, shape: tuple = (1, 4), **options: object) -> Task:
    task = make_task("classification", options, classes)
    task.check_outputs({"y": shape})
    return task


def outputs(*scores: float) -> dict[str, np.ndarray]:
    return {"y": np.array([scores], np.float32)}


def score(task: Task, found: dict[str, np.ndarray], label: object) -> object:
    return task.score(found, task.decide(found), label)


def test_decision_and_top1() -> None:
    task = classifier()
    assert task.decide(outputs(0.1, 3, 2, -1)) == 1
    assert [score(task, outputs(0.1, 3, 2, -1), label) for label in (0, 1, 2)] == [0, 1, 0]
    assert score(task, outputs(0.1, 3, 2, -1), None) is None
    assert (task.metric_name(), task.chance(), task.proportion) == ("top1", 0.25, True)


def test_background_class() -> None:
    task = classifier(label_offset=1)
    assert score(task, outputs(0, 0, 1, 0), np.int64(1)) == 1


@given(st.lists(st.integers(-3, 3), min_size=4, max_size=4), st.integers(0, 3), st.integers(1, 4))
def test_top_k_is_a_stable_sort(values: list[int], label: int, k: int) -> None:
    best = np.argsort(-np.array(values), kind="stable")[:k]
    assert score(classifier(top_k=k), outputs(*values), label) == float(label in best)


def test_top_k_is_named_and_has_its_own_chance() -> None:
    task = classifier(top_k=2)
    assert (task.metric_name(), task.chance()) == ("top2", 0.5)


def test_a_constant_answer_scores_the_commonest_labels_share() -> None:
    labels = np.array([2, 0, 2, 1, 2, 0], np.int64)
    assert classifier().constant_answer(labels) == 3 / 6
    assert classifier(top_k=2).constant_answer(labels) == 5 / 6
    assert classifier().constant_answer([None, None]) is None


def test_not_a_number_decides_nothing() -> None:
    """argmax would take the place of the NaN, in source and artifact alike."""
    task = classifier()
    broken = task.decide(outputs(0, np.nan, 1, 2))
    assert broken == -1
    assert task.agree(broken, broken) == 0.0
    assert [score(task, outputs(0, np.nan, 1, 2), label) for label in (1, -1)] == [0.0, 0.0]
    assert score(classifier(top_k=3), outputs(0, np.nan, 1, 2), 2) == 0.0


@pytest.mark.parametrize(
    ("shapes", "chosen"),
    [
        ({"a": (1, 10), "b": (1, 4, 4, 3)}, "a"),
        ({"a": (1, 10, 1, 1)}, "a"),
        ({"a": (1, 1, 1, 10), "b": (1,)}, "a"),
        ({"a": (None, 10)}, "a"),
    ],
)
def test_the_output_with_classes_is_found(shapes: dict, chosen: str) -> None:
    task = make_task("classification")
    task.check_outputs(shapes)
    values = {name: np.zeros([1 if size is None else size for size in shape]) for name, shape in shapes.items()}
    values[chosen].reshape(-1)[7] = 1
    assert task.decide(values) == 7


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        ({"a": (1, 10), "b": (1, 5)}, {}, "several outputs"),
        ({"a": (1, 4, 4, 3)}, {}, "no output"),
        ({"a": (1, 1)}, {}, "no output"),
        ({"a": (1, 10)}, {"output": "b"}, "no output `b`"),
        ({"a": (1, 10), "b": (1, 4, 4, 3)}, {"output": "b"}, "no output"),
    ],
)
def test_outputs_that_do_not_fit(shapes: dict, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_task("classification", options).check_outputs(shapes)


def test_several_outputs_and_the_one_named() -> None:
    task = make_task("classification", {"output": "b"})
    task.check_outputs({"a": (1, 10), "b": (1, 5)})
    assert task.chance() == 0.2


@pytest.mark.parametrize(
    ("classes", "highest", "offset", "message"),
    [
        (None, 4, 0, "a label is class 4, but .* 0 to 3"),
        (None, 3, 1, r"a label is class 4 \(label 3 \+ label_offset 1\)"),
        (["a", "b", "c"], 2, 0, "the data have 3 class folders or label names, but .* 4 classes"),
        (["a", "b"], 1, 1, r"4 classes \(1 of them before the labels\)"),
    ],
)
def test_labels_that_do_not_fit(classes: list | None, highest: int, offset: int, message: str) -> None:
    task = classifier(classes, label_offset=offset)
    with pytest.raises(InputError, match=message) as caught:
        task.check_labels(highest, named=True)
    assert caught.value.word == "classes_differ"


def test_labels_that_fit() -> None:
    classifier(None).check_labels(3, named=False)
    classifier(None).check_labels(None, named=False)
    classifier(["a", "b", "c", "d"]).check_labels(1, named=True)
    classifier(["a", "b", "c"], label_offset=1).check_labels(2, named=True)


def test_options_are_strict() -> None:
    with pytest.raises(InputError, match="option `topk`"):
        make_task("classification", {"topk": 3})
    with pytest.raises(InputError, match="option `top_k`"):
        make_task("classification", {"top_k": 0})
    with pytest.raises(UnknownName, match="did you mean `classification`"):
        make_task("clasification")


def test_no_task_compares() -> None:
    task = make_task(None)
    assert (task.name, task.metric_name(), task.decide(outputs(1, 2)), score(task, outputs(1, 2), 1)) == (
        "compare", None, None, None,
    )  # fmt: skip


def test_class_folders_that_are_numbers() -> None:
    """From ten on the order of the names is not that of the numbers, and either may be the model's."""
    numbers = [str(number) for number in range(12)]
    task = classifier(sorted(numbers), shape=(1, 12))
    with pytest.raises(InputError, match="`11` comes before `2`") as caught:
        task.check_labels(11, named=True)
    assert "labels.txt" in (caught.value.remedy or "")
    task.check_labels(11, named=False)  # a labels.txt says the order
    task.check_labels(None, named=True)
    for names in (numbers[:10], [f"{number:02}" for number in range(12)], sorted(f"c{number}" for number in range(12))):
        classifier(names, shape=(1, len(names))).check_labels(3, named=True)
