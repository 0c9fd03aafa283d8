"""What is said to be post-processing is what the step onnx_cut_tail moves, operator for operator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import onnx
import pytest

from edgekit.artifact import IO, Artifact, hash_files
from edgekit.devices.limits.view import View
from edgekit.devices.tail import SOFTMAX_OVER
from edgekit.formats import FORMATS
from edgekit.graph import Graph
from edgekit.steps.convert import onnx_cut_tail
from edgekit.steps.convert.onnx_cutting import cut_model, fold_shapes
from edgekit.steps.convert.onnx_postprocessing import find_postprocessing
from edgekit.steps.convert.onnx_rewriting import Scope

from ..onnx_models import node, numbers, save, to_tflite

written = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "postprocessing.py")))
MODELS = {
    "decoding": written.detector,
    "decoding by a sigmoid": lambda: written.detector(13, "Sigmoid"),
    "computed sizes": lambda: written.detector(computes_sizes=True),
    "NMS": written.detector_with_nms,
    "one head for boxes and scores": written.mixed_head,
    "bins": written.detector_with_bins,
    "five axes": written.detector_in_five_axes,
    "centre points": written.centre_points,
    "branches": written.branches,
    "few classes": lambda: written.classifier(10),
    "many classes": lambda: written.classifier(20_000),
    "label map": written.label_map,
    "regression": written.regression,
}


def moved(path: Path) -> set[str]:
    """The first outputs of the nodes that the step moves."""
    model = onnx.load(path)
    fold_shapes(model, Scope(model).tensors)
    scope = Scope(model)
    cuts = find_postprocessing(model, scope, SOFTMAX_OVER).cuts
    return {one.output[0] for one in cut_model(model, scope.tensors, cuts).moved} if cuts else set()


def told(graph: Graph) -> set[str]:
    tail = View(graph).tail
    return {graph.tensors[one.outputs[0]].name for one in graph.operators if one.index in tail}


def described(path: Path) -> Graph:
    return FORMATS.get("onnx").describe(Artifact(path, "onnx", *hash_files([path]), IO((), ())))


@pytest.mark.parametrize("name", MODELS)
def test_as_the_step_finds_it(name: str, tmp_path: Path) -> None:
    onnx.save(MODELS[name](), tmp_path / "model.onnx")
    graph, expected = described(tmp_path / "model.onnx"), moved(tmp_path / "model.onnx")
    sizes = {"Shape", "Gather", "Unsqueeze", "Concat"}  # arithmetic of sizes is stored with the part that reads it
    whole = {graph.tensors[one.outputs[0]].name for one in graph.operators if one.type in sizes}
    real = {tensor.name for tensor in graph.tensors if tensor.dtype.startswith("float")} | (expected - whole)
    assert told(graph) & real == expected & real
    assert bool(expected) == (name not in ("few classes", "regression"))


def test_a_published_detector(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("detection") / "FastestDet.onnx"
    assert told(described(path)) == moved(path) != set()


def test_by_the_steps_own_limit() -> None:
    assert SOFTMAX_OVER == onnx_cut_tail.SOFTMAX_OVER


def test_a_norm_at_the_end_stays(tmp_path: Path) -> None:
    """Its square root and division are no box decoding, for the mean before them is none of a head's operators."""
    nodes = [
        *[node("MatMul", "x", "w", "h"), node("ReduceMean", "h", "m", axes=[-1]), node("Sub", "h", "m", "d")],
        *[node("Mul", "d", "d", "q"), node("ReduceMean", "q", "v", axes=[-1]), node("Sqrt", "v", "s")],
        *[node("Div", "d", "s", "n"), node("Mul", "n", "g", "y")],
    ]
    source = save(tmp_path / "norm.onnx", nodes, (1, 16, 32), w=numbers(32, 32), g=numbers(32))
    assert told(described(source.path)) == moved(source.path) == set()


def test_in_a_converted_model(tmp_path: Path, require: Callable[[str, str], None]) -> None:
    """The converter writes other operators: what bends the numbers of heads or chooses among them is in the tail."""
    from edgekit.toolchains import find

    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    paths = []
    for name in ("decoding", "label map", "few classes", "regression"):
        paths.append(tmp_path / f"{name}.onnx")
        onnx.save(MODELS[name](), paths[-1])
    graphs = [FORMATS.get("tflite").describe(made) for made in to_tflite(paths, tmp_path)]
    tails = [{one.type for one in graph.operators if one.index in View(graph).tail} for graph in graphs]
    assert {"EXP", "CONCATENATION", "LOGISTIC"} <= tails[0]
    assert "CONV_2D" not in tails[0]
    assert "ARG_MAX" in tails[1]
    assert tails[2:] == [set(), set()]
