"""What was seen when an artifact ran over the evaluation samples, and the verdict of a gate on it. Plain Python."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

Interval = tuple[float, float]

#: Of what a measurement says: it enters its key, so that one which an older edgekit kept is taken anew.
VERSION = 6


@dataclass(frozen=True)
class Latency:
    """Milliseconds per sample on the machine that measured (not the device's, unless it is the device)."""

    median: float
    p10: float
    p90: float


@dataclass(frozen=True)
class Measurement:
    """Shares are 0..1, drops are points (0.01 of a share metric, else its unit), SQNR is dB, seconds are wall-clock.

    ``data`` is ``evaluate`` or ``synthetic``. ``simulated``: not taken in the device's own runtime. ``metric``,
    ``value``, ``interval`` and the drops are None without labels; ``agreement`` where the task has no decision; all
    comparisons are None for the source model itself. ``nonfinite`` counts samples with NaN or infinity in an output.
    ``share`` says that ``value`` is a share (0..1), to be read as per cent; the task knows. ``selected_from`` names the
    tensors that were compared in the place of outputs behind a selection (NMS, TopK), as the source model calls them.
    """

    metric: str | None
    value: float | None
    interval: Interval | None
    drop_points: float | None
    drop_points_interval: Interval | None
    agreement: float | None
    agreement_interval: Interval | None
    sqnr_db: float | None
    latency_ms: Latency | None
    samples: int
    data: str
    runtime: str
    simulated: bool
    seconds: float
    nonfinite: int = 0
    share: bool = False
    selected_from: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Measurement:
        latency = data.get("latency_ms")
        pairs = {
            name: None if data[name] is None else (data[name][0], data[name][1])
            for name in ("interval", "drop_points_interval", "agreement_interval")
        }
        selected_from = tuple(data.get("selected_from", ()))
        return Measurement(
            **{
                **data,
                **pairs,
                "latency_ms": None if latency is None else Latency(**latency),
                "selected_from": selected_from,
            }
        )


@dataclass(frozen=True)
class Verdict:
    """The result of one gate. ``settled``: the interval lies wholly on one side of the limit (None: no interval)."""

    gate: str
    limit: float
    value: float | None
    interval: Interval | None
    result: str  # pass | fail | not_measured
    settled: bool | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Verdict:
        interval = data["interval"]
        return Verdict(**{**data, "interval": None if interval is None else (interval[0], interval[1])})
