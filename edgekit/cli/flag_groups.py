"""Flags that several commands share, declared once: a frozen dataclass whose fields are Typer options.

    @dataclass(frozen=True)
    class Samples:
        data: DataOption = None
        evaluate: EvaluateOption = None

    @with_group(Samples)
    def compare(group: Samples, first: ...) -> int: ...

The command line of ``compare`` has ``--data`` and ``--evaluate`` after its own arguments and options.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

GROUP = "group"


def with_group(kind: type) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a command, whose parameter ``group`` is a ``kind``, the fields of that dataclass as options of its own."""

    def spread(command: Callable[..., int]) -> Callable[..., int]:
        options = _options(kind)
        own = inspect.signature(command, eval_str=True)
        parameters = [one for one in own.parameters.values() if one.name != GROUP] + options
        by_keyword = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]

        def called(**given: Any) -> int:
            group = kind(**{option.name: given.pop(option.name) for option in options})
            return command(**given, **{GROUP: group})

        called.__name__, called.__doc__, called.__module__ = command.__name__, command.__doc__, command.__module__
        called.__signature__ = own.replace(parameters=by_keyword)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in by_keyword}
        return called

    return spread


def _options(kind: type) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(kind)
    ]
