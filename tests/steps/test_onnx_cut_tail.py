"""onnx_cut_tail: the device part and the tail, one after the other, compute what the model did, and the cut lies where
each head's boxes and scores come out alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from edgekit.artifact import Artifact, hash_files
from edgekit.errors import InputError
from edgekit.formats import FORMATS, Declared
from edgekit.formats.runner import open_runner, open_tail

RunStep = Callable[..., Artifact]
Results = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def cut(load_test_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_test_module("postprocessing")


def save(model: onnx.ModelProto, path: Path) -> Artifact:
    onnx.save(model, path)
    return Artifact(path, "onnx", *hash_files([path]), FORMATS.get("onnx").read_io(path, Declared()))


def pictures(count: int = 4) -> list[Results]:
    draw = np.random.default_rng(1)
    return [{"image": draw.standard_normal((1, 3, 32, 32)).astype(np.float32)} for _ in range(count)]


def run_file(path: Path, feeds: Results) -> Results:
    """By ONNX Runtime, without its optimizations and without edgekit."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def run_both(made: Artifact, feeds: Results) -> Results:
    """The device part, then its tail, joined by hand."""
    assert made.tail is not None
    raw = run_file(made.path, feeds)
    own = {tensor.source_name: raw[tensor.name] for tensor in made.io.outputs}
    return run_file(made.tail.path, {tensor.name: own[tensor.source_name] for tensor in made.tail.io.inputs})


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


