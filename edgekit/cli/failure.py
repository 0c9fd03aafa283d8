"""Errors at the door: what each kind prints and the exit code that it ends the command with.

An EdgekitError is at most four lines on standard error (a recipe's mistakes are one line each):

    error: no step is called `onnx_simplfy`; did you mean `onnx_simplify`?
    where: lite0.yaml:12
    do: edgekit steps list
    log: edgekit-out/lite0/logs/onnx_simplify.log

With ``--json`` it is one ``edgekit.error/1`` document on standard output instead.
"""

from __future__ import annotations

import errno
import signal
import traceback
from types import FrameType
from typing import Any

import typer

from edgekit.cli.terminal import answer_json, note
from edgekit.errors import BugError, EdgekitError, InputError, Interrupted, Terminated

# The command line's own errors: the class above BadParameter, wherever this version of Typer keeps it.
UsageError: Any = typer.BadParameter.__mro__[1]

WRONG_PATH = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENOENT,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.EBUSY,
    errno.EINVAL,
)


def terminate_cleanly() -> None:
    """Make a termination signal an exception, so that what was begun is cleaned up, as Ctrl-C does."""

    def terminated(_number: int, _frame: FrameType | None) -> None:
        raise Terminated("terminated by a signal")

    signal.signal(signal.SIGTERM, terminated)


def exit_with(error: BaseException, *, as_json: bool) -> int:
    """Tell of ``error`` and return the exit code it stands for."""
    known = explain(error)
    if as_json:
        answer_json(error_document(known))
    else:
        note(error_text(known))
    return known.exit_code


def explain(error: BaseException) -> EdgekitError:
    """The EdgekitError that ``error`` is, or stands for; a BugError with a log for what nobody expected."""
    if isinstance(error, EdgekitError):
        return error if error.exit_code != 70 or error.log else _as_bug(error, error.message)
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted")
    if isinstance(error, UsageError):
        return _from_usage(error)
    if isinstance(error, typer.Abort):
        return Interrupted("aborted")
    if isinstance(error, OSError):
        from edgekit.engine.faults import disk_full, is_disk_full

        if is_disk_full(error):
            return disk_full("edgekit", error.filename)
        if error.errno in WRONG_PATH and error.filename is not None:
            return InputError(
                f"{error.filename} cannot be used: {error.strerror}",
                where=str(error.filename),
                remedy="give another path",
                code="unusable_path",
            )
    return _as_bug(error, f"{type(error).__name__}: {error}")


def error_document(error: EdgekitError) -> dict[str, Any]:
    """The document ``edgekit.error/1``."""
    return {"schema": "edgekit.error/1", "error": error.to_dict()}


def error_text(error: EdgekitError) -> str:
    """At most four lines, or one and a line per mistake."""
    lines = [f"error: {_one_line(error.message)}"]
    if error.mistakes:
        lines.extend(str(mistake) for mistake in error.mistakes)
    elif error.where:
        lines.append(f"where: {_one_line(error.where)}")
    if error.remedy:
        lines.append(f"do: {_one_line(error.remedy)}")
    if error.log:
        lines.append(f"log: {_shown(error.log)}")
    return "\n".join(lines)


def _one_line(text: str) -> str:
    from edgekit.report.figures import visible

    return visible("; ".join(part.strip() for part in text.splitlines() if part.strip()))


def _shown(path: str) -> str:
    """A path below the working folder without that folder."""
    import os

    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _from_usage(error: Any) -> InputError:
    context = getattr(error, "ctx", None)
    command = "edgekit" if context is None else context.command_path
    return InputError(error.format_message().rstrip("."), remedy=f"{command} --help", code="usage")


def _as_bug(error: BaseException, message: str) -> BugError:
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="edgekit-bug-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write("".join(traceback.format_exception(error)))
    return BugError(
        f"edgekit did not expect this: {message}",
        where=getattr(error, "where", None),
        remedy="please report it with the log",
        log=log.name,
    )
