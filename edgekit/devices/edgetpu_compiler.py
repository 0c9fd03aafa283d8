"""Asks the Edge TPU's own compiler, where it is installed, and turns its answer into a Placement.

The compiler tells counts by operator type and status. Which operators they are follows from the compiled file (what is
left in it stays on the CPU), or from a prediction that comes to the same counts; where neither settles it, there is no
answer and the prediction stands.
"""

from __future__ import annotations

import shutil
import signal
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from edgekit.devices.edgetpu_report import Report, Row, parse_report
from edgekit.devices.external import Waiting, run_program, shown_line
from edgekit.devices.placement import Cause, Placed, Placement, Violation
from edgekit.devices.rules.edgetpu import NOT_COMPILED
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.errors import AbsentError, StepError
from edgekit.graph import Graph, TensorInfo

PROGRAM = "edgetpu_compiler"
#: The operator that stands for what it compiled.
COMPILED_OPERATOR = "edgetpu-custom-op"
#: Seconds that the compiler may take for itself.
SECONDS = 180
#: The most seconds beside the compiler's own limit before it is ended from outside.
_GRACE = 20
#: More bytes than this are kept, but not read: they are no report of one model.
_MOST_READ = 4 << 20
#: How many of the lines that were not understood are told in notes.
_LINES = 5
UNKNOWN_STATUS = "this status of the compiler is none that edgekit knows"


@dataclass(frozen=True)
class Compilation:
    """``report`` of the try that counts: the first one, unless a search succeeded. ``compiled`` is the file it wrote
    (None: it failed); ``code`` as it ended, as of ``run_program``; ``output`` holds all that was printed, by every try;
    ``unclear`` says why the report is no answer (None: it is one); ``searched``: it was tried again, with
    --search_delegate, which gave an answer too."""

    report: Report
    compiled: Path | None
    command: tuple[str, ...]
    code: int
    output: Path
    unclear: str | None = None
    searched: bool = False


def find_compiler() -> Path | None:
    """The compiler on PATH."""
    found = shutil.which(PROGRAM)
    return None if found is None else Path(found).absolute()


def how_to_get() -> str:
    """What a user does to have it."""
    return "install edgetpu-compiler as coral.ai/docs/edgetpu/compiler says (x86-64 Linux of the Debian family)"


def output_file(out: Path) -> Path:
    """What the compiler prints when it compiles into that folder."""
    return out / f"{PROGRAM}.txt"


def compile_model(
    model: Path, out: Path, *, timeout_seconds: int = SECONDS, waiting: Waiting = lambda passed: None
) -> Compilation:
    """Compile a .tflite file into the folder ``out``; where it fails for its size, again with --search_delegate. Where
    that finds nothing or gives no answer (an older compiler does not know it; it takes too long), the first try holds.

    Raises:
        AbsentError: the compiler is not on PATH.
        StepError: it cannot be started, does not end in time, or prints without end; ``output_file`` has what it said.
    """
    program = find_compiler()
    if program is None:
        raise AbsentError(f"{PROGRAM} is not on PATH", remedy=how_to_get(), code="absent_compiler")
    out.mkdir(parents=True, exist_ok=True)
    output_file(out).unlink(missing_ok=True)
    first = _run(program, model, out, timeout_seconds, (), waiting)
    telling = first.report.failures[:1]
    if first.compiled is not None or first.unclear is not None or not any(failure.retry for failure in telling):
        return first
    try:
        second = _run(program, model, out, timeout_seconds, ("--search_delegate",), waiting)
    except StepError:
        return first
    if second.compiled is not None:
        return replace(second, searched=True)
    return replace(first, searched=second.unclear is None)


def _run(
    program: Path, model: Path, out: Path, timeout_seconds: int, more: Sequence[str], waiting: Waiting
) -> Compilation:
    out = out.absolute()
    written = out / f"{model.stem}_edgetpu.tflite"
    written.unlink(missing_ok=True)
    command = [str(program), "-s", "-t", str(timeout_seconds), "-o", str(out), *more, str(model.absolute())]
    output = output_file(out)
    begin = output.stat().st_size if output.exists() else 0
    seconds = timeout_seconds + min(_GRACE, timeout_seconds)
    try:
        code = run_program(command, output, folder=out, seconds=seconds, waiting=waiting)
    except StepError as error:
        error.where = error.where or str(model)
        raise
    with output.open("rb") as printed:
        printed.seek(begin)
        said = printed.read(_MOST_READ + 1)
    report = parse_report("" if len(said) > _MOST_READ else said.decode("utf-8", "replace"))
    compiled = _written(written, report) if code == 0 and report.succeeded else None
    unclear = _unclear(report, code, written.name, compiled)
    if len(said) > _MOST_READ:
        unclear = f"it printed more than {_MOST_READ >> 20} MiB"
    return Compilation(report, compiled, tuple(command), code, output, unclear)


