"""Finds where a graph begins to select: NMS, TopK and the like, which give as many numbers as they find, or give them
in an order of their own.

Outputs behind a selection cannot be compared number by number: a score that differs in its last digit changes their
length or their order. What the selection is made from can, since it has one size. These tensors are the *entries*: the
computed real numbers that operators behind a selection read, or that what they read was decided by (a comparison, an
ArgMax).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

#: What an operator is to the search. ``keeps``: it gives the numbers of its first input in their order; ``sizes``: it
#: reads how large its inputs are, not their numbers; ``trained``: it computes with weights that were learned.
Role = Literal["selects", "keeps", "sizes", "trained", ""]
#: A constant of more numbers than these was trained; the matrix from centres and sides to corners has 16.
TRAINED_OVER = 64


@dataclass(frozen=True)
class Piece:
    """An operator: the tensors that it reads, in order, and those that it makes."""

    kind: str
    role: Role
    reads: tuple[str, ...]
    makes: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """``entries``: tensors that a graph selects from, in an order that does not depend on names; ``behind``: the
    model's outputs that come from what it selected."""

    entries: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


class Search:
    """``pieces`` in the order in which they run; ``reals`` are the tensors of real numbers, ``constants`` those that
    are known before the model runs."""

    def __init__(self, pieces: Sequence[Piece], reals: Collection[str], constants: Collection[str]) -> None:
        self._pieces, self._reals, self._constants = pieces, reals, constants
        self._makers = {name: piece for piece in pieces for name in piece.makes}

    @cached_property
    def selected(self) -> set[str]:
        """What comes from a selection."""
        found: set[str] = set()
        for piece in self._pieces:
            if piece.role == "selects" or not found.isdisjoint(piece.reads):
                found.update(piece.makes)
        return found

    def find(self, outputs: Iterable[str]) -> Selection:
        """The selection at the end of a graph with these outputs; an empty one where there is none, or where trained
        layers work on what was selected (two-stage detectors), of which the entries would not tell."""
        behind = tuple(name for name in outputs if name in self.selected)
        works_on = any(piece.role == "trained" and not self.selected.isdisjoint(piece.reads) for piece in self._pieces)
        if not behind or works_on:
            return Selection()
        entries = tuple(self._entries(behind))
        return Selection(entries, behind) if entries else Selection()

    def selecting(self, name: str) -> list[Piece]:
        """The operators that select on the way to a tensor, in the order in which they run."""
        wanted, found = {name}, []
        for piece in reversed(self._pieces):
            if not wanted.isdisjoint(piece.makes):
                wanted.update(piece.reads)
                found += [piece] if piece.role == "selects" else []
        return found[::-1]

    def _entries(self, behind: Sequence[str]) -> Iterator[str]:
        """From the outputs upwards, inputs in order: the same in a graph whose tensors have other names. Of several
        that hold the same numbers the first."""
        seen: set[str] = set()
        origins: set[str] = set()
        waiting = list(reversed(behind))
        while waiting:
            name = waiting.pop()
            if name in seen or name in self._constants:
                continue
            seen.add(name)
            piece = self._makers.get(name)
            if name not in self.selected and name in self._reals:
                origin = self._origin(name)
                if origin not in origins:
                    origins.add(origin)
                    yield name
            elif piece is not None and piece.role != "sizes":
                waiting.extend(reversed(piece.reads))

    def _origin(self, name: str) -> str:
        """The tensor whose numbers these are."""
        piece = self._makers.get(name)
        while piece is not None and piece.role == "keeps":
            name = piece.reads[0]
            piece = self._makers.get(name)
        return name
