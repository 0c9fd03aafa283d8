"""``--set PATH=VALUE``: changes a recipe as it is written, before anything is validated.

PATH is dotted; a list's items are named by number, or by name where they have one (a bare name counts as
``{name: {}}``); a key with a dot is quoted. VALUE is YAML; ``null`` removes. Missing maps on the way are made.
"""

from __future__ import annotations

import re
from dataclasses import replace

from edgekit.documents import Node, Place, read_text
from edgekit.errors import InputError, Mistake, RecipeError
from edgekit.registry import did_you_mean

_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^."'=\s][^."'=]*?))\s*(?=\.|$)""")


def split_override(text: str) -> tuple[list[str], str]:
    """The parts of PATH, and VALUE.

    Raises:
        InputError: it is not PATH=VALUE.
    """
    quote, cut = "", -1
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "=":
            cut = index
            break
    if cut < 0:
        raise _wrong(text, "it has no `=`")
    parts, at, path = [], 0, text[:cut]
    while True:
        match = _PART.match(path, at)
        if match is None:
            raise _wrong(text, "its path is not dotted names")
        parts.append(next(group for group in match.groups() if group is not None))
        if match.end() == len(path):
            break
        at = match.end() + 1
    value = text[cut + 1 :]
    if not value.strip():
        raise _wrong(text, "it has no value (null removes a key, '\"\"' is an empty text)")
    return parts, value


def _wrong(text: str, why: str) -> InputError:
    return InputError(
        f"`--set {text}` is not PATH=VALUE: {why}",
        remedy="write it as --set gates.max_drop=1.5",
        code="invalid_override",
    )


def apply_override(tree: Node, text: str, mistakes: list[Mistake]) -> None:
    """Change ``tree`` by one ``--set``; what does not fit is appended to ``mistakes``.

    Raises:
        InputError: the text is not PATH=VALUE.
    """
    parts, written = split_override(text)
    label = f"--set {'.'.join(parts)}"
    try:
        value, found = read_text(written, label)
    except RecipeError as error:
        mistakes.extend(replace(mistake, line=0, column=0) for mistake in error.mistakes)
        return
    mistakes.extend(replace(mistake, line=0, column=0) for mistake in found)
    for node in value.walk():
        node.flag, node.place, node.keys = True, Place(label), {}
    node = tree
    for index, part in enumerate(parts[:-1]):
        below = _child(node, part, parts[:index], label, mistakes, make=value.value is not None)
        if below is None:
            return
        node = below
    _put(node, parts, value, label, mistakes)


def _child(node: Node, part: str, before: list[str], label: str, mistakes: list[Mistake], *, make: bool) -> Node | None:
    """The node below ``node`` under ``part``, made if it is missing and may be."""
    place = Place(label)
    if node.value is None:
        node.value = {}
    if isinstance(node.value, dict):
        if part not in node.value:
            if not make:
                mistakes.append(
                    place.mistake(f"there is no `{part}` to remove anything from{did_you_mean(part, node.value)}")
                )
                return None
            node.set(part, Node({}, place, flag=True), place)
        return node.value[part]
    if isinstance(node.value, list):
        index = _find_item(node, part, place, mistakes)
        if index is None:
            return None
        item = node.value[index]
        if part.isdecimal():
            return item
        if isinstance(item.value, str):
            opened = Node({}, item.place)
            opened.set(part, Node({}, item.place), item.place)
            node.value[index] = item = opened
        return item.value[part]
    mistakes.append(place.mistake(_plain(node, before)))
    return None


def _put(node: Node, parts: list[str], value: Node, label: str, mistakes: list[Mistake]) -> None:
    place, part = Place(label), parts[-1]
    removes = value.value is None
    if node.value is None:
        node.value = {}
    if isinstance(node.value, dict):
        if not removes:
            node.set(part, value, place)
        elif part in node.value:
            del node.value[part]
            node.keys.pop(part, None)
        else:
            mistakes.append(place.mistake(f"there is no `{part}` to remove{did_you_mean(part, node.value)}"))
    elif isinstance(node.value, list):
        index = _find_item(node, part, place, mistakes)
        if index is None:
            return
        if removes:
            del node.value[index]
        elif part.isdecimal():
            node.value[index] = value
        else:
            named = Node({}, node.value[index].place)
            named.set(part, value, place)
            node.value[index] = named
    else:
        mistakes.append(place.mistake(_plain(node, parts[:-1])))


def _find_item(node: Node, part: str, place: Place, mistakes: list[Mistake]) -> int | None:
    """The index of a list's item by number, or by its name."""
    if part.isdecimal():
        if int(part) < len(node.value):
            return int(part)
        mistakes.append(place.mistake(f"the list has {len(node.value)} items, counted from 0, and no item {part}"))
        return None
    names = [_name_of(item) for item in node.value]
    if part in names:
        return names.index(part)
    known = [name for name in names if name is not None]
    mistakes.append(
        place.mistake(f"the list has no item `{part}`{did_you_mean(part, known)}; it has {', '.join(known)}")
    )
    return None


def _name_of(item: Node) -> str | None:
    if isinstance(item.value, str):
        return item.value
    if isinstance(item.value, dict) and len(item.value) == 1:
        return next(iter(item.value))
    return None


def _plain(node: Node, path: list[str]) -> str:
    where = ".".join(path)
    return f"`{where}` is a plain value in the recipe (at {node.place}), not a map: set `{where}` itself"
