"""A recipe's content without the place it lies at: what its hash is taken of."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import Any

from edgekit.recipe.paths import folder_of_package, split_factory

#: A path no further than this many folders above the recipe's own belongs to the same checkout (or lies beside it).
NEAR = 2


def portable(said: dict[str, Any], base: Path) -> dict[str, Any]:
    """A recipe's content (plain data without ``vars`` and ``base``, changed in place) for a recipe in the folder
    ``base``: a path below or near that folder is relative to it, one in an installed package to the package's folder,
    and any other stays absolute. So a checkout that is moved as a whole says the same, and another file says something
    else."""
    model, data, task = said["model"], said["data"] or {}, said["task"]
    _make_relative(model, "file", base)
    weights = model["weights"]
    if weights is not None and not _make_relative_to_package(weights):
        _make_relative(weights, "path", base)
    for role in data.values():
        if role is not None:
            _make_relative(role, "path", base)
    if task is not None and task["labels"] is not None:
        _make_relative(task, "labels", base)
    return said


def _make_relative_to_package(weights: dict[str, Any]) -> bool:
    folder = folder_of_package(weights["package"])
    if folder is None or not Path(weights["path"]).is_relative_to(folder):
        return False
    weights["path"] = Path(weights["path"]).relative_to(folder).as_posix()
    return True


def _make_relative(values: dict[str, Any], key: str, base: Path) -> None:
    file, factory = split_factory(values[key])
    relative = Path(os.path.relpath(file, base))
    if relative.parts[: NEAR + 1] == ("..",) * (NEAR + 1):
        return
    values[key] = relative.as_posix() if factory is None else f"{relative.as_posix()}:{factory}"
