"""What a recipe may say: the models of its full form. Short forms are spelled out before they get here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator, model_validator

from edgekit.artifact import hash_value
from edgekit.documents import Node, Place
from edgekit.recipe.paths import split_factory
from edgekit.recipe.portable import portable
from edgekit.validation import Written

_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_RESERVED = ("steps", "logs")


def _check_file(text: str, what: str) -> str:
    file, factory = split_factory(text)
    if not text:
        raise ValueError(f"`{what}` is empty")
    if factory is not None and not factory.isidentifier():
        raise ValueError(f"`{factory}` is not the name of a Python function; write file.py:NAME")
    if factory is None and file.endswith(".py"):
        raise ValueError(f"`{what}` is a Python file: say which of its functions, as {Path(file).name}:NAME")
    return text


def check_distributions(names: list[str]) -> list[str]:
    for name in names:
        if not _DISTRIBUTION.fullmatch(name):
            raise ValueError(f"`requires` lists distributions by name, without versions; `{name}` is none")
    return names


class Weights(Written):
    """A file of weights for the module that a Python file builds; ``get`` is the command that fetches it. ``package``:
    the installed Python package whose folder ``path`` starts from (spelled out before it gets here)."""

    short_form: ClassVar[str] = "a path"

    path: str = Field(min_length=1)
    package: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    get: str | None = None


InputType = Literal["float32", "float16", "uint8", "int8", "int16", "int32", "int64", "bool"]


class Input(Written):
    """An input of the source model, where its file does not say it: shape with the batch axis, layout, type."""

    shape: list[int] | None = None
    layout: Literal["NCHW", "NHWC", "NCW", "NWC", "NC"] | None = None
    dtype: InputType | None = None

    @field_validator("shape")
    @classmethod
    def _sides(cls, shape: list[int] | None) -> list[int] | None:
        if shape is not None and (not shape or any(side < 1 for side in shape)):
            raise ValueError("`shape` is a list of sizes of at least 1, the batch first: [1, 3, 224, 224]")
        return shape

    @model_validator(mode="after")
    def _agree(self) -> Input:
        if self.shape is not None and self.layout is not None and len(self.shape) != len(self.layout):
            raise ValueError(f"`shape` has {len(self.shape)} axes and `layout` {self.layout} has {len(self.layout)}")
        return self


class Model(Written):
    """The source model: a file, or ``file.py:NAME`` with options and weights."""

    short_form: ClassVar[str] = "a path"

    file: str
    options: dict[str, Any] = Field(default_factory=dict)
    weights: Weights | None = None
    inputs: dict[str, Input] = Field(default_factory=dict)
    requires: list[str] = Field(default_factory=list)

    @field_validator("file")
    @classmethod
    def _file(cls, text: str) -> str:
        return _check_file(text, "file")

    @field_validator("requires")
    @classmethod
    def _requires(cls, names: list[str]) -> list[str]:
        return check_distributions(names)

    @model_validator(mode="after")
    def _only_for_python(self) -> Model:
        if split_factory(self.file)[1] is None:
            for name in ("options", "weights"):
                if getattr(self, name):
                    raise ValueError(
                        f"`{name}` is for a model that a Python file builds (file.py:NAME), not for {self.file}"
                    )
        return self


class Samples(Written):
    """Samples of one role: a folder, an .npz, a COCO .json or ``file.py:NAME`` with options. At most ``samples`` of
    them (all by default), picked with ``seed``."""

    short_form: ClassVar[str] = "a path"

    path: str
    options: dict[str, Any] = Field(default_factory=dict)
    requires: list[str] = Field(default_factory=list)
    samples: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0, lt=2**32)

    @field_validator("path")
    @classmethod
    def _file(cls, text: str) -> str:
        return _check_file(text, "path")

    @field_validator("requires")
    @classmethod
    def _requires(cls, names: list[str]) -> list[str]:
        return check_distributions(names)

    @model_validator(mode="after")
    def _only_for_python(self) -> Samples:
        if self.options and split_factory(self.path)[1] is None:
            raise ValueError(f"`options` is for samples that a Python file gives (file.py:NAME), not for {self.path}")
        return self


class Data(Written):
    """Either ``split``, written as ``path`` and its fellows (``samples`` of it calibrate, the rest evaluates), or
    ``evaluate`` and/or ``calibrate``."""

    written_keys: ClassVar[tuple[str, ...]] = (
        "path",
        "options",
        "requires",
        "samples",
        "seed",
        "evaluate",
        "calibrate",
    )
    short_form: ClassVar[str] = "a path"

    split: Samples | None = None
    evaluate: Samples | None = None
    calibrate: Samples | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Data:
        roles = self.evaluate is not None or self.calibrate is not None
        if self.split is not None and roles:
            raise ValueError("`data` has either `path`, which is split, or `evaluate` and `calibrate`, not both")
        if self.split is None and not roles:
            raise ValueError("`data` needs `path`, which is split, or `evaluate` and `calibrate`")
        return self


class Task(Written):
    """What the outputs mean. ``options`` are the task's own, written beside ``name``."""

    short_form: ClassVar[str] = "a name"

    name: str
    labels: str | None = Field(None, min_length=1)
    options: dict[str, Any] = Field(default_factory=dict)


