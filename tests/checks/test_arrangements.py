"""How the inputs and outputs of two files stand for one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.artifact import IO, Tensor
from edgekit.checks.arrangements import Side, arrangements, choose_arrangement
from edgekit.errors import InputError


def io(inputs: list[tuple[str, tuple[int, ...]]], outputs: list[tuple[str, tuple[int, ...]]]) -> IO:
    def tensors(said: list[tuple[str, tuple[int, ...]]]) -> tuple[Tensor, ...]:
        return tuple(Tensor(name, name, shape, "float32") for name, shape in said)

    return IO(tensors(inputs), tensors(outputs))


def test_names_come_before_positions(tmp_path: Path) -> None:
    first = io([("x", (1, 4))], [("boxes", (1, 9)), ("scores", (1, 9))])
    second = io([("x", (1, 4))], [("scores", (1, 9)), ("boxes", (1, 9))])
    way = arrangements(Side(first, tmp_path / "a.onnx"), Side(second, tmp_path / "b.onnx"))[0]
    assert [(tensor.source_name, tensor.name) for tensor in way.outputs] == [("boxes", "boxes"), ("scores", "scores")]


def test_every_permutation_that_fits_is_tried(tmp_path: Path) -> None:
    first, second = io([("x", (1, 3, 8, 8))], [("y", (1, 2))]), io([("in", (1, 8, 8, 3))], [("out", (1, 2))])
    ways = arrangements(Side(first, tmp_path / "a.onnx"), Side(second, tmp_path / "b.tflite"))
    assert [way.inputs[0].permutation for way in ways] == [(0, 2, 3, 1), (0, 3, 2, 1)]
    assert {way.inputs[0].source_name for way in ways} == {"x"}


def test_other_numbers_of_outputs(tmp_path: Path) -> None:
    first, second = io([("x", (1, 4))], [("y", (1, 9))]), io([("x", (1, 4))], [("y", (1, 9)), ("z", (1,))])
    with pytest.raises(InputError, match="1 and 2 outputs"):
        arrangements(Side(first, tmp_path / "a.onnx"), Side(second, tmp_path / "b.onnx"))


def test_sidecars_of_one_source_settle_it(tmp_path: Path) -> None:
    """Both say how they stand for the source: the one undone, then the other done."""
    first, second = io([("x", (1, 3, 8, 8))], [("y", (1, 2))]), io([("in", (1, 8, 8, 3))], [("out", (1, 2))])
    told = IO(
        (Tensor("in", "x", (1, 8, 8, 3), "float32", permutation=(0, 2, 3, 1)),),
        (Tensor("out", "y", (1, 2), "float32"),),
    )
    source = {"sha256": "ab"}
    one = Side(first, tmp_path / "a.onnx", {"io": first.to_dict(), "source": source})
    (way,) = arrangements(one, Side(second, tmp_path / "b.tflite", {"io": told.to_dict(), "source": source}))
    assert (way.inputs[0].name, way.inputs[0].source_name, way.inputs[0].permutation) == ("in", "x", (0, 2, 3, 1))
    other = Side(second, tmp_path / "b.tflite", {"io": told.to_dict(), "source": {"sha256": "cd"}})
    assert len(arrangements(one, other)) == 2


@pytest.mark.parametrize(
    ("figures", "chosen"),
    [
        ([90.0], 0),
        ([3.0, 90.0], 1),
        ([12.0, 90.0], 0),  # from 10 dB on an arrangement is right
        ([3.0, 8.9], 0),  # no 6 dB better than the likeliest
        ([3.0, 9.0], 1),
        ([None, 2.0], 1),  # the runtime refuses the first
        ([2.0, None], 0),
        ([None, None], None),
    ],
)
def test_choice(figures: list[float | None], chosen: int | None) -> None:
    assert choose_arrangement(figures) == chosen
