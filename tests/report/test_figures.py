from __future__ import annotations

import pytest

from edgekit.report import figures


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (48_200, "48.2 kB"), (999_600, "1.00 MB"), (4_820_123, "4.82 MB")],
)
def test_size(count: int, text: str) -> None:
    assert figures.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.042, "0.04 s"), (9.94, "9.9 s"), (9.96, "10 s"), (38.4, "38 s"), (125.0, "2 min 05 s")]
)
def test_seconds(value: float, text: str) -> None:
    assert figures.seconds(value) == text


def test_a_share_is_not_rounded_up_to_all() -> None:
    assert figures.share(0.9999) == "99.9 %"
    assert figures.share(1.0) == "100.0 %"
    assert figures.share(None) == "-"


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
        ("min_metric", 0.7, "0.7000"),
    ],
)
def test_gates_in_their_own_unit(gate: str, value: float, text: str) -> None:
    assert figures.gate_figure(gate, value) == text
