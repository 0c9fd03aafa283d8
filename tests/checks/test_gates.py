"""Limits, verdicts and exit codes; and that judging needs no NumPy."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest

from edgekit.checks.gates import (
    DEFAULT_GATES,
    GATES,
    chance_reached,
    check_gates,
    check_limit,
    default_gates,
    exit_code,
    judge,
    overall,
)
from edgekit.checks.measurement import Latency, Measurement
from edgekit.errors import InputError, UnknownName


def seen(**figures: object) -> Measurement:
    known: dict = {
        "metric": "top1",
        "value": 0.8,
        "interval": (0.77, 0.83),
        "drop_points": 0.5,
        "drop_points_interval": (-0.2, 1.3),
        "agreement": 0.97,
        "agreement_interval": (0.96, 0.98),
        "sqnr_db": 18.0,
        "latency_ms": Latency(4.0, 3.0, 5.0),
        "samples": 850,
        "data": "evaluate",
        "runtime": "onnxruntime 1.31.1",
        "simulated": False,
        "seconds": 3.0,
    }
    return Measurement(**{**known, **figures})


@pytest.mark.parametrize(
    ("gates", "result", "settled"),
    [
        ({"max_drop": 1.0}, "pass", False),
        ({"max_drop": 1.3}, "pass", True),
        ({"max_drop": 0.4}, "fail", False),
        ({"max_drop": 0.5}, "pass", False),
        ({"min_metric": 0.75}, "pass", True),
        ({"min_metric": 0.79}, "pass", False),
        ({"min_metric": 0.84}, "fail", True),
        ({"min_agreement": 0.95}, "pass", True),
        ({"min_agreement": 0.975}, "fail", False),
        ({"min_sqnr_db": 18.0}, "pass", None),
        ({"min_sqnr_db": 18.1}, "fail", None),
        ({"max_bytes": 1000}, "pass", None),
        ({"max_bytes": 999}, "fail", None),
        ({"min_mapped_operators": 0.9}, "pass", None),
        ({"min_mapped_macs": 0.9}, "not_measured", None),
        ({"max_latency_ms": 1.0}, "not_measured", None),
    ],
)
def test_verdicts(gates: dict, result: str, settled: bool | None) -> None:
    (verdict,) = judge(seen(), gates, bytes=1000, placement={"mapped_operators": 0.95})
    assert (verdict.result, verdict.settled) == (result, settled)


def test_without_a_measurement_only_the_size_is_judged() -> None:
    verdicts = judge(None, {**DEFAULT_GATES, "max_bytes": 10}, bytes=11)
    assert [verdict.result for verdict in verdicts] == ["not_measured"] * 3 + ["fail"]
    assert judge(None, {"max_bytes": 10})[0].result == "not_measured"


def test_a_figure_that_is_not_a_number_fails() -> None:
    verdicts = judge(seen(sqnr_db=math.nan, drop_points=math.nan), {"min_sqnr_db": 0.0, "max_drop": 100.0})
    assert [verdict.result for verdict in verdicts] == ["fail", "fail"]


def test_exit_codes_and_the_word_over_all() -> None:
    passing = judge(seen(), {"min_sqnr_db": 10})
    missed = judge(seen(), {"min_sqnr_db": 20})
    unsettled = judge(seen(), {"max_drop": 1.0})
    unmeasured = judge(seen(), {"max_latency_ms": 1.0})
    assert [exit_code(found) for found in (passing, missed, unsettled, unmeasured)] == [0, 1, 0, 0]
    assert [exit_code(found, strict=True) for found in (passing, missed, unsettled, unmeasured)] == [0, 1, 6, 6]
    assert exit_code(missed + unmeasured, strict=True) == 1
    assert [overall(found) for found in (passing, missed + unmeasured, unsettled, unmeasured, ())] == [
        "pass", "fail", "pass", "not_measured", "not_measured",
    ]  # fmt: skip


@pytest.mark.parametrize("name", sorted(GATES))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -1e-9, True, "1", None, [1]])
def test_limits_that_are_refused(name: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        check_limit(name, value)
    assert (caught.value.word, caught.value.exit_code, caught.value.where) == ("invalid_limit", 2, f"gates.{name}")


@pytest.mark.parametrize("name", ["min_agreement", "min_metric", "min_mapped_operators", "min_mapped_macs"])
def test_shares_are_at_most_one(name: str) -> None:
    assert check_limit(name, 1) == 1.0
    with pytest.raises(InputError) as caught:
        check_limit(name, 97.5)
    assert caught.value.remedy == "write 97.5% or 0.975"


def test_limits_that_are_taken() -> None:
    assert [check_limit("max_drop", value) for value in (0, 2, 150.5)] == [0.0, 2.0, 150.5]
    with pytest.raises(UnknownName, match="did you mean `max_drop`"):
        check_limit("max_drops", 1)


def test_gates_on_accuracy_need_labels() -> None:
    assert check_gates({"max_drop": 1}, labelled=True) == {"max_drop": 1.0}
    assert check_gates({"max_drop": 1}, labelled=None) == {"max_drop": 1.0}
    assert check_gates({"min_sqnr_db": 1}, labelled=False) == {"min_sqnr_db": 1.0}
    for name in ("max_drop", "min_metric"):
        with pytest.raises(InputError, match="needs labels"):
            check_gates({name: 0.5}, labelled=False)


def test_default_gates() -> None:
    assert default_gates(labelled=True) == {"max_drop": 1.0, "min_agreement": 0.95, "min_sqnr_db": 10.0}
    assert default_gates(labelled=False) == {"min_agreement": 0.95, "min_sqnr_db": 10.0}
    assert default_gates(labelled=False, decides=False) == {"min_sqnr_db": 10.0}


def test_chance() -> None:
    assert chance_reached(seen(interval=(0.09, 0.2)), 0.1)
    assert chance_reached(seen(interval=(0.1004, 0.137)), 0.1), "142 of 1200 digits right, fed without / 255"
    assert not chance_reached(seen(interval=(0.15, 0.2)), 0.1)
    assert not chance_reached(seen(interval=(0.002, 0.01)), 0.001), "1000 classes: half of chance more will do"
    assert not chance_reached(seen(interval=(0.53, 0.6)), 0.5)
    assert not chance_reached(seen(interval=None), 0.1)
    assert not chance_reached(seen(interval=(0.0, 0.2)), None)
    assert not chance_reached(None, 0.1)


def test_measurement_comes_back_from_json() -> None:
    import json

    measurement = seen(nonfinite=3)
    assert Measurement.from_dict(json.loads(json.dumps(measurement.to_dict()))) == measurement


def test_judging_loads_no_numpy() -> None:
    code = "import sys, edgekit.checks.gates; print({'numpy', 'scipy', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
