"""What a run comes to: a result for the source, for each node and for each output. Plain Python."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgekit.artifact import Artifact
from edgekit.checks.measurement import Measurement, Verdict


@dataclass(frozen=True)
class NodeResult:
    """``status``: done | cached | failed | skipped. ``reason`` says why it was run (``new``,
    ``option io: int8 -> uint8``; for a cached one ``unchanged``), or which failed node a skipped one waited for.
    ``started`` is seconds since the run began. ``error`` is ``edgekit.error/1``'s object. ``unmeasured`` says why there
    is no measurement."""

    node: str
    status: str
    reason: str
    artifact: Artifact | None = None
    measurement: Measurement | None = None
    verdicts: tuple[Verdict, ...] = ()
    started: float = 0.0
    seconds: float = 0.0
    peak_rss_bytes: int | None = None
    error: dict[str, Any] | None = None
    unmeasured: str | None = None
    notes: tuple[str, ...] = ()
    log: str | None = None


@dataclass(frozen=True)
class OutputResult:
    """``verdict``: pass | fail | not_measured. ``lost_at`` is the node where the failed gate's limit was first crossed
    (None where the source model itself misses it).
    ``placement`` is {mapped_operators, mapped_macs: shares or None, source: predicted | compiler, verdict: as
    ``edgekit check`` has it}, None where nothing says where the device runs the file's operators; with
    ``latency_estimate`` where its time could be estimated.
    ``artifact`` is the file in the output folder (None where none was made)."""

    output: str
    target: str
    precision: str
    exit_code: int
    verdict: str
    verdicts: tuple[Verdict, ...] = ()
    artifact: Artifact | None = None
    measurement: Measurement | None = None
    node: str | None = None
    lost_at: str | None = None
    rejected: bool = False
    placement: dict[str, Any] | None = None


@dataclass(frozen=True)
class DataInfo:
    """The samples of one role that a run used. ``input_range`` is the lowest and highest value of the prepared
    input."""

    samples: int
    sha256: str
    labelled: bool
    classes: int | None = None
    input_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class RunResult:
    """All of a run. ``started`` is ISO 8601 UTC."""

    plan_name: str
    recipe_sha256: str
    started: str
    seconds: float
    exit_code: int
    environment: dict[str, Any]
    source: Artifact | None
    source_measurement: Measurement | None
    nodes: tuple[NodeResult, ...]
    outputs: tuple[OutputResult, ...]
    data: dict[str, DataInfo] = field(default_factory=dict)
    error: dict[str, Any] | None = None
