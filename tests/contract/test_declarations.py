"""What every registered step, format and task says of itself."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from pydantic import BaseModel

from edgekit.engine.stacks import STACKS
from edgekit.formats import FORMATS
from edgekit.steps import STEPS
from edgekit.tasks import TASKS
from edgekit.toolchains import get_manifest

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@pytest.fixture(scope="module")
def declared(repository: Path) -> set[str]:
    """The distributions that pyproject names, in its dependencies and in its extras."""
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    needs = [*project["dependencies"], *(need for extra in project["optional-dependencies"].values() for need in extra)]
    return {re.split(r"[<>=~\[; ]", need)[0].lower() for need in needs}


def test_a_step(step_name: str, declared: set[str]) -> None:
    step = STEPS.get(step_name)
    assert step.name == step_name
    assert NAME.fullmatch(step_name)
    assert step.accepts in FORMATS
    assert step.produces in FORMATS
    assert step_name.startswith(f"{step.accepts}_"), "names put the format first"
    assert step.stack in STACKS
    assert step.version >= 1
    assert step.summary.endswith((".", ":", ";"))
    assert len(step.summary) <= 120
    assert not (step.exact and step.calibrates)
    wheels = set() if step.toolchain is None else {wheel.name for wheel in get_manifest(step.toolchain).wheels}
    assert step.requires or step.programs, "the versions of what it calls enter its key"
    assert undeclared(step.requires, declared | wheels) == []
    check_options(step.options)


def test_a_format(format_name: str, declared: set[str]) -> None:
    known = FORMATS.get(format_name)
    assert known.name == format_name
    assert NAME.fullmatch(format_name)
    assert known.stack in STACKS
    assert known.suffixes
    assert all(re.fullmatch(r"\.[a-z0-9]+", suffix) for suffix in known.suffixes)
    assert type(known).__doc__
    assert undeclared(known.requires, declared) == []
    assert known.runtime is None or undeclared([known.runtime], declared) == []


def test_a_task(task_name: str) -> None:
    kind = TASKS.get(task_name)
    assert kind.name == task_name
    assert NAME.fullmatch(task_name)
    assert kind.__doc__
    assert kind.share or not kind.proportion
    check_options(kind.options_model)


def check_options(model: type[BaseModel]) -> None:
    """Each says what it does and has a default; ``gates`` stands beside options in a recipe, so none is called so."""
    assert model.model_config.get("extra") == "forbid"
    assert model.model_config.get("frozen")
    for name, field in model.model_fields.items():
        assert NAME.fullmatch(name)
        assert name != "gates"
        assert field.description, name
        assert not field.is_required(), name
    defaults = model()
    assert model.model_validate_json(defaults.model_dump_json()) == defaults


def undeclared(requires: tuple[str, ...] | list[str], declared: set[str]) -> list[str]:
    """Those that neither pyproject names nor this environment has."""
    return [name for name in requires if name.lower() not in declared and not is_installed(name)]


def is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
