"""Writing to the two streams: answers to standard output, progress, notes and errors to standard error."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

#: Control characters that JSON leaves as they are.
_CONTROLS = re.compile("[\x7f-\x9f]")


def prepare_streams() -> None:
    """Never fail on a character that the terminal's encoding lacks, nor on a stream that is closed."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _open_closed_streams() -> None:
    """Put nothing in the place of standard streams that whoever started the command closed (``2>&-``): a file opened
    later would get their number, and what is written for the reader would go into it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def answer(text: str) -> None:
    """Write what was asked for to standard output; names in a model file do not get at a reader's terminal."""
    if not text.translate({9: "", 10: ""}).isprintable():  # what is, as help, needs no import
        from edgekit.report.figures import visible

        text = visible(text)
    _write(sys.stdout, text if text.endswith("\n") else text + "\n")


def answer_json(document: dict[str, Any]) -> None:
    """Write the one JSON document of ``--json`` to standard output."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    _write(sys.stdout, _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def note(text: str) -> None:
    """Write a note for the reader to standard error."""
    from edgekit.report.figures import visible

    _write(sys.stderr, visible(text) + "\n")


def is_interactive() -> bool:
    """Whether standard error is a terminal that may be redrawn (``CI`` and ``NO_COLOR`` say that it is not)."""
    if os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr.isatty()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned by spaces, two between them; no line ends in a space."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def pairs(rows: Sequence[tuple[str, str]], indent: str = "") -> str:
    """``name  value`` lines with the values aligned; further lines of a value stand below its first."""
    width = max((len(name) for name, _ in rows), default=0)
    lines = []
    for name, value in rows:
        first, *rest = value.split("\n")
        lines.append(f"{indent}{name.ljust(width)}  {first}".rstrip())
        lines.extend(f"{indent}{' ' * width}  {line}".rstrip() for line in rest)
    return "\n".join(lines)


def shown_path(path: Path) -> str:
    """Relative to the working folder where it lies below it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _write(stream: TextIO, text: str) -> None:
    """Write and flush. A reader that went away (``| head``) ends the writing, not the command."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
