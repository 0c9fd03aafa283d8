"""Label maps: agreement by pixels, mean IoU against its definition pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.tasks import Task, make_task


def segmenter(**options: object) -> Task:
    task = make_task("segmentation", options)
    task.check_outputs({"y": (1, 4, 5, 6)})
    return task


def scores_of(label_map: np.ndarray, classes: int = 4) -> dict[str, np.ndarray]:
    return {"y": np.eye(classes, dtype=np.float32)[label_map].transpose(2, 0, 1)[None]}


def random_maps(seed: int, count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 4, (count, 5, 6)))


def mean_iou(decided: list[np.ndarray], truth: list[np.ndarray]) -> float:
    found, true = np.concatenate([np.ravel(m) for m in decided]), np.concatenate([np.ravel(m) for m in truth])
    ratios = []
    for number in range(4):
        union = sum(1 for a, b in zip(found, true, strict=True) if number in (a, b))
        both = sum(1 for a, b in zip(found, true, strict=True) if a == b == number)
        if union:
            ratios.append(both / union)
    return sum(ratios) / len(ratios)


def score(task: Task, found: np.ndarray, truth: np.ndarray) -> object:
    outputs = scores_of(found)
    return task.score(outputs, task.decide(outputs), truth)


def value(task: Task, decided: list[np.ndarray], truth: list[np.ndarray]) -> float:
    rows = [score(task, found, true) for found, true in zip(decided, truth, strict=True)]
    return float(task.aggregate(np.mean(np.array(rows), axis=0)))


def test_mean_iou_is_over_all_pixels_of_the_data() -> None:
    truth = random_maps(0, 7)
    decided = [
        np.where(np.random.default_rng(9).random((5, 6)) < 0.6, a, b)
        for a, b in zip(truth, random_maps(1, 7), strict=True)
    ]
    assert value(segmenter(), decided, truth) == pytest.approx(mean_iou(decided, truth), abs=1e-12)


def test_a_class_that_never_occurs_counts_for_nothing() -> None:
    flat = [np.zeros((5, 6), int)]
    assert value(segmenter(), flat, flat) == 1.0


def test_ignored_pixels() -> None:
    truth = [np.full((5, 6), 255)]
    truth[0][0] = 2
    decided = [np.full((5, 6), 2)]
    assert value(segmenter(), decided, truth) == 1.0
    with pytest.raises(InputError, match="holds class 255"):
        value(segmenter(ignore_label=None), decided, truth)


def test_agreement_is_the_share_of_pixels() -> None:
    task = segmenter()
    first = np.zeros((5, 6), int)
    second = first.copy()
    second[0] = 1
    decisions = [task.decide(scores_of(label_map)) for label_map in (first, second)]
    assert task.agree(*decisions) == pytest.approx(24 / 30)  # type: ignore[arg-type]
    assert not task.single


def test_label_maps_and_other_axes() -> None:
    label_map = random_maps(3, 1)[0]
    task = make_task("segmentation", {"class_axis": -1})
    task.check_outputs({"y": (1, 5, 6, 4)})
    np.testing.assert_array_equal(task.decide({"y": scores_of(label_map)["y"].transpose(0, 2, 3, 1)})[0], label_map)
    np.testing.assert_array_equal(segmenter().decide({"y": label_map[None, None]})[0], label_map)


def test_pixels_without_a_number_agree_with_nothing() -> None:
    task = segmenter()
    scores = scores_of(random_maps(4, 1)[0])
    scores["y"][0, 2, 1, 1] = np.nan
    decision = task.decide(scores)
    assert (decision == -1).sum() == 1
    assert task.agree(decision, decision) == pytest.approx(29 / 30)


@pytest.mark.parametrize("shapes", [{"y": (1, 10)}, {"y": (1, 4, 5, 6), "z": (1, 4, 5, 6)}])
def test_outputs_that_do_not_fit(shapes: dict) -> None:
    with pytest.raises(InputError, match="four axes"):
        make_task("segmentation").check_outputs(shapes)


def test_label_maps_of_another_size() -> None:
    with pytest.raises(InputError, match=r"\[4, 4\] pixels, the model's has 30"):
        score(segmenter(), random_maps(0, 1)[0], np.zeros((4, 4), int))
