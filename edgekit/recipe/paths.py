"""What the texts that name files in a recipe say: ``file.py:NAME``, and files of an installed package."""

from __future__ import annotations

import importlib.util
import re
import sysconfig
from pathlib import Path

_FACTORY = re.compile(r"(?P<file>.+\.py):(?P<name>[^:/\\]+)")


def split_factory(text: str) -> tuple[str, str | None]:
    """``file.py:NAME`` as (file, NAME); anything else as (text, None)."""
    match = _FACTORY.fullmatch(text)
    return (match["file"], match["name"]) if match else (text, None)


def folder_of_package(package: object) -> Path | None:
    """Where an installed package lies, found without importing it; one that is not installed is taken to belong beside
    the others, so that its files are missing there."""
    if not isinstance(package, str) or not package.isidentifier():
        return None
    found = importlib.util.find_spec(package)
    if found is not None and found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations)))
    return Path(sysconfig.get_path("purelib")) / package
