"""Arithmetic of transposes: which axes move together, and how to reach any order by moving three blocks at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations


@dataclass(frozen=True)
class Turn:
    """A transpose of at most three axes: their sizes as they lie, and their order afterwards."""

    sizes: tuple[int, ...]
    order: tuple[int, ...]


def collapse(sizes: Sequence[int], order: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same transpose with the fewest axes: sizes of 1 dropped, axes that stay side by side merged."""
    runs: list[list[int]] = []
    for axis in (axis for axis in order if sizes[axis] != 1):
        if runs and all(sizes[between] == 1 for between in range(runs[-1][-1] + 1, axis)) and axis > runs[-1][-1]:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    lying = sorted(runs)
    merged = tuple(math.prod(sizes[axis] for axis in run) for run in lying)
    return merged, tuple(lying.index(run) for run in runs)


def turns(sizes: Sequence[int], order: Sequence[int]) -> tuple[Turn, ...]:
    """The fewest transposes of two or three axes that together do this one; none where nothing moves in memory."""
    merged, wanted = collapse(sizes, order)
    done = []
    lying = tuple(range(len(merged)))
    for cuts, moved in _shortest(wanted):
        blocks = [lying[first:last] for first, last in zip((0, *cuts), (*cuts, len(lying)), strict=True)]
        done.append(Turn(tuple(math.prod(merged[axis] for axis in block) for block in blocks), moved))
        lying = tuple(axis for place in moved for axis in blocks[place])
    return tuple(done)


_Move = tuple[tuple[int, ...], tuple[int, ...]]  # where the row of axes is cut, and the order of the blocks afterwards


@cache
def _shortest(wanted: tuple[int, ...]) -> tuple[_Move, ...]:
    """Breadth first over the orders that moves of two or three blocks lead to."""
    start = tuple(range(len(wanted)))
    found: dict[tuple[int, ...], tuple[_Move, ...]] = {start: ()}
    waiting = deque([start])
    while wanted not in found:
        lying = waiting.popleft()
        for cuts, moved in _moves(len(wanted)):
            blocks = [lying[first:last] for first, last in zip((0, *cuts), (*cuts, len(lying)), strict=True)]
            after = tuple(axis for place in moved for axis in blocks[place])
            if after not in found:
                found[after] = (*found[lying], (cuts, moved))
                waiting.append(after)
    return found[wanted]


@cache
def _moves(count: int) -> tuple[_Move, ...]:
    """Every way to cut a row into two or three blocks and put them in another order."""
    two = [((cut,), (1, 0)) for cut in range(1, count)]
    three = [
        ((first, second), order)
        for first in range(1, count)
        for second in range(first + 1, count)
        for order in permutations(range(3))
        if order != (0, 1, 2)
    ]
    return (*two, *three)
