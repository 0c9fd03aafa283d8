"""Options and gates of every node, and where each came from."""

from __future__ import annotations

from pathlib import Path

from .planned import plan


def test_where_every_option_comes_from(folder: Path) -> None:
    text = """\
steps: [{torch_to_onnx: {opset: 17}}]
targets:
  coral: {options: {tflite_int8: {ranges: average}, torch_to_onnx: {opset: 18}}}
  android-cpu: {precision: int8}
"""
    made = plan(folder, text, "targets.android-cpu.options.tflite_int8.io=uint8")
    coral, android = made.node("tflite_int8@coral"), made.node("tflite_int8@android-cpu")
    assert coral.origins["io"] == "route of coral"
    assert coral.origins["ranges"] == "net.yaml:7"
    assert coral.origins["calibration"] == "default"
    assert (android.options["io"], android.origins["io"]) == ("uint8", "--set")
    assert (made.node("torch_to_onnx@coral").options["opset"], made.node("torch_to_onnx@coral").origins["opset"]) == (
        18,
        "net.yaml:7",
    )
    assert made.node("torch_to_onnx@android-cpu").origins == {"exporter": "default", "opset": "net.yaml:5"}
    assert all(node.origins.keys() == node.options.keys() for node in made.nodes)


def test_set_wins_over_what_the_output_says(folder: Path) -> None:
    text = "steps: [torch_to_onnx]\ntargets: {coral: {options: {torch_to_onnx: {opset: 18}}}, openvino-cpu: {}}\n"
    made = plan(folder, text, "steps.torch_to_onnx.opset=16")
    assert made.node("torch_to_onnx").options["opset"] == 16
    assert made.node("torch_to_onnx").origins["opset"] == "--set"


def test_gates_of_outputs_and_of_steps(folder: Path) -> None:
    text = """\
gates: {max_drop: 3, min_agreement: 90%}
steps: [torch_to_onnx, {onnx_simplify: {gates: {min_sqnr_db: 80}}}]
targets:
  coral: {gates: {max_drop: 2}, options: {onnx_to_tflite: {gates: {min_sqnr_db: 70, max_bytes: 100}}}}
  android-cpu: {options: {onnx_to_tflite: {gates: {min_sqnr_db: 65, max_bytes: 50}}}}
"""
    made = plan(folder, text)
    assert [out.gates for out in made.outputs] == [
        {"max_drop": 2.0, "min_agreement": 0.9},
        {"max_drop": 3.0, "min_agreement": 0.9},
    ]
    assert made.node("onnx_simplify").gates == {"min_sqnr_db": 80.0}
    # Gates part no nodes: the stricter limit of each holds on the one that is shared.
    assert made.node("onnx_to_tflite").gates == {"min_sqnr_db": 70.0, "max_bytes": 50.0}
    assert made.node("torch_to_onnx").gates == {}
