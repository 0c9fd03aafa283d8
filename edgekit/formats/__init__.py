"""The contract of a format: how an artifact is stored, described and, where possible, run.

A format is a file in this package with one class:

    @format_("onnx", suffixes=(".onnx",), stack="onnx", requires=("onnxruntime",))
    class Onnx(Format): ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from edgekit.artifact import IO, Artifact, Build
from edgekit.errors import InputError, not_a_file
from edgekit.graph import Graph
from edgekit.registry import Registry, did_you_mean

#: What to do about a model file that is empty, truncated or damaged.
AGAIN = "copy the file here again, or export it again"
#: Stands in ``Declared`` for the name of a model's only input.
ONLY = ""


class Session(Protocol):
    """A loaded model in its own runtime. Feeds and results are keyed by the artifact's *own* tensor names, in the
    artifact's own layout and dtype (quantized where the model is)."""

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Watched:
    """A session whose results also hold ``entries``: {name in the results: tensor that the model selects from}. Its
    outputs ``behind`` that selection change their size or order with the last digit of a number, the entries do not."""

    session: Session
    entries: Mapping[str, str] = field(default_factory=dict)
    behind: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Declared:
    """What a recipe says of the source model's inputs, where its file does not: {name: shape}, {name: layout}. A shape
    under the name ONLY is that of the model's only input, whatever it is called."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Header:
    """What a plan must know of a model file before anything is loaded. ``opset`` is that of ONNX's standard operators
    (None: the file names none); ``inputs`` are {name: sizes}, where None is a free one; ``examples`` are sizes that the
    file itself gives for inputs with free ones; ``quantized``: numbers flow as integers with a scale. Empty where a
    format tells nothing of it, or a file is damaged."""

    opset: int | None = None
    inputs: dict[str, tuple[int | None, ...]] = field(default_factory=dict)
    examples: dict[str, tuple[int, ...]] = field(default_factory=dict)
    quantized: bool = False


class Format:
    """What each format answers. Methods import their library inside and run in the worker of ``stack``."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    stack: ClassVar[str]
    requires: ClassVar[tuple[str, ...]]
    #: The distribution that runs it here; None where no runtime does (then an artifact is not measured).
    runtime: ClassVar[str | None]
    #: Whether inputs and outputs stand in the order of the model they were converted from.
    keeps_order: ClassVar[bool] = True

    def recognizes(self, path: Path, head: bytes) -> bool:
        """Whether the first bytes (up to 4096) look like this format, whatever the suffix says."""
        raise NotImplementedError

    def read_header(self, path: Path) -> Header:
        """What can be told of a file without its library, in the process that plans. Never raises for a bad file."""
        return Header()

    def files(self, path: Path) -> list[Path]:
        """Every file that belongs to the artifact at ``path`` (an IR's .xml and .bin); they exist."""
        return [path]

    def read_io(self, path: Path, declared: Declared, build: Build | None = None) -> IO:
        """The io of a *source* model in this format: own names, identity permutation, layout from ``declared`` or the
        format's habit (NCHW for 4-D torch, onnx and openvino inputs, NHWC for tflite, None otherwise).

        Raises:
            InputError: the file is not this format, truncated, hostile, or does not fit what was declared.
        """
        raise NotImplementedError

    def describe(self, artifact: Artifact) -> Graph:
        """Tensors, operators, MACs and parameters."""
        raise NotImplementedError

    def open(self, artifact: Artifact, threads: int) -> Session:
        """Load it in its own runtime.

        Raises:
            StepError: the runtime refuses the file.
        """
        raise NotImplementedError

    def open_watched(self, artifact: Artifact, threads: int) -> Watched:
        """Load it so that it also gives what it selects from (NMS, TopK), where the format can tell."""
        return Watched(self.open(artifact, threads))

    def find_nan(self, artifact: Artifact) -> str | None:
        """The name of the first constant that holds NaN or infinity, or None."""
        raise NotImplementedError


FORMATS: Registry[Format] = Registry("format", "edgekit.formats")


def format_(
    name: str, *, suffixes: Sequence[str], stack: str, requires: Sequence[str] = (), runtime: str | None = None
) -> Callable[[type[Format]], type[Format]]:
    """Register the decorated class; ``runtime`` names the distribution that runs it, None where none does here."""

    def register(kind: type[Format]) -> type[Format]:
        kind.name, kind.suffixes, kind.stack = name, tuple(suffixes), stack
        kind.requires, kind.runtime = tuple(requires), runtime
        FORMATS.add(name, kind(), defined_in=kind)
        return kind

    return register


def find_format(path: Path) -> Format:
    """The format of a model file, by what is in it; the suffix must agree.

    Raises:
        InputError: missing, empty, of no known format, or of another format than its suffix says.
    """
    what = None if path.is_dir() else not_a_file(path, "model file", _did_you_mean(path))
    if what is not None:
        raise InputError(what, where=str(path), remedy="give the path of a model file", code="missing_file")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"the model file {path} is empty", where=str(path), remedy=AGAIN, code="empty_file")
    head = b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(4096)
    by_content = [known for known in FORMATS if known.recognizes(path, head)]
    by_suffix = [known for known in FORMATS if path.suffix.lower() in known.suffixes]
    agreed = [known for known in by_content if known in by_suffix]
    if agreed:
        return agreed[0]
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, not a model file",
            where=str(path),
            remedy="give the path of a model file",
            code="wrong_format",
        )
    if by_content:
        raise InputError(
            f"{path} is called `{path.suffix or path.name}` but holds a model in the format {by_content[0].name}",
            where=str(path),
            remedy=f"rename it to end in {by_content[0].suffixes[0]}",
            code="wrong_format",
        )
    if by_suffix:
        raise InputError(
            f"{path} does not hold what its name says, a `{path.suffix}` model; it may be truncated",
            where=str(path),
            remedy=AGAIN,
            code="wrong_format",
        )
    known_suffixes = ", ".join(sorted({suffix for known in FORMATS for suffix in known.suffixes}))
    raise InputError(
        f"{path} is in no format that edgekit knows",
        where=str(path),
        remedy=f"the formats' files end in {known_suffixes}",
        code="wrong_format",
    )


def _did_you_mean(path: Path) -> str:
    """A file of nearly that name in the same folder."""
    if not path.parent.is_dir():
        return ""
    suffixes = {suffix for known in FORMATS for suffix in known.suffixes}
    there = [near.name for near in path.parent.iterdir() if near.suffix.lower() in suffixes and near.exists()]
    return did_you_mean(path.name, there)
