"""Where a model enters its targets' routes, with and without steps of the recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.devices import load_profiles
from edgekit.errors import ExcludedError, RecipeError

from .planned import chain, outputs, plan


def test_a_tflite_model_enters_the_route_where_tflite_is_taken(folder: Path, float_tflite: str) -> None:
    made = plan(folder, "targets: {coral: {}, android-cpu: {precision: [fp16, int8]}}\n", head=float_tflite)
    assert (made.source.format, made.source.factory) == ("tflite", None)
    assert [node.id for node in made.nodes] == ["tflite_int8@coral", "tflite_fp16", "tflite_int8@android-cpu"]
    assert {node.parent for node in made.nodes} == {None}


def test_an_onnx_model_enters_after_the_export(folder: Path, detector_onnx: str) -> None:
    made = plan(folder, "targets: [openvino-cpu]\n", head=detector_onnx)
    assert chain(made, "openvino-cpu/fp16") == ["onnx_simplify", "onnx_to_openvino", "openvino_fp16"]


def test_a_format_that_no_step_of_the_route_takes(folder: Path, float_tflite: str) -> None:
    with pytest.raises(ExcludedError) as caught:
        plan(folder, "targets: [openvino-cpu]\n", head=float_tflite)
    assert caught.value.exit_code == 4
    assert "the model is tflite" in caught.value.message
    assert caught.value.remedy == "start from a model in one of the formats torch, onnx, openvino"


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("[torch_to_onnx]", ["torch_to_onnx", "onnx_simplify", "onnx_to_tflite", "tflite_fp16"]),
        ("[torch_to_onnx, onnx_simplify]", ["torch_to_onnx", "onnx_simplify", "onnx_to_tflite", "tflite_fp16"]),
        # The route is entered after the last of its steps that the recipe does: simplifying is left out.
        ("[torch_to_onnx, onnx_to_tflite]", ["torch_to_onnx", "onnx_to_tflite", "tflite_fp16"]),
        (
            "[torch_to_onnx, onnx_simplify, onnx_to_tflite, tflite_fp16]",
            ["torch_to_onnx", "onnx_simplify", "onnx_to_tflite", "tflite_fp16"],
        ),
        # A step that is not in the route: what follows is the first step that takes what it gives.
        (
            "[torch_to_onnx, onnx_fp16]",
            ["torch_to_onnx", "onnx_fp16", "onnx_simplify", "onnx_to_tflite", "tflite_fp16"],
        ),
    ],
)
def test_the_recipes_steps_and_the_rest_of_the_route(folder: Path, steps: str, expected: list[str]) -> None:
    made = plan(folder, f"steps: {steps}\ntargets: [android-cpu]\n")
    assert chain(made, "android-cpu/fp16") == expected


def test_steps_that_lead_away_from_the_target(folder: Path) -> None:
    with pytest.raises(ExcludedError, match="the recipe's steps end in tflite") as caught:
        plan(folder, "steps: [torch_to_onnx, onnx_to_tflite]\ntargets: [openvino-cpu]\n")
    assert caught.value.exit_code == 4


def test_a_first_step_that_cannot_take_the_model(folder: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(folder, "steps: [onnx_simplify]\ntargets: [openvino-cpu]\n")
    (mistake,) = caught.value.mistakes
    assert (mistake.line, mistake.column) == (5, 9)
    assert mistake.message == "`onnx_simplify` takes onnx, but the model is torch"


def test_steps_alone_make_an_output_called_after_their_format(folder: Path) -> None:
    made = plan(folder, "steps: [torch_to_onnx, onnx_simplify]\n")
    assert [(out.name, out.target, out.node) for out in made.outputs] == [("onnx/fp32", "", "onnx_simplify")]
    assert outputs(plan(folder, "steps: [torch_to_onnx, onnx_int8]\n")) == ["onnx/int8"]


@pytest.mark.parametrize(
    ("text", "select", "message", "remedy"),
    [
        (
            "targets: {coral: {precision: fp32}}\n",
            [],
            "Coral Edge TPU has no precision fp32: the Edge TPU computes",
            "coral/int8",
        ),
        (
            "targets: {tpu: {target: coral, precision: [int8, fp16]}}\n",
            [],
            "no precision fp16: the Edge TPU",
            "tpu/int8",
        ),
        ("targets: [coral]\n", ["coral/fp16"], "no precision fp16", "ask for coral/int8"),
        (
            "targets: [openvino-cpu]\n",
            ["openvino-cpu/int4"],
            "its profile lists fp16, int8",
            "openvino-cpu/fp16 or openvino-cpu/int8",
        ),
    ],
)
def test_a_precision_that_the_profile_does_not_list(
    folder: Path, text: str, select: list[str], message: str, remedy: str
) -> None:
    with pytest.raises(ExcludedError) as caught:
        plan(folder, text, select=select)
    assert caught.value.exit_code == 4
    assert message in caught.value.message
    assert remedy in (caught.value.remedy or "")
    assert caught.value.where == (f"--target {select[0]}" if select else f"{folder}/net.yaml:5")


def test_a_route_with_a_step_that_does_not_exist_names_the_profiles_line(folder: Path) -> None:
    targets = folder / "targets"
    targets.mkdir()
    (targets / "board.yaml").write_text(
        "name: board\nextends: onnxruntime-cpu\nroutes:\n  fp16: [torch_to_onnx, onnx_fp17]\n"
    )
    with pytest.raises(RecipeError) as caught:
        plan(folder, "targets: [board]\n", profiles=load_profiles(targets))
    (mistake,) = caught.value.mistakes
    assert str(mistake) == f"{targets}/board.yaml:4:25: no step is called `onnx_fp17`; did you mean `onnx_fp16`?"
