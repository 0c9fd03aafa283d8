"""What rewriting steps share: what nothing reads goes, what a body of If reads stays, new names are new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import IO, Artifact, Tensor, hash_files
from edgekit.steps.convert.onnx_rewriting import Scope, drop_unread, put_nodes

from ..onnx_models import Node, apply, integers, node, numbers

Sizes = tuple[int, ...]


def value(name: str, shape: Sizes, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def choose(taken: str, other: str, shape: Sizes) -> Node:
    """An If on `c` whose bodies read tensors from outside, to `z`."""
    bodies = [
        helper.make_graph([node("Identity", name, f"in_{place}")], f"body{place}", [], [value(f"in_{place}", shape)])
        for place, name in enumerate((taken, other))
    ]
    return helper.make_node("If", ["c"], ["z"], name="If_z", then_branch=bodies[0], else_branch=bodies[1])


def make(
    nodes: Sequence[Node], inputs: dict[str, Sizes], outputs: Sequence[str], **constants: np.ndarray
) -> onnx.ModelProto:
    given = [
        value(name, shape, TensorProto.BOOL if name == "c" else TensorProto.FLOAT) for name, shape in inputs.items()
    ]
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(list(nodes), "test", given, found, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def write(model: onnx.ModelProto, path: Path) -> Artifact:
    onnx.save(model, path)
    tensors = [Tensor(each.name, each.name, None, "float32") for each in (*model.graph.input, *model.graph.output)]
    count = len(model.graph.input)
    return Artifact(path, "onnx", *hash_files([path]), IO(tuple(tensors[:count]), tuple(tensors[count:])))


def run_all(path: Path, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return list(onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds))


def check_step(step: str, model: onnx.ModelProto, feeds: dict[str, np.ndarray], folder: Path) -> onnx.ModelProto:
    """What a step makes of a model, whose outputs are those of the source, whichever body of If runs."""
    source = write(model, folder / "source.onnx")
    made = apply(step, source, folder / "made")
    for chosen in (False, True):
        given = {**feeds, "c": np.array(chosen)} if any(each.name == "c" for each in model.graph.input) else feeds
        for expected, found in zip(run_all(source.path, given), run_all(made.path, given), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    changed = onnx.load(made.path)
    onnx.checker.check_model(changed, full_check=True)
    return changed


def test_what_goes_and_what_stays() -> None:
    """Chains go to their start with their constants; what an output, another node or a body reads stays, as do nodes
    that nobody asked to go and the defaults of inputs."""
    nodes = [
        *[node("Mul", "x", "k", "a"), node("Relu", "a", "b"), node("Reshape", "b", "s", "gone")],
        *[node("Abs", "x", "kept"), node("Neg", "x", "in_body"), node("Relu", "x", "idle")],
        *[helper.make_node("Split", ["x"], ["half", "other"], name="split", axis=0), node("Relu", "other", "y")],
        choose("in_body", "stored", (4,)),
    ]
    constants = {"k": numbers(1), "s": integers(4), "stored": numbers(4), "given": numbers(1), "default": numbers(1)}
    model = make(nodes, {"x": (4,), "c": (), "default": (1,)}, ["y", "z", "kept", "given"], **constants)
    drop_unread(model, ["gone", "kept", "in_body", "stored", "half", "given", "default", "x", ""])
    assert [each.output[0] for each in model.graph.node] == ["kept", "in_body", "idle", "half", "y", "z"]
    assert [each.name for each in model.graph.initializer] == ["stored", "given", "default"]


def test_a_reshape_that_a_body_reads(tmp_path: Path) -> None:
    """And one that nothing reads but that has nothing to do with the products."""
    nodes = [
        *[node("MatMul", "x", "w", "m"), node("Sigmoid", "m", "a"), node("Reshape", "a", "t", "y")],
        *[
            node("Reshape", "q", "s", "r"),
            node("Neg", "r", "n"),
            node("Reshape", "q", "s", "idle"),
            choose("r", "n", (3, 4)),
        ],
    ]
    constants = {"w": numbers(4, 8), "t": integers(3, 2, 8), "s": integers(3, 4)}
    model = make(nodes, {"x": (6, 4), "q": (2, 6), "c": ()}, ["y", "z"], **constants)
    made = check_step("onnx_convolve_products", model, {"x": numbers(6, 4), "q": numbers(2, 6)}, tmp_path)
    outputs = [each.output[0] for each in made.graph.node]
    assert "idle" in outputs
    assert "MatMul" not in [each.op_type for each in made.graph.node]


@pytest.mark.parametrize("read", [False, True])
def test_the_variance_of_a_norm_that_a_body_reads(read: bool, tmp_path: Path) -> None:
    nodes = [
        *[node("ReduceMean", "x", "mean", axes=[-1]), node("Sub", "x", "mean", "d"), node("Mul", "d", "d", "q")],
        *[node("ReduceMean", "q", "v", axes=[-1]), node("Add", "v", "eps", "e"), node("Sqrt", "e", "r")],
        *[node("Div", "d", "r", "y"), node("Relu", "x", "idle"), choose("v" if read else "mean", "mean", (3, 1))],
    ]
    model = make(nodes, {"x": (3, 8), "c": ()}, ["y", "z"], eps=np.array(1e-5, np.float32))
    made = check_step("onnx_steady_norms", model, {"x": numbers(3, 8)}, tmp_path)
    outputs = {name for each in made.graph.node for name in each.output}
    assert outputs & {"mean", "d", "q", "v", "e", "r", "idle"} == {"mean", "d", "idle"} | (
        {"q", "v"} if read else set()
    )


def test_new_names_count_up() -> None:
    model = make([node("Relu", "x", "y"), node("Relu", "y", "y_2")], {"x": (4,)}, ["y_2"])
    scope = Scope(model)
    assert [scope.new_name("y") for _ in range(4)] == ["y_1", "y_3", "y_4", "y_5"]
    assert [scope.new_name("x"), scope.new_name("new"), scope.new_name("new")] == ["x_1", "new", "new_1"]
    assert max(len(scope.new_name("y")) for _ in range(2000)) == len("y_2005")


def test_new_nodes_are_called_as_no_other() -> None:
    nodes = [helper.make_node("Relu", ["x"], [f"t{place}"], name=name) for place, name in enumerate("aabaab")]
    model = make(nodes, {"x": (4,)}, ["t0"])
    put_nodes(model, list(model.graph.node), Scope(model))
    assert [each.name for each in model.graph.node] == ["a", "a_1", "b", "a_2", "a_3", "b_1"]


def test_names_in_bodies_are_taken(tmp_path: Path) -> None:
    """In the form of static single assignment a body may not give a tensor that the graph around it has."""
    branch = choose("x", "x", (6, 4))
    branch.attribute[0].g.node[0].output[0] = branch.attribute[0].g.output[0].name = "m_rows"
    stored = numpy_helper.from_array(numbers(6, 4), "m_bias")
    branch.attribute[1].g.initializer.append(stored)
    branch.attribute[1].g.node[0].input[0] = "m_bias"
    gemm = node("Gemm", "x", "w", "b", "m")
    model = make(
        [gemm, branch, node("Relu", "m", "y")], {"x": (6, 4), "c": ()}, ["y", "z"], w=numbers(4, 8), b=numbers(8)
    )
    made = check_step("onnx_convolve_products", model, {"x": numbers(6, 4)}, tmp_path)
    assert "Conv" in [each.op_type for each in made.graph.node]
