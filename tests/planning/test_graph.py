"""The graph of a plan: outputs share the steps that are equal, parents come first."""

from __future__ import annotations

from pathlib import Path

from edgekit.devices import load_profiles

from .planned import FOUR, chain, outputs, plan


def test_four_targets_share_what_is_equal(folder: Path) -> None:
    made = plan(folder, FOUR)
    assert [(node.id, node.parent) for node in made.nodes] == [
        ("torch_to_onnx", None),
        ("onnx_simplify", "torch_to_onnx"),
        ("onnx_to_tflite", "onnx_simplify"),
        ("tflite_int8@coral", "onnx_to_tflite"),
        ("tflite_fp16", "onnx_to_tflite"),
        ("tflite_int8@android-cpu", "onnx_to_tflite"),
        ("onnx_to_openvino", "onnx_simplify"),
        ("openvino_fp16", "onnx_to_openvino"),
        ("openvino_int8", "onnx_to_openvino"),
        ("onnx_fp16", "onnx_simplify"),
        ("onnx_int8", "onnx_simplify"),
    ]
    assert [(output.name, output.node) for output in made.outputs] == [
        ("coral/int8", "tflite_int8@coral"),
        ("android-cpu/fp16", "tflite_fp16"),
        ("android-cpu/int8", "tflite_int8@android-cpu"),
        ("openvino-cpu/fp16", "openvino_fp16"),
        ("openvino-cpu/int8", "openvino_int8"),
        ("onnxruntime-cpu/fp16", "onnx_fp16"),
        ("onnxruntime-cpu/int8", "onnx_int8"),
    ]
    assert set(made.node("onnx_simplify").outputs) == set(outputs(made))
    assert made.node("onnx_to_tflite").outputs == ("coral/int8", "android-cpu/fp16", "android-cpu/int8")
    assert [child.id for child in made.children("onnx_to_openvino")] == ["openvino_fp16", "openvino_int8"]


def test_the_efficientnet_recipe_comes_to_seven_files(folder: Path) -> None:
    """Six outputs and the float TFLite file between them, as the plain script makes."""
    made = plan(folder, FOUR.replace("android-cpu: {precision: [fp16, int8]}", "android-cpu: {precision: fp16}"))
    files = [
        node for node in made.nodes if node.id == "onnx_to_tflite" or node.id in {out.node for out in made.outputs}
    ]
    assert len(files) == 7


def test_outputs_that_come_to_the_same_share_the_node(folder: Path) -> None:
    text = "targets:\n  android-cpu: {precision: int8}\n  phone: {target: android-cpu, precision: int8}\n"
    made = plan(folder, text)
    assert [node.id for node in made.nodes][-1] == "tflite_int8"
    assert made.node("tflite_int8").outputs == ("android-cpu/int8", "phone/int8")
    io = "  coral: {options: {tflite_int8: {io: float32, compatible: current}}}\n"
    assert [node.id for node in plan(folder, text + io).nodes][-1] == "tflite_int8"


def test_an_option_deep_in_the_chain_parts_all_that_follows(folder: Path) -> None:
    text = FOUR.replace("coral: {}", "coral: {options: {torch_to_onnx: {opset: 13}}}")
    made = plan(folder, text)
    assert chain(made, "coral/int8") == [
        "torch_to_onnx@coral",
        "onnx_simplify@coral",
        "onnx_to_tflite@coral",
        "tflite_int8@coral",
    ]
    assert chain(made, "android-cpu/int8")[0] == "torch_to_onnx@android-cpu"
    parents = {None, *(node.id for node in made.nodes)}
    assert all(node.parent in parents for node in made.nodes)
    assert len({node.id for node in made.nodes}) == len(made.nodes)


def test_parents_stand_before_their_children(folder: Path) -> None:
    seen: set[str | None] = {None}
    for node in plan(folder, FOUR).nodes:
        assert node.parent in seen
        seen.add(node.id)


def test_every_node_knows_its_steps_traits(folder: Path) -> None:
    made = plan(folder, FOUR)
    assert all(node.traits is not None for node in made.nodes)
    assert {"torch", "onnx", "tflite", "openvino"} == set(made.formats)


def test_within_one_entry_the_precision_tells_twins_apart(folder: Path) -> None:
    targets = folder / "targets"
    targets.mkdir()
    (targets / "twins.yaml").write_text(
        "name: twins\nextends: onnxruntime-cpu\n"
        "routes:\n  fp16: [{torch_to_onnx: {opset: 17}}, onnx_fp16]\n"
        "  int8: [{torch_to_onnx: {opset: 18}}, onnx_int8]\n"
    )
    made = plan(folder, "targets: {twins: {precision: [fp16, int8]}}\n", profiles=load_profiles(targets))
    assert [node.id for node in made.nodes] == [
        "torch_to_onnx@twins-fp16",
        "onnx_fp16",
        "torch_to_onnx@twins-int8",
        "onnx_int8",
    ]
