"""A recipe to start from: commented, with ``???`` where something is for the user to say."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.devices.profile import Profile
from edgekit.documents import UNFILLED
from edgekit.recipe.paths import split_factory
from edgekit.recipe.preprocess import PRESETS
from edgekit.tasks import TASKS

_PLAIN = re.compile(r"[A-Za-z0-9_./-][A-Za-z0-9_./+-]*(:[A-Za-z_][A-Za-z0-9_]*)?")
_WORDS = {"true", "false", "null", "True", "False", "Null", "TRUE", "FALSE", "NULL"}


def render(
    model: str,
    targets: Sequence[str],
    *,
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
    weights: str | None = None,
    data: str | None = None,
    preprocess: str | None = None,
    task: str | None = None,
    profiles: Mapping[str, Profile] | None = None,
) -> str:
    """The text of a recipe for ``model`` (a file or ``file.py:NAME``) and ``targets``. ``inputs`` are those that could
    be read, {name: {shape, layout, dtype}}; None: they could not. What is None otherwise is written ``???``."""
    lines = [
        "# Fill in every ??? and look it over:  edgekit recipe validate THIS_FILE",
        "# See what would be done:              edgekit run THIS_FILE --dry-run",
        "# Paths are relative to this file; `--set data=/elsewhere` changes any value for one run.",
        "edgekit: 1",
        "",
        *_model(model, inputs, weights),
        "",
        "# How a picture (RGB 0..255) becomes the model's input, exactly as in training. A preset,",
        f"# {' | '.join(PRESETS)}, or the words themselves:",
        "# preprocess:",
        "#   - resize: {short_side: 256, interpolation: bilinear}",
        "#   - crop: {center: 224}",
        "#   - scale: {divide: 255}",
        "#   - normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}",
        "preprocess:",
        f"  preset: {_text(preprocess)}",
        "",
        "# Samples: a folder per class, a folder with labels.csv, a flat folder, .npz, a COCO .json, or",
        "# file.py:NAME. One path is split: 200 (at most a third) calibrate. Two kept apart:",
        "# data:",
        "#   calibrate: {path: calib/, samples: 200}",
        "#   evaluate: {path: val/}",
        f"data: {_text(data)}",
        "",
        f"# What the outputs mean: {' | '.join(TASKS.names())}. With class names in an order of its own:",
        "# task: {name: classification, labels: labels.txt}",
        f"task: {_text(task)}",
        "",
        "# What a file must hold to pass; these are the defaults. Others: min_metric, max_bytes, max_latency_ms.",
        "# gates: {max_drop: 1.0, min_agreement: 95%, min_sqnr_db: 10}",
        "",
        "# One line for each device: the precisions to make, options of single steps, gates of its own.",
        *_targets(targets, profiles),
    ]
    return "\n".join(lines) + "\n"


def _model(model: str, inputs: Mapping[str, Mapping[str, Any]] | None, weights: str | None) -> list[str]:
    built = split_factory(model)[1] is not None
    lines = [
        "# The trained model: .pt2, TorchScript .pt, .onnx, .tflite, an IR's .xml, or file.py:NAME, a function that",
        "# returns a torch.nn.Module.",
        "model:",
        f"  file: {_text(model)}",
    ]
    if built:
        lines.append(f"  weights: {_text(weights)}  # .safetensors, .npz or .pt; take the line out if there are none")
    if inputs is None:
        lines += [
            "  # Its inputs in the order of the arguments: shape (the batch first); of pictures, layout: NCHW or NHWC.",
            "  inputs:",
            "    input:",
            f"      shape: {UNFILLED}",
        ]
        return lines
    if inputs:
        lines.append("  inputs:")
    for name, given in inputs.items():
        lines.append(f"    {_text(name)}:")
        told = [key for key in ("shape", "layout", "dtype") if given.get(key) is not None]
        lines += [f"      {key}: {_value(given[key])}" for key in told]
    return lines


def _targets(targets: Sequence[str], profiles: Mapping[str, Profile] | None) -> list[str]:
    if not targets:
        return ["targets:", f"  - {UNFILLED}"]
    lines = ["targets:"]
    for name in targets:
        profile = None if profiles is None else profiles.get(name)
        if profile is None:
            lines.append(f"  {_text(name)}: {{}}")
        else:
            known = ", ".join(profile.routes)
            lines.append(f"  {_text(name)}: {{precision: [{known}]}}  # {profile.title}: {known}")
    return lines


def _text(value: str | None) -> str:
    """A text as a YAML scalar, quoted where it could be read as something else; None is ``???``."""
    if value is None:
        return UNFILLED
    if _PLAIN.fullmatch(value) and value not in _WORDS and not re.fullmatch(r"[-+.0-9][-+.0-9eExob_]*", value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Sequence):
        return UNFILLED if None in value else f"[{', '.join(_value(item) for item in value)}]"
    return json.dumps(value)
