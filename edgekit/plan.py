"""recipe + targets + steps -> Plan: the directed graph of steps, in which equal prefixes are one node."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Source:
    """The model that a plan starts from. ``factory`` is set for ``file.py:factory``."""

    file: Path
    format: str
    factory: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    weights: Path | None = None
    weights_get: str | None = None
    inputs: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> {shape, layout, dtype}; may be empty
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSource:
    """Where samples come from: a path (folder, .npz, .json) or ``file.py:factory`` with options. ``samples``: at most so
    many, picked with ``seed`` (None: all)."""

    path: Path
    factory: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    samples: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Data:
    """The samples of a run. Either ``split`` (one source, divided by content hash into calibration and evaluation) or
    ``evaluate`` and/or ``calibrate``. ``preprocess`` is the expanded list of words (design section 5)."""

    preprocess: tuple[dict[str, Any], ...] = ()
    split: DataSource | None = None
    evaluate: DataSource | None = None
    calibrate: DataSource | None = None


@dataclass(frozen=True)
class TaskUse:
    """The task by name with its options; ``labels`` is a file with one class name a line."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    labels: Path | None = None


@dataclass(frozen=True)
class Node:
    """One step of the plan. ``parent`` is a node's id, or None for the source. ``outputs`` are those that come through it.

    ``options`` are complete (defaults included) and validated; ``origins`` says where each value came from: ``default``,
    ``route of coral``, ``lite0.yaml:12``, ``--set``. ``gates`` are the step's own: {gate: limit}.
    """

    id: str
    step: str
    options: dict[str, Any]
    origins: dict[str, str]
    parent: str | None
    outputs: tuple[str, ...]
    gates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """What was asked for: ``name`` is ``ENTRY/PRECISION``; ``node`` makes it; ``gates`` judge its artifact."""

    name: str
    entry: str
    target: str
    precision: str
    node: str
    gates: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What will run, decided before anything does. Nodes stand in topological order, parents first."""

    name: str
    recipe_sha256: str
    source: Source
    nodes: tuple[Node, ...]
    outputs: tuple[Output, ...]
    data: Data | None
    task: TaskUse | None
    seed: int = 0

    def node(self, id: str) -> Node:
        """The node of that id (KeyError if there is none)."""
        return next(node for node in self.nodes if node.id == id)

    def children(self, id: str | None) -> list[Node]:
        """The nodes that take what ``id`` makes (None: the source)."""
        return [node for node in self.nodes if node.parent == id]
