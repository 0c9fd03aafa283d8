from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from edgekit.cli.build import BuildFlags
from edgekit.cli.flag_groups import with_group
from edgekit.cli.judge import JudgeFlags
from edgekit.cli.main import load_command


@dataclass(frozen=True)
class Colours:
    back: Annotated[str | None, typer.Option("--back", help="behind")] = None
    many: Annotated[list[str] | None, typer.Option("--many")] = None
    bright: Annotated[bool, typer.Option("--bright")] = False


def test_a_group_becomes_options() -> None:
    seen: list[tuple[str, str, Colours]] = []

    @with_group(Colours)
    def paint(
        group: Colours, what: Annotated[str, typer.Argument()], how: Annotated[str, typer.Option("--how")] = "oil"
    ) -> int:
        """Paint it."""
        seen.append((what, how, group))
        return 0

    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command()(paint)
    run = CliRunner()
    assert run.invoke(app, ["wall", "--back", "red", "--many", "a", "--many", "b"]).exit_code == 0
    assert run.invoke(app, ["--how", "ink", "--bright", "wall"]).exit_code == 0
    assert seen == [("wall", "oil", Colours("red", ["a", "b"])), ("wall", "ink", Colours(bright=True))]
    text = run.invoke(app, ["--help"]).stdout
    assert "Paint it." in text and text.index("--how") < text.index("--back") < text.index("--bright")
    assert "--group" not in text
    assert run.invoke(app, ["wall", "--group", "x"]).exit_code == 2


@pytest.mark.parametrize(
    ("commands", "kind"), [(("convert", "quantize"), BuildFlags), (("eval", "compare"), JudgeFlags)]
)
def test_both_commands_have_all_of_the_group(commands: tuple[str, str], kind: type) -> None:
    fields = set(kind.__dataclass_fields__)
    for name in commands:
        assert fields <= {parameter.name for parameter in load_command(name).params}
