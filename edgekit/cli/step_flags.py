"""Steps as the flag ``--step`` takes them: ``NAME``, or ``NAME:OPTION=VALUE,OPTION=VALUE`` with values in YAML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgekit.errors import InputError, RecipeError

if TYPE_CHECKING:
    from edgekit.planning.checking import Written


def parse_steps(texts: Sequence[str]) -> tuple[Written, ...]:
    """``NAME`` or ``NAME:OPTION=VALUE,OPTION=VALUE`` of ``--step``; a value is YAML, in which commas within brackets
    and quotes are its own.

    Raises:
        InputError: no such step (UnknownName), an option without a value, or a value that is no YAML.
    """
    from edgekit.steps import STEPS

    found: list[Written] = []
    for text in texts:
        name, _, told = text.partition(":")
        STEPS.get(name)
        pairs = [pair.partition("=") for pair in _split_outside(told) if pair]
        if any(not option or not separator for option, separator, _ in pairs):
            raise InputError(f"--step {text} is no step", remedy="write NAME, or NAME:OPTION=VALUE", code="usage")
        found.append({name: {option: _read_value(text, value) for option, _, value in pairs}})
    return tuple(found)


def _split_outside(text: str) -> list[str]:
    """Split at the commas that are in no brackets and no quotes."""
    parts, depth, quote, escaped = [""], 0, "", False
    for letter in text:
        if quote:
            quote = "" if letter == quote and not escaped else quote
            escaped = letter == "\\" and quote == '"' and not escaped
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _read_value(text: str, value: str) -> Any:
    from edgekit.documents import read_text

    if not value.strip():
        return None
    try:
        node, mistakes = read_text(value, f"--step {text}")
    except RecipeError as error:
        mistakes = list(error.mistakes)
    if mistakes:
        remedy = "write a value as in a recipe: 4, off, [1, 3, 224, 224], '{image: [1, 3, 224, 224]}'"
        raise InputError(f"--step {text}: {mistakes[0].message}", remedy=remedy, code="usage")
    return node.plain()


def step_text(written: Written) -> str:
    """As ``parse_steps`` reads it."""
    ((name, options),) = written.items()
    told = ",".join(f"{option}={json.dumps(value)}" for option, value in options.items())
    return f"{name}:{told}" if told else name
