"""One mechanism for everything that can be added by adding a file: steps, formats, tasks, metrics, device rules.

A registry belongs to a package. Looking anything up imports the modules of that package once; each module registers
what it holds with the registry's decorator. No list of names is kept anywhere else.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Generic, TypeVar

from edgekit.errors import BugError, UnknownName

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Named entries of one kind, found in the modules of ``package`` (and its sub-packages)."""

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, Entry] = {}
        self._files: dict[str, str] = {}
        self._discovered = False

    def add(self, name: str, entry: Entry, *, defined_in: object) -> None:
        """Put ``entry`` under ``name``; ``defined_in`` is the function or class whose file is named if two clash."""
        file = _file_of(defined_in)
        if name in self._entries and self._files[name] != file:
            raise BugError(f"two {self.kind}s are called `{name}`: {self._files[name]} and {file}")
        self._entries[name] = entry
        self._files[name] = file

    def get(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            UnknownName: nothing is registered under it; the message offers the nearest name.
        """
        self._discover()
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(
                f"no {self.kind} is called `{name}`{did_you_mean(name, self._entries)}",
                remedy=f"the {self.kind}s are {', '.join(sorted(self._entries))}",
                code=f"unknown_{self.kind.replace(' ', '_')}",
            ) from None

    def names(self) -> list[str]:
        """All names, sorted."""
        self._discover()
        return sorted(self._entries)

    def file_of(self, name: str) -> str:
        """The source file that registered ``name``."""
        self.get(name)
        return self._files[name]

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        self._discover()
        return iter([self._entries[name] for name in sorted(self._entries)])

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True  # Before the imports: a module may look something up while it is imported.
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.walk_packages(package.__path__, self._package + "."):
                importlib.import_module(module.name)
        except BaseException:
            self._discovered = False  # The next look-up is told of the broken module too, not that names are missing.
            raise


def did_you_mean(name: str, known: object) -> str:
    """``"; did you mean `x`?"`` for the nearest of the known names, or an empty text."""
    names = {str(each).casefold(): str(each) for each in known}  # type: ignore[attr-defined]
    nearest = difflib.get_close_matches(name.casefold(), list(names), n=1)
    return f"; did you mean `{names[nearest[0]]}`?" if nearest else ""


def _file_of(thing: object) -> str:
    try:
        return inspect.getfile(thing)  # type: ignore[arg-type]
    except TypeError:
        return "?"
