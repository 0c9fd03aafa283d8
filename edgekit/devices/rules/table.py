"""The one table that rule sets share: operator -> release -> the types it takes, its limits, or that it is refused.

A table is YAML beside the module of its rule set:

    title: TensorRT
    source: {...}                      # where the facts come from; per release too
    unlisted: unsupported              # or not_known: what an operator that the table lacks counts as
    releases:
      '8.2': {opset_max: 13}           # oldest first; further fields are the rule set's own
    operators:
      Conv:
        '8.2': {types: [float32], limits: {constant: {1: W}}}   # holds until a later release says otherwise
      GridSample:
        '8.4': refused
        '8.5': {types: [float32, float16]}
    remedies:                          # what to do (``edgekit/devices/remedies.py``), the first that there is of
      GridSample: ...                  # where it is refused, or not listed
      Conv/ranks: ...                  # where it does not keep that limit
      any/max_rank: ...                # the same, for every operator
      type: ...                        # where it does not take the type
      any: ...                         # all else

What the limits may say: ``edgekit/devices/limits``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from edgekit.devices.limits import LIMITS
from edgekit.devices.profile import Profile
from edgekit.devices.remedies import Remedies, read_remedies
from edgekit.errors import BugError

Unlisted = Literal["unsupported", "not_known"]


@dataclass(frozen=True)
class Entry:
    """What one release makes of one operator.

    ``types`` are NumPy's names of what its data may be (None: not restricted); ``data`` is the input whose type that
    is, or ``output``. ``known`` False: the sources name the operator, but not whether it works. ``note`` is told of a
    model that has the operator, ``reason`` where it is refused.
    """

    supported: bool = True
    known: bool = True
    types: tuple[str, ...] | None = None
    data: int | Literal["output"] = 0
    limits: Mapping[str, Any] = field(default_factory=dict)
    note: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class OperatorTable:
    """All of a table. ``releases`` are oldest first, each with its own fields; ``general`` limits hold for every
    operator. ``narrowed`` types are read as their smaller ones."""

    title: str
    source: str
    unlisted: Unlisted
    releases: Mapping[str, Mapping[str, Any]]
    entries: Mapping[str, Mapping[str, Entry]]
    remedies: Remedies
    general: Mapping[str, Any]
    stored: Mapping[str, Any]

    def choose_release(self, level: str) -> str | None:
        """The newest release of the table that is not newer than the first number in ``level`` ("TensorRT 8.2");
        None if the table knows only newer ones, or there is no number in it."""
        found = re.search(r"\d+(?:\.\d+)*", level)
        if found is None:
            return None
        wanted = _version(found.group())
        # "8.2" names all of 8.2.x, and so does a level of "8.2.1".
        known = [release for release in self.releases if _version(release) <= wanted]
        return known[-1] if known else None

    def find(self, operator: str, release: str) -> Entry | None:
        """What the table says of an operator at a release: its newest entry up to it; None if it has none."""
        entries = self.entries.get(operator, {})
        known = [entry for since, entry in entries.items() if _version(since) <= _version(release)]
        return known[-1] if known else None

    def first_support(self, operator: str, after: str) -> str | None:
        """The first release after ``after`` that takes the operator in some form."""
        for since, entry in self.entries.get(operator, {}).items():
            if _version(since) > _version(after) and entry.supported:
                return since
        return None

    def fact(self, release: str, name: str, default: Any = None) -> Any:
        """A field of that release; where it lacks one, that of the release before it."""
        value = default
        for other, fields in self.releases.items():
            if _version(other) <= _version(release) and name in fields:
                value = fields[name]
        return value


@dataclass(frozen=True)
class Reading:
    """Which part of a table a profile asks for: ``release`` is None where its level is not known to the table."""

    release: str | None
    notes: tuple[str, ...] = ()


def read_level(table: OperatorTable, profile: Profile) -> Reading:
    """The release that judges a profile's ``operators.level``; a table that ``needs_level: false`` has but one."""
    if not table.stored.get("needs_level", True):
        return Reading(list(table.releases)[-1])
    level = profile.operators.level
    if level is None or level.value is None:
        return Reading(None, (f"the release of {table.title} on {profile.name} is not known",))
    release = table.choose_release(level.value)
    if release is None:
        return Reading(None, (f"no list of operators is known for {level.value}",))
    asked = re.search(r"\d+\.\d+|\d+", level.value)
    if asked is not None and _version(asked.group())[:2] != _version(release)[:2]:
        judged = f"judged by the list of {table.title} {release}, the nearest one before {level.value}"
        if release == list(table.releases)[-1] and _version(asked.group())[0] > _version(release)[0]:
            judged = (
                f"edgekit knows no {level.value}: its lists of {table.title} end with {release}, by which this is "
                "judged; a later release may take more, or no longer all of it"
            )
        return Reading(release, (judged,))
    return Reading(release)


@cache
def load_table(name: str) -> OperatorTable:
    """The table ``NAME.yaml`` of this package.

    Raises:
        BugError: it names a limit or a release that does not exist.
    """
    from ruamel.yaml import YAML

    stored = YAML(typ="safe", pure=True).load(Path(__file__).with_name(f"{name}.yaml"))
    releases = {str(release): dict(fields or {}) for release, fields in stored["releases"].items()}
    entries = {
        str(operator): {str(since): _read_entry(name, str(operator), entry) for since, entry in versions.items()}
        for operator, versions in stored["operators"].items()
    }
    for operator, versions in entries.items():
        strange = [since for since in versions if since not in releases]
        if strange:
            raise BugError(f"{name}.yaml: {operator} names releases that the table lacks: {', '.join(strange)}")
    _check_limits(name, "general", stored.get("general", {}))
    return OperatorTable(
        title=stored["title"],
        source=stored["source"],
        unlisted=stored["unlisted"],
        releases=releases,
        entries=entries,
        remedies=read_remedies(name, stored.get("remedies", {})),
        general=stored.get("general", {}),
        stored=stored,
    )


def _read_entry(table: str, operator: str, entry: Any) -> Entry:
    if entry == "supported":
        return Entry()
    if entry == "refused":
        return Entry(supported=False)
    if entry == "not_known":
        return Entry(known=False)
    fields = dict(entry or {})
    _check_limits(table, operator, fields.get("limits", {}))
    if "refused" in fields:
        return Entry(supported=False, reason=fields["refused"])
    types = fields.get("types")
    return Entry(
        types=None if types is None else tuple(types),
        data=fields.get("data", 0),
        limits=fields.get("limits", {}),
        note=fields.get("note"),
    )


def _check_limits(table: str, operator: str, limits: Mapping[str, Any]) -> None:
    strange = [limit for limit in limits if limit not in LIMITS]
    if strange:
        raise BugError(f"{table}.yaml: {operator} has limits that nothing checks: {', '.join(strange)}")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
