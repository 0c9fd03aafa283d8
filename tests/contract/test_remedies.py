"""Every remedy that names a step: told of a model that is refused for that cause, taken, and the cause is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from edgekit.artifact import Artifact
from edgekit.cli.step_flags import parse_steps
from edgekit.devices import load_profiles
from edgekit.devices.assume import assume_quantized
from edgekit.devices.placement import Placed
from edgekit.devices.profile import Fact
from edgekit.devices.remedies import Remedies, Remedy
from edgekit.devices.rules import RULES
from edgekit.devices.rules.edgetpu_table import load_table as load_edgetpu
from edgekit.devices.rules.table import load_table
from edgekit.formats import FORMATS
from edgekit.graph import Graph
from edgekit.toolchains import find

from ..onnx_models import apply, save, to_tflite
from .remedy_cases import CASES, Case

Key = tuple[str, str, int]
RULES_FOLDER = Path(__file__).resolve().parents[2] / "edgekit" / "devices" / "rules"
TABLES = sorted(path.stem for path in RULES_FOLDER.glob("*.yaml") if path.stem != "edgetpu")


def remedies_of(table: str) -> Iterator[tuple[str, Remedies]]:
    """(what stands before a cause, the remedies by cause)."""
    if table == "edgetpu":
        yield from ((f"{cause}/", remedies) for cause, remedies in load_edgetpu().remedies.items())
    else:
        yield "", load_table(table).remedies


def with_steps() -> dict[Key, Remedy]:
    return {
        (table, before + cause, place): remedy
        for table in ("edgetpu", *TABLES)
        for before, remedies in remedies_of(table)
        for cause, told in remedies.items()
        for place, remedy in enumerate(told)
        if remedy.step is not None
    }


def test_every_remedy_that_names_a_step_has_a_case() -> None:
    assert with_steps().keys() == CASES.keys()


def test_words_name_no_step() -> None:
    """But for what strikes a whole model before any operator of it: those are shown elsewhere."""
    for table in ("edgetpu", *TABLES):
        for before, remedies in remedies_of(table):
            words = [remedy.do for told in remedies.values() for remedy in told]
            named = [text for text in words if "onnx_" in text or "the step" in text]
            assert not named or before in ("dynamic/", "unregistered/"), named


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Key, tuple[Artifact, Artifact]]:
    """{case: (as it is, after the step)}."""
    folder = tmp_path_factory.mktemp("remedies")
    made: dict[tuple[int, str], tuple[Artifact, Artifact]] = {}
    found = {}
    for key, remedy in with_steps().items():
        case, step = CASES[key], remedy.step or ""
        unlike = (id(case.nodes), step)
        if unlike not in made:
            made[unlike] = make(case, step, folder / str(len(made)))
        found[key] = made[unlike]
    return found


def make(case: Case, step: str, stem: Path) -> tuple[Artifact, Artifact]:
    source = save(stem.with_suffix(".onnx"), case.nodes, case.shape, opset=case.opset, **case.constants)
    ((name, options),) = parse_steps([step])[0].items()
    return source, apply(name, source, stem, **options)


def judged(key: Key, artifact: Artifact) -> list[Placed]:
    """The refused operators, and what is told of them; of a TensorFlow Lite file as if quantized for the Edge TPU."""
    graph = FORMATS.get(artifact.format).describe(artifact)
    return [one for one in place(key[0], graph, CASES[key].release) if one.cause == "rejected"]


def place(table: str, graph: Graph, release: str | None) -> tuple[Placed, ...]:
    """By a profile of that release of the table, or of its first."""
    graph = assume_quantized(graph) if table == "edgetpu" else graph
    level = release or (None if table == "edgetpu" else next(iter(load_table(table).releases)))
    profile = load_profiles()["iphone"]
    fact = Fact[str](value=level, source="the case") if level is not None else None
    operators = profile.operators.model_copy(update={"rules": table, "level": fact})
    return RULES.get(table).place(graph, profile.model_copy(update={"operators": operators})).operators


def check(key: Key, remedy: Remedy, before: list[Placed], after: list[Placed]) -> None:
    told = [one for one in before if one.type == CASES[key].refused and (one.remedy or "").startswith(remedy.text)]
    assert told, f"{key} is not told: {[(one.type, one.reason, one.remedy) for one in before]}"
    left = [one for one in after if (one.remedy or "").startswith(remedy.text)]
    assert not left, f"{key} is told again: {left}"
    assert len(after) < len(before), f"{key}: {after}"


def of_format(format_name: str) -> list[Key]:
    return [key for key in CASES if RULES.get(key[0]).judges == format_name]


@pytest.mark.parametrize("key", of_format("onnx"), ids=lambda key: "-".join(map(str, key)))
def test_the_step_cures_an_onnx_model(key: Key, models: Mapping[Key, tuple[Artifact, Artifact]]) -> None:
    source, cured = models[key]
    check(key, with_steps()[key], judged(key, source), judged(key, cured))


def test_the_step_cures_a_converted_model(
    models: Mapping[Key, tuple[Artifact, Artifact]], tmp_path: Path, require: Callable[[str, str], None]
) -> None:
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    keys = of_format("tflite")
    unlike = {artifact.path: artifact for key in keys for artifact in models[key]}
    made = dict(zip(unlike, to_tflite([*unlike], tmp_path), strict=True))
    for key in keys:
        before, after = (judged(key, made[artifact.path]) for artifact in models[key])
        check(key, with_steps()[key], before, after)
