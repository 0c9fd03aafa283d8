"""Programs of others that edgekit uses where they are on PATH: a device's own compiler, whose answer replaces a rule
set's prediction."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from edgekit.devices.edgetpu_compiler import (
    PROGRAM,
    compile_model,
    output_file,
    placement_from_report,
    remaining,
)
from edgekit.devices.external import Waiting, run_program, shown_line
from edgekit.devices.placement import Placed, Placement
from edgekit.devices.profile import Profile
from edgekit.errors import AbsentError, InputError, StepError
from edgekit.graph import Graph

Describe = Callable[[Path], Graph]

#: Seconds that a program may take to tell its version, and the most bytes of what it says that are read.
_VERSION_SECONDS, _VERSION_BYTES = 10, 1 << 16


@dataclass(frozen=True)
class Program:
    """``rules`` is the rule set whose prediction its answer replaces; ``get`` is what a user does to have it.
    ``version_flag`` lets it tell its version, behind the words ``version_says``."""

    name: str
    rules: str
    use: str
    get: str
    source: str
    version_flag: str
    version_says: str

    def find(self) -> Path | None:
        """The program on PATH."""
        found = shutil.which(self.name)
        return None if found is None else Path(found).absolute()

    def version(self) -> str | None:
        """What it says of its version; None where it is not on PATH, or does not say it in a form that is known."""
        found = self.find()
        if found is None:
            return None
        with tempfile.TemporaryDirectory(prefix="edgekit-version-") as folder:
            output = Path(folder, "output.txt")
            try:
                run_program([str(found), self.version_flag], output, folder=Path(folder), seconds=_VERSION_SECONDS)
            except StepError:
                return None
            with output.open("rb") as printed:
                text = printed.read(_VERSION_BYTES).decode("utf-8", "replace")
        for line in text.splitlines():
            _, says, rest = line.partition(self.version_says)
            if says and rest.split():
                return shown_line(rest.split()[0])
        return None


@dataclass(frozen=True)
class Answer:
    """``placement`` is None where the program did not say where the operators run, or in no form that is known, and
    ``unclear`` says why. ``output`` is the file with all that it printed (None: it was not started); ``version`` as it
    told it; ``strange``: something in it was not understood."""

    placement: Placement | None
    output: Path | None
    unclear: str | None = None
    version: str | None = None
    strange: bool = False


@cache
def load_programs() -> Mapping[str, Program]:
    """All programs by name."""
    from ruamel.yaml import YAML

    stored = YAML(typ="safe", pure=True).load(Path(__file__).with_name("programs.yaml"))
    return {name: Program(name, **fields) for name, fields in stored.items()}


def find_program(profile: Profile) -> Program | None:
    """The program that answers for a profile's rule set, on PATH or not; None where none does."""
    return next((one for one in load_programs().values() if one.rules == profile.operators.rules), None)


def ask(
    program: Program,
    model: Path,
    predicted: Placement,
    folder: Path,
    describe: Describe,
    waiting: Waiting = lambda passed: None,
) -> Answer:
    """Let the program have a file of the device's format; what it writes goes below ``folder``, and ``waiting`` is told
    the seconds that it has run. That it fails, in whatever way, is an Answer without a placement."""
    return _ASK[program.name](model, predicted, folder, describe, waiting)


def read_compiled(profile: Profile, predicted: Placement, compiled: Graph) -> Placement:
    """The placement that a compiled file shows: what is left in it stays on the CPU, all else was mapped."""
    program = find_program(profile)
    return predicted if program is None else _READ[program.name](predicted, compiled)


def _read_edgetpu(predicted: Placement, compiled: Graph) -> Placement:
    left = remaining(compiled)
    operators = tuple(_as_compiled(one, (one.type, one.name) in left) for one in predicted.operators)
    return replace(predicted, source="compiler", operators=operators)


def _as_compiled(one: Placed, left: bool) -> Placed:
    """The operator where the file has it; what was predicted of it stays where that is the same."""
    if left != (one.placement == "accelerator"):
        return one
    if left:
        return replace(one, placement="cpu", status="left in the file", cause="rejected")
    return replace(one, placement="accelerator", status="in the file", cause="mapped", reason=None, remedy=None)


def _ask_edgetpu_compiler(
    model: Path, predicted: Placement, folder: Path, describe: Describe, waiting: Waiting
) -> Answer:
    try:
        made = compile_model(model, folder, waiting=waiting)
    except (AbsentError, StepError) as error:
        output = output_file(folder)
        why = f"it {error.message.removeprefix(PROGRAM).lstrip()}"
        return Answer(None, output if output.exists() else None, why)
    told = Answer(None, made.output, made.unclear, made.report.version, strange=bool(made.report.unknown))
    if made.unclear is not None:
        return told
    try:
        left = None if made.compiled is None else remaining(describe(made.compiled))
    except (InputError, StepError) as error:
        return replace(told, unclear=f"the file that it wrote cannot be read: {error.message}")
    placement = placement_from_report(made.report, predicted, left)
    if placement is None:
        return replace(told, unclear="what it says of the operators does not settle which of them it means")
    notes = [*placement.notes]
    if made.searched:
        found = "found one" if made.compiled is not None else "found none"
        notes.append(f"all of it did not compile; the search for a part that does (--search_delegate) {found}")
    return replace(told, placement=replace(placement, notes=tuple(notes)))


_READ: dict[str, Callable[[Placement, Graph], Placement]] = {"edgetpu_compiler": _read_edgetpu}
_ASK: dict[str, Callable[[Path, Placement, Path, Describe, Waiting], Answer]] = {
    "edgetpu_compiler": _ask_edgetpu_compiler
}
