"""Every error that edgekit raises on purpose, and the exit code each one ends a command with.

    EdgekitError
    +-- InputError           2    the command, the recipe, a model or data file is wrong
    |   +-- RecipeError      2    mistakes in a recipe or profile, each with file, line and column
    |   +-- UnknownName      2    no step, format, task, target ... of that name
    +-- AbsentError          3    a package, toolchain, program or declared weights are not here
    +-- ExcludedError        4    the target profile rules out what was asked
    +-- StepError            5    a step or measurement failed: refusal, crash, memory, time, disk
    |   +-- AmbiguousOutputs 5    the outputs of a converted model cannot be told apart
    +-- Interrupted        130    Ctrl-C (143 for a termination signal)
    +-- BugError            70    something edgekit did not expect of itself

Missed gates (1) and unsettled ones under ``--strict`` (6) are verdicts, not exceptions.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

# Several errors in one run: the first of these that occurred is the exit code.
EXIT_PRECEDENCE = (130, 143, 70, 2, 3, 4, 5, 1, 6)


#: The ``code`` of a conversion that no converter could do: no file of the format holds what the model has.
INEXPRESSIBLE = "inexpressible"


@dataclass(frozen=True)
class Mistake:
    """One mistake in a file that somebody wrote; ``line`` and ``column`` count from 1 (line 0: a flag has no lines)."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class EdgekitError(Exception):
    """The root: what happened, where, what to do about it, and the log that shows more.

    ``code`` is a stable word for machines; ``exit_code`` is what the command ends with.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 70

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        remedy: str | None = None,
        log: str | None = None,
        code: str | None = None,
        mistakes: Iterable[Mistake] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy
        self.log = log
        self.word = code or self.code
        self.mistakes = tuple(mistakes)

    def to_dict(self) -> dict[str, Any]:
        """The object of ``edgekit.error/1``."""
        return {
            "code": self.word,
            "message": self.message,
            "where": self.where,
            "remedy": self.remedy,
            "log": self.log,
            "exit_code": self.exit_code,
            "mistakes": [asdict(mistake) for mistake in self.mistakes],
        }


class InputError(EdgekitError):
    """The command line, a recipe, a model or a data file is wrong."""

    code = "invalid_input"
    exit_code = 2


class RecipeError(InputError):
    """A recipe or profile holds mistakes; ``mistakes`` lists all of them, not only the first."""

    code = "invalid_recipe"


class UnknownName(InputError):
    """A name that nothing is registered under."""

    code = "unknown_name"


class AbsentError(EdgekitError):
    """Something that edgekit needs is not on this machine; ``remedy`` is the command that gets it."""

    code = "absent"
    exit_code = 3


class ExcludedError(EdgekitError):
    """The target profile rules out the precision, operator or shape that was asked for."""

    code = "excluded"
    exit_code = 4


class StepError(EdgekitError):
    """A step or a measurement failed: refused operator, crash, memory, time or disk."""

    code = "step_failed"
    exit_code = 5


class AmbiguousOutputs(StepError):
    """The outputs of a converted model cannot be matched to those of its source."""

    code = "ambiguous_outputs"


class Interrupted(EdgekitError):
    """Ctrl-C; nothing half-written is left behind."""

    code = "interrupted"
    exit_code = 130


class Terminated(Interrupted):
    """A termination signal."""

    code = "terminated"
    exit_code = 143


class BugError(EdgekitError):
    """Something edgekit did not expect of itself; please report it with the log."""

    code = "bug"
    exit_code = 70


def from_dict(error: dict[str, Any]) -> EdgekitError:
    """The error that ``to_dict`` described, as it comes back from a worker."""
    kinds = {
        kind.exit_code: kind for kind in (InputError, AbsentError, ExcludedError, StepError, Interrupted, Terminated)
    }
    kind = kinds.get(error["exit_code"], BugError)
    return kind(
        error["message"],
        where=error.get("where"),
        remedy=error.get("remedy"),
        log=error.get("log"),
        code=error.get("code"),
        mistakes=[Mistake(**mistake) for mistake in error.get("mistakes", ())],
    )


def first_exit_code(codes: Iterable[int]) -> int:
    """The exit code of a command in which several things went wrong (0 if none did)."""
    seen = set(codes) - {0}
    for code in EXIT_PRECEDENCE:
        if code in seen:
            return code
    return min(seen, default=0)


def not_a_file(path: Path, kind: str, hint: str = "") -> str | None:
    """What is at ``path`` if no file is: ``no model file at x.onnx`` (and ``hint``), a folder, a link that leads
    nowhere, a device; None for a file. ``kind``: what was wanted, as ``model file``."""
    if path.is_file():
        return None
    if path.is_dir():
        return f"{path} is a folder, not a {kind}"
    if path.exists():
        return f"{path} is a {'pipe' if path.is_fifo() else 'socket' if path.is_socket() else 'device'}, not a {kind}"
    if not path.is_symlink():
        return f"no {kind} at {path}{hint}"
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return f"{path} is a symbolic link that leads in a circle"
    return f"{path} is a symbolic link to {path.readlink()}, where nothing is"
