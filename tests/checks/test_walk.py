"""Order, errors and progress."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.artifact import Artifact
from edgekit.checks.walk import Walk
from edgekit.errors import InputError


class Samples:
    """Constant pictures by number; one of them cannot be read."""

    def __init__(self, count: int, broken: int | None = None) -> None:
        self._count, self._broken = count, broken
        self.read: list[int] = []

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        self.read.append(index)
        if index == self._broken:
            raise InputError(f"sample {index} is gone")
        return {"image": np.full((1, 3, 16, 16), index / 10, np.float32)}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_sample_once_and_in_order(source: Artifact, threads: int) -> None:
    walk, samples = Walk(source, threads), Samples(30)
    seen = list(walk.run_all(samples, lambda done, total: None))
    assert [one.index for one in seen] == samples.read == list(range(30))
    for one in seen:
        alone = walk.run_one(Samples(30)[one.index]).outputs
        np.testing.assert_array_equal(one.outputs["scores"], alone["scores"])
        assert one.seconds > 0


def test_a_sample_that_cannot_be_read(source: Artifact) -> None:
    walked = []
    with pytest.raises(InputError, match="sample 7 is gone"):
        for seen in Walk(source, 1).run_all(Samples(30, broken=7), lambda done, total: None):
            walked.append(seen.index)
    assert walked == list(range(7))


def test_nothing_is_read_ahead(source: Artifact) -> None:
    samples = Samples(1000)
    next(Walk(source, 2).run_all(samples, lambda done, total: None))
    assert samples.read == [0]


def test_progress_ends_with_all(source: Artifact) -> None:
    calls: list[tuple[int, int]] = []
    for _ in Walk(source, 1).run_all(Samples(40), lambda done, total: calls.append((done, total))):
        pass
    assert calls[-1] == (40, 40)
    assert len(calls) < 40
