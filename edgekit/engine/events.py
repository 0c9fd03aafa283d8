"""What the engine says while it works. It never prints: ``cli`` renders these.

Every event has ``at``, seconds since the run began, and (but for notes) ``task``: ``source``, ``data``,
``reference``, a node's id, or ``measure ID``. ``kind`` is ``read``, ``prepare``, ``reference``, ``step`` or
``measure``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Started:
    """A job was given to a worker. ``reason`` says why it was not taken from the cache."""

    task: str
    kind: str
    at: float
    reason: str = ""


@dataclass(frozen=True)
class Progress:
    """``done`` of ``total`` of whatever the job counts, mostly samples."""

    task: str
    kind: str
    at: float
    done: int
    total: int


@dataclass(frozen=True)
class Finished:
    """``status``: done | cached. ``result`` is the job's answer as plain data (a step's has ``artifact``, a
    measurement's ``measurement``)."""

    task: str
    kind: str
    at: float
    status: str
    seconds: float = 0.0
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """``status``: failed | skipped. ``error`` is the object of ``edgekit.error/1`` (None for a skipped one)."""

    task: str
    kind: str
    at: float
    status: str
    reason: str
    error: dict[str, Any] | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Note:
    """Something worth knowing that is neither progress nor an error."""

    text: str
    at: float


Event = Started | Progress | Finished | Failed | Note
