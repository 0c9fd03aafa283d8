"""Every registered step and format on one small model: what a run of edgekit relies on, whatever the library behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from edgekit.artifact import Artifact
from edgekit.errors import AbsentError, InputError
from edgekit.formats import FORMATS, find_format
from edgekit.steps import STEPS

Require = Callable[[str, str], NoReturn]


def test_a_step(step_name: str, workshop: Any, require: Require) -> None:
    step = STEPS.get(step_name)
    if step.programs:
        pytest.skip(f"it runs {step.programs[0]}, which does not take this model; tests/cli/test_check.py has it")
    with what_is_absent(require, step.toolchain or step.stack):
        given = workshop.before(step)
        workshop.start(step.stack, step.toolchain)
        folder = workshop.new_folder()
        before = snapshot(workshop.root, but=folder)
        made = workshop.run(step, given, folder)

    after = snapshot(workshop.root, but=folder)
    changed = {path for path in before.keys() | after.keys() if before.get(path, 0) != after.get(path, 0)}
    assert changed == set(), "it writes only below its work folder, not even into what it reads"
    assert {path.name for path in folder.iterdir()} <= {"work", "in", "out", "log"}
    known = FORMATS.get(made.format)
    assert made.format == step.produces
    assert find_format(made.path) is known
    assert all(file.is_relative_to(folder / "out") for file in known.files(made.path))

    source = workshop.source()
    assert [tensor.source_name for tensor in made.io.inputs] == [tensor.name for tensor in source.io.inputs]
    assert {tensor.source_name for tensor in made.io.outputs} == {tensor.name for tensor in source.io.outputs}
    assert len(made.io.outputs) == len(source.io.outputs)

    again = workshop.run(step, given, workshop.new_folder())
    assert again.sha256 == made.sha256, "equal input gives equal files"
    assert again.io == made.io

    if known.runtime is not None:
        measurement = workshop.measure(made)
        assert measurement.nonfinite == 0
        assert measurement.sqnr_db >= (60 if step.exact else 1)
    if step.exact and known.runtime is not None:  # a file that only the device runs may hide its operators
        assert costs(workshop, made) == pytest.approx(costs(workshop, given), rel=0.005)


def test_a_format(format_name: str, workshop: Any, require: Require, tmp_path: Path) -> None:
    known = FORMATS.get(format_name)
    if any(step.programs for step in STEPS if step.produces == format_name):
        pytest.skip(f"only a program of others writes {format_name}")
    with what_is_absent(require, known.stack):
        made = workshop.in_format(format_name)
        if made is None:
            pytest.skip(f"no step writes {format_name}")
        graph = workshop.describe(made)
    assert graph["format"] == format_name
    assert [operator["index"] for operator in graph["operators"]] == list(range(len(graph["operators"])))
    assert own_tensors(graph, "inputs") == described(made.io.inputs)
    assert own_tensors(graph, "outputs") == described(made.io.outputs)
    assert costs(workshop, made) == pytest.approx(costs(workshop, workshop.source()), rel=0.005)
    if made.build is None:
        check_as_a_source(workshop, made, tmp_path)


def check_as_a_source(workshop: Any, made: Artifact, folder: Path) -> None:
    """A user may start from the file; half of it is refused, and says so."""
    read = workshop.read(made.path, made.format)
    assert (read.sha256, read.bytes) == (made.sha256, made.bytes)
    assert described(read.io.inputs) == described(made.io.inputs)
    assert described(read.io.outputs) == described(made.io.outputs)
    assert all(tensor.source_name == tensor.name for tensor in (*read.io.inputs, *read.io.outputs))

    for file in FORMATS.get(made.format).files(made.path):
        data = file.read_bytes()
        (folder / file.name).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError):
        workshop.read(folder / made.path.name, made.format)


@contextmanager
def what_is_absent(require: Require, name: str) -> Iterator[None]:
    """Skip (or fail, where it is required) if a toolchain, package or program that is needed is not there."""
    try:
        yield
    except AbsentError as error:
        require(name, error.message)


def snapshot(root: Path, but: Path) -> dict[str, bytes | None]:
    """{file: its bytes, folder: None} of all below ``root`` but for one folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
        if not path.is_relative_to(but)
    }


def costs(workshop: Any, artifact: Artifact) -> dict[str, int]:
    operators = workshop.describe(artifact)["operators"]
    return {figure: sum(operator[figure] for operator in operators) for figure in ("macs", "params")}


def own_tensors(graph: dict[str, Any], side: str) -> list[tuple[str, tuple[int, ...], str]]:
    tensors = [graph["tensors"][index] for index in graph[side]]
    return [(tensor["name"], tuple(tensor["shape"]), tensor["dtype"]) for tensor in tensors]


def described(tensors: Any) -> list[tuple[str, tuple[int, ...], str]]:
    return [(tensor.name, tuple(tensor.shape), tensor.dtype) for tensor in tensors]
