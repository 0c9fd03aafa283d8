"""A network with its preprocessing in the graph (8-bit pictures, cast, division): named by check, cured in a run, and
the published file computes what the source does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from edgekit.numerics.sqnr import sqnr_db

from ..onnx_models import node, numbers, run, save

Command = Callable[..., subprocess.CompletedProcess[str]]
SHAPE = (1, 16, 16, 3)
RECIPE = """\
edgekit: 1
name: pictures
model: {file: pictures.onnx, inputs: {x: {shape: [1, 16, 16, 3], layout: NHWC}}}
data: {path: pictures.npz}
steps: [onnx_float_inputs, onnx_simplify]
targets: {coral: {options: {tflite_int8: {io: uint8}}, gates: {min_mapped_operators: 100%, min_sqnr_db: 40}}}
"""


def test_pictures_of_8_bits(edgekit_command: Command, tmp_path: Path, onnx2tf: object) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    nodes = [
        node("Cast", "x", "f", to=TensorProto.FLOAT),
        node("Div", "f", "most", "d"),
        node("Transpose", "d", "t", perm=[0, 3, 1, 2]),
        node("Conv", "t", "w", "y"),
    ]
    constants = {"most": np.array(255, np.float32), "w": numbers(4, 3, 1, 1)}
    source = save(tmp_path / "pictures.onnx", nodes, SHAPE, dtype="uint8", **constants)
    pictures = np.random.default_rng(0).integers(0, 256, (60, *SHAPE[1:])).astype(np.uint8)
    np.savez(tmp_path / "pictures.npz", x=pictures)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    checked = edgekit_command("check", source.path, "--target", "coral", "--json", cwd=tmp_path)
    told = json.loads(checked.stdout)
    assert "--step onnx_float_inputs" in str(told["next"])
    done = edgekit_command("run", "recipe.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (made,) = (tmp_path / "edgekit-out" / "pictures" / "coral").glob("*.tflite")
    interpreter = litert.Interpreter(str(made))
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert taken["dtype"] == np.uint8
    assert taken["quantization"] == pytest.approx((1.0, 0), abs=0.01), "8-bit pictures go in as they are"
    sidecar = json.loads(made.with_suffix(".edgekit.json").read_text())
    (order,) = (each.get("permutation") or [0, 1, 2, 3] for each in sidecar["io"]["inputs"])
    interpreter.set_tensor(taken["index"], pictures[:1].transpose(order))
    interpreter.invoke()
    scale, zero = given["quantization"]
    found = (interpreter.get_tensor(given["index"]).astype(np.float32) - zero) * scale
    expected = run(source, pictures[:1])
    layout = found if found.shape == expected.shape else found.transpose(0, 3, 1, 2)
    assert sqnr_db(expected, layout) > 40
