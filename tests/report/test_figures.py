from __future__ import annotations

import pytest

from edgekit.checks.measurement import Verdict
from edgekit.report import figures


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (48_200, "48.2 kB"), (999_600, "1.00 MB"), (4_820_123, "4.82 MB")],
)
def test_size(count: int, text: str) -> None:
    assert figures.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 s"),
        (0.001, "0.01 s"),
        (0.042, "0.04 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (38.4, "38 s"),
        (125.0, "2 min 05 s"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert figures.seconds(value) == text


def test_a_share_is_not_rounded_up_to_all() -> None:
    assert figures.share(0.9999) == "99.9 %"
    assert figures.share(1.0) == "100.0 %"
    assert figures.share(None) == "-"


MEASURED = {"value": 0.8259, "interval": (0.7988, 0.8501), "share": True}


def test_a_share_metric_comes_with_its_interval() -> None:
    assert figures.metric(MEASURED) == "82.6 % (79.9 .. 85.0)"
    assert figures.metric({**MEASURED, "value": 1.0, "interval": (0.99996, 1.0)}) == "100.0 % (99.9 .. 100.0)"
    assert figures.metric({**MEASURED, "interval": None}) == "82.6 %"
    assert figures.metric({**MEASURED, "value": None, "interval": None}) == figures.metric(None) == "-"


def test_another_metric_keeps_its_unit() -> None:
    assert figures.metric({"value": 3.5, "interval": (3.25, 3.75), "share": False}) == "3.5000 (3.2500 .. 3.7500)"


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (
            Verdict("max_drop", 1.0, 2.1, (1.2, 3.0), "fail", True),
            "2.10 points (1.20 .. 3.00), limit 1.00 points, fail",
        ),
        (Verdict("max_drop", 1.0, 1.004, None, "fail", None), "1.004 points, limit 1.000 points, fail"),
        (
            Verdict("min_agreement", 0.95, 0.97, (0.94, 0.98), "pass", False),
            "97.0 % (94.0 .. 98.0), limit 95.0 %, pass, not settled",
        ),
        (Verdict("min_agreement", 0.97, 0.9696, None, "fail", None), "96.96 %, limit 97.00 %, fail"),
        (Verdict("min_metric", 0.7, 0.8, (0.75, 0.84), "pass", True), "80.0 % (75.0 .. 84.0), limit 70.0 %, pass"),
        (Verdict("max_bytes", 5_000_000, 5_000_001, None, "fail", None), "5000001 B, limit 5000000 B, fail"),
        (Verdict("max_bytes", 10, 4_820_000, None, "fail", None), "4.82 MB, limit 10 B, fail"),
        (Verdict("min_sqnr_db", 10.0, 10.0, None, "pass", None), "10.0 dB, limit 10.0 dB, pass"),
        (Verdict("min_sqnr_db", 10.0, None, None, "not_measured", None), "not measured, limit 10.0 dB"),
    ],
)
def test_a_verdict_tells_its_figure_from_its_limit(verdict: Verdict, text: str) -> None:
    assert figures.gate_text(verdict.to_dict()) == f"{verdict.gate} {text}"


def test_points_have_no_negative_zero() -> None:
    assert figures.points(-0.001, (-0.5, 0.25)) == "0.00 (-0.50 .. 0.25)"


@pytest.mark.parametrize(
    ("gate", "value", "text"),
    [
        ("max_drop", 0.4, "0.40 points"),
        ("min_agreement", 0.95, "95.0 %"),
        ("min_sqnr_db", 10.0, "10.0 dB"),
        ("max_bytes", 5_000_000, "5.00 MB"),
        ("max_latency_ms", 12.345, "12.3 ms"),
        ("min_metric", 0.7, "70.0 %"),
    ],
)
def test_gates_in_their_own_unit(gate: str, value: float, text: str) -> None:
    assert figures.gate_figure(gate, value) == text
