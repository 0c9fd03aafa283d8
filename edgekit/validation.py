"""The one road from a tree of written values to a pydantic model: every mistake with its place and a nearby name."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from edgekit.documents import Node, Place
from edgekit.errors import Mistake, RecipeError
from edgekit.registry import did_you_mean


class Written(BaseModel):
    """The base of all that people write: unknown keys are refused and types are not guessed (`"3"` is not a number)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    #: The keys as people write them, where a short form is spelled out into other ones.
    written_keys: ClassVar[tuple[str, ...]] = ()
    #: What may be written instead of the whole map ("a path"), where a short form is spelled out into one.
    short_form: ClassVar[str] = ""


Model = TypeVar("Model", bound=BaseModel)


def check(kind: type[Model], node: Node, *, partial: bool = False, mistakes: list[Mistake]) -> Model | None:
    """``node`` as a ``kind``, or None with its mistakes appended. ``partial``: what is missing is no mistake (but then
    the result is None too)."""
    try:
        return kind.model_validate(node.plain())
    except ValidationError as error:
        mistakes.extend(explain(error, kind, node, partial=partial))
        return None


def explain(error: ValidationError, kind: type[BaseModel], node: Node, *, partial: bool = False) -> list[Mistake]:
    """One mistake for each of pydantic's complaints, in edgekit's words."""
    mistakes = []
    wrong_types: dict[tuple[str | int, ...], list[str]] = {}
    for item in error.errors(include_url=False):
        location = _without_tags(item["loc"], node)
        if item["type"] in _TYPES:
            # A union complains once for each of its branches: they become one mistake.
            wrong_types.setdefault(location, []).append(_TYPES[item["type"]])
        elif item["type"] == "missing":
            if not partial:
                mistakes.append(_missing(node, location))
        elif item["type"] == "extra_forbidden":
            mistakes.append(_unknown_key(kind, node, location))
        else:
            mistakes.append(_place_of(node, location).mistake(_say(_subject(location), item, node.get(*location))))
    mistakes += [_wrong_type(kind, node, location, wanted) for location, wanted in wrong_types.items()]
    return mistakes


def _missing(node: Node, location: Sequence[str | int]) -> Mistake:
    owner = f"`{location[-2]}` lacks" if len(location) > 1 else "this lacks"
    return _place_of_owner(node, location[:-1]).mistake(f"{owner} `{location[-1]}`")


def _unknown_key(kind: type[BaseModel], node: Node, location: Sequence[str | int]) -> Mistake:
    holder, key = node.get(*location[:-1]) or node, str(location[-1])
    known = field_names(kind, location[:-1])
    near = did_you_mean(key, known) or (f"; known here: {', '.join(known)}" if known else "")
    return holder.key_place(key).mistake(f"unknown key `{key}`{near}")


def _wrong_type(kind: type[BaseModel], node: Node, location: Sequence[str | int], wanted: list[str]) -> Mistake:
    found = node.get(*location)
    shown = "nothing" if found is None else show(found.plain())
    model = _model_at(kind, location)
    if model is not None and issubclass(model, Written) and model.short_form:
        wanted = [model.short_form, *wanted]
    choices = " or ".join(dict.fromkeys(wanted))
    return _place_of(node, location).mistake(f"{_subject(location)} must be {choices}, not {shown}")


def _subject(location: Sequence[str | int]) -> str:
    name = next((part for part in reversed(location) if isinstance(part, str)), "")
    return f"`{name}`" if name else "this"


def _place_of(node: Node, location: Sequence[str | int]) -> Place:
    """Where a value stands; for a map or list that begins on a line below its key, the key."""
    owner, value = _place_of_owner(node, location), node.nearest(location)
    found = node.get(*location)
    holds = found is not None and isinstance(found.value, dict | list)
    return owner if holds and owner.file == value.file and owner.line < value.line else value


def _place_of_owner(node: Node, location: Sequence[str | int]) -> Place:
    """Where the map at ``location`` begins to be talked of: its key, which may stand lines above what it holds."""
    holder = node.get(*location[:-1]) if location else None
    if holder is not None and isinstance(holder.value, dict) and location[-1] in holder.value:
        return holder.key_place(str(location[-1]))
    return node.nearest(location)


