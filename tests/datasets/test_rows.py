"""Row files: ordinary .npy to others, one row at a time to edgekit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.datasets.rows import RaggedReader, RaggedWriter, RowReader, RowWriter, offsets_of
from edgekit.errors import InputError


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_written_rows_are_a_plain_npy(tmp_path: Path, dtype: str) -> None:
    rows = np.arange(60).reshape(5, 3, 4).astype(dtype)
    with RowWriter(tmp_path / "rows.npy", 5) as writer:
        for row in rows:
            writer.append(row)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy", allow_pickle=False), rows)
    reader = RowReader(tmp_path / "rows.npy")
    assert len(reader) == 5
    np.testing.assert_array_equal(list(reader), rows)
    np.testing.assert_array_equal(reader[-1], rows[-1])
    with pytest.raises(IndexError):
        reader[5]


def test_numbers_as_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", np.array([3, 1, 2]))
    reader = RowReader(tmp_path / "y.npy")
    assert reader.shape == ()
    assert [int(row) for row in reader] == [3, 1, 2]


def test_rows_of_another_shape_or_too_many(tmp_path: Path) -> None:
    with RowWriter(tmp_path / "rows.npy", 2) as writer:
        writer.append(np.zeros(3))
        with pytest.raises(ValueError, match="the first was"):
            writer.append(np.zeros(4))
        with pytest.raises(ValueError, match="the first was"):
            writer.append(np.zeros(3, np.float32))
        writer.append(np.zeros(3))
        with pytest.raises(ValueError, match="more than 2"):
            writer.append(np.zeros(3))


def test_truncated_pickled_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, np.zeros((100, 100)))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="truncated"):
        RowReader(path)
    np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled"):
        RowReader(path)
    path.write_text("not an array")
    with pytest.raises(InputError, match="not a readable array"):
        RowReader(path)


def test_a_file_that_is_cut_short_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, np.zeros((10, 100)))
    reader = RowReader(path)
    with path.open("r+b") as file:
        file.truncate(5000)
    assert reader[3].shape == (100,)
    with pytest.raises(InputError, match="cut short while"):
        reader[9]


def test_arrays_of_other_lengths(tmp_path: Path) -> None:
    """All rows in one plain .npy, and where each array ends in another."""
    path = tmp_path / "lists.npy"
    draw = np.random.default_rng(0)
    arrays = [draw.normal(size=(length, 6)) for length in (0, 3, 0, 0, 1200, 1)]
    with RaggedWriter(path) as writer:
        for array in arrays:
            writer.append(array)
        assert writer.rows == 1204
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), np.concatenate(arrays))
    assert np.load(offsets_of(path)).tolist() == [0, 0, 3, 3, 3, 1203, 1204]
    reader = RaggedReader(path)
    assert len(reader) == 6
    for start, stop in ((0, 6), (0, 1), (4, 6), (2, 4), (3, 3)):
        found = reader.read(start, stop)
        assert len(found) == stop - start
        for own, array in zip(found, arrays[start:stop], strict=True):
            np.testing.assert_array_equal(own, array)


def test_rows_of_one_shape_only(tmp_path: Path) -> None:
    with RaggedWriter(tmp_path / "lists.npy") as writer:
        writer.append(np.zeros((0, 6)))
        for other in (np.zeros((2, 5)), np.zeros((2, 6), np.float32)):
            with pytest.raises(ValueError, match="the first were"):
                writer.append(other)
