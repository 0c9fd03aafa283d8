"""Limits on figures and their verdicts. Plain Python: the engine judges here without loading NumPy.

gate                   figure                          fails when
max_drop               drop_points                     above
min_metric             value of the task's metric      below
min_agreement          agreement with the source       below
min_sqnr_db            sqnr_db against the source      below
max_bytes              size of the artifact            above
max_latency_ms         median latency on the device    above
min_mapped_operators   share on the accelerator        below
min_mapped_macs        share of MACs there             below
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edgekit.checks.measurement import Interval, Measurement, Verdict
from edgekit.errors import InputError, UnknownName
from edgekit.registry import did_you_mean


@dataclass(frozen=True)
class Gate:
    """``upper``: the figure may not exceed the limit (else it may not fall below). ``share``: 0..1. ``labels``: needs
    them."""

    name: str
    upper: bool
    unit: str
    share: bool = False
    labels: bool = False


GATES: dict[str, Gate] = {
    gate.name: gate
    for gate in (
        Gate("max_drop", upper=True, unit="points", labels=True),
        Gate("min_metric", upper=False, unit="", share=True, labels=True),
        Gate("min_agreement", upper=False, unit="", share=True),
        Gate("min_sqnr_db", upper=False, unit="dB"),
        Gate("max_bytes", upper=True, unit="bytes"),
        Gate("max_latency_ms", upper=True, unit="ms"),
        Gate("min_mapped_operators", upper=False, unit="", share=True),
        Gate("min_mapped_macs", upper=False, unit="", share=True),
    )
}

DEFAULT_GATES: dict[str, float] = {"max_drop": 1.0, "min_agreement": 0.95, "min_sqnr_db": 10.0}
#: What an exact step is held to where it stands.
EXACT_GATES: dict[str, float] = {"min_sqnr_db": 60.0}


def check_limit(name: str, value: object) -> float:
    """The limit as a number.

    Raises:
        UnknownName: no gate is called so.
        InputError: not a number, not finite, negative, or a share above 1.
    """
    if name not in GATES:
        raise UnknownName(
            f"no gate is called `{name}`{did_you_mean(name, GATES)}",
            remedy=f"the gates are {', '.join(GATES)}",
            code="unknown_gate",
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse(name, value, "not a number")
    limit = float(value)
    if not math.isfinite(limit):
        raise _refuse(name, value, "not finite")
    if limit < 0:
        raise _refuse(name, value, "negative")
    if GATES[name].share and limit > 1:
        raise InputError(
            f"the limit of `{name}` is {value}, but a share is at most 1",
            where=f"gates.{name}",
            remedy=f"write {limit:g}% or {limit / 100:g}" if limit <= 100 else "write a share such as 95% or 0.95",
            code="invalid_limit",
        )
    return limit


def check_gates(gates: Mapping[str, object], *, labelled: bool | None) -> dict[str, float]:
    """All limits as numbers; where the data are known to have no labels, gates that need them are refused.

    Raises:
        UnknownName, InputError: see ``check_limit``.
    """
    limits = {name: check_limit(name, value) for name, value in gates.items()}
    if labelled is False:
        for name in limits:
            if GATES[name].labels:
                raise InputError(
                    f"the gate `{name}` needs labels, but the evaluation data have none",
                    where=f"gates.{name}",
                    remedy="give labelled data (a folder per class, labels.csv), or gate min_agreement and min_sqnr_db",
                    code="labels_needed",
                )
    return limits


def default_gates(*, labelled: bool, decides: bool = True) -> dict[str, float]:
    """The gates of an output for which the recipe names none: without labels no drop, without a decision no
    agreement."""
    return {
        name: limit
        for name, limit in DEFAULT_GATES.items()
        if (labelled or not GATES[name].labels) and (decides or name != "min_agreement")
    }


def judge(
    measurement: Measurement | None,
    gates: Mapping[str, float],
    *,
    bytes: int | None = None,
    placement: Mapping[str, float] | None = None,
) -> tuple[Verdict, ...]:
    """One verdict per gate, by the point estimate. ``bytes`` is the artifact's size; ``placement`` gives
    ``mapped_operators`` and ``mapped_macs`` where a compiler or the rules told them. A figure that was not taken is
    ``not_measured``."""
    return tuple(
        _judge_one(GATES[name], limit, *_figure(name, measurement, bytes, placement or {}))
        for name, limit in gates.items()
    )


def exit_code(verdicts: Iterable[Verdict], *, strict: bool = False) -> int:
    """0, 1 for a missed gate; with ``strict`` 6 where one was not measured or too few samples leave it open."""
    found = list(verdicts)
    if any(verdict.result == "fail" for verdict in found):
        return 1
    open_ones = [verdict for verdict in found if verdict.result == "not_measured" or verdict.settled is False]
    return 6 if strict and open_ones else 0


def overall(verdicts: Iterable[Verdict]) -> str:
    """``fail`` if one does; else ``not_measured`` if any was not, or if there are none; else ``pass``."""
    results = [verdict.result for verdict in verdicts]
    if "fail" in results:
        return "fail"
    return "pass" if results and "not_measured" not in results else "not_measured"


def misses_itself(gate: str, limit: float, source_value: float | None) -> bool:
    """Whether the source model misses a limit, so that no step lost it: only ``min_metric`` looks at a figure that the
    source has too, and what a step is to make small is not the source's to keep."""
    return gate == "min_metric" and source_value is not None and source_value < limit


