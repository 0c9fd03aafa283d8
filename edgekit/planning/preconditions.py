"""What must be there before a plan may run: files, weights, distributions, samples, labels. It looks, runs nothing."""

from __future__ import annotations

import importlib.metadata
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgekit.checks.gates import GATES
from edgekit.devices.programs import load_programs
from edgekit.documents import Place
from edgekit.errors import AbsentError, EdgekitError, InputError
from edgekit.formats import find_format
from edgekit.recipe.paths import split_factory
from edgekit.recipe.schema import Recipe, Samples
from edgekit.steps import Step
from edgekit.tasks import TASKS

LABELS_FILE = "labels.csv"
DATA_WANTED = "give the path of a folder of pictures, an .npz, a COCO .json, or file.py:NAME"


def find_source(recipe: Recipe, problems: list[EdgekitError]) -> str:
    """The format of the source model, or an empty text; what is not there is appended to ``problems``."""
    file, factory = split_factory(recipe.model.file)
    place = recipe.place("model", "file")
    _check_distributions(recipe.model.requires, recipe.place("model", "requires"), problems)
    weights = recipe.model.weights
    if weights is not None and not Path(weights.path).is_file():
        problems.append(_missing_weights(recipe))
    if factory is not None:
        if not Path(file).is_file():
            problems.append(_no_python_file(file, str(place)))
        return "torch"
    try:
        return find_format(Path(file)).name
    except InputError as error:
        error.where = str(place)
        problems.append(error)
        return ""


def _missing_weights(recipe: Recipe) -> EdgekitError:
    weights = recipe.model.weights
    assert weights is not None
    place = str(recipe.place("model", "weights", "path"))
    message = f"the weights are not at {weights.path}"
    if weights.get is not None:
        return AbsentError(message, where=place, remedy=weights.get, code="missing_weights")
    return InputError(message, where=place, remedy="give their path as model.weights.path", code="missing_weights")


def _check_distributions(names: Iterable[str], place: Place, problems: list[EdgekitError]) -> None:
    absent = []
    for name in names:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        listed = ", ".join(absent)
        remedy = f"pip install {' '.join(absent)}"
        problems.append(
            AbsentError(f"not installed here: {listed}", where=str(place), remedy=remedy, code="missing_distribution")
        )


def check_labels_file(recipe: Recipe, problems: list[EdgekitError]) -> None:
    """The task's file of class names must be there."""
    if recipe.task is not None and recipe.task.labels is not None and not Path(recipe.task.labels).is_file():
        place = str(recipe.place("task", "labels"))
        remedy = "give the path of a file with one class name a line"
        message = f"no labels file at {recipe.task.labels}"
        problems.append(InputError(message, where=place, remedy=remedy, code="missing_file"))


def check_programs(recipe: Recipe, used: Sequence[tuple[str, Step]], problems: list[EdgekitError]) -> None:
    """Programs of others that the steps of the (entry, step) pairs run must be on PATH."""
    for entry, step in used:
        for name in step.programs:
            if shutil.which(name) is None:
                program = load_programs().get(name)
                problems.append(
                    AbsentError(
                        f"`{step.name}` runs {name}, which is not on PATH",
                        where=str(recipe.place("targets", entry, "compile")),
                        remedy="install it" if program is None else program.get,
                        code="absent_program",
                    )
                )


def check_samples(
    recipe: Recipe, calibrating: Sequence[tuple[str, str]], evaluate: bool, problems: list[EdgekitError]
) -> None:
    """The samples that will be needed must be there: calibration samples for the ``calibrating`` (output, step) pairs,
    evaluation samples unless there is no evaluation."""
    data = recipe.data
    if calibrating and (data is None or (data.split is None and data.calibrate is None)):
        output, step = calibrating[0]
        problems.append(
            InputError(
                f"{output} needs calibration samples (`{step}` measures ranges on them), and the recipe gives none",
                where=str(recipe.place("data")),
                remedy="add data: {calibrate: {path: FOLDER}}, or data: FOLDER to have it split",
                code="no_calibration_data",
            )
        )
    if data is None:
        return
    if data.split is not None and (calibrating or evaluate):
        _check_source(recipe, "split", data.split, problems)
    if data.calibrate is not None and calibrating:
        _check_source(recipe, "calibrate", data.calibrate, problems)
    if data.evaluate is not None and evaluate:
        _check_source(recipe, "evaluate", data.evaluate, problems)


def _check_source(recipe: Recipe, role: str, samples: Samples, problems: list[EdgekitError]) -> None:
    file, factory = split_factory(samples.path)
    path, place = Path(file), str(recipe.place("data", role, "path"))
    what = "data" if role == "split" else f"data to {role}"
    _check_distributions(samples.requires, recipe.place("data", role, "requires"), problems)
    if not path.exists():
        problems.append(InputError(f"no {what} at {path}", where=place, remedy=DATA_WANTED, code="missing_data"))
    elif factory is not None:
        if not path.is_file():
            problems.append(_no_python_file(file, place))
    elif path.is_dir():
        if not any(path.iterdir()):
            message = f"the folder of {what}, {path}, is empty"
            problems.append(InputError(message, where=place, remedy=DATA_WANTED, code="empty_data"))
    elif path.stat().st_size == 0:
        message = f"the file of {what}, {path}, is empty"
        problems.append(InputError(message, where=place, remedy=DATA_WANTED, code="empty_data"))


def _no_python_file(file: str, place: str) -> InputError:
    remedy = "write FILE.py:NAME with the path of a Python file"
    return InputError(f"no Python file at {file}", where=place, remedy=remedy, code="missing_file")


def check_labels(recipe: Recipe, entries: Iterable[str], problems: list[EdgekitError]) -> None:
    """Gates that need labels must be able to have them, as far as can be known before anything is read."""
    places: list[tuple[str, ...]] = [("gates", gate) for gate in recipe.gates]
    places += [
        ("targets", name, "gates", gate)
        for name in entries
        if name in recipe.targets
        for gate in recipe.targets[name].gates
    ]
    needing = [place for place in places if GATES[place[-1]].labels]
    if not needing:
        return
    why = _why_no_labels(recipe)
    if why is not None:
        gate = needing[0][-1]
        problems.append(
            InputError(
                f"the gate `{gate}` needs labels, but {why}",
                where=str(recipe.place(*needing[0])),
                remedy="give a task and labelled data (a folder per class, or labels.csv), or gate min_agreement",
                code="labels_needed",
            )
        )


def _why_no_labels(recipe: Recipe) -> str | None:
    if recipe.task is not None and TASKS.get(recipe.task.name).metric is None:
        return f"the task `{recipe.task.name}` measures no accuracy"
    data = recipe.data
    samples = None if data is None else data.evaluate or data.split
    if samples is None:
        return "there are no samples to evaluate on"
    if split_factory(samples.path)[1] is None and holds_labels(Path(samples.path)) is False:
        return f"{samples.path} holds none"
    return None


def holds_labels(path: Path) -> bool | None:
    """Whether samples at ``path`` come with labels, by their form alone; None where that does not show."""
    if path.is_dir():
        visible = [child for child in path.iterdir() if not child.name.startswith(".")]
        return (path / LABELS_FILE).is_file() or any(child.is_dir() for child in visible)
    if path.suffix == ".npz" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return bool({"y.npy", "labels.npy"} & set(archive.namelist()))
    return None
