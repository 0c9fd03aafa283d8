"""Small ONNX models from `x` to `y` for the tests of rewriting steps, and ONNX Runtime, which they are held against."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import IO, Artifact, Tensor, hash_files
from edgekit.devices import load_profiles
from edgekit.devices.judge import judge_graph
from edgekit.formats import FORMATS
from edgekit.steps import STEPS, Context

Node = onnx.NodeProto
CHILD = Path(__file__).parent / "steps" / "onnx2tf_main.py"
_draw = np.random.default_rng(5)


def node(type_: str, *names: str, **attributes: object) -> Node:
    """``node("Add", "a", "b", "sum")``: inputs, then the output."""
    return helper.make_node(type_, list(names[:-1]), [names[-1]], name=f"{type_}_{names[-1]}", **attributes)


def numbers(*shape: int) -> np.ndarray:
    return _draw.standard_normal(shape).astype(np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def save(
    path: Path,
    nodes: list[Node],
    shape: tuple[int | str, ...],
    *,
    opset: int = 17,
    dtype: str = "float32",
    **constants: np.ndarray,
) -> Artifact:
    """A model from `x` of that shape and type to `y`."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.save(model, path)
    x, y = (_sizes(value) for value in (model.graph.input[0], model.graph.output[0]))
    io = IO((Tensor("x", "x", x, dtype),), (Tensor("y", "y", y, "float32"),))
    return Artifact(path, "onnx", *hash_files([path]), io)


def apply(name: str, source: Artifact, folder: Path, **options: object) -> Artifact:
    """What a step makes of a model, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    step = STEPS.get(name)
    made = step.run(Context(folder), source, step.options(**options))
    return Artifact(made.path, "onnx", *hash_files([made.path]), made.io)


def operators(artifact: Artifact) -> list[str]:
    return [each.op_type for each in onnx.load(artifact.path).graph.node]


def run(artifact: Artifact, x: np.ndarray) -> np.ndarray:
    """By ONNX Runtime, without its own rewriting."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(artifact.path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def check_equal(source: Artifact, made: Artifact, shape: tuple[int, ...], *, rounding: bool = True) -> None:
    """The same outputs, to float rounding or to the bit, in a file that ONNX's checker passes."""
    x = numbers(*shape)
    expected, found = run(source, x), run(made, x)
    assert expected.shape == found.shape
    if rounding:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    else:
        np.testing.assert_array_equal(found, expected)
    onnx.checker.check_model(onnx.load(made.path), full_check=True)


def most_axes(artifact: Artifact) -> int:
    """The most axes of any tensor that an operator writes, but for the outputs."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(artifact.path), strict_mode=True).graph
    return max((len(value.type.tensor_type.shape.dim) for value in graph.value_info), default=0)


def _sizes(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in sizes)


def to_tflite(paths: list[Path], folder: Path) -> list[Artifact]:
    """Float TensorFlow Lite, by one child process."""
    jobs = [{"path": str(path), "folder": str(folder / str(place))} for place, path in enumerate(paths)]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-P", str(CHILD), str(folder / "jobs.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [answer.get("error") for answer in answers] == [None] * len(paths)
    return [_tflite(Path(answer["path"]), IO.from_dict(answer["io"])) for answer in answers]


def mapped_on_coral(artifact: Artifact) -> float:
    """The share of operators on Coral, as if the file were quantized."""
    graph = FORMATS.get("tflite").describe(artifact)
    found = judge_graph(graph, load_profiles()["coral"], precision="int8", converted=True)
    assert found.assumed_quantized
    share = found.placement.totals()["mapped_operators"]
    assert share is not None
    return float(share)


def _tflite(path: Path, io: IO) -> Artifact:
    return Artifact(path, "tflite", *hash_files([path]), io)
