"""The device's own compiler, asked by `edgekit check` where it is installed: its answer, or why there is none."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli.terminal import note, shown_path

if TYPE_CHECKING:
    from edgekit.cli.jobs import Jobs
    from edgekit.devices import Profile
    from edgekit.devices.judge import Judgement
    from edgekit.devices.placement import Placement
    from edgekit.devices.programs import Answer, Program
    from edgekit.graph import Graph

#: Where all that a program printed is kept, if it was not understood.
FOLDER = Path("edgekit-out") / "check"
#: Seconds between two lines that tell that it still runs.
_PULSE = 30.0


@dataclass(frozen=True)
class Asked:
    """What came of asking. ``path`` is the program (None: not on PATH); ``answered``: the placement is its own;
    ``unclear`` says why not; ``said`` are lines of what it printed and ``output`` the file with all of it, where not
    all of it was understood."""

    name: str
    path: Path | None
    answered: bool
    unclear: str | None
    version: str | None = None
    said: tuple[str, ...] = ()
    output: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "path": None if self.path is None else str(self.path),
            "version": self.version,
            "answered": self.answered,
            "unclear": self.unclear,
            "said": list(self.said),
            "output": None if self.output is None else str(self.output),
        }


class Asking:
    """The program that answers for a profile's rule set, to be asked about one file. ``asked`` is what came of it
    (None: no program answers for such a device)."""

    def __init__(self, jobs: Jobs, profile: Profile, model: Path) -> None:
        from edgekit.devices.programs import find_program

        self._jobs, self._model = jobs, model
        self._program = find_program(profile)
        self.asked: Asked | None = None

    def ask(self, predicted: Placement) -> Placement:
        """What the program says; else, and where it gives no answer that is understood, the prediction with a note that
        says so."""
        program = self._program
        if program is None:
            return predicted
        path = program.find()
        if path is None:
            self.asked = Asked(program.name, None, answered=False, unclear=f"it is not on PATH: {program.get}")
            return _noted(predicted, f"{program.name} is not on PATH, so this is a prediction: {program.get}")
        return self._ask(program, path, predicted)

    def finish(self, judgement: Judgement) -> Judgement:
        """The judgement; where the program could not be asked, since the file that it takes is still to be made, with a
        note that says so."""
        program = self._program
        if program is None or self.asked is not None:
            return judgement
        path, why = program.find(), "the file that it takes, the quantized one, is still to be made"
        self.asked = Asked(program.name, path, answered=False, unclear=why)
        told = f"this is a prediction: {program.name} takes only the quantized file, which is still to be made"
        told += "" if path is not None else f"; and it is not on PATH: {program.get}"
        return replace(judgement, placement=_noted(judgement.placement, told))

    def _ask(self, program: Program, path: Path, predicted: Placement) -> Placement:
        from edgekit.devices.programs import ask

        def describe(file: Path) -> Graph:
            return self._jobs.describe(self._jobs.read_model(file))

        with tempfile.TemporaryDirectory(prefix="edgekit-check-") as folder:
            answer = ask(program, self._model, predicted, Path(folder), describe, Pulse(program.name))
            self.asked = self._keep(program, path, answer)
        kept = "" if self.asked.output is None else f"all that it said is in {shown_path(self.asked.output)}"
        if answer.placement is not None:
            return _noted(answer.placement, kept) if kept else answer.placement
        told = f"{program.name} gave no answer that is understood ({answer.unclear}), so this is a prediction"
        return _noted(predicted, f"{told}; {kept}" if kept else told)

    def _keep(self, program: Program, path: Path, answer: Answer) -> Asked:
        """What came of it; all that the program printed is kept where not all of it was understood."""
        from edgekit.cli.model_flags import model_name
        from edgekit.devices.external import excerpt
        from edgekit.engine.files import copy_atomically

        answered = answer.placement is not None
        asked = Asked(program.name, path, answered, answer.unclear, answer.version)
        there = FOLDER / f"{model_name(str(self._model))}.{program.name}.txt"
        said = answer.output is not None and answer.output.stat().st_size > 0
        if answer.output is None or not said or (answered and not answer.strange):
            there.unlink(missing_ok=True)  # what an earlier one said
            return asked
        there.parent.mkdir(parents=True, exist_ok=True)
        copy_atomically(answer.output, there)
        return replace(asked, said=() if answered else excerpt(there), output=there)


class Pulse:
    """Tells now and then that a program still runs."""

    def __init__(self, name: str) -> None:
        self._name, self._next = name, 0.0

    def __call__(self, passed: float) -> None:
        if passed >= self._next:
            note(f"{self._name} is asked" if not self._next else f"{self._name} still runs, {passed:.0f} s")
            self._next = passed + _PULSE if self._next else _PULSE


def _noted(placement: Placement, told: str) -> Placement:
    return replace(placement, notes=(*placement.notes, told))
