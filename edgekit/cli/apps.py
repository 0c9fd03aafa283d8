"""How every group of sub-commands is made (plain help, plain errors, no completion), and the flags that many share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
TargetsDirOption = Annotated[
    Path | None,
    typer.Option("--targets-dir", metavar="FOLDER", help="Your own target profiles (or `EDGEKIT_TARGETS`)."),
]


def command_group(help: str) -> typer.Typer:
    """A Typer for sub-commands; without one it shows its help."""
    return typer.Typer(
        help=help,
        no_args_is_help=False,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
