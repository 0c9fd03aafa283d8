"""Turns whatever a job raises into an error of edgekit: what happened, in which step, and what to do.

A step, a library or the user's own file that raises is a failed step. An exception raised by edgekit's own code,
outside steps and formats, is a bug of edgekit.
"""

from __future__ import annotations

import errno
import re
import traceback
from pathlib import Path
from typing import Any

import edgekit
from edgekit.engine.stacks import HEAVY, get_stack, install_command
from edgekit.errors import AbsentError, BugError, EdgekitError, StepError

_PACKAGE = Path(edgekit.__file__).parent
_LONGEST_LINE = 300
# Packages whose exceptions are a library's even where the innermost frame is in our file (compiled code has no frames).
_LIBRARY_PARTS = ("steps", "formats")
_OUT_OF_MEMORY = re.compile(r"bad_alloc|can't allocate memory|cannot allocate memory|out of memory", re.IGNORECASE)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def translate(raised: BaseException, *, label: str, stack: str, log: str | None) -> dict[str, Any]:
    """The object of ``edgekit.error/1`` for an exception out of a job; ``label`` reads ``step onnx_int8``."""
    error = _find_kind(raised, label, stack)
    error.where = error.where or label
    error.log = error.log or log
    return error.to_dict()


def is_disk_full(raised: BaseException) -> bool:
    """Whether an exception says that no more can be written."""
    return isinstance(raised, OSError) and raised.errno in _FULL


def disk_full(label: str, path: str | None) -> StepError:
    """The error for a disk on which nothing more can be written."""
    return StepError(
        "the disk is full, or the limit on file sizes is reached",
        where=f"{label}, writing {path}" if path else label,
        remedy="make room, or choose another place with --out and EDGEKIT_CACHE",
        code="disk_full",
    )


def first_line(raised: BaseException) -> str:
    """The first line of a library's message that says something, cut to a length that can be read."""
    lines = [line.strip() for line in str(raised).splitlines()]
    meaningful = [line for line in lines if re.search(r"\w", line) and not line.startswith("Traceback (most recent")]
    said = meaningful[0] if meaningful else ""
    kind = type(raised).__name__
    text = f"{kind}: {said}" if said else kind
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 3] + "..."


def _find_kind(raised: BaseException, label: str, stack: str) -> EdgekitError:
    if isinstance(raised, EdgekitError):
        return raised
    if isinstance(raised, MemoryError) or (isinstance(raised, Exception) and _OUT_OF_MEMORY.search(str(raised))):
        return StepError(
            f"{label} ran out of memory: {first_line(raised)}",
            remedy="give it more memory, fewer samples, or a smaller input",
            code="out_of_memory",
        )
    if is_disk_full(raised):
        return disk_full(label, getattr(raised, "filename", None))
    if isinstance(raised, ImportError) and not _is_ours(raised.name):
        return _absent(raised, label, stack)
    if _is_our_fault(raised):
        return BugError(f"{label}: {first_line(raised)}", remedy="please report it, with the log")
    return StepError(f"{label} failed: {first_line(raised)}", remedy="the log shows what the library said before")


def _absent(raised: ImportError, label: str, stack: str) -> EdgekitError:
    module = (raised.name or "").partition(".")[0]
    if module in HEAVY and module not in get_stack(stack).allows:
        return StepError(f"{label} needs {module}, which is shut out of the worker for {stack}", code="step_failed")
    named = f"the module `{module}`" if module else "a module"
    return AbsentError(
        f"{label} needs {named}, which cannot be imported: {first_line(raised)}",
        remedy=install_command(stack),
        code="package_absent",
    )


def _is_ours(module: str | None) -> bool:
    return (module or "").partition(".")[0] == "edgekit"


def _is_our_fault(raised: BaseException) -> bool:
    frames = traceback.extract_tb(raised.__traceback__)
    if not frames:
        return False
    parts = _parts_in_package(frames[-1].filename)
    inside = any(_parts_in_package(frame.filename)[:1] == (part,) for frame in frames for part in _LIBRARY_PARTS)
    return bool(parts) and not inside


def _parts_in_package(file: str) -> tuple[str, ...]:
    try:
        return Path(file).relative_to(_PACKAGE).parts
    except ValueError:
        return ()
