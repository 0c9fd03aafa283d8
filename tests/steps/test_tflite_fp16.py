"""tflite_fp16: the weights are the nearest float16 numbers, everything else stays, and what does not fit is refused."""

from __future__ import annotations

from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.artifact import Artifact, hash_files
from edgekit.errors import StepError
from edgekit.formats import FORMATS, Declared
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import read_model
from edgekit.steps import STEPS, Context, Produced

models = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "tflite_models.py")))


def convert(folder: Path, data: bytes) -> tuple[Artifact, Produced]:
    path = folder / "source.tflite"
    path.write_bytes(data)
    source = Artifact(path, "tflite", *hash_files([path]), FORMATS.get("tflite").read_io(path, Declared()))
    (folder / "work").mkdir()
    step = STEPS.get("tflite_fp16")
    return source, step.run(Context(folder / "work", stem="half"), source, step.options())


def test_weights_are_the_nearest_float16_and_the_rest_stays(tmp_path: Path):
    source, produced = convert(tmp_path, models.classifier())
    before, after = read_model(source.path), read_model(produced.path)
    halves = {tensor.name: after.read_constant(tensor) for tensor in after.main.tensors if tensor.dtype == "float16"}
    assert len(halves) == 3
    kept = {tensor.name: before.read_constant(tensor) for tensor in before.main.tensors if before.is_constant(tensor)}
    for name, numbers in halves.items():
        np.testing.assert_array_equal(numbers, kept[name].astype(np.float16))
    assert produced.io == source.io
    assert [tensor.dtype for tensor in (*produced.io.inputs, *produced.io.outputs)] == ["float32", "float32"]
    old, new = describe_model(before), describe_model(after)
    assert (new.macs, new.params) == (old.macs, old.params)
    assert new.metadata["external_buffers"] == 0
    assert {operator.version for operator in new.operators if operator.type == "DEQUANTIZE"} == {3}


def test_it_computes_with_those_weights(tmp_path: Path):
    source, produced = convert(tmp_path, models.classifier())
    image = np.random.default_rng(0).standard_normal((1, 8, 8, 3)).astype(np.float32)
    known = FORMATS.get("tflite")
    half = Artifact(produced.path, "tflite", *hash_files([produced.path]), produced.io)
    expected = known.open(source, 1).run({"image": image})["out0"]
    found = known.open(half, 1).run({"image": image})["out0"]
    assert 0 < np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()


def test_a_weight_beyond_float16_is_refused_by_name(tmp_path: Path):
    weights = np.ones((2, 1, 1, 3), np.float32)
    weights[1, 0, 0, 0] = 70000.0
    model = models.Builder()
    x = model.input("image", (1, 4, 4, 3))
    with pytest.raises(StepError, match="`constant_1` is too large for float16"):
        convert(tmp_path, model.finish([model.conv(x, weights, np.zeros(2, np.float32))]))
    assert not list((tmp_path / "work").iterdir())


def test_a_model_without_such_weights_is_noted(tmp_path: Path):
    model = models.Builder()
    x = model.input("x", (1, 4))
    _, produced = convert(tmp_path, model.finish([model.add("ABS", [x], (1, 4))]))
    assert produced.notes == ("no weight of this model has a float16 form",)
