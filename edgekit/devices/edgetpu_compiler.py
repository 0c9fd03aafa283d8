"""Asks the Edge TPU's own compiler, where it is installed, and turns its answer into a Placement.

The compiler tells counts by operator type and status. Which operators they are follows from the compiled file (what is
left in it stays on the CPU), or from a prediction that comes to the same counts; where neither settles it, there is no
answer and the prediction stands.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.devices.edgetpu_report import Report, Row, parse_report
from edgekit.devices.placement import Cause, Placed, Placement, Violation
from edgekit.devices.rules.edgetpu import NOT_COMPILED
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.errors import AbsentError, StepError
from edgekit.graph import Graph

PROGRAM = "edgetpu_compiler"
#: The operator that stands for what it compiled.
COMPILED_OPERATOR = "edgetpu-custom-op"
#: Seconds beside the compiler's own limit before it is ended from outside.
_GRACE = 20


@dataclass(frozen=True)
class Compilation:
    """``report`` of the last try; ``compiled`` is the file it wrote (None: it failed); ``searched``: with
    --search_delegate, after a first try failed."""

    report: Report
    compiled: Path | None
    command: tuple[str, ...]
    searched: bool = False


def find_compiler() -> Path | None:
    """The compiler on PATH."""
    found = shutil.which(PROGRAM)
    return None if found is None else Path(found)


def how_to_get() -> str:
    """What a user does to have it."""
    return "install edgetpu-compiler as coral.ai/docs/edgetpu/compiler says (x86-64 Linux of the Debian family)"


def compile_model(model: Path, out: Path, *, timeout_seconds: int = 180) -> Compilation:
    """Compile a .tflite file into the folder ``out``; where it fails for its size, again with --search_delegate.

    Raises:
        AbsentError: the compiler is not on PATH.
        StepError: it does not end in time.
    """
    program = find_compiler()
    if program is None:
        raise AbsentError(f"{PROGRAM} is not on PATH", remedy=how_to_get(), code="absent_compiler")
    first = _run(program, model, out, timeout_seconds, ())
    if first.compiled is not None or not any(failure.retry for failure in first.report.failures):
        return first
    second = _run(program, model, out, timeout_seconds, ("--search_delegate",))
    return replace(second, searched=True)


def _run(program: Path, model: Path, out: Path, timeout_seconds: int, more: Sequence[str]) -> Compilation:
    out.mkdir(parents=True, exist_ok=True)
    written = out / f"{model.stem}_edgetpu.tflite"
    written.unlink(missing_ok=True)
    command = [str(program), "-s", "-t", str(timeout_seconds), "-o", str(out), *more, str(model.resolve())]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=out,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=timeout_seconds + _GRACE)
        except subprocess.TimeoutExpired as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise StepError(
                f"{PROGRAM} did not end within {timeout_seconds + _GRACE} s",
                where=str(model),
                remedy="give it longer, or a smaller model",
                code="timeout",
            ) from error
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    report = parse_report(output.decode("utf-8", "replace"))
    compiled = written if process.returncode == 0 and report.succeeded and written.is_file() else None
    return Compilation(report, compiled, tuple(command))


def remaining(compiled: Graph) -> set[tuple[str, str]]:
    """The operators that a compiled file still has, as (type, name of the first output)."""
    return {(one.type, one.name) for one in compiled.operators if one.type != COMPILED_OPERATOR}


def placement_from_report(
    report: Report, predicted: Placement, left: Collection[tuple[str, str]] | None = None
) -> Placement | None:
    """The compiler's answer about one model, in terms of its operators.

    ``predicted`` lists the operators; ``left`` is ``remaining`` of the compiled file. None where the report is not
    understood or does not settle which operators it means.
    """
    if report.failures and not report.succeeded:
        return _refused(report, predicted)
    summaries = [model for model in report.models if model.rows]
    if len(summaries) != 1:
        return None
    summary = summaries[0]
    placed = _match(summary.rows, predicted.operators, left)
    if placed is None:
        return None
    mapped = any(one.placement == "accelerator" for one in placed)
    figures = summary.figures
    memory = {name: figures.get(name) for name in ("cached_parameter_bytes", "streamed_parameter_bytes")}
    parts = [value for value in memory.values() if value is not None]
    return replace(
        predicted,
        source="compiler",
        operators=placed,
        subgraphs=figures.get("subgraphs", int(mapped)),
        memory={"parameter_bytes": sum(parts) if len(parts) == 2 else None, **memory},
        violations=(),
        notes=_notes(report),
    )


def _refused(report: Report, predicted: Placement) -> Placement:
    violations = tuple(
        Violation(failure.words, f"{failure.means}: {failure.line}", failure.remedy, failure.source)
        for failure in report.failures
    )
    operators = tuple(
        replace(one, placement="cpu", status=NOT_COMPILED, cause="downstream", reason="the model does not compile")
        if one.placement == "accelerator"
        else one
        for one in predicted.operators
    )
    unique = tuple({violation.rule: violation for violation in violations}.values())
    memory = dict.fromkeys(predicted.memory)
    return replace(
        predicted,
        source="compiler",
        operators=operators,
        subgraphs=0,
        memory=memory,
        violations=unique,
        notes=_notes(report),
    )


def _notes(report: Report) -> tuple[str, ...]:
    version = f"compiler {report.version}" if report.version else "a compiler that does not tell its version"
    return (f"told by {version}", *(f"not understood: {line.strip()}" for line in report.unknown))


def _match(
    rows: Sequence[Row], operators: Sequence[Placed], left: Collection[tuple[str, str]] | None
) -> tuple[Placed, ...] | None:
    """Each operator with its status, where the counts settle it."""
    told: dict[str, Counter[str]] = {}
    for row in rows:
        told.setdefault(row.type, Counter())[row.status] += row.count
    kinds = Counter(_logged_type(one) for one in operators)
    if {kind: sum(statuses.values()) for kind, statuses in told.items()} != dict(kinds):
        return None
    mapped_words = load_table().statuses["mapped"]
    placed: dict[int, Placed] = {}
    for kind, statuses in told.items():
        members = [one for one in operators if _logged_type(one) == kind]
        if left is not None:
            on_chip = [one for one in members if (one.type, one.name) not in left]
            members = [one for one in members if (one.type, one.name) in left]
            if len(on_chip) != statuses.pop(mapped_words, 0):
                return None
            placed |= {one.index: _with_status(one, mapped_words) for one in on_chip}
        if len(statuses) <= 1:
            placed |= {one.index: _with_status(one, status) for status in statuses for one in members}
        elif Counter(one.status for one in members) == statuses:
            placed |= {one.index: one for one in members}
        else:
            return None
    return tuple(placed[one.index] for one in operators)


def _logged_type(one: Placed) -> str:
    """The compiler lists custom operators as CUSTOM."""
    table = load_table()
    builtin = one.type in table.rows or one.type in table.refused or one.type in table.newer
    return one.type if builtin else "CUSTOM"


def _with_status(one: Placed, status: str) -> Placed:
    """The operator as the compiler tells it; a reason of ours stays where it is for the same status."""
    if one.status == status:
        return one
    statuses = load_table().statuses
    if status == statuses["mapped"]:
        return replace(one, placement="accelerator", status=status, cause="mapped", reason=None, remedy=None)
    cause: Cause = "downstream" if status == statuses["downstream"] else "rejected"
    return replace(one, placement="cpu", status=status, cause=cause, reason=None, remedy=None)
