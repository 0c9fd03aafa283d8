"""The JSON Schema: a valid schema that accepts what the language accepts and refuses what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from edgekit.recipe import schema
from edgekit.steps import STEPS

SCHEMA = schema()
RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))


def complaints(text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(YAML(typ="safe").load(text))]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_edgekits_own_recipes_fit(path: Path) -> None:
    assert complaints(path.read_text()) == []


FITS = """\
edgekit: 1
vars: {root: x, n: 3}
model: {file: "a.py:build", weights: w.npz, inputs: {x: {shape: [1, 3, 8, 8], layout: NCHW}}}
preprocess: {preset: yolo}
data: {path: "a.py:read", options: {n: 1}}
task: {name: classification, label_offset: 1, labels: l.txt}
gates: {min_agreement: 96%, max_drop: 1}
steps: [torch_to_onnx, {onnx_simplify: {gates: {min_sqnr_db: 60}}}, {onnx_fp16: }]
targets: {coral: , phone: {target: android-cpu, precision: [fp16], options: {tflite_int8: {io: int8}}}}
"""


def test_the_full_form_fits() -> None:
    assert complaints(FITS) == []
    assert complaints(FITS.replace("{preset: yolo}", "yolo")) == []
    assert complaints(FITS.replace("{preset: yolo}", "yolov8")) != []
    bare = FITS.replace('{path: "a.py:read", options: {n: 1}}', "{evaluate: val, calibrate: {path: calib, samples: 9}}")
    assert bare != FITS
    assert complaints(bare) == []
    assert complaints(bare.replace("evaluate: val", "evaluate: 3")) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("edgekit: 1", "edgekit: 2"),
        ("gates: {", "gatse: {"),
        ("96%", "96"),
        ("max_drop: 1", "max_drop: -1"),
        ("torch_to_onnx,", "torch_to_onxx,"),
        ("io: int8", "io: int9"),
        ("options: {tflite", "options: {tflight"),
        ("label_offset", "label_ofset"),
        ("preset: yolo", "preset: yolov8"),
        ("layout: NCHW", "layout: NWHC"),
        ("file: ", "flie: "),
        ("precision: [fp16]", "precision: [fp16, fp16]"),
    ],
)
def test_what_the_language_refuses_does_not_fit(old: str, new: str) -> None:
    assert old in FITS
    assert complaints(FITS.replace(old, new)) != []


def test_every_step_is_in_it_with_its_options() -> None:
    definitions: dict[str, Any] = SCHEMA["$defs"]
    assert set(definitions["StepOptions"]["properties"]) == set(STEPS.names())
    for step in STEPS:
        assert set(definitions[f"Step_{step.name}"]["properties"]) == {*step.options.model_fields, "gates"}
