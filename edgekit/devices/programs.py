"""Programs of others that edgekit uses where they are on PATH: a device's own compiler, whose answer replaces a rule
set's prediction."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from edgekit.devices.edgetpu_compiler import compile_model, placement_from_report, remaining
from edgekit.devices.placement import Placed, Placement
from edgekit.devices.profile import Profile
from edgekit.graph import Graph

Describe = Callable[[Path], Graph]


@dataclass(frozen=True)
class Program:
    """``rules`` is the rule set whose prediction its answer replaces; ``get`` is what a user does to have it."""

    name: str
    rules: str
    use: str
    get: str
    source: str

    def find(self) -> Path | None:
        """The program on PATH."""
        found = shutil.which(self.name)
        return None if found is None else Path(found)


@dataclass(frozen=True)
class Answer:
    """``placement`` is None where the program did not say where the operators run, or in no form that is known;
    ``text`` is all that it printed."""

    placement: Placement | None
    text: str


@cache
def load_programs() -> Mapping[str, Program]:
    """All programs by name."""
    from ruamel.yaml import YAML

    stored = YAML(typ="safe", pure=True).load(Path(__file__).with_name("programs.yaml"))
    return {name: Program(name, **fields) for name, fields in stored.items()}


def find_program(profile: Profile) -> Program | None:
    """The program that answers for a profile's rule set, on PATH or not; None where none does."""
    return next((one for one in load_programs().values() if one.rules == profile.operators.rules), None)


def ask(program: Program, model: Path, predicted: Placement, folder: Path, describe: Describe) -> Answer:
    """Let the program have a file of the device's format; what it writes goes below ``folder``.

    Raises:
        AbsentError: it is not on PATH.
        StepError: it does not end in time.
    """
    return _ASK[program.name](model, predicted, folder, describe)


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


def _ask_edgetpu_compiler(model: Path, predicted: Placement, folder: Path, describe: Describe) -> Answer:
    made = compile_model(model, folder)
    left = None if made.compiled is None else remaining(describe(made.compiled))
    return Answer(placement_from_report(made.report, predicted, left), made.report.text)


_READ: dict[str, Callable[[Placement, Graph], Placement]] = {"edgetpu_compiler": _read_edgetpu}
_ASK: dict[str, Callable[[Path, Placement, Path, Describe], Answer]] = {"edgetpu_compiler": _ask_edgetpu_compiler}
