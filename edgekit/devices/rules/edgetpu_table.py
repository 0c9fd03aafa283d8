"""What the compiler of the Edge TPU maps, as data: ``edgetpu.yaml``, read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.devices.limits.view import View
from edgekit.devices.remedies import Remedies, choose, read_remedies
from edgekit.devices.rules.edgetpu_limits import Chip
from edgekit.graph import Operator


@dataclass(frozen=True)
class Limit:
    """A rule of ``edgetpu_limits`` with its parameters; ``status`` (a key of the statuses) is that of an operator that
    breaks it. ``evidence`` is what was seen beside the source. ``fitted``: its figure is what the compiler was seen to
    do; ``inferred``: why it is taken for true though nothing of compiler 16 says so (None: something does)."""

    rule: str
    parameters: dict[str, Any]
    source: str
    evidence: str | None = None
    fitted: bool = False
    inferred: str | None = None
    status: str = "limited"


@dataclass(frozen=True)
class Row:
    """An operator that maps. ``data`` are the inputs whose type counts (None: all that are computed), ``weights``
    those whose rank does not; ``newest`` is the last version that is taken, if it is known to end; ``older`` is what
    compilers before this one do not map of it; ``inferred`` as of a limit; ``seen``: a file or log of the compiler has
    it mapped, it is not only documented."""

    source: str
    data: tuple[int, ...] | None = None
    weights: tuple[int, ...] = ()
    newest: int | None = None
    version_source: str | None = None
    older: str | None = None
    float_is_limited: bool = False
    inferred: str | None = None
    seen: bool = False
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class CustomOperators:
    """``registered``: what the compiler's TensorFlow Lite has; ``told``: {another one: what is known of it}."""

    source: str
    registered: frozenset[str]
    told: dict[str, str]


@dataclass(frozen=True)
class Table:
    """``statuses`` and ``failures`` are the compiler's own words. ``refusals_seen``: which of the refused operators
    were seen or reported so, and where; ``refusal_inferred``: why the others are taken for it ("any", and by type)."""

    compiler: str
    statuses: dict[str, str]
    failures: dict[str, str]
    chip: Chip
    data_types: frozenset[str]
    innermost: int
    rows: dict[str, Row]
    refused: frozenset[str]
    refusals_seen: dict[str, str]
    refusal_inferred: dict[str, str]
    newer: frozenset[str]
    custom: CustomOperators
    dynamic_unless_constant: dict[str, tuple[int, ...]]
    remedies: dict[str, Remedies]
    sources: dict[str, str] = field(default_factory=dict)

    def remedies_for(self, cause: str, type_: str, view: View, operator: Operator) -> tuple[str, ...]:
        """What to do about a cause where it strikes an operator, the best first: for its type (or a limit's name) if
        that is there."""
        return choose(self.remedies[cause], (type_, "any"), view, operator)

    def words(self, cause: str, type_: str = "any") -> str:
        """What to do about a cause that strikes the whole model."""
        remedies = self.remedies[cause]
        return remedies.get(type_, remedies["any"])[0].text

    def parses(self, type_: str) -> bool:
        """Whether a model with this operator is read at all, in some version."""
        builtin = type_ in self.rows or type_ in self.refused
        return builtin or type_ in self.custom.registered or type_ in self.custom.told

    def doubt(self, type_: str) -> str | None:
        """Why an operator that is in no row is taken for refused, where nothing shows it."""
        if type_ not in self.refused or type_ in self.refusals_seen:
            return None
        return self.refusal_inferred.get(type_, self.refusal_inferred["any"])


#: Sources that say what the compiler maps; the others show it.
_DOCUMENTS = frozenset({"table", "table-2019", "list", "changes", "runtime-version"})


@cache
def load_table() -> Table:
    """The table beside this module."""
    from ruamel.yaml import YAML

    stored = YAML(typ="safe", pure=True).load(Path(__file__).with_name("edgetpu.yaml"))
    sources: dict[str, str] = stored["sources"]
    chip = {name: value for name, value in stored["chip"].items() if name != "source"}
    return Table(
        compiler=stored["compiler"],
        statuses=stored["statuses"],
        failures=stored["failures"],
        chip=Chip(**chip),
        data_types=frozenset(stored["data_types"]["values"]),
        innermost=stored["rank"]["innermost"],
        rows={name: _read_row(row, sources) for name, row in stored["operators"].items()},
        refused=frozenset(stored["refused"]),
        refusals_seen={name: sources.get(seen, seen) for name, seen in stored["refusals_seen"].items()},
        refusal_inferred=stored["refusal_inferred"],
        newer=frozenset(stored["newer"]),
        custom=_read_custom(stored["custom_operators"]),
        dynamic_unless_constant={name: tuple(places) for name, places in stored["dynamic_unless_constant"].items()},
        remedies={cause: _read_remedies(told) for cause, told in stored["remedies"].items()},
        sources=sources,
    )


def _read_custom(stored: dict[str, Any]) -> CustomOperators:
    return CustomOperators(stored["source"], frozenset(stored["registered"]), stored["told"])


def _read_remedies(told: Any) -> Remedies:
    """By type or limit; what is told of a cause without either is for all of them."""
    by_type = told if isinstance(told, dict) and "do" not in told else {"any": told}
    return read_remedies("edgetpu", by_type)


def _read_row(row: dict[str, Any], sources: dict[str, str]) -> Row:
    return Row(
        source="; ".join(sources[name] for name in row["source"]),
        data=tuple(row["data"]) if "data" in row else None,
        weights=tuple(row.get("weights", ())),
        newest=row.get("newest"),
        version_source=row.get("version_source"),
        older=row.get("older"),
        float_is_limited=row.get("float_is_limited", False),
        inferred=row.get("inferred"),
        seen=not _DOCUMENTS.issuperset(row["source"]),
        limits=tuple(_read_limit(limit, sources) for limit in row.get("limits", ())),
    )


def _read_limit(limit: dict[str, Any], sources: dict[str, str]) -> Limit:
    told = {"rule", "source", "evidence", "fitted", "inferred", "status"}
    return Limit(
        rule=limit["rule"],
        parameters={name: value for name, value in limit.items() if name not in told},
        source="; ".join(sources.get(name, name) for name in limit["source"].split("; ")),
        evidence=limit.get("evidence"),
        fitted=limit.get("fitted", False),
        inferred=limit.get("inferred"),
        status=limit.get("status", "limited"),
    )
