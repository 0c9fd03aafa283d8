"""`edgekit init MODEL`: a commented recipe to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.apps import TargetsDirOption
from edgekit.cli.terminal import answer, note
from edgekit.errors import EdgekitError, InputError


def init(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file, or file.py:NAME.")],
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", metavar="NAME", help="A target to make files for. Repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write. [default: standard output]")
    ] = None,
    weights: Annotated[str | None, typer.Option("--weights", metavar="FILE", help="Weights for file.py:NAME.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="PATH", help="Samples, which will be split.")] = None,
    preprocess: Annotated[
        str | None, typer.Option("--preprocess", metavar="PRESET", help="How pictures are fed.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="NAME", help="What the outputs mean.")] = None,
    targets_dir: TargetsDirOption = None,
) -> int:
    """Write a commented recipe for a model and targets; what it could not read is `???`, for you to fill in.

    The model's inputs are read from its file. A Python file is not run.

    \b
    Examples:
      edgekit init model.onnx --target coral --target openvino-cpu -o model.yaml
      edgekit init net.py:build --weights net.safetensors -t android-cpu
    """
    from edgekit.devices import load_profiles
    from edgekit.recipe.template import render

    profiles = load_profiles(targets_dir)
    for name in target or ():
        profiles.find(name)
    _check_names(preprocess, task)
    if out is not None and out.exists():
        raise InputError(
            f"{out} exists", where=str(out), remedy="choose another name, or remove it", code="file_exists"
        )
    text = render(
        _named_from(out, model),
        tuple(dict.fromkeys(target or ())),
        inputs=read_inputs(model),
        weights=None if weights is None else _named_from(out, weights),
        data=None if data is None else _named_from(out, data),
        preprocess=preprocess,
        task=task,
        profiles=profiles,
    )
    if out is None:
        answer(text)
        return 0
    from edgekit.report.write import write_text

    write_text(out, text)
    answer(str(out))
    open_places = text.count("???") - 1  # the comment at the top speaks of them too
    places = "1 place" if open_places == 1 else f"{open_places} places"
    note(f"{places} to fill in (???)" if open_places else "nothing left to fill in")
    return 0


def _check_names(preprocess: str | None, task: str | None) -> None:
    """Refuse (InputError) a preset or a task that there is not."""
    from edgekit.recipe.preprocess import PRESETS
    from edgekit.registry import did_you_mean
    from edgekit.tasks import TASKS

    if preprocess is not None and preprocess not in PRESETS:
        raise InputError(
            f"--preprocess {preprocess} is no preset{did_you_mean(preprocess, PRESETS)}",
            remedy=f"the presets are {', '.join(PRESETS)}; words of your own go into the recipe",
            code="unknown_preset",
        )
    if task is not None:
        TASKS.get(task)


def read_inputs(model: str) -> dict[str, dict[str, Any]] | None:
    """{name: {shape, layout, dtype}} from the model's file; None where it does not say (a Python file, TorchScript).

    Raises:
        InputError: no such file, or not a model.
    """
    if ".py:" in model:
        file = Path(model.rpartition(":")[0])
        if not file.exists():
            raise InputError(f"no file at {file}", where=str(file), code="missing_file")
        return None
    from edgekit.cli.jobs import Jobs

    try:
        with Jobs() as jobs:
            inputs = jobs.read_model(Path(model)).io.inputs
    except EdgekitError as error:
        if error.word != "inputs_not_declared":
            raise
        return None
    return {
        tensor.name: {"shape": list(tensor.shape), "layout": tensor.layout, "dtype": tensor.dtype} for tensor in inputs
    }


def _named_from(out: Path | None, path: str) -> str:
    """The path as the recipe must name it: from the folder where it will lie, or absolute where it was given so."""
    import os

    if out is None or Path(path).is_absolute():
        return path
    return Path(os.path.relpath(Path(path).absolute(), out.absolute().parent)).as_posix()
