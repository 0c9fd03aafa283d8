"""Which outputs are made: those of the recipe, or those of --target."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import InputError, UnknownName

from .planned import outputs, plan


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ([], ["phone/int8", "openvino-cpu/fp16"]),
        (["phone"], ["phone/int8"]),
        (["phone/fp16"], ["phone/fp16"]),
        (["openvino-cpu/int8", "phone"], ["openvino-cpu/int8", "phone/int8"]),
        (["coral"], ["coral/int8"]),
        (["onnxruntime-cpu"], ["onnxruntime-cpu/fp16"]),
        (["android-cpu/int8", "android-cpu"], ["android-cpu/int8", "android-cpu/fp16"]),
        (["phone", "phone/int8", "phone"], ["phone/int8"]),
    ],
)
def test_target_makes_only_these(folder: Path, select: list[str], expected: list[str]) -> None:
    text = "targets: {phone: {target: android-cpu, precision: int8}, openvino-cpu: {}}\n"
    assert outputs(plan(folder, text, select=select)) == expected


def test_a_selected_entry_keeps_its_options_and_gates(folder: Path) -> None:
    text = "targets: {phone: {target: android-cpu, options: {tflite_int8: {io: int8}}, gates: {max_drop: 5}}}\n"
    made = plan(folder, text, select=["phone/int8"])
    assert made.node("tflite_int8").options["io"] == "int8"
    assert made.outputs[0].gates == {"max_drop": 5.0}
    assert made.outputs[0].target == "android-cpu"


@pytest.mark.parametrize("text", ["corral", "corral/int8"])
def test_a_target_that_is_neither_entry_nor_profile(folder: Path, text: str) -> None:
    with pytest.raises(UnknownName, match="no target is called `corral`; did you mean `coral`") as caught:
        plan(folder, "targets: [coral]\n", select=[text])
    assert (caught.value.exit_code, caught.value.word) == (2, "unknown_target")


def test_a_target_without_its_precision(folder: Path) -> None:
    with pytest.raises(InputError, match="names no precision"):
        plan(folder, "targets: [coral]\n", select=["coral/"])


def test_a_recipe_without_targets(folder: Path) -> None:
    with pytest.raises(InputError, match="nothing to make") as caught:
        plan(folder, "")
    assert caught.value.exit_code == 2
    assert outputs(plan(folder, "", select=["coral"])) == ["coral/int8"]
