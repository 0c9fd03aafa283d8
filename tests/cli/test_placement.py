"""What `check` shows of the latency: an estimate that is called so, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Command = Callable[..., "CompletedProcess[str]"]
MODEL = "models/mobilenet_v2_1.0_224_quant.tflite"


def test_latency_of_a_device_with_published_figures(
    edgekit_command: Command, shared_data: Callable[[str], Path]
) -> None:
    words = ("check", shared_data(MODEL), "--target", "coral")
    found = json.loads(edgekit_command(*words, "--json").stdout)["latency_estimate"]
    # coral.ai publishes 2.6 ms for this very model.
    assert found["ms"] == pytest.approx(2.6, rel=found["typical_error"])
    assert 0 < found["typical_error"] <= found["worst_error"]
    assert found["models"] >= 4 and "coral.ai" in found["source"]
    (line,) = [line for line in edgekit_command(*words).stdout.splitlines() if line.strip().startswith("latency")]
    assert found["text"] in line and "(estimate, typical error" in line and found["conditions"] in line


def test_no_latency_of_a_device_without_figures(edgekit_command: Command, shared_data: Callable[[str], Path]) -> None:
    words = ("check", shared_data(MODEL), "--target", "coral-micro")
    assert json.loads(edgekit_command(*words, "--json").stdout)["latency_estimate"] is None
    assert "latency" not in edgekit_command(*words).stdout
