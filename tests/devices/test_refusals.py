"""What a profile rules out is refused before anything runs: exit 4, with the reason, its source and the alternative."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.devices import load_profiles
from edgekit.errors import ExcludedError
from edgekit.planning.build import build_plan
from edgekit.recipe import load_mapping

PROFILES = load_profiles()
#: A profile's routes, as (target, precision).
OUTPUTS = [(name, precision) for name in PROFILES for precision in PROFILES[name].routes]


def write_model(path: Path, *, opset: int = 13, shape: tuple[int | str, ...] = (1, 3, 8, 8)) -> Path:
    """A model of one Relu; a text in ``shape`` is a free size."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name in ("image", "scores")]
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["scores"])], "g", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]), path)
    return path


def plan(tmp_path: Path, file: Path, output: str, **more: object) -> object:
    mapping = {"model": str(file), "data": {"calibrate": {"path": str(tmp_path)}}, **more}
    recipe = load_mapping(mapping, base=tmp_path, label="the flags", profiles=PROFILES)
    return build_plan(recipe, PROFILES, select=[output])


def refusal(tmp_path: Path, file: Path, output: str, **more: object) -> ExcludedError:
    with pytest.raises(ExcludedError) as caught:
        plan(tmp_path, file, output, **more)
    assert caught.value.exit_code == 4
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize(("target", "precision"), OUTPUTS)
@pytest.mark.parametrize("source", ["onnx", "torch"])
def test_every_route_plans(tmp_path: Path, source: str, target: str, precision: str) -> None:
    model = write_model(tmp_path / "model.onnx")
    if source == "torch":
        model = tmp_path / "model.py"
        model.write_text("def build(): raise SystemExit('never run by a plan')\n")
    made = plan(tmp_path, Path(f"{model}:build") if source == "torch" else model, f"{target}/{precision}")
    (output,) = made.outputs  # type: ignore[attr-defined]
    assert (output.target, output.precision) == (target, precision)
    assert output.node == PROFILES[target].routes[precision][-1].step


@pytest.mark.parametrize(
    ("output", "reason", "source", "instead"),
    [
        ("jetson-nano/int8", "no 8-bit integer arithmetic", "wang-xinyu/tensorrtx issue 831", "jetson-nano/fp16"),
        ("jetson-tx2/int8", "no 8-bit integer arithmetic", "NVIDIA-AI-IOT/torch2trt issue 255", "jetson-tx2/fp16"),
        ("coral/fp32", "8-bit integers only", "coral.ai/docs/edgetpu/models-intro", "coral/int8"),
        ("coral-micro/fp16", "8-bit integers only", "coral.ai/docs/edgetpu/models-intro", "coral-micro/int8"),
        ("ncs/int8", "computes in FP16", "Supported_Devices.md", "ncs/fp16"),
        ("ncs2/int8", "computes in FP16", "Supported_Devices.md", "ncs2/fp16"),
        ("oak/fp32", "computes in FP16", "Supported_Devices.md", "oak/fp16"),
    ],
)
def test_a_precision(tmp_path: Path, output: str, reason: str, source: str, instead: str) -> None:
    error = refusal(tmp_path, write_model(tmp_path / "model.onnx"), output)
    assert error.word == "excluded_precision"
    assert reason in error.message
    assert source in error.message
    assert instead in str(error.remedy)


@pytest.mark.parametrize(
    ("output", "most"), [("jetson-nano/fp16", 13), ("jetson-xavier-nx/int8", 17), ("jetson-orin-nx/fp32", 20)]
)
def test_an_opset_newer_than_the_device_reads(tmp_path: Path, output: str, most: int) -> None:
    plan(tmp_path, write_model(tmp_path / "model.onnx", opset=most), output)
    error = refusal(tmp_path, write_model(tmp_path / "newer.onnx", opset=most + 1), output)
    assert error.word == "excluded_opset"
    assert f"opset {most + 1}" in error.message
    assert f"up to {most} (onnx/onnx-tensorrt docs/operators.md" in error.message
    assert f"opset {most} or lower" in str(error.remedy)
    assert error.where


def test_an_opset_that_the_recipe_sets(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text("")
    source = Path(f"{model}:build")
    steps = {"steps": [{"torch_to_onnx": {"opset": 17}}]}
    error = refusal(tmp_path, source, "jetson-nano/fp32", **steps)
    assert "opset 17" in error.message
    assert "torch_to_onnx" in str(error.where)
    plan(tmp_path, source, "jetson-nano/fp32", steps=[{"torch_to_onnx": {"opset": 12}}])
    plan(tmp_path, source, "jetson-nano/fp32", steps=["torch_to_onnx"])  # the route's option holds here too
    plan(tmp_path, source, "coral/int8", **steps)  # the device gets no ONNX


def test_an_opset_that_nothing_sets(tmp_path: Path) -> None:
    """The exporter's own default is newer than an old device reads."""
    model = tmp_path / "model.py"
    model.write_text("")
    unset = {"steps": [{"torch_to_onnx": {"opset": None}}]}
    assert "nothing sets" in refusal(tmp_path, Path(f"{model}:build"), "ncs2/fp16", **unset).message
    plan(tmp_path, Path(f"{model}:build"), "onnxruntime-cpu/fp16", **unset)


@pytest.mark.parametrize("target", ["coral", "raspberry-pi-4-coral", "ncs2/fp16", "android-gpu"])
def test_free_sizes(tmp_path: Path, target: str) -> None:
    model = write_model(tmp_path / "model.onnx", shape=(1, 3, "height", 8))
    error = refusal(tmp_path, model, target)
    assert error.word == "excluded_shape"
    assert "`image` is 1x3x?x8" in error.message
    assert "--shape image=1x3x224x8" in str(error.remedy)
    assert "model: {inputs: {image: {shape: [1, 3, 224, 8]}}}" in str(error.remedy)
    assert "onnx_fix_shapes: {shapes: {image: [1, 3, 224, 8]}}" in str(error.remedy)
    shape = {"model": {"file": str(model), "inputs": {"image": {"shape": [1, 3, 8, 8]}}}}
    plan(tmp_path, model, target, **shape)
    step = {"onnx_fix_shapes": {"shapes": {"image": [1, 3, 8, 8]}}}
    made = plan(tmp_path, model, target, steps=[step, "onnx_simplify"])
    assert made.source.inputs == {"image": {"shape": [1, 3, 8, 8]}}  # type: ignore[attr-defined]
    refusal(tmp_path, model, target, steps=["onnx_fix_shapes", "onnx_simplify"])


def test_a_free_batch_alone_is_a_batch_of_one(tmp_path: Path) -> None:
    plan(tmp_path, write_model(tmp_path / "model.onnx", shape=("batch", 3, 8, 8)), "coral")


def test_a_batch_of_pictures(tmp_path: Path) -> None:
    error = refusal(tmp_path, write_model(tmp_path / "model.onnx", shape=(4, 3, 8, 8)), "coral")
    assert "a batch of 4 (input `image`)" in error.message
    assert "issues 30 and 700" in error.message
    plan(tmp_path, write_model(tmp_path / "vectors.onnx", shape=(4, 8)), "coral")
    plan(tmp_path, write_model(tmp_path / "model.onnx", shape=(4, 3, 8, 8)), "android-cpu")
