"""YAML that people write, read so that every value knows its place.

A document becomes a tree of ``Node``: maps, lists and scalars, each with the file, line and column where it stands, so
that a mistake found later (by a schema, or by a step's options) can still be pointed at. YAML is read as version 1.2:
``off`` is text, ``1e-3`` is a number, keys are always text, a key that stands twice is a mistake, tags are refused.
Size, depth and the number of values after aliases are unfolded are limited before anything is built, so that a small
file cannot fill the memory.
"""

from __future__ import annotations

import codecs
import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.errors import InputError, Mistake, RecipeError, not_a_file

#: What ``edgekit init`` writes where something is for the user to say.
UNFILLED = "???"

MAX_BYTES = 256 * 1024
MAX_VALUES = 20_000
MAX_DEPTH = 40


@dataclass(frozen=True)
class Place:
    """Where something was written; ``line`` and ``column`` count from 1, line 0 is a place without lines (a flag)."""

    file: str
    line: int = 0
    column: int = 0

    def mistake(self, message: str) -> Mistake:
        """A mistake that stands here."""
        return Mistake(self.file, self.line, self.column, message)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass
class Node:
    """A value with its place. ``value`` is a dict of nodes, a list of nodes or a scalar; ``keys`` has the places of a
    map's keys. ``flag`` marks what a ``--set`` on the command line brought in."""

    value: Any
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)
    flag: bool = False

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def get(self, *path: str | int) -> Node | None:
        """The node at ``path``, or None."""
        node: Node = self
        for part in path:
            held: Any = node.value
            in_map = isinstance(held, dict) and part in held
            in_list = isinstance(held, list) and isinstance(part, int) and -1 < part < len(held)
            if not (in_map or in_list):
                return None
            node = held[part]
        return node

    def nearest(self, path: Sequence[str | int]) -> Place:
        """The place of the value at ``path``, or of the deepest map or list on the way to it that exists."""
        node: Node = self
        for part in path:
            child = node.get(part)
            if child is None:
                break
            node = child
        return node.place

    def key_place(self, key: str) -> Place:
        """Where the key stands (the value's place for a node that was not read from text)."""
        return self.keys.get(key, self.value[key].place if key in self.value else self.place)

    def walk(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        children: Any = self.value.values() if isinstance(self.value, dict) else self.value
        if isinstance(self.value, dict | list):
            for child in children:
                yield from child.walk()

    def set(self, key: str, child: Node, place: Place | None = None) -> None:
        """Put ``child`` under ``key`` of this map."""
        self.value[key] = child
        self.keys[key] = place or child.place


def read_file(path: Path) -> tuple[Node, list[Mistake]]:
    """The tree of a YAML file, and its repeated keys and refused tags.

    Raises:
        InputError: missing, not a file, not text, or larger than ``MAX_BYTES``.
        RecipeError: not YAML, or unfolding to more than the limits allow.
    """
    what = not_a_file(path, "file")
    if what is not None:
        raise InputError(what, where=str(path), remedy="give the path of a YAML file", code="missing_file")
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise InputError(
            f"{path} is larger than {MAX_BYTES // 1024} KiB",
            where=str(path),
            remedy="give a YAML file that a person wrote; data and weights lie in files of their own",
            code="too_large",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        raise InputError(
            f"{path} is text in UTF-16, not UTF-8" if utf16 else f"{path} is not text in UTF-8 (byte {error.start})",
            where=str(path),
            remedy="save it as UTF-8" if utf16 else "give the path of a YAML file, saved as UTF-8",
            code="not_text",
        ) from None
    return read_text(text, str(path))


def read_text(text: str, file: str) -> tuple[Node, list[Mistake]]:
    """The tree of a YAML text called ``file`` in places and messages; raises as ``read_file`` does."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    builder = _Builder(file)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            builder.take(event)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _place(file, mark) if mark is not None else Place(file, 1, 1)
        said = "not YAML: " + " ".join(filter(None, (error.context, error.problem)))
        line = "".join(text.splitlines()[place.line - 1 : place.line])
        if "\t" in line[: len(line) - len(line.lstrip())]:
            said = "not YAML: the line begins with a tab; indent it with spaces"
        if "${" in line:
            said += '; inside {} and [] a text with a variable is quoted: {path: "${root}/val"}'
        if UNFILLED in line:
            # Inside [] and {} YAML takes the question mark for one of its own signs.
            said = "a value is not filled in: write it instead of ???"
        raise RecipeError(f"{file} is not YAML", where=str(place), mistakes=[place.mistake(said)]) from None
    except YAMLError as error:
        place = Place(file, 1, 1)
        said = " ".join(str(error).split())
        raise RecipeError(f"{file} is not YAML", where=file, mistakes=[place.mistake(f"not YAML: {said}")]) from None
    if builder.root is None:
        place = Place(file, 1, 1)
        raise RecipeError(f"{file} is empty", where=file, mistakes=[place.mistake("the file is empty")])
    return builder.root, builder.mistakes


def from_plain(value: Any, file: str) -> Node:
    """The tree of plain data that no text was read for; every place is ``file`` without a line."""
    place = Place(file)
    if isinstance(value, dict):
        return Node({str(key): from_plain(child, file) for key, child in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node([from_plain(child, file) for child in value], place)
    return Node(str(value) if isinstance(value, Path) else value, place)


_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + name: float("inf") for sign in ("", "+") for name in (".inf", ".Inf", ".INF")},
    **{"-" + name: float("-inf") for name in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def resolve_scalar(text: str) -> Any:
    """What an unquoted word means by the core schema of YAML 1.2."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _INTEGER.fullmatch(text) and len(text) < 400:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


@dataclass
class _Open:
    """A map or list whose end has not been read yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    size: int = 1
    height: int = 1


class _Builder:
    """Builds the tree from the parser's events, counting what aliases unfold to before copying anything."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.mistakes: list[Mistake] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._documents = 0
        self._total = 0

    def take(self, event: Any) -> None:
        kind = type(event).__name__
        if kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, "a second document starts here; one file holds one")
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self._check_tag(event)
            value: Any = {} if kind == "MappingStartEvent" else []
            if self._expects_key():
                self._refuse(event, "a key must be text, not a map or a list")
            if len(self._open) >= MAX_DEPTH:
                self._refuse(event, f"nested more than {MAX_DEPTH} deep")
            self._open.append(_Open(Node(value, _place(self.file, event.start_mark)), event.anchor))
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            done = self._open.pop()
            self._attach(done.node, done.anchor, done.size, done.height, event)
        elif kind == "ScalarEvent":
            self._check_tag(event)
            self._take_scalar(event)
        elif kind == "AliasEvent":
            self._take_alias(event)

    def _take_scalar(self, event: Any) -> None:
        place = _place(self.file, event.start_mark)
        if self._expects_key():
            holder = self._open[-1]
            key = str(event.value)
            if key in holder.node.value:
                first = holder.node.keys[key]
                self.mistakes.append(place.mistake(f"the key `{key}` stands here twice, first in line {first.line}"))
            holder.key = key
            holder.node.keys.setdefault(key, place)
            return
        if event.value == "" and event.style is None and self._open and self._open[-1].key is not None:
            # Nothing after `key:`: YAML's mark is that of the next line.
            place = self._open[-1].node.keys[self._open[-1].key]
        value = resolve_scalar(event.value) if event.style is None and event.implicit[0] else event.value
        self._attach(Node(value, place), event.anchor, 1, 1, event)

    def _take_alias(self, event: Any) -> None:
        if self._expects_key():
            self._refuse(event, "a key must be text, not an alias")
        if event.anchor not in self._anchors:
            self._refuse(event, f"the alias `*{event.anchor}` has no anchor before it")
        node, size, height = self._anchors[event.anchor]
        self._count(size, event)
        self._attach(copy.deepcopy(node), None, size, height, event, counted=True)

    def _attach(
        self, node: Node, anchor: str | None, size: int, height: int, event: Any, *, counted: bool = False
    ) -> None:
        if not counted:
            self._count(1, event)
        if len(self._open) + height > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} deep")
        if anchor is not None:
            self._anchors[anchor] = (node, size, height)
        if not self._open:
            self.root = node
            return
        holder = self._open[-1]
        holder.size += size
        holder.height = max(holder.height, height + 1)
        if isinstance(holder.node.value, list):
            holder.node.value.append(node)
        else:
            holder.node.value.setdefault(holder.key, node)
            holder.key = None

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].node.value, dict) and self._open[-1].key is None

    def _count(self, more: int, event: Any) -> None:
        self._total += more
        if self._total > MAX_VALUES:
            self._refuse(event, f"the file unfolds to more than {MAX_VALUES} values here (an alias bomb?)")

    def _check_tag(self, event: Any) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None and str(tag) != "!":
            place = _place(self.file, event.start_mark)
            self.mistakes.append(place.mistake(f"the tag `{tag}` is not allowed; write the plain value"))

    def _refuse(self, event: Any, message: str) -> None:
        place = _place(self.file, event.start_mark)
        raise RecipeError(f"{self.file} is refused", where=str(place), mistakes=[place.mistake(message)])


def _place(file: str, mark: Any) -> Place:
    return Place(file, mark.line + 1, mark.column + 1)
