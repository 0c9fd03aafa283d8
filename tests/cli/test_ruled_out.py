"""What a profile of one's own rules out (`operators.refused`, `operators.supported`), whatever its rule set says: the
same graph as a TensorFlow Lite and as an ONNX file, checked through the command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.devices import load_profiles
from edgekit.devices.judge import judge_graph
from edgekit.devices.profile import Profile
from edgekit.devices.rules import RULES
from edgekit.graph import Graph, Operator, Quantization, TensorInfo

Command = Callable[..., subprocess.CompletedProcess[str]]

SOURCE = "the board's manual, section 9"
PROFILE = "name: mine\nextends: {like}\noperators: {{{key}: {{value: [{types}], source: {source!r}}}}}\n"


@pytest.fixture
def check(edgekit_command: Command, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(model: Path, like: str, key: str, *types: str) -> dict[str, Any]:
        written = PROFILE.format(like=like, key=key, types=", ".join(types), source=SOURCE)
        (tmp_path / "mine.yaml").write_text(written)
        done = edgekit_command("check", str(model), "-t", "mine", "--targets-dir", str(tmp_path), "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["exit_code"] == done.returncode
        return found

    return run


def _onnx(path: Path) -> Path:
    """x -> Relu -> Add (with itself) -> Relu."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("x", "y")]
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Add", ["a", "a"], ["b"]),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


@pytest.mark.parametrize(
    ("like", "where", "verdict"),
    [
        ("jetson-nano", "unsupported", "violates"),
        ("ncs2", "unsupported", "violates"),
        ("iphone", "cpu", "partial"),
        ("onnxruntime-cpu", "unsupported", "violates"),
    ],
)
def test_refused_in_an_onnx_file(
    check: Callable[..., dict[str, Any]], tmp_path: Path, like: str, where: str, verdict: str
) -> None:
    found = check(_onnx(tmp_path / "m.onnx"), like, "refused", "Add")
    places = [(one["type"], one["placement"]) for one in found["operators"]]
    other = "cpu" if like == "onnxruntime-cpu" else "accelerator"
    assert places == [("Relu", other), ("Add", where), ("Relu", other)]
    assert SOURCE in found["operators"][1]["reason"]
    assert found["verdict"] == verdict


@pytest.mark.parametrize("like", ["coral", "android-gpu", "raspberry-pi-4"])
def test_refused_and_supported_in_a_tflite_file(
    check: Callable[..., dict[str, Any]], shared_data: Callable[[str], Path], like: str
) -> None:
    """MobileNet v2 in integers: ten sums, and 17 depthwise convolutions, the first of them the second operator."""
    model = shared_data("models/mobilenet_v2_1.0_224_quant.tflite")
    beside = "unsupported" if like == "raspberry-pi-4" else "cpu"
    found = check(model, like, "refused", "DEPTHWISE_CONV_2D")
    refused = [one for one in found["operators"] if one["type"] == "DEPTHWISE_CONV_2D"]
    assert len(refused) == 17
    assert {one["placement"] for one in refused} == {beside}
    assert all(SOURCE in one["reason"] and one["cause"] == "rejected" for one in refused)
    assert found["verdict"] == ("violates" if like == "raspberry-pi-4" else "partial")
    if like == "coral":  # one subgraph alone, and it ends where the first refused operator is needed
        assert found["totals"]["accelerator"] == 1
    listed = check(model, like, "supported", "CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "RESHAPE", "SOFTMAX")
    others = [one for one in listed["operators"] if one["reason"] and SOURCE in one["reason"]]
    assert {(one["type"], one["placement"]) for one in others} == {("ADD", beside)}
    assert len(others) == 10


def test_a_list_of_another_formats_operators_rules_nothing_out(
    check: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    found = check(_onnx(tmp_path / "m.onnx"), "onnxruntime-cpu", "supported", "ADD", "CONV_2D")
    assert found["verdict"] == "fits"


@pytest.mark.parametrize("name", RULES.names())
@pytest.mark.parametrize("key", ["refused", "supported"])
def test_every_rule_set_holds_what_the_profile_rules_out(name: str, key: str) -> None:
    profiles = load_profiles()
    profile = next((one for one in profiles.values() if one.operators.rules == name), profiles["android-gpu"])
    graph = _graph(RULES.get(name).judges or (profile.formats.value or [""])[0])
    first, second = (operator.type for operator in graph.operators)
    ruled_out = {key: {"value": [second if key == "refused" else first], "source": SOURCE}}
    written = profile.model_dump(exclude_none=True)
    mine = Profile.model_validate({**written, "operators": {**written["operators"], "rules": name, **ruled_out}})
    placed = judge_graph(graph, mine).placement.operators
    assert placed[1].placement in ("cpu", "unsupported")
    assert placed[1].cause == "rejected"
    assert placed[1].reason is not None and SOURCE in placed[1].reason
    assert placed[0].reason is None or SOURCE not in placed[0].reason


def _graph(format_name: str) -> Graph:
    """image -> ReLU -> softmax over 4 classes, in 8-bit integers where the format is TensorFlow Lite's."""
    types = {"tflite": ("RELU", "SOFTMAX"), "onnx": ("Relu", "Softmax"), "openvino": ("ReLU", "Softmax")}[format_name]
    dtype, scale = ("uint8", Quantization((1 / 256,), (0,))) if format_name == "tflite" else ("float32", None)
    tensors = tuple(TensorInfo(name, (1, 4), dtype, quantization=scale) for name in "xyz")
    operators = (Operator(0, types[0], (0,), (1,)), Operator(1, types[1], (1,), (2,)))
    return Graph(format_name, tensors, operators, (0,), (2,))
