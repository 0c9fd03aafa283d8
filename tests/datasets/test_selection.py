"""Which samples calibrate and which evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.datasets.selection import check_disjoint, pick, split
from edgekit.datasets.source import Source, content_hash
from edgekit.errors import InputError


def source_of(contents: list[bytes]) -> Source:
    ids = [f"sample {number}" for number in range(len(contents))]
    return Source(Path("data"), ids, lambda index: (contents[index], index), labelled=True)


def numbered(count: int) -> Source:
    return source_of([b"content %d" % number for number in range(count)])


def labels_of(source: Source) -> list[int]:
    return [source.read(index)[1] for index in range(len(source))]


@pytest.mark.parametrize(("total", "calibrate"), [(850, 200), (600, 200), (599, 199), (300, 100), (3, 1), (2, 1)])
def test_sizes_of_a_split(total: int, calibrate: int) -> None:
    parts = split(numbered(total))
    assert (len(parts["calibrate"]), len(parts["evaluate"])) == (calibrate, total - calibrate)
    assert sorted(labels_of(parts["calibrate"]) + labels_of(parts["evaluate"])) == list(range(total))


def test_a_split_follows_the_contents_not_the_names_or_the_order() -> None:
    contents = [b"content %d" % number for number in range(90)]
    shuffled = [contents[place] for place in np.random.default_rng(1).permutation(90)]

    def calibrating(items: list[bytes]) -> set[bytes]:
        part = split(source_of(items))["calibrate"]
        return {part.read(index)[0] for index in range(len(part))}

    assert calibrating(contents) == calibrating(shuffled)
    lowest = sorted(contents, key=content_hash)[:30]
    assert calibrating(contents) == set(lowest)


def test_equal_contents_stay_together() -> None:
    contents = [b"content %d" % (number // 10) for number in range(100)]
    parts = split(source_of(contents))
    kinds = [{part.read(index)[0] for index in range(len(part))} for part in parts.values()]
    assert not kinds[0] & kinds[1]
    assert len(parts["calibrate"]) == 40  # a third of 100, and the rest of the tenth that it cuts


def test_too_few_to_split() -> None:
    for contents in ([b"a"], [b"a", b"a", b"a"]):
        with pytest.raises(InputError, match="too few different samples"):
            split(source_of(contents))


def test_picking_is_seeded_and_keeps_the_order() -> None:
    source = numbered(100)
    chosen = labels_of(pick(source, 20, seed=3))
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 20
    assert chosen == labels_of(pick(source, 20, seed=3))
    assert chosen != labels_of(pick(source, 20, seed=4))
    assert pick(source, None, 0) is source
    assert pick(source, 100, 0) is source
    with pytest.raises(InputError):
        pick(source, 0, 0)


def test_shared_samples_are_named() -> None:
    check_disjoint({"evaluate": ["x"]}, {"evaluate": ["a"]})
    check_disjoint({"evaluate": ["x", "x"], "calibrate": ["y"]}, {"evaluate": ["a", "b"], "calibrate": ["c"]})
    with pytest.raises(InputError, match=r"share 2 samples: c \(calibrate\) is b \(evaluate\)") as caught:
        check_disjoint(
            {"evaluate": ["w", "x", "y"], "calibrate": ["y", "x"]},
            {"evaluate": ["a", "b", "d"], "calibrate": ["e", "c"]},
        )
    assert (caught.value.word, caught.value.exit_code) == ("shared_samples", 2)
