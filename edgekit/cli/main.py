"""The door: `edgekit COMMAND ...`. Names the commands, loads the one that was asked for, turns errors into exit codes.

Only Typer is imported here, so that `edgekit --help` starts fast. A command's module is imported when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
import typer.core
import typer.main

import edgekit
from edgekit.cli.failure import exit_with, terminate_cleanly
from edgekit.cli.terminal import answer, prepare_streams
from edgekit.errors import InputError

# name -> (module below edgekit.cli, what it holds: a function, or a Typer of sub-commands; the line shown in --help).
COMMANDS: dict[str, tuple[str, str, str]] = {
    "run": ("run", "run", "Make and judge every output of a recipe."),
    "convert": ("build", "convert", "Convert a model to another format, or to what a target loads."),
    "quantize": ("build", "quantize", "Make the INT8 (or FP16) file that a target loads."),
    "eval": ("judge", "evaluate", "Measure a model file on samples, in its own runtime."),
    "compare": ("judge", "compare", "Compare two model files sample by sample."),
    "check": ("check", "check", "Predict whether a device runs a model, all of it, and where."),
    "inspect": ("inspect", "inspect", "Show inputs, outputs, operators, MACs, parameters and quantization of a model."),
    "targets": ("targets", "app", "List, show or validate the target profiles."),
    "steps": ("steps", "app", "List or show the steps that recipes can name."),
    "init": ("init", "init", "Write a commented recipe for a model and targets."),
    "recipe": ("recipe", "app", "Validate a recipe, or print the language's JSON Schema."),
    "doctor": ("doctor", "doctor", "Show what is installed, what is missing, and the command that gets it."),
    "toolchain": ("toolchain", "app", "List or install the toolchains that live in folders of their own."),
    "cache": ("cache", "app", "Show or clean the cache of finished steps."),
}

HELP = """Take a trained model to an edge device and measure, after every step, that it still works.

\b
Examples:
  edgekit run recipes/quickstart.yaml
  edgekit quantize model.onnx --target coral --data photos/ --preprocess imagenet --task classification
  edgekit doctor
"""


class CommandGroup(typer.core.TyperGroup):
    """The commands of COMMANDS, each imported when it is first looked up."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from edgekit.registry import did_you_mean

            raise InputError(
                f"no command is called `{name}`{did_you_mean(name, COMMANDS)}",
                remedy="edgekit --help lists the commands",
                code="unknown_command",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in COMMANDS.items()])


def load_command(name: str) -> Any:
    """The command of that name, its module imported."""
    import importlib

    module, attribute, _ = COMMANDS[name]
    body = getattr(importlib.import_module(f"edgekit.cli.{module}"), attribute)
    if isinstance(body, typer.Typer):
        app = body
    else:
        app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(body)
    command = typer.main.get_command(app)
    command.name = name
    return command


def show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"edgekit {edgekit.__version__}\n")
        raise typer.Exit


def make_app() -> typer.Typer:
    """The application without its commands, which CommandGroup adds."""
    app = typer.Typer(
        cls=CommandGroup,
        help=HELP,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def edgekit_command(
        ctx: typer.Context,
        version: bool = typer.Option(
            False, "--version", callback=show_version, is_eager=True, help="Print the version and end."
        ),
    ) -> None:
        if ctx.invoked_subcommand is None:
            sys.stdout.write(ctx.get_help() + "\n")

    return app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code (see design: exit codes)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    terminate_cleanly()
    try:
        refuse_empty(words)
        group = typer.main.get_command(make_app())
        if wants(words, "--help", "-h") and (text := help_text(group, words)) is not None:
            answer(text)
            sys.exit(0)
        with group.make_context("edgekit", words) as context:
            code = group.invoke(context)
    except typer.Exit as finished:
        code = finished.exit_code
    except SystemExit:
        raise
    except BaseException as error:
        code = exit_with(error, as_json=wants(words, "--json"))
    sys.exit(code or 0)


def refuse_empty(words: Sequence[str]) -> None:
    """Refuse (InputError) an empty word, mostly an unset variable of a shell. As a path it would be this folder."""
    for place, word in enumerate(words):
        if not word:
            before = " ".join(["edgekit", *words[:place]])
            raise InputError(f'the argument after `{before}` is empty: ""', remedy="give its value", code="usage")


def wants(words: Sequence[str], *flags: str) -> bool:
    """Whether one of ``flags`` stands among the words (also when the rest of the command line is wrong)."""
    before = words[: words.index("--")] if "--" in words else words
    return any(flag in before for flag in flags)


def help_text(group: Any, words: Sequence[str]) -> str | None:
    """The help of the command that ``words`` begin with; None if they name none.

    Typer would parse the command line first, for which it imports pydantic.
    """
    command, context = group, typer.Context(group, info_name="edgekit", **group.context_settings)
    for word in words:
        if word.startswith("-") or not isinstance(command, typer.core.TyperGroup):
            break
        command = command.get_command(context, word)
        if command is None:
            return None
        context = typer.Context(command, info_name=word, parent=context, **command.context_settings)
    return str(command.get_help(context))
