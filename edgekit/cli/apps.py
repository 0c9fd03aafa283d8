"""How every group of sub-commands is made: plain help, plain errors, no completion."""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


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
