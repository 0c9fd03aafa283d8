"""What lies beside a finished file: what it is, how to feed it, and what its outputs mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.artifact import Tensor
from edgekit.engine.judging import path_to
from edgekit.engine.results import OutputResult
from edgekit.engine.tails import source_terms
from edgekit.engine.task import Done
from edgekit.plan import Plan, complete_data


def sidecar_content(plan: Plan, result: OutputResult, done: Mapping[str, Done]) -> dict[str, Any]:
    """All of a sidecar but the files themselves: io, preprocess, task, labels, origin, figures."""
    assert result.artifact is not None
    io = result.artifact.io
    measurement = None if result.measurement is None else result.measurement.to_dict()
    return {
        "edgekit": __version__,
        "output": result.output,
        "target": result.target,
        "precision": result.precision,
        "recipe": {"name": plan.name, "sha256": plan.recipe_sha256},
        "source": {"file": plan.source.file.name, "sha256": done["source"].artifact.sha256},
        "io": source_terms(io),
        "feed": [_feed(tensor) for tensor in io.inputs],
        "preprocess": _preprocess(plan, done),
        "task": None if plan.task is None else {"name": plan.task.name, "options": plan.task.options},
        "labels": _labels(plan, done),
        "verdict": result.verdict,
        "measurement": measurement,
        "data": {role: info["sha256"] for role, info in done["data"].result.items()} if "data" in done else {},
        "calibration": _calibration(plan, result, done),
    }


def _calibration(plan: Plan, result: OutputResult, done: Mapping[str, Done]) -> dict[str, Any] | None:
    """{samples, contents: the beginning of each sample's hash} of what calibrated the file; None if nothing did."""
    steps = path_to(plan, result.node)
    if "data" not in done or not any(node.traits is not None and node.traits.calibrates for node in steps):
        return None
    try:
        index = json.loads((done["data"].folder / "calibrate" / "index.json").read_bytes())
    except (OSError, ValueError):
        return None
    return {"samples": index["samples"], "contents": index.get("contents")}


def _preprocess(plan: Plan, done: Mapping[str, Done]) -> list[dict[str, Any]] | None:
    """The words that make the samples; None where no samples were given, so that nobody said any."""
    return None if plan.data is None else list(complete_data(plan.data, done["source"].artifact.io).preprocess)


def _feed(tensor: Tensor) -> dict[str, Any]:
    """How to feed an input: its shape, type and layout in the file, and q = real / scale + zero_point where
    quantized."""
    layout = tensor.layout
    if layout is not None and tensor.permutation is not None and len(layout) == len(tensor.permutation):
        layout = "".join(layout[axis] for axis in tensor.permutation)
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "dtype": tensor.dtype,
        "layout": layout,
        "quantization": None if tensor.quantization is None else asdict(tensor.quantization),
    }


def _labels(plan: Plan, done: Mapping[str, Done]) -> list[str] | None:
    """The class names: the task's file, else what the evaluation data say."""
    if plan.task is not None and plan.task.labels is not None:
        lines = Path(plan.task.labels).read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip()]
    if "data" not in done:
        return None
    index = done["data"].folder / "evaluate" / "index.json"
    try:
        names = json.loads(index.read_bytes()).get("class_names")
    except (OSError, ValueError):
        return None
    return None if names is None else [str(name) for name in names]
