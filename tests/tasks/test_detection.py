"""Detections: which outputs hold them, and how far two lists agree, by figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.tasks import Task, make_task
from edgekit.tasks.detection import count_pairs, intersection_over_union

Row = tuple[float, float, float, float, float, int]


def table(*rows: Row) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 6)


def parts(*rows: Row) -> dict[str, np.ndarray]:
    found = table(*rows).astype(np.float32)
    return {"boxes": found[:, :4], "scores": found[:, 4], "labels": found[:, 5].astype(np.int64)}


def detection(shapes: dict[str, tuple[int | None, ...]], **options: object) -> Task:
    made = make_task("detection", options)
    made.check_outputs(shapes)
    return made


PARTS: dict[str, tuple[int | None, ...]] = {"boxes": (None, 4), "scores": (None,), "labels": (None,)}


def test_intersection_over_union() -> None:
    first = np.array([[0, 0, 4, 4], [1, 1, 1, 1]], float)
    second = np.array([[0, 0, 4, 4], [2, 0, 6, 4], [2, 2, 6, 6], [5, 5, 9, 9], [1, 1, 1, 1]], float)
    expected = [[1, 8 / 24, 4 / 28, 0, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_allclose(intersection_over_union(first, second), expected)


def test_pairs_are_one_to_one_and_the_surest_chooses_first() -> None:
    two_of_one = table((0, 0, 10, 10, 0.9, 1), (0, 0, 10, 9, 0.8, 1))
    assert count_pairs(two_of_one, two_of_one[:1], 0.5) == 1
    # The first takes the box that it covers better; what is left covers 90 of 110 of the other.
    assert count_pairs(table((0, 0, 10, 10, 0.9, 1), (0, 0, 10, 11, 0.8, 1)), two_of_one, 0.8) == 2
    assert count_pairs(table((0, 0, 10, 10, 0.9, 1), (0, 0, 10, 11, 0.8, 1)), two_of_one, 0.85) == 1
    assert count_pairs(two_of_one, table((0, 0, 10, 10, 0.9, 2)), 0.5) == 0, "another class"
    assert count_pairs(table(), two_of_one, 0.5) == count_pairs(two_of_one, table(), 0.5) == 0


@pytest.mark.parametrize(
    ("found", "share"),
    [
        ([(0, 0, 10, 10, 0.9, 1), (20, 20, 30, 30, 0.5, 2)], 1.0),
        ([(20, 20, 30, 30, 0.5, 2), (0, 0, 10, 10, 0.9, 1)], 1.0),  # the order says nothing
        ([(0, 0, 10, 10, 0.4, 1), (20, 20, 30, 30, 0.6, 2), (0, 0, 10, 10, 0.2, 1)], 1.0),  # nor do low scores
        ([(0, 0, 10, 10, 0.9, 1)], 2 / 3),
        ([(0, 0, 10, 10, 0.9, 1), (20, 20, 30, 30, 0.5, 3)], 1 / 2),
        ([(0, 0, 10, 10, 0.9, 1), (20, 20, 30, 30, 0.5, 2), (50, 50, 60, 60, 0.5, 2)], 4 / 5),
        ([(0, 4, 10, 10, 0.9, 1), (20, 26, 30, 30, 0.5, 2)], 1 / 2),  # 60 % and 40 % of the box
        ([], 0.0),
    ],
)
def test_agreement(found: list[Row], share: float) -> None:
    judge = detection(PARTS)
    reference = judge.decide(parts((0, 0, 10, 10, 0.9, 1), (20, 20, 30, 30, 0.5, 2)))
    assert judge.agree(judge.decide(parts(*found)), reference) == pytest.approx(share)
    assert judge.agree(reference, judge.decide(parts(*found))) == pytest.approx(share)


def test_nothing_there_and_nothing_found() -> None:
    judge = detection(PARTS)
    assert judge.agree(judge.decide(parts()), judge.decide(parts((0, 0, 1, 1, 0.1, 1)))) == 1.0


def test_what_is_not_a_number() -> None:
    judge = detection(PARTS)
    broken = judge.decide(parts((0, 0, 10, np.nan, 0.9, 1)))
    assert judge.agree(broken, broken) == judge.agree(judge.decide(parts()), broken) == 0.0


def test_padded_rows_and_other_columns() -> None:
    """As they are for TensorRT and for YOLOv7: [1, 4, 6] with zeros behind, and (picture, corners, class, score)."""
    rows = np.zeros((1, 4, 6), np.float32)
    rows[0, 0] = (0, 0, 10, 10, 0.9, 1)
    judge = detection({"detections": (1, 4, 6)})
    np.testing.assert_allclose(judge.decide({"detections": rows}), [(0, 0, 10, 10, 0.9, 1)], rtol=1e-6)
    columns = ("-", "x1", "y1", "x2", "y2", "label", "score")
    judge = detection({"output": (None, 7)}, columns=columns)
    found = judge.decide({"output": np.array([[0, 1, 2, 3, 4, 7, 0.5], [0, 1, 2, 3, 4, 7, 0.7]], np.float32)})
    np.testing.assert_allclose(found, [(1, 2, 3, 4, 0.7, 7), (1, 2, 3, 4, 0.5, 7)], rtol=1e-6)


def test_centred_boxes_and_corners_in_any_order() -> None:
    judge = detection(PARTS, centred=True)
    assert judge.decide(parts((10, 20, 4, 6, 0.9, 1)))[0, :4].tolist() == [8, 17, 12, 23]
    judge = detection(PARTS)
    assert judge.decide(parts((10, 20, 4, 6, 0.9, 1)))[0, :4].tolist() == [4, 6, 10, 20]


def test_outputs_are_found_or_named() -> None:
    """As the TFLite detection head has them, with a batch axis and a count."""
    shapes = {"location": (1, 10, 4), "category": (1, 10), "score": (1, 10), "number": (1,)}
    with pytest.raises(InputError, match="location"):
        detection(shapes)
    judge = detection(shapes, boxes="location", scores="score", classes="category", min_score=0.5)
    outputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    outputs["score"][0, 3], outputs["category"][0, 3], outputs["location"][0, 3] = 0.75, 5, (0, 0, 1, 1)
    assert judge.decide(outputs).tolist() == [[0, 0, 1, 1, 0.75, 5]]
    assert detection({"boxes": (9, 4), "class_ids": (9,), "confidence": (9, 1)})


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"boxes": "boxes"}, "invalid_option"),
        ({"rows": "boxes", "classes": "labels"}, "invalid_option"),
        ({"rows": "nowhere"}, "unknown_output"),
        ({"columns": ("x1", "y1", "x2", "y2", "score", "score")}, "invalid_option"),
    ],
)
def test_options_that_say_nothing(options: dict[str, object], word: str) -> None:
    with pytest.raises(InputError) as caught:
        detection(PARTS, **options)
    assert caught.value.word == word


def test_outputs_that_do_not_belong_together() -> None:
    judge = detection(PARTS)
    outputs = {**parts((0, 0, 1, 1, 0.9, 1)), "scores": np.ones(2, np.float32)}
    with pytest.raises(InputError, match="do not belong together"):
        judge.decide(outputs)
