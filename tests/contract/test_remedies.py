"""Every remedy that names a step: told of a model that is refused for that cause, taken, and the cause is gone."""

from __future__ import annotations

import re
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
from edgekit.steps import STEPS
from edgekit.toolchains import find

from ..onnx_models import apply, save, to_tflite
from .remedy_cases import CASES, TOLD, Case

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


def test_the_page_of_remedies_has_the_steps_that_are_told() -> None:
    """Each step in a row of the table of docs/remedies.md, with the options that it is told with; and no step that does
    not exist."""
    page = (RULES_FOLDER.parents[2] / "docs" / "remedies.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    in_rows = {word for line in rows for word in re.findall(r"`(onnx_\w+)[`:]", line)}
    told = {(remedy.step or "").partition(":") for remedy in with_steps().values()}
    whole = {word for cause in ("dynamic", "unregistered") for word in re.findall(r"onnx_\w+", words_of(cause))}
    assert ({name for name, _, _ in told} | whole) - {"onnx_simplify"} <= in_rows <= set(STEPS.names())
    written = [option.replace("=", ": ") for _, _, options in told for option in options.split(",") if option]
    assert all(any(option in line for line in rows) for option in written)


def words_of(cause: str) -> str:
    return " ".join(remedy.text for remedy in load_edgetpu().remedies[cause]["any"])


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
    source = save(
        stem.with_suffix(".onnx"), case.nodes, case.shape, opset=case.opset, dtype=case.dtype, **case.constants
    )
    ((name, options),) = parse_steps([step])[0].items()
    return source, apply(name, source, stem, **options)


def judged(table: str, artifact: Artifact, release: str | None) -> list[Placed]:
    """The refused operators, and what is told of them; of a TensorFlow Lite file as if quantized for the Edge TPU."""
    graph = FORMATS.get(artifact.format).describe(artifact)
    return [one for one in place(table, graph, release) if one.cause == "rejected"]


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
    check(key, with_steps()[key], *(judged(key[0], each, CASES[key].release) for each in (source, cured)))


def test_the_step_cures_a_converted_model(
    models: Mapping[Key, tuple[Artifact, Artifact]], tmp_path: Path, require: Callable[[str, str], None]
) -> None:
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    keys = of_format("tflite")
    unlike = {artifact.path: artifact for key in keys for artifact in models[key]}
    made = dict(zip(unlike, to_tflite([*unlike], tmp_path), strict=True))
    for key in keys:
        before, after = (judged(key[0], made[artifact.path], CASES[key].release) for artifact in models[key])
        check(key, with_steps()[key], before, after)


def test_what_else_is_told(tmp_path: Path, require: Callable[[str, str], None]) -> None:
    """Where a step would not help, none is named."""
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    models = {
        key: save(tmp_path / f"{place}.onnx", case.nodes, case.shape, opset=case.opset, **case.constants)
        for place, (key, (case, _)) in enumerate(TOLD.items())
    }
    converted = [key for key in models if RULES.get(key[0]).judges == "tflite"]
    made = zip(converted, to_tflite([models[key].path for key in converted], tmp_path), strict=True)
    for key, artifact in (models | dict(made)).items():
        case, begins = TOLD[key]
        told = {one.remedy for one in judged(key[0], artifact, case.release) if one.type == case.refused}
        assert told and all((text or "").startswith(begins) for text in told), (key, told)
