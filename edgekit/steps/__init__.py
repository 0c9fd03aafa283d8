"""The contract of a step: one named transformation artifact -> artifact, a converter or a compressor.

A step is a file in ``convert/`` or ``compress/`` that says its name, what it takes, what it gives, and does it:

    class Options(StepOptions):
        check: bool = Field(True, description="compare the two models on random input")

    @step("onnx_simplify", accepts="onnx", produces="onnx", stack="onnx", version=1, options=Options, exact=True,
          requires=("onnx", "onnxsim"))
    def simplify(context: Context, artifact: Artifact, options: Options) -> Produced:
        "Fold constants and remove what has no effect (onnxsim)."
        ...

Nothing else is edited. The heavy library is imported inside the function, which runs in the worker of its stack.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from edgekit.artifact import IO, Artifact
from edgekit.registry import Registry


class StepOptions(BaseModel):
    """The base of every step's options: unknown keys are refused, values are not changed after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Samples(Protocol):
    """Calibration samples: sized and re-iterable. Each is {source input name: array with a batch axis of 1}, in the
    source's layout and type, read from memory-mapped files as it is asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]: ...

    def __getitem__(self, index: int) -> dict[str, np.ndarray]: ...


@dataclass(frozen=True)
class Context:
    """What a step is given besides its artifact and options. ``samples`` is None for a step that does not calibrate.

    A step writes only below ``workdir`` (a fresh folder of its own); the engine moves the result from there.
    ``stem`` is what the written file should be called before its suffix.
    """

    workdir: Path
    samples: Samples | None = None
    threads: int = 1
    seed: int = 0
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("edgekit.step"))
    progress: Callable[[int, int], None] = lambda done, total: None
    stem: str = "model"


@dataclass(frozen=True)
class WrittenTail:
    """A part of the model that a step cut off, as an ONNX file for the host: ``edgekit.artifact.Tail`` before it is
    hashed."""

    path: Path
    io: IO


@dataclass(frozen=True)
class Produced:
    """What a step wrote: the file (or folder) and its io, whose ``source_name`` and ``permutation`` refer to the
    *source model* (a step that renames or transposes composes with ``artifact.io``: ``edgekit.artifact.compose``).

    ``tail`` only of a step that cuts one off: one that the artifact already has is handed on by the engine, and the
    steps after the cut see the file before it alone.
    """

    path: Path
    io: IO
    notes: tuple[str, ...] = ()
    tail: WrittenTail | None = None


Run = Callable[[Context, Artifact, Any], Produced]


@dataclass(frozen=True)
class Step:
    """A registered step. ``exact``: it must not change the function (gated at 60 dB where it stands). ``calibrates``:
    it is given samples. ``requires``: distributions whose versions enter the cache key. ``toolchain``: the folder of
    pinned wheels that its worker needs, if any. ``programs``: those of others that must be on PATH."""

    name: str
    accepts: str
    produces: str
    stack: str
    version: int
    options: type[StepOptions]
    run: Run
    exact: bool = False
    calibrates: bool = False
    requires: tuple[str, ...] = ()
    toolchain: str | None = None
    programs: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.run.__doc__ or "").strip().splitlines()[0] if self.run.__doc__ else ""


STEPS: Registry[Step] = Registry("step", "edgekit.steps")


def step(
    name: str,
    *,
    accepts: str,
    produces: str,
    stack: str,
    version: int,
    options: type[StepOptions] = StepOptions,
    exact: bool = False,
    calibrates: bool = False,
    requires: Sequence[str] = (),
    toolchain: str | None = None,
    programs: Sequence[str] = (),
) -> Callable[[Run], Run]:
    """Register the decorated function as a step. Raise ``version`` when what it writes changes."""

    def register(run: Run) -> Run:
        entry = Step(
            name,
            accepts,
            produces,
            stack,
            version,
            options,
            run,
            exact,
            calibrates,
            tuple(requires),
            toolchain,
            tuple(programs),
        )
        STEPS.add(name, entry, defined_in=inspect.unwrap(run))
        return run

    return register
