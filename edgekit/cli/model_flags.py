"""The flags that say the same as a recipe does, and how a recipe is made of them.

Order: a flag, then the file of ``--recipe``, then the model's sidecar, then the model file itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.errors import InputError, not_a_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgekit.devices import Profile
    from edgekit.recipe import Recipe

LABEL = "the command line"

#: {input: {shape, dtype, ...}}, as under a recipe's `model.inputs`.
Inputs = dict[str, dict[str, Any]]

ModelArgument = Annotated[
    str | None,
    typer.Argument(metavar="[MODEL]", help="A model file, or file.py:NAME. [default: the model of --recipe]"),
]
RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", metavar="FILE", help="Take from this recipe what no flag says.")
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="Weights for a model that file.py:NAME builds.")
]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="[NAME=]1x3x224x224[:TYPE]",
        help="Shape of an input, the batch first, and its type if that is not float32. Repeatable.",
    ),
]
PreprocessOption = Annotated[
    str | None,
    typer.Option(
        "--preprocess",
        metavar="PRESET|FILE",
        help="imagenet, inception, efficientnet-lite, yolo, none, or a YAML file.",
    ),
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="PATH", help="Samples: some calibrate, the others evaluate.")
]
CalibrateOption = Annotated[str | None, typer.Option("--calibrate", metavar="PATH", help="Samples to calibrate with.")]
EvaluateOption = Annotated[str | None, typer.Option("--evaluate", metavar="PATH", help="Samples to measure on.")]
LabelsOption = Annotated[
    Path | None, typer.Option("--labels", metavar="FILE", help="Class names, one a line, in the model's order.")
]
TaskOption = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="What the outputs mean: classification, ...")
]


@dataclass(frozen=True)
class Flags:
    """What was given of them; paths are relative to the working folder. ``sidecar_of`` is the model whose sidecar tells
    the rest (None: the model's own)."""

    model: str | None = None
    recipe: Path | None = None
    weights: Path | None = None
    shape: tuple[str, ...] = ()
    preprocess: str | None = None
    data: str | None = None
    calibrate: str | None = None
    evaluate: str | None = None
    labels: Path | None = None
    task: str | None = None
    overrides: tuple[str, ...] = ()
    sidecar_of: str | None = None


def make_recipe(flags: Flags, sections: dict[str, Any], profiles: Mapping[str, Profile]) -> Recipe:
    """The recipe that the flags (and ``--recipe``) come to. ``sections`` (`targets`, `steps`) replace the recipe's own.

    Raises:
        RecipeError, InputError: as ``load_recipe`` does; pictures without preprocessing; no model; weights that are not
        there; one thing said twice.
    """
    from edgekit.recipe import load_mapping

    if flags.data is not None and (flags.calibrate or flags.evaluate):
        raise InputError("--data stands for both --calibrate and --evaluate; give it, or them", code="usage")
    if flags.weights is not None:
        check_weights(flags.weights)
    settings = _settings(flags)
    _refuse_saying_twice(settings, flags.overrides)
    if flags.recipe is not None:
        recipe = _from_file(flags, flags.recipe, settings, sections, profiles)
    else:
        mapping = _mapping(flags, settings, sections)
        recipe = load_mapping(mapping, base=Path.cwd(), label=LABEL, overrides=flags.overrides, profiles=profiles)
    refuse_guessing(recipe)
    return recipe


def own_model(flags: Flags) -> Recipe | None:
    """The recipe of ``--recipe`` if its model is the one that the flags name (as it is written there), else None."""
    from edgekit.recipe import load_recipe
    from edgekit.recipe.paths import split_factory

    if flags.recipe is None or flags.model is None:
        return None
    recipe = load_recipe(flags.recipe)
    (own, own_name), (file, name) = split_factory(recipe.model.file), split_factory(flags.model)
    return recipe if own_name == name and Path(own).resolve() == Path(file).resolve() else None


def check_weights(path: Path, flag: str = "--weights") -> None:
    """Refuse (InputError) weights that are not there."""
    what = not_a_file(path, "weights file")
    if what is not None:
        raise InputError(what, where=flag, remedy=f"{flag} FILE, with the path of the weights", code="missing_weights")


def _refuse_saying_twice(settings: Mapping[str, Any], overrides: tuple[str, ...]) -> None:
    """Refuse (InputError) a ``--set`` of what a flag says too: one of them would be passed over in silence."""
    from edgekit.recipe.overrides import split_override

    said = {".".join(path) for top, value in settings.items() for path in _leaves((*top.split("."),), value)}
    for text in overrides:
        path = ".".join(split_override(text)[0])
        twice = sorted(leaf for leaf in said if leaf == path or leaf.startswith(f"{path}."))
        if twice:
            raise InputError(
                f"--set {text} and a flag both say `{twice[0]}`", where=LABEL, remedy="give one of them", code="usage"
            )


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[str, ...]]:
    if not isinstance(value, dict):
        yield path
        return
    for key, below in value.items():
        yield from _leaves((*path, key), below)