def chance_reached(measurement: Measurement | None, chance: float | None) -> bool:
    """Whether a labelled classifier is hardly better than guessing: the interval of its metric reaches down to it."""
    return (
        measurement is not None
        and chance is not None
        and measurement.interval is not None
        and measurement.interval[0] <= above_chance(chance)
    )


def above_chance(chance: float) -> float:
    """What the interval has to lie above: chance and a twentieth of the way from there to 1, or half of chance again
    where that is less (many classes).

    Chance itself would be too low: digits fed as 0..255 to a network that wants 0..1 score 11.8 % (10.04 .. 13.7) on 10
    classes, and no number of samples makes such a model one that works.
    """
    return chance + min(0.05 * (1 - chance), 0.5 * chance)


def _figure(
    name: str, measurement: Measurement | None, size: int | None, placement: Mapping[str, float]
) -> tuple[float | None, Interval | None]:
    """(point estimate, interval) that a gate looks at; (None, None) where it was not taken."""
    if name == "max_bytes":
        return size, None
    if name in ("min_mapped_operators", "min_mapped_macs"):
        return placement.get(name.removeprefix("min_")), None
    if measurement is None:
        return None, None
    if name == "max_drop":
        return measurement.drop_points, measurement.drop_points_interval
    if name == "min_metric":
        return measurement.value, measurement.interval
    if name == "min_agreement":
        return measurement.agreement, measurement.agreement_interval
    if name == "min_sqnr_db":
        return measurement.sqnr_db, None
    # Latency is taken on the machine that measures; a limit speaks of the device, where nothing was measured.
    return None, None


def _judge_one(gate: Gate, limit: float, value: float | None, interval: Interval | None) -> Verdict:
    if value is None:
        return Verdict(gate.name, limit, None, None, "not_measured", None)
    # Written so that a figure that is not a number fails.
    holds = value <= limit if gate.upper else value >= limit
    settled = None
    if interval is not None:
        low, high = interval
        settled = (high <= limit or low > limit) if gate.upper else (low >= limit or high < limit)
    return Verdict(gate.name, limit, float(value), interval, "pass" if holds else "fail", settled)


def _refuse(name: str, value: object, why: str) -> InputError:
    return InputError(
        f"the limit of `{name}` is {value!r}, which is {why}",
        where=f"gates.{name}",
        remedy="give a finite number that is not negative",
        code="invalid_limit",
    )
