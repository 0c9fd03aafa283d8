"""The operator at which a conversion fails, and the step that cures it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import Artifact
from edgekit.steps import Context
from edgekit.steps.convert.onnx_culprit import find_culprit

from ..onnx_models import Node, save

Command = Callable[..., subprocess.CompletedProcess[str]]


def chain(*types: str) -> list[Node]:
    """x -> t0 -> t1 -> ... -> y, and one more reader of t0 at the end."""
    names = ["x", *(f"t{place}" for place in range(len(types)))]
    nodes = [helper.make_node(kind, [names[place]], [names[place + 1]]) for place, kind in enumerate(types)]
    return [*nodes, helper.make_node("Add", [names[1], names[-1]], ["y"])]


def without(*types: str) -> Callable[[Artifact], bool]:
    """A converter that takes all operators but some."""

    def converts(artifact: Artifact) -> bool:
        onnx.checker.check_model(onnx.load(artifact.path), full_check=True)
        return not {node.op_type for node in onnx.load(artifact.path).graph.node} & set(types)

    return converts


@pytest.mark.parametrize("place", range(6))
def test_the_first_of_several(place: int, tmp_path: Path) -> None:
    types = ["Relu", "Sigmoid", "Tanh", "Neg", "Exp", "Relu"]
    types[place] = "Softsign"
    source = save(tmp_path / "m.onnx", chain(*types, "Softsign"), (1, 4))
    found = find_culprit(Context(tmp_path / "work"), source, without("Softsign"))
    assert found is not None
    assert (found.operator, found.output, found.cure) == ("Softsign", f"t{place}", None)
    assert found.remedy is None


@pytest.mark.parametrize(
    ("operator", "cure", "exact"),
    [("HardSwish", "onnx_replace_activations", True), ("Softplus", "onnx_approximate_activations", False)],
)
def test_a_step_that_cures_it(operator: str, cure: str, exact: bool, tmp_path: Path) -> None:
    source = save(tmp_path / "m.onnx", chain("Relu", operator, "Tanh"), (1, 4))
    found = find_culprit(Context(tmp_path / "work"), source, without(operator))
    assert found is not None
    assert (found.operator, found.cure, found.exact) == (operator, cure, exact)
    assert f"check --step {cure}" in str(found.remedy)
    assert ("approximation" in str(found.remedy)) is not exact


def test_a_step_that_writes_what_is_refused_too_is_no_cure(tmp_path: Path) -> None:
    source = save(tmp_path / "m.onnx", chain("Relu", "HardSwish"), (1, 4))
    found = find_culprit(Context(tmp_path / "work"), source, without("HardSwish", "Mul"))
    assert found is not None
    assert (found.operator, found.cure) == ("HardSwish", None)


def test_what_no_single_operator_shows(tmp_path: Path) -> None:
    source = save(tmp_path / "m.onnx", chain("Relu", "Tanh"), (1, 4))
    assert find_culprit(Context(tmp_path / "work"), source, lambda artifact: True) is None


def test_a_resize_whose_factor_its_sizes_do_not_tell(onnx2tf: Path, edgekit_command: Command, tmp_path: Path) -> None:
    """TensorFlow Lite's resize knows sizes alone: what onnx2tf writes computes something else. The operator and the
    step are told, and the step does what is told of it."""
    weights = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["c", "", "factors"], ["r"], mode="linear"),
        helper.make_node("Relu", ["r"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "up",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 10, 10])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 4, 60, 60])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([1, 1, 6.02, 6.02], "f4"), "factors")],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "up.onnx")
    refused = edgekit_command("check", "up.onnx", "--target", "coral", cwd=tmp_path)
    assert refused.returncode in (3, 5)  # 3: the other backend could be tried if TensorFlow were installed
    assert "where: Resize (its output is `r`)" in refused.stderr
    assert "check --step onnx_rewrite_resizes" in refused.stderr
    cured = edgekit_command("check", "up.onnx", "--target", "coral", "--step", "onnx_rewrite_resizes", cwd=tmp_path)
    assert cured.returncode == 0, cured.stderr
    assert "onnx_simplify, onnx_rewrite_resizes, onnx_to_tflite" in cured.stdout
