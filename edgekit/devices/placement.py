"""Where each operator of a model would run on a device, and why: what every rule set and compiler report gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

#: ``not_known``: no source says whether the accelerator takes it. It never counts as mapped.
Where = Literal["accelerator", "cpu", "unsupported", "not_known"]

#: Why an operator stands where it does: ``mapped`` on the accelerator; ``rejected`` for a reason of its own;
#: ``downstream`` of a rejected one, and otherwise fine; ``host`` by nature (a float QUANTIZE at the model's ends);
#: ``unknown`` where that is not known.
Cause = Literal["mapped", "rejected", "downstream", "host", "unknown"]


@dataclass(frozen=True)
class Placed:
    """One operator's place. ``index`` is that of ``Graph.operators``; ``status`` is in the compiler's own words where
    it has any; ``reason`` says why in ours, ``remedy`` what to do about it (both None for a mapped operator),
    ``alternatives`` what else, should that not help, the best first."""

    index: int
    type: str
    name: str
    placement: Where
    status: str
    cause: Cause
    reason: str | None = None
    remedy: str | None = None
    macs: int = 0
    params: int = 0
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Violation:
    """Something that keeps the whole model off the device: ``rule`` is a stable word, ``source`` that of the fact;
    ``alternatives`` are other remedies, should the first not help."""

    rule: str
    message: str
    remedy: str | None = None
    source: str | None = None
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placement:
    """All of a model on one device. ``source``: ``predicted`` by edgekit's rules or told by the device's ``compiler``.

    ``subgraphs`` counts the parts that run on the accelerator (None: not known), ``transposes`` the operators that only
    change the layout. ``memory`` holds bytes by name, with None where a figure is not known; it never guesses.
    ``listed`` False: of a compiled file, in which an operator of the accelerator stands for many that it no longer
    lists, so that there are no shares (but for all, where nothing else is left). ``cpu_only``: there is no accelerator,
    so that nothing is mapped, and what is judged is whether the operators run.
    """

    source: Literal["predicted", "compiler"]
    operators: tuple[Placed, ...]
    subgraphs: int | None = None
    transposes: int = 0
    memory: dict[str, int | None] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()
    listed: bool = True
    cpu_only: bool = False

    def totals(self) -> dict[str, Any]:
        """{operators, accelerator, not_known, mapped_operators, mapped_macs, mapped_params}; the last three are shares
        0..1, and None where there is nothing to take a share of. ``not_known`` counts the operators whose place is not
        known: where there are any, ``accelerator`` is None, and so is every share that hangs on them."""
        unknown = sum(placed.cause == "unknown" for placed in self.operators)
        if not self.listed:
            return {"operators": None, "accelerator": None, "not_known": None, **self.shares()}
        counts = {"operators": len(self.operators), "accelerator": len(self._mapped()), "not_known": unknown}
        if not unknown or self.cpu_only:
            return {**counts, **self.shares()}
        most = self.at_most().shares()
        settled = {name: least if least == most[name] else None for name, least in self.shares().items()}
        return {**counts, "accelerator": None, **settled}

    def at_most(self) -> Placement:
        """The same, if all whose place is not known were on the accelerator, if there is one."""
        if self.cpu_only:
            return self
        there = (replace(one, placement="accelerator") if one.cause == "unknown" else one for one in self.operators)
        return replace(self, operators=tuple(there))

    def shares(self) -> dict[str, float | None]:
        """{mapped_operators, mapped_macs, mapped_params}: what is known to be on the accelerator, 0..1, as the least
        that may be there; None where there is nothing to take a share of."""
        mapped = self._mapped()
        if not self.listed:
            share = 1.0 if len(mapped) == len(self.operators) else None
            return dict.fromkeys(("mapped_operators", "mapped_macs", "mapped_params"), share)
        return {
            "mapped_operators": _share(len(mapped), len(self.operators)),
            "mapped_macs": _share(_sum(mapped, "macs"), _sum(self.operators, "macs")),
            "mapped_params": _share(_sum(mapped, "params"), _sum(self.operators, "params")),
        }

    def _mapped(self) -> list[Placed]:
        return [placed for placed in self.operators if placed.placement == "accelerator"]

    def verdict(self) -> Literal["fits", "partial", "violates", "not_known"]:
        """``fits``: all of it runs on the accelerator (operators that are the host's by nature aside), or on the CPU of
        a device that has nothing else; ``violates``: the device cannot load or run it; ``not_known``: no source says
        where all of it runs; ``partial``: some of it runs on the CPU beside the accelerator."""
        if self.violations or any(placed.placement == "unsupported" for placed in self.operators):
            return "violates"
        if any(placed.cause == "unknown" for placed in self.operators):
            return "not_known"
        if all(placed.cause in ("mapped", "host") for placed in self.operators):
            return "fits"
        return "partial"


def _sum(operators: Iterable[Placed], figure: str) -> int:
    return sum(getattr(placed, figure) for placed in operators)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