#: (the model, the sizes of the device part's outputs, operators that left it)
MODELS: dict[str, tuple[tuple[Any, ...], list[tuple[int, ...]], set[str]]] = {
    "detector": ((), [(1, 4, 8, 8), (1, 4, 4, 4), (1, 5, 8, 8), (1, 5, 4, 4)], {"Exp", "Concat", "Sigmoid"}),
    "detector_with_nms": (
        (),
        [(1, 4, 8, 8), (1, 4, 4, 4), (1, 5, 8, 8), (1, 5, 4, 4)],
        {"NonMaxSuppression", "GatherND", "Exp", "Concat"},
    ),
    "detector_with_bins": (
        (),
        [(1, 32, 8, 8), (1, 5, 8, 8), (1, 32, 4, 4), (1, 5, 4, 4)],
        {"Softmax", "MatMul", "Split", "Concat"},
    ),
    "detector_in_five_axes": (
        (),
        [(1, n, side, side) for side in (8, 4) for n in (6, 6, 15)],
        {"Pow", "Split", "Concat", "Reshape", "Transpose"},
    ),
    "centre_points": ((), [(1, 5, 8, 8), (1, 5, 8, 8)], {"TopK", "Equal"}),
    "branches": ((), [(1, 4, 8, 8), (1, 5, 8, 8)], {"If", "ReduceMax"}),
    "classifier": ((20000,), [(1, 20000), (1, 16)], {"Softmax"}),
    "label_map": ((), [(1, 5, 32, 32)], {"ArgMax"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_two_parts_compute_what_the_model_did(
    name: str, cut: ModuleType, tmp_path: Path, run_step: RunStep
) -> None:
    arguments, sizes, left = MODELS[name]
    source = save(getattr(cut, name)(*arguments), tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source)
    assert made.tail is not None
    assert [tensor.shape for tensor in made.io.outputs] == sizes
    assert left <= operators(source.path).keys() - operators(made.path).keys()
    assert left <= operators(made.tail.path).keys()
    added = Counter({"Identity": sum(tensor.name != tensor.source_name for tensor in made.tail.io.inputs)})
    if name == "detector_in_five_axes":  # of both levels: three convolutions for one, and what joins them again
        added += Counter({"Conv": 4, "Concat": 2, "Gather": 2})
    both = operators(made.path) + operators(made.tail.path)
    assert both - operators(source.path) == added, "no other node is new, and none is in both parts"
    assert made.tail.io.outputs == source.io.outputs
    runner = open_runner(made, 2)
    for feeds in pictures():
        expected = run_file(source.path, feeds)
        by_hand, found = run_both(made, feeds), runner.run(feeds)
        assert found.keys() == by_hand.keys() == expected.keys()
        for key in expected:
            assert np.array_equal(by_hand[key], expected[key]), "the same kernels run in the same order"
            assert found[key].shape == expected[key].shape
            assert np.max(np.abs(found[key] - expected[key])) <= 2e-6 * np.max(np.abs(expected[key]))


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_lists_of_another_length_for_every_picture(
    cut: ModuleType, tmp_path: Path, run_step: RunStep, opset: int
) -> None:
    """NMS, and gathers of boxes, scores and classes, in the tail; which also tells what NMS reads."""
    source = save(cut.detections(opset), tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source)
    tail = open_tail(made.tail, 1)
    assert tail is not None and len(tail.watched.entries) == 2
    for feeds in pictures():
        expected, found = run_file(source.path, feeds), run_both(made, feeds)
        assert found.keys() == expected.keys() == {"boxes", "scores", "labels"}
        assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_a_cut_at_what_nms_reads(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    """The tail's own inputs are then what it selects from."""
    model = cut.detections()
    boxes, scores = next(node for node in model.graph.node if node.op_type == "NonMaxSuppression").input[:2]
    made = run_step("onnx_cut_tail", save(model, tmp_path / "source.onnx"), outputs=(boxes, scores))
    tail = open_tail(made.tail, 1)
    assert tail is not None
    feeds = pictures()[0]
    raw = run_file(made.path, feeds)
    given = {tensor.source_name: raw[tensor.name] for tensor in made.io.outputs}
    results, entries = tail.run_watched(given)
    assert sorted(array.size for array in entries.values()) == sorted(array.size for array in given.values())
    assert results["labels"].tolist() == run_file(tmp_path / "source.onnx", feeds)["labels"].tolist()


def test_the_suppression_has_something_to_choose_from(cut: ModuleType, tmp_path: Path) -> None:
    source = save(cut.detector_with_nms(), tmp_path / "source.onnx")
    counts = [len(run_file(source.path, feeds)["chosen"]) for feeds in pictures()]
    assert min(counts) > 2
    assert len(set(counts)) > 1, "how many it chooses depends on the picture"


def test_the_two_files_are_whole(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    source = save(cut.detector(13), tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source)
    assert made.tail is not None
    for path in (made.path, made.tail.path):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
        read = {name for node in model.graph.node for name in node.input}
        given = {value.name for value in model.graph.output}
        assert {tensor.name for tensor in model.graph.initializer} <= read
        dead = [node.name for node in model.graph.node if not set(node.output) & (read | given)]
        assert dead == []
    assert [value.name for value in onnx.load(made.path).graph.input] == ["image"]


def test_sizes_that_are_computed(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    """Before onnx_simplify: neither part needs the other's tensors for their sizes alone."""
    source = save(cut.detector(computes_sizes=True), tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source)
    assert [tensor.shape for tensor in made.io.outputs] == MODELS["detector"][1]
    assert "Shape" in operators(source.path)
    for feeds in pictures():
        assert np.array_equal(run_both(made, feeds)["detections"], run_file(source.path, feeds)["detections"])


@pytest.mark.parametrize("name", ["regression", "classifier"])
def test_what_belongs_to_the_network_stays(name: str, cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    """Pooling, ReLU, and a softmax over ten classes."""
    arguments = (10,) if name == "classifier" else ()
    source = save(getattr(cut, name)(*arguments), tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source)
    assert made.tail is None
    assert made.io == source.io
    assert operators(made.path) == operators(source.path)


@pytest.mark.parametrize(("classes", "limit", "moves"), [(12, 12, False), (12, 11, True), (12, 0, True)])
@pytest.mark.parametrize("opset", [11, 17])
def test_the_limit_of_a_softmax(
    classes: int, limit: int, moves: bool, opset: int, cut: ModuleType, tmp_path: Path, run_step: RunStep
) -> None:
    source = save(cut.classifier(classes, opset), tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source, softmax_over=limit)
    assert (made.tail is not None) == moves


def test_cutting_twice_finds_nothing(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    made = run_step("onnx_cut_tail", save(cut.detector(), tmp_path / "source.onnx"))
    assert run_step("onnx_cut_tail", made).tail is None


def test_equal_input_gives_equal_files(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    source = save(cut.detector_with_bins(), tmp_path / "source.onnx")
    first, second = (run_step("onnx_cut_tail", source) for _ in range(2))
    assert first.tail is not None and second.tail is not None
    assert (first.sha256, first.tail.sha256) == (second.sha256, second.tail.sha256)


def test_a_published_detector(shared_data: Callable[[str], Path], run_step: RunStep) -> None:
    """FastestDet: objectness (sigmoid), boxes and class shares (softmax), joined into one output [1, 85, 22, 22]."""
    path = shared_data("detection/FastestDet.onnx")
    source = Artifact(path, "onnx", *hash_files([path]), FORMATS.get("onnx").read_io(path, Declared()))
    made = run_step("onnx_cut_tail", source)
    assert [tensor.shape for tensor in made.io.outputs] == [(1, 1, 22, 22), (1, 4, 22, 22), (1, 80, 22, 22)]
    (name,) = (tensor.name for tensor in source.io.inputs)
    feeds = {name: np.random.default_rng(0).random((1, 3, 352, 352)).astype(np.float32)}
    expected, found = run_file(source.path, feeds), run_both(made, feeds)
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[key], found[key]) for key in expected)


# --- named tensors ---------------------------------------------------------------------------------------------------


def names_of(model: onnx.ModelProto, kind: str) -> list[str]:
    return [node.output[0] for node in model.graph.node if node.op_type == kind]


def test_named_tensors(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    """After the joined heads instead of before them."""
    model = cut.detector()
    joined = names_of(model, "Concat")[:2]
    source = save(model, tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source, outputs=tuple(joined))
    assert [tensor.name for tensor in made.io.outputs] == joined
    for feeds in pictures():
        assert np.array_equal(run_both(made, feeds)["detections"], run_file(source.path, feeds)["detections"])


def test_an_output_that_is_not_named_passes_through(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    model = cut.detector_with_nms()
    scores = next(node.input[0] for node in model.graph.node if node.output[0] == "scores")
    boxes = next(node.input[0] for node in model.graph.node if node.op_type == "NonMaxSuppression")
    source = save(model, tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source, outputs=(boxes, scores))
    assert [tensor.name for tensor in made.io.outputs] == [boxes, scores]
    feeds = pictures()[0]
    expected, found = run_file(source.path, feeds), run_both(made, feeds)
    assert all(np.array_equal(expected[key], found[key]) for key in expected)


def test_names_that_converters_do_not_keep(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    """As older exporters name tensors; ``:`` becomes something else in TensorFlow Lite."""
    model = cut.detector()
    odd = {name: f"onnx::Conv_{place}" for place, name in enumerate(names_of(model, "Conv"))}
    for node in model.graph.node:
        node.input[:] = [odd.get(name, name) for name in node.input]
        node.output[:] = [odd.get(name, name) for name in node.output]
    del model.graph.value_info[:]
    source = save(model, tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source)
    assert [tensor.name for tensor in made.io.outputs] == [f"onnx__Conv_{place}" for place in (3, 4, 5, 6)]
    feeds = pictures()[0]
    assert np.array_equal(run_both(made, feeds)["detections"], run_file(source.path, feeds)["detections"])


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (lambda model: ("conv_99",), "`conv_99` is no computed tensor of the model; did you mean `conv_"),
        (lambda model: ("image",), "`image` is an input of the model"),
        (lambda model: names_of(model, "Conv")[-1:], "the output `detections` also comes from the input `image` past"),
        (
            lambda model: [*names_of(model, "Concat")[:2], *names_of(model, "Relu")[:1]],
            "that does not come from another named tensor",
        ),
        (lambda model: names_of(model, "Split"), "is named and .* of the same Split not"),
    ],
    ids=["unknown", "input", "past", "dead", "half a node"],
)
def test_tensors_that_do_not_cut(
    named: Callable[[onnx.ModelProto], Any], message: str, cut: ModuleType, tmp_path: Path, run_step: RunStep
) -> None:
    model = cut.detector()
    outputs = [*named(model)]
    if "Split" in message:
        outputs += names_of(model, "Concat")[:2]
    with pytest.raises(InputError, match=message) as caught:
        run_step("onnx_cut_tail", save(model, tmp_path / "source.onnx"), outputs=tuple(outputs))
    assert caught.value.exit_code == 2
    assert "onnx_cut_tail" in (caught.value.remedy or "")


def test_an_axis_that_is_not_the_batch(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    """[1, 80, 9] flattened to [80, 9] before a selection: the device part may not end there."""
    model = cut.detector_with_nms()
    flat = next(node.input[0] for node in model.graph.node if node.op_type == "GatherND")
    with pytest.raises(InputError, match=r"its first axis is not the batch: \[80, 4\]"):
        run_step("onnx_cut_tail", save(model, tmp_path / "source.onnx"), outputs=(flat,))


def test_free_sizes_are_left_alone(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    model = cut.detector()
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    del model.graph.value_info[:]
    path = tmp_path / "source.onnx"
    onnx.save(model, path)
    io = FORMATS.get("onnx").read_io(path, Declared({"image": (1, 3, 32, 32)}))
    made = run_step("onnx_cut_tail", Artifact(path, "onnx", *hash_files([path]), io))
    assert made.tail is None


def test_post_processing_that_reads_the_input(cut: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    """Boxes scaled by a second input: nothing is cut, and the file stays whole."""
    model = cut.detector()
    last = next(node for node in model.graph.node if node.output[0] == "detections")
    last.op_type = "Mul"
    last.input.append("scale")
    model.graph.input.append(helper.make_tensor_value_info("scale", onnx.TensorProto.FLOAT, [1, 1, 9]))
    source = save(model, tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source)
    assert made.tail is None
    assert operators(made.path) == operators(source.path)