def _written(expected: Path, report: Report) -> Path | None:
    """The compiled file: under the name that the compiler is known to give, or else the one that it says."""
    if expected.is_file():
        return expected
    told = [PurePosixPath(model.output).name for model in report.models if model.output]
    found = [path for name in dict.fromkeys(told) if name and (path := expected.with_name(name)).is_file()]
    return found[0] if len(found) == 1 else None


def _unclear(report: Report, code: int, name: str, compiled: Path | None) -> str | None:
    """Why what the compiler did is no answer; None if it is one."""
    ended = _ending(code)
    if report.succeeded:
        if code != 0:
            return f"it says that it succeeded, but {ended}"
        return f"it says that it succeeded, but wrote no {name}" if compiled is None else None
    if report.failures:
        return None
    return f"{ended}, and says nothing in a form that is known"


def _ending(code: int) -> str:
    """``code`` as of ``run_program``. The compiler is started by a shell script, which ends with 128 and the number of
    the signal that ended the compiler."""
    number = -code if code < 0 else code - 128
    name = f" ({signal.Signals(number).name})" if number in set(signal.Signals) else ""
    if code < 0:
        return f"it was ended by signal {number}{name}"
    return f"it ended with exit code {code}" + (f", as a script does after signal {number}{name}" if name else "")


def remaining(compiled: Graph) -> set[tuple[str, str]]:
    """The operators that a compiled file still has, as (type, name of the first output)."""
    return {(one.type, one.name) for one in compiled.operators if one.type != COMPILED_OPERATOR}


def same_ends(compiled: Graph, source: Graph) -> bool:
    """Whether two graphs have the same inputs and outputs, in their order: names, types, and sizes where both tell
    them. The compiler writes 1 for a free batch, and sizes that the source leaves to a custom operator."""
    ours, theirs = _ends(compiled), _ends(source)
    return len(compiled.inputs) == len(source.inputs) and len(ours) == len(theirs) and all(map(_same, ours, theirs))


def _ends(graph: Graph) -> list[TensorInfo]:
    return [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)]


def _same(one: TensorInfo, other: TensorInfo) -> bool:
    if (one.name, one.dtype) != (other.name, other.dtype):
        return False
    if not one.shape or not other.shape:
        return True
    sizes = zip(one.shape, other.shape, strict=False)
    return len(one.shape) == len(other.shape) and all(a is None or b is None or a == b for a, b in sizes)


def placement_from_report(
    report: Report, predicted: Placement, left: Collection[tuple[str, str]] | None = None
) -> Placement | None:
    """The compiler's answer about one model, in terms of its operators.

    ``predicted`` lists the operators; ``left`` is ``remaining`` of the compiled file. None where the report is not
    understood, contradicts itself, or does not settle which operators it means.
    """
    if report.failures and not report.succeeded:
        return _refused(report, predicted)
    summaries = [model for model in report.models if model.rows]
    if len(summaries) != 1:
        return None
    rows, figures = summaries[0].rows, {name: value for model in report.models for name, value in model.figures.items()}
    placed = _match(rows, predicted.operators, left)
    if placed is None:
        return None
    mapped = sum(one.placement == "accelerator" for one in placed)
    counts = {"operations": len(placed), "mapped": mapped, "unmapped": len(placed) - mapped}
    if any(figures.get(name, count) != count for name, count in counts.items()):
        return None
    memory = {name: figures.get(name) for name in ("cached_parameter_bytes", "streamed_parameter_bytes")}
    parts = [value for value in memory.values() if value is not None]
    return replace(
        predicted,
        source="compiler",
        operators=placed,
        subgraphs=figures.get("subgraphs", int(mapped > 0)),
        memory={"parameter_bytes": sum(parts) if len(parts) == 2 else None, **memory},
        violations=(),
        notes=_notes(report),
    )


def _refused(report: Report, predicted: Placement) -> Placement:
    telling = [failure for failure in report.failures if not failure.general] or report.failures
    violations = tuple(
        Violation(failure.words, f"{failure.means}: {shown_line(failure.line)}", failure.remedy, failure.source)
        for failure in telling
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
    lines = tuple(f"not understood: {shown_line(line)}" for line in report.unknown[:_LINES])
    more = len(report.unknown) - len(lines) + report.more_unknown
    return (f"told by {version}", *lines, *((f"not understood: {more} lines more",) if more else ()))


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
    if left is not None and not set(left) <= {(one.type, one.name) for one in operators}:
        return None  # the file holds operators of another model
    known = load_table().statuses.values()
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
        if left is None and any(status not in known for status in statuses):
            return None  # whether it means the chip or not, only the compiled file can tell
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
    reason = None if status in statuses.values() else UNKNOWN_STATUS
    return replace(one, placement="cpu", status=shown_line(status), cause=cause, reason=reason, remedy=None)
