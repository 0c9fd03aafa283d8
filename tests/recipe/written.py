"""Two recipes, the shortest and one that says everything, and the mistakes of what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.devices import load_profiles
from edgekit.errors import RecipeError
from edgekit.recipe import load_recipe

PROFILES = load_profiles()

SHORTEST = """\
edgekit: 1
model: lite0.pt2
preprocess: {preset: efficientnet-lite, size: 224}
data: photos/
task: classification
targets: [coral, android-cpu, openvino-cpu]
"""

EVERYTHING = """\
edgekit: 1
name: lite0
vars: {root: ./imagenet}
model:
  file: ../samples/net.py:build
  options: {width: 1.0, classes: 1000}
  weights: {path: weights.safetensors, get: "pip install 'edgekit-ml[samples]'"}
  inputs: {image: {shape: [1, 3, 224, 224], layout: NCHW}}
  requires: [efficientnet-lite-pytorch]
preprocess:
  - resize: {short_side: 256, interpolation: bicubic}
  - crop: {center: 224}
  - normalize: {mean: 127.0, std: 128.0}
data:
  evaluate: {path: "${root}/val"}
  calibrate: {path: "${root}/calib", samples: 200, seed: 0}
task: {name: classification, labels: labels.txt, label_offset: 1}
gates: {max_drop: 1.0, min_agreement: 96%}
steps: [torch_to_onnx, {onnx_simplify: {gates: {min_sqnr_db: 80}}}]
targets:
  coral:           {options: {tflite_int8: {io: uint8, gates: {min_sqnr_db: 12}}}, gates: {max_drop: 2.0}}
  android-cpu:     {precision: [fp16, int8]}
  openvino-cpu:
  cheap-phone:     {target: android-cpu, precision: int8}
"""


def write(folder: Path, text: str, name: str = "lite0.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def mistakes(path: Path, *overrides: str) -> list[str]:
    """All mistakes of a recipe, `LINE:COLUMN: message` (or `--set PATH: message`)."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides, profiles=PROFILES)
    assert caught.value.exit_code == 2
    return [str(item).removeprefix(f"{path}:") for item in caught.value.mistakes]