class StepUse(Written):
    """A step with the options and gates that are set for it here."""

    step: str
    options: dict[str, Any] = Field(default_factory=dict)
    gates: dict[str, float] = Field(default_factory=dict)


class Entry(Written):
    """An entry of ``targets``: a profile (the entry's name by default) at one or more precisions (its default one).
    ``compile``: the device's own compiler is run too (the step that the profile's `handover` names)."""

    target: str | None = None
    precision: list[str] = Field(default_factory=list)
    compile: bool = False
    options: dict[str, StepUse] = Field(default_factory=dict)
    gates: dict[str, float] = Field(default_factory=dict)

    @field_validator("precision")
    @classmethod
    def _once(cls, names: list[str]) -> list[str]:
        if len(set(names)) != len(names):
            raise ValueError("`precision` names one twice")
        return names


class Recipe(Written):
    """A recipe with everything spelled out: absolute paths, complete preprocessing words, limits as numbers. ``base``:
    the folder that relative paths start from, by default the recipe's own."""

    edgekit: Literal[1]
    name: str
    base: str = Field(min_length=1)
    vars: dict[str, str | int | float | bool] = Field(default_factory=dict)
    model: Model
    preprocess: list[dict[str, Any]] = Field(default_factory=list)
    data: Data | None = None
    task: Task | None = None
    gates: dict[str, float] = Field(default_factory=dict)
    steps: list[StepUse] = Field(default_factory=list)
    targets: dict[str, Entry] = Field(default_factory=dict)

    _tree: Node = PrivateAttr(default_factory=lambda: Node({}, Place("the recipe")))

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _FOLDER_NAME.fullmatch(name):
            raise ValueError(f"`name` names a folder: letters, digits, `.`, `_` and `-`, not `{name}`")
        return name

    @property
    def sha256(self) -> str:
        """The hash of all that the recipe says, spelled out (not of its spelling, comments or variables, nor of where
        the folder lies that holds it and its files)."""
        said = self.model_dump(mode="json", exclude={"vars", "base"})
        return hash_value(portable(said, Path(self.base)))

    def place(self, *path: str | int) -> Place:
        """Where the value at ``path`` was written (the nearest map above it for a default)."""
        return self._tree.nearest(path)

    def node(self, *path: str | int) -> Node | None:
        """The written value at ``path``, or None for a default."""
        return self._tree.get(*path)

    def origin(self, path: Sequence[str | int]) -> str:
        """``--set``, ``lite0.yaml:12``, or the name of the command's flags, for a value that was written."""
        node = self._tree.get(*path)
        if node is None:
            return "default"
        if node.flag:
            return "--set"
        return str(Place(Path(node.place.file).name, node.place.line)) if node.place.line else node.place.file

    def to_yaml(self) -> str:
        """The recipe spelled out, as a recipe that loads to the same plan."""
        from edgekit.recipe.write import write

        return write(self)


def can_name_entry(name: str) -> bool:
    """Whether an entry of ``targets`` may be called so: it names a folder of the output beside edgekit's own."""
    return bool(_FOLDER_NAME.fullmatch(name)) and name not in _RESERVED
