"""What graphs select from at their end, found and read out; ONNX Runtime on hand-made taps is the oracle."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper

from edgekit.formats.onnx_selection import find_selection, loose_operator, open_watched
from edgekit.formats.selection import Selection


@pytest.fixture(scope="module")
def networks(load_test_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_test_module("postprocessing")


def session_of(model: ModelProto) -> Any:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def inputs_of(model: ModelProto, kind: str) -> list[str]:
    """The tensors that the first node of a kind reads."""
    return [name for name in next(node for node in model.graph.node if node.op_type == kind).input if name]


def renamed(model: ModelProto) -> ModelProto:
    """The same graph with other names inside, of the opposite order."""
    other = ModelProto()
    other.CopyFrom(model)
    keep = {value.name for value in (*other.graph.input, *other.graph.output)}
    names = {name for node in other.graph.node for name in (*node.input, *node.output) if name} - keep
    new = {name: f"t{len(names) - place}" for place, name in enumerate(sorted(names))}
    for node in other.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for tensor in other.graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    del other.graph.value_info[:]
    return other


def test_entries_are_what_nms_reads(networks: ModuleType) -> None:
    model = networks.detector_with_nms()
    found = find_selection(model)
    boxes, scores = inputs_of(model, "NonMaxSuppression")[:2]
    assert set(found.entries) == {boxes, scores}
    assert found.behind == ("chosen", "boxes"), "`scores` are all of them"


def test_their_order_is_that_of_the_graph(networks: ModuleType) -> None:
    model = networks.detector_with_nms()
    other = renamed(model)
    kinds = [
        [next(node.op_type for node in one.graph.node if name in node.output) for name in find_selection(one).entries]
        for one in (model, other)
    ]
    assert kinds[0] == kinds[1]
    assert set(find_selection(model).entries).isdisjoint(find_selection(other).entries)


def test_their_values(networks: ModuleType) -> None:
    model = networks.detector_with_nms()
    found = find_selection(model)
    tapped = ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.extend(onnx.ValueInfoProto(name=name) for name in found.entries)
    picture = np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)
    expected = session_of(tapped).run([*found.entries, "boxes"], {"image": picture})
    watched = open_watched(model, session_of(model), 1)
    results = watched.session.run({"image": picture})
    by_entry = {name: results[given] for given, name in watched.entries.items()}
    for name, array in zip(found.entries, expected, strict=False):
        np.testing.assert_array_equal(by_entry[name], array)
    np.testing.assert_array_equal(results["boxes"], expected[-1])
    assert watched.behind == set(found.behind)


def test_what_decides_by_a_mask(networks: ModuleType) -> None:
    """Scores above a threshold by NonZero: the mask holds no numbers, what it was made from does."""
    net = networks.Net()
    heat = net.add("Sigmoid", net.conv(net.levels[0], 5, 16))
    places = net.add("NonZero", net.add("Greater", heat, np.array(0.5, np.float32)))
    assert find_selection(net.model(places=places)) == Selection((heat,), ("places",))


def test_the_same_numbers_in_two_shapes_count_once(networks: ModuleType) -> None:
    net = networks.Net()
    heads = net.rows(net.conv(net.levels[0], 4, 16), 4)
    scores = net.add("ReduceMax", heads, axes=[2], keepdims=0)
    _, places = net.add("TopK", scores, np.array([7]), outputs=2)
    flat, row = net.add("Reshape", heads, np.array([-1, 4])), net.add("Reshape", places, np.array([-1]))
    model = net.model(boxes=net.add("Gather", flat, row), again=net.add("Gather", heads, row, axis=1))
    assert set(find_selection(model).entries) == {flat, scores}


def test_bodies_of_branches(networks: ModuleType) -> None:
    """NMS in one branch of an `If`, which reads the heads from the graph around it."""
    net = networks.Net(opset=13)
    boxes, scores = net.rows(net.conv(net.levels[0], 4, 16), 4), net.conv(net.levels[1], 5, 16)
    rows = net.add("Reshape", net.add("Concat", scores, scores, scores, scores, axis=1), np.array([1, 5, 64]))
    most = net.constant(np.array([3]))
    best = net.add("Greater", net.add("ReduceMax", rows, keepdims=0), np.array(0, np.float32))
    nothing = helper.make_tensor("none", TensorProto.INT64, [0, 3], [])
    bodies = {}
    for name, node in (
        ("then_branch", helper.make_node("NonMaxSuppression", [boxes, rows, most], ["some"])),
        ("else_branch", helper.make_node("Constant", [], ["some"], value=nothing)),
    ):
        given = helper.make_tensor_value_info("some", TensorProto.INT64, [None, 3])
        bodies[name] = helper.make_graph([node], name, [], [given])
    model = net.model(chosen=net.add("If", best, **bodies))
    found = find_selection(model)
    assert set(found.entries) == {boxes, rows, next(n for n in model.graph.node if n.op_type == "Greater").input[0]}
    assert open_watched(model, session_of(model), 1).entries


def test_operators_of_no_fixed_size(networks: ModuleType) -> None:
    for options in ({}, {"padded": 20}):
        model = networks.detections(**options)
        nms = next(node.output[0] for node in model.graph.node if node.op_type == "NonMaxSuppression")
        assert loose_operator(model) == ("NonMaxSuppression", nms)
    assert loose_operator(networks.centre_points()) is None, "TopK has one"
    assert loose_operator(networks.detector()) is None
    net = networks.Net()
    heat = net.add("Sigmoid", net.conv(net.levels[0], 5, 16))
    places = net.add("NonZero", net.add("Greater", heat, np.array(0.5, np.float32)))
    assert loose_operator(net.model(places=places)) == ("NonZero", places)
    moved = net.add("Transpose", places, perm=[1, 0])
    zeros = net.add(
        "Expand", np.array([0], np.float32), net.add("Shape", net.add("Gather", moved, np.array(0), axis=1))
    )
    assert loose_operator(net.model(masked=net.add("ScatterND", heat, moved, zeros))) is None, "as large as it was"


def test_the_best_alone_is_an_argmax(networks: ModuleType) -> None:
    net = networks.Net()
    best = net.add("TopK", net.conv(net.levels[0], 5, 16), np.array([1]), outputs=2, axis=1)[1]
    assert find_selection(net.model(labels=best)) == Selection()


def best_of(networks: ModuleType, *attributes: AttributeProto) -> tuple[ModelProto, str]:
    """(a network that ends with the indices of a TopK, whose k is a Constant of these attributes, what that reads)."""
    net = networks.Net()
    level = net.add("Reshape", net.conv(net.levels[0], 5, 16), np.array([1, -1]))
    k = net.add("Constant", value_ints=[5])
    model = net.model(found=net.add("TopK", level, k, outputs=2)[1])
    (node,) = [node for node in model.graph.node if k in node.output]
    del node.attribute[:]
    node.attribute.extend(attributes)
    return model, level


@pytest.mark.parametrize(
    "written", [{"value_ints": [5]}, {"value_int": 5}, {"value_float": 5.0}, {"value_floats": [5.0]}, {}]
)
def test_a_k_in_another_form_of_constant(networks: ModuleType, written: dict[str, Any]) -> None:
    """ONNX Runtime takes the first alone; a file may have any."""
    model, entry = best_of(networks, *(helper.make_attribute(name, value) for name, value in written.items()))
    assert find_selection(model).entries == (entry,)
    if "value_ints" in written:
        assert open_watched(model, session_of(model), 1).entries


@pytest.mark.parametrize("written", [{"value_ints": [1]}, {"value_int": 1}])
def test_a_k_of_one_in_another_form(networks: ModuleType, written: dict[str, Any]) -> None:
    model, _ = best_of(networks, *(helper.make_attribute(name, value) for name, value in written.items()))
    assert find_selection(model) == Selection()


def test_a_k_whose_number_is_not_at_hand(networks: ModuleType) -> None:
    number, place = (helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in (("k", 1), ("i", 0)))
    sparse = helper.make_attribute("sparse_value", helper.make_sparse_tensor(number, place, [1]))
    outside = TensorProto(name="k", data_type=TensorProto.INT64, dims=[1], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="absent.bin")
    for attribute in (sparse, helper.make_attribute("value", outside)):
        model, entry = best_of(networks, attribute)
        assert find_selection(model).entries == (entry,)


def test_two_stages_are_no_end(networks: ModuleType) -> None:
    """What trained layers make of what was selected is not told by the entries."""
    net = networks.Net()
    level = net.levels[0]
    _, places = net.add("TopK", net.add("Reshape", level, np.array([-1])), np.array([16]), axis=0, outputs=2)
    chosen = net.add("Gather", net.add("Reshape", level, np.array([-1])), places)
    row = net.add("Reshape", chosen, np.array([1, 16]))
    weights = np.ones((16, 20), np.float32)
    assert find_selection(net.model(found=net.add("MatMul", row, weights))) == Selection()
    net = networks.Net()
    found = net.add("TopK", net.add("Flatten", net.conv(net.levels[0], 4, 16)), np.array([16]), outputs=2)[0]
    corners = net.add("MatMul", net.add("Reshape", found, np.array([4, 4])), np.eye(4, dtype=np.float32))
    assert find_selection(net.model(found=corners)).entries, "a matrix of 16 numbers was not trained"


@pytest.mark.parametrize("name", ["detector", "detector_with_bins", "branches", "label_map", "regression"])
def test_models_that_select_nothing(networks: ModuleType, name: str) -> None:
    model = getattr(networks, name)()
    assert find_selection(model) == Selection()
    assert open_watched(model, session_of(model), 1).entries == {}