def field_names(kind: Any, location: Sequence[str | int]) -> list[str]:
    """The keys that the model at ``location`` below ``kind`` knows (none where it is no model)."""
    model = _model_at(kind, location)
    return _names(model) if model is not None else []


def _model_at(kind: Any, location: Sequence[str | int]) -> type[BaseModel] | None:
    for part in location:
        kind = _step_into(kind, part)
    return _only_model(kind)


def raise_mistakes(mistakes: Iterable[Mistake], subject: str) -> None:
    """Raise a RecipeError with all mistakes, each once and in the order of the file, if there are any."""
    ordered = sorted(set(mistakes), key=lambda item: (item.file, item.line, item.column, item.message))
    if not ordered:
        return
    count = "a mistake" if len(ordered) == 1 else f"{len(ordered)} mistakes"
    raise RecipeError(f"{subject} has {count}", where=_where(ordered[0]), code=_word(ordered), mistakes=ordered)


def _where(mistake: Mistake) -> str:
    return f"{mistake.file}:{mistake.line}" if mistake.line else mistake.file


def _word(mistakes: list[Mistake]) -> str:
    """The stable word of the error: that of the first mistake where it has one."""
    first = mistakes[0].message
    known = (
        ("unknown key", "unknown_key"),
        ("no step is called", "unknown_step"),
        ("no target is called", "unknown_target"),
        ("no task is called", "unknown_task"),
        ("not YAML", "invalid_yaml"),
    )
    if "not filled in" in first:
        return "not_filled_in"
    return next((word for start, word in known if first.startswith(start)), "invalid_recipe")


_BRANCHES = {"int", "str", "float", "bool", "none"}


def _without_tags(location: Sequence[str | int], node: Node) -> tuple[str | int, ...]:
    """Pydantic's location without the parts that are no keys or indices but name the branch of a union."""
    kept: list[str | int] = []
    for part in location:
        named = isinstance(part, str) and (
            part in _BRANCHES or part.startswith(("function-", "list[", "dict[", "literal[", "constrained-"))
        )
        if not named or node.get(*kept, part) is not None:
            kept.append(part)
    return tuple(kept)


def _names(kind: type[BaseModel]) -> list[str]:
    written = getattr(kind, "written_keys", ())
    return list(written) or [info.alias or name for name, info in kind.model_fields.items()]


def _step_into(kind: Any, part: str | int) -> Any:
    model = _only_model(kind)
    if model is not None:
        for name, info in model.model_fields.items():
            if part in (name, info.alias):
                return info.annotation
        return None
    for branch in _branches(kind):
        arguments = typing.get_args(branch)
        if typing.get_origin(branch) is dict and len(arguments) == 2:
            return arguments[1]
        if typing.get_origin(branch) in (list, tuple) and arguments:
            return arguments[0]
    return None


def _only_model(kind: Any) -> type[BaseModel] | None:
    for branch in _branches(kind):
        if isinstance(branch, type) and issubclass(branch, BaseModel):
            return branch
    return None


def _branches(kind: Any) -> list[Any]:
    if typing.get_origin(kind) is typing.Annotated:
        return _branches(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [branch for argument in typing.get_args(kind) for branch in _branches(argument)]
    return [kind]


_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "dict_type": "a map",
    "model_type": "a map",
    "list_type": "a list",
    "tuple_type": "a list",
    "finite_number": "a finite number",
}


def _say(subject: str, item: Any, found: Node | None) -> str:
    kind, context = item["type"], item.get("ctx", {})
    shown = show(item["input"] if found is None else found.plain())
    if kind in ("literal_error", "enum"):
        choices = [word.strip().strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
        return f"{subject} cannot be {shown}; it is one of {', '.join(choices)}{_near(item['input'], choices)}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return f"{subject} cannot be {shown}"
    if kind == "string_too_short":
        return f"{subject} is empty"
    limits = {"greater_than": "more than", "greater_than_equal": "at least", "less_than": "less than"}
    limits["less_than_equal"] = "at most"
    if kind in limits:
        return f"{subject} must be {limits[kind]} {next(iter(context.values()))}, not {shown}"
    return f"{subject}: {item['msg']} (found {shown})"


def _near(value: Any, choices: list[str]) -> str:
    return did_you_mean(value, choices) if isinstance(value, str) else ""


def show(value: Any) -> str:
    """A value as it would be written, short enough for one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    text = f"`{value}`" if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:56] + "...`"
