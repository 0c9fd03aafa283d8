"""What will run: the directed graph of steps, in which equal prefixes are one node (made by ``edgekit.planning``)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.artifact import IO
    from edgekit.formats import Format
    from edgekit.steps import Step


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
    """Where samples come from: a path (folder, .npz, .json) or ``file.py:factory`` with options. ``samples``: at most
    so many, picked with ``seed`` (None: all)."""

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
class StepTraits:
    """What the engine must know of a step without importing it (see ``edgekit.steps.Step``)."""

    accepts: str
    produces: str
    stack: str
    version: int
    exact: bool = False
    calibrates: bool = False
    requires: tuple[str, ...] = ()
    toolchain: str | None = None
    programs: tuple[str, ...] = ()


@dataclass(frozen=True)
class FormatTraits:
    """What the engine must know of a format without importing it; ``runtime`` is None where nothing here runs it."""

    stack: str
    requires: tuple[str, ...] = ()
    runtime: str | None = None


@dataclass(frozen=True)
class Node:
    """One step of the plan. ``parent`` is a node's id, or None for the source. ``outputs`` come through it.

    ``options`` are complete (defaults included) and validated; ``origins`` says where each value came from:
    ``default``, ``route of coral``, ``lite0.yaml:12``, ``--set``. ``gates`` are the step's own: {gate: limit}.
    """

    id: str
    step: str
    options: dict[str, Any]
    origins: dict[str, str]
    parent: str | None
    outputs: tuple[str, ...]
    gates: dict[str, float] = field(default_factory=dict)
    traits: StepTraits | None = None


@dataclass(frozen=True)
class Handover:
    """What is still to be done elsewhere with an output's file: shown, never run. MODEL in the command stands for the
    file without its suffix."""

    title: str
    command: str | None
    why: str | None
    source: str | None

    def command_for(self, file: Path) -> str | None:
        """The command for that file, as it is run in the file's folder. One that reads no file of its kind stays as it
        is."""
        if self.command is None or f"MODEL{file.suffix}" not in self.command:
            return self.command
        return self.command.replace("MODEL", shlex.quote(file.stem))


@dataclass(frozen=True)
class Output:
    """What was asked for: ``name`` is ``ENTRY/PRECISION``; ``node`` makes it; ``gates`` judge its artifact.
    ``simulated``: the device runs what a compiler of its own makes of the file, so that figures taken here are not
    its own. ``device`` is the profile as plain data, where edgekit has rules for what the device makes of the file.
    ``handover`` is what the profile leaves to others."""

    name: str
    entry: str
    target: str
    precision: str
    node: str
    gates: dict[str, float] = field(default_factory=dict)
    simulated: bool = False
    device: dict[str, Any] | None = None
    handover: tuple[Handover, ...] = ()


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
    formats: dict[str, FormatTraits] = field(default_factory=dict)

    def node(self, id: str) -> Node:
        """The node of that id (KeyError if there is none)."""
        return next(node for node in self.nodes if node.id == id)

    def children(self, id: str | None) -> list[Node]:
        """The nodes that take what ``id`` makes (None: the source)."""
        return [node for node in self.nodes if node.parent == id]


def complete_data(data: Data, io: IO) -> Data:
    """The data with a preset that waited for the size of the model's picture input spelled out; ``io`` is the source's.

    Raises:
        InputError: the preset needs a size, and the model has no single picture-like input that says one.
    """
    from edgekit.recipe.preprocess import UNSIZED, expand_preset, input_size

    if not data.preprocess or UNSIZED not in data.preprocess[0]:
        return data
    name = data.preprocess[0][UNSIZED]["name"]
    size = input_size({t.source_name: {"shape": list(t.shape), "layout": t.layout} for t in io.inputs})
    if size is None:
        raise InputError(
            f"the preset `{name}` needs the size of the model's picture input, which the model does not tell",
            where="preprocess",
            remedy=f"say it: preprocess: {{preset: {name}, size: 224}}",
            code="preprocessing_unsized",
        )
    return replace(data, preprocess=tuple(expand_preset(name, size)))


def add_traits(plan: Plan) -> Plan:
    """The plan with the traits of every step and format in it, so that the engine needs neither registry."""
    from edgekit.formats import FORMATS
    from edgekit.steps import STEPS

    nodes = tuple(
        node if node.traits else replace(node, traits=_step_traits(STEPS.get(node.step))) for node in plan.nodes
    )
    names = {plan.source.format, *(node.traits.produces for node in nodes if node.traits)}
    formats = {name: _format_traits(FORMATS.get(name)) for name in names if name not in plan.formats}
    return replace(plan, nodes=nodes, formats={**formats, **plan.formats})


def _step_traits(step: Step) -> StepTraits:
    return StepTraits(
        step.accepts,
        step.produces,
        step.stack,
        step.version,
        step.exact,
        step.calibrates,
        step.requires,
        step.toolchain,
        step.programs,
    )


def _format_traits(known: Format) -> FormatTraits:
    return FormatTraits(known.stack, known.requires, known.runtime)