def _from_file(
    flags: Flags, file: Path, settings: dict[str, Any], sections: dict[str, Any], profiles: Mapping[str, Profile]
) -> Recipe:
    """The recipe in ``file`` with the ``settings`` of the flags laid over it. Of its targets those of ``sections``
    stay, with what it says of each but for the precision; another model than its own takes over nothing of that, and
    gives the outputs another name."""
    from edgekit.recipe import load_mapping, load_recipe
    from edgekit.recipe.write import plain

    if own_model(flags) is not None:
        settings = {name: value for name, value in settings.items() if name != "model"}
    elif flags.model is not None:
        settings = {**settings, "name": model_name(flags.model)}
    texts = [f"{path}={json.dumps(value)}" for path, value in settings.items()]
    recipe = load_recipe(file, (*texts, *flags.overrides), profiles=profiles)
    if not sections:
        return recipe
    written = plain(recipe)
    kept = written.pop("targets", {})
    if "steps" in sections:
        written["steps"] = sections["steps"]
    if "targets" in sections:
        written["targets"] = {name: {**kept.get(name, {}), **entry} for name, entry in sections["targets"].items()}
    return load_mapping(written, base=Path.cwd(), label=str(file), profiles=profiles)


def refuse_guessing(recipe: Recipe) -> None:
    """Refuse (InputError) pictures for which nobody said how they are prepared: that is never guessed."""
    if recipe.preprocess or recipe.data is None or recipe.node("preprocess") is not None:
        return
    used = [use for use in (recipe.data.split, recipe.data.evaluate, recipe.data.calibrate) if use is not None]
    pictures = [use.path for use in used if may_be_pictures(use.path)]
    if pictures:
        from edgekit.recipe.preprocess import PRESETS

        raise InputError(
            "nothing says how pictures become the model's input, and edgekit does not guess it",
            where=pictures[0],
            remedy=f"--preprocess with one of {', '.join(PRESETS)} or a YAML file of words, or --recipe FILE",
            code="preprocessing_missing",
        )


def may_be_pictures(path: str) -> bool:
    """Whether samples at ``path`` are pictures, as far as their kind tells: all but arrays of prepared numbers."""
    if not path.endswith(".npz"):
        return True
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "jpeg.npy" in names:
                return True
            return "x.npy" in names and _is_pixels(archive, "x.npy")
    except (OSError, zipfile.BadZipFile, ValueError):
        return False  # reading the samples will say what is wrong with the file


def _is_pixels(archive: Any, member: str) -> bool:
    """Whether an array of the archive is 8-bit with the axes of pictures (samples, height, width, channels)."""
    from numpy.lib import format as npy

    with archive.open(member) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
    return len(shape) == 4 and str(dtype) == "uint8"


def _mapping(flags: Flags, settings: dict[str, Any], sections: dict[str, Any]) -> dict[str, Any]:
    if flags.model is None:
        raise InputError("no model: name its file, or give --recipe", code="usage")
    mapping: dict[str, Any] = {"edgekit": 1, "name": model_name(flags.model)}
    told = {
        name: value for name, value in sidecar_sections(flags.sidecar_of or flags.model).items() if name not in settings
    }
    for path, value in {**told, **settings, **sections}.items():
        *above, last = path.split(".")
        place = mapping
        for key in above:
            place = place.setdefault(key, {})
        place[last] = value
    return mapping


def _settings(flags: Flags) -> dict[str, Any]:
    """{dotted path of the recipe: value} of what the flags say."""
    settings: dict[str, Any] = {}
    if flags.model is not None:
        settings["model"] = {"file": flags.model}
    if flags.weights is not None:
        settings["model.weights"] = {"path": str(flags.weights)}
    if flags.shape:
        settings["model.inputs"] = parse_inputs(flags)
    if flags.preprocess is not None:
        settings["preprocess"] = read_preprocess(flags.preprocess)
    if flags.data is not None:
        settings["data"] = {"path": flags.data}
    for role in ("calibrate", "evaluate"):
        path = getattr(flags, role)
        if path is not None:
            settings[f"data.{role}"] = {"path": path}
    if flags.task is not None:
        settings["task"] = {"name": flags.task}
    if flags.labels is not None:
        settings["task.labels"] = str(flags.labels.absolute())
    return settings


def model_name(model: str) -> str:
    """What the outputs are called after: the model file's stem, with the function that builds it where that is not just
    ``build``, as the name of a folder."""
    import re

    file, _, factory = model.rpartition(":") if ".py:" in model else (model, "", "")
    stem = Path(file).stem + (f"-{factory}" if factory not in ("", "build") else "")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "model"


def parse_inputs(flags: Flags) -> Inputs:
    """``--shape`` texts as {input name: {shape: sizes, dtype: where it is told}}. One without a name is that of the
    model's only input."""
    inputs: Inputs = {}
    for text in flags.shape:
        name, separator, told = text.rpartition("=")
        sizes, typed, dtype = told.partition(":")
        if typed:
            _check_dtype(text, dtype)
        parts = sizes.lower().split("x")
        if not all(part.isdecimal() and int(part) > 0 for part in parts) or (separator and not name):
            raise InputError(
                f"--shape {text} is no shape", remedy="write it as 1x3x224x224, or NAME=1x3x224x224", code="usage"
            )
        shape = [int(part) for part in parts]
        inputs[name or _only_input(flags, shape)] = {"shape": shape, **({"dtype": dtype} if typed else {})}
    if len(inputs) != len(flags.shape):
        raise InputError("--shape names an input twice, or needs NAME= for each of several", code="usage")
    return inputs


def _check_dtype(text: str, dtype: str) -> None:
    from typing import get_args

    from edgekit.recipe.schema import InputType

    known = get_args(InputType)
    if dtype not in known:
        raise InputError(
            f"--shape {text}: `{dtype}` is no type of an input",
            remedy=f"the types are {', '.join(known)}",
            code="usage",
        )


def _only_input(flags: Flags, shape: list[int]) -> str:
    """The name of the model's only input, which has that shape, where its file says it, else ``input``."""
    from edgekit.formats import ONLY, find_format

    if flags.model is None or ".py:" in flags.model:
        return "input"
    path = Path(flags.model)
    if find_format(path).name == "torch":
        return "input"
    from edgekit.cli.jobs import Jobs

    with Jobs() as jobs:
        return jobs.read_model(path, {ONLY: {"shape": shape}}).io.inputs[0].name


def read_preprocess(text: str) -> Any:
    """``--preprocess``: the name of a preset, or a YAML file with what a recipe would say under `preprocess`."""
    from edgekit.recipe.preprocess import PRESETS

    if text in PRESETS:
        return {"preset": text}
    if not Path(text).exists():
        from edgekit.registry import did_you_mean

        raise InputError(
            f"--preprocess {text} is neither a file nor a preset{did_you_mean(text, PRESETS)}",
            remedy=f"the presets are {', '.join(PRESETS)}; a YAML file holds a list of words",
            code="unknown_preset",
        )
    from edgekit.recipe import load_words

    return load_words(Path(text))


def sidecar_sections(model: str) -> dict[str, Any]:
    """{section of a recipe: value} of what the file beside the model says, if edgekit made it."""
    told = read_sidecar(Path(model))
    sections: dict[str, Any] = {}
    if told.get("preprocess") is not None:
        sections["preprocess"] = told["preprocess"]
    if told.get("task"):
        sections["task"] = {"name": told["task"]["name"], **told["task"].get("options", {})}
    return sections


def read_sidecar(model: Path) -> dict[str, Any]:
    """The content of ``STEM.edgekit.json`` beside a model; empty where there is none.

    Raises:
        InputError: it cannot be read.
    """
    sidecar = model.with_name(f"{model.stem}.edgekit.json")
    if not sidecar.is_file():
        return {}
    try:
        told = json.loads(sidecar.read_text(encoding="utf-8"))
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise InputError(f"the sidecar {sidecar} is damaged", where=str(sidecar), code="damaged_sidecar")
    return told
