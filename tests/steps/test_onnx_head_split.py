"""Heads whose channels mean several things, split by onnx_cut_tail: the same numbers, and their own scales in INT8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit.artifact import Artifact, hash_files
from edgekit.formats import FORMATS, Declared
from edgekit.formats.onnx_file import read_model
from edgekit.formats.runner import open_runner
from edgekit.numerics.sqnr import sqnr_db
from edgekit.steps.convert.onnx_head_split import split_heads
from edgekit.steps.convert.onnx_rewriting import Scope

RunStep = Callable[..., Artifact]
Results = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def nets(load_test_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_test_module("postprocessing")


def save(model: onnx.ModelProto, path: Path) -> Artifact:
    onnx.save(model, path)
    return Artifact(path, "onnx", *hash_files([path]), FORMATS.get("onnx").read_io(path, Declared()))


def pictures(count: int, seed: int = 1) -> list[Results]:
    draw = np.random.default_rng(seed)
    return [{"image": draw.standard_normal((1, 3, 32, 32)).astype(np.float32)} for _ in range(count)]


def run_source(path: Path, samples: list[Results]) -> list[Results]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, sample), strict=True)) for sample in samples]


def test_boxes_and_scores_come_out_alone(nets: ModuleType, tmp_path: Path, run_step: RunStep) -> None:
    source = save(nets.mixed_head(), tmp_path / "source.onnx")
    whole = run_step("onnx_cut_tail", source, split_heads=False)
    split = run_step("onnx_cut_tail", source)
    assert [tensor.shape for tensor in whole.io.outputs] == [(1, 9, 8, 8), (1, 9, 4, 4)]
    assert [tensor.shape for tensor in split.io.outputs] == [(1, n, side, side) for side in (8, 4) for n in (4, 5)]
    weights = {tensor.name: tuple(tensor.dims) for tensor in onnx.load(split.path).graph.initializer}
    assert sorted(shape for shape in weights.values() if shape[0] in (4, 5) and len(shape) == 4) == [
        (4, 16, 3, 3),
        (4, 16, 3, 3),
        (5, 16, 3, 3),
        (5, 16, 3, 3),
    ], "and the weights of the whole are gone"
    for path in (split.path, split.tail.path if split.tail else Path()):
        onnx.checker.check_model(onnx.load(path), full_check=True)


@pytest.mark.parametrize(("name", "options"), [("mixed_head", {}), ("detector_in_five_axes", {})])
def test_the_same_numbers(
    nets: ModuleType, tmp_path: Path, run_step: RunStep, name: str, options: dict[str, object]
) -> None:
    source = save(getattr(nets, name)(), tmp_path / "source.onnx")
    made = run_step("onnx_cut_tail", source, **options)
    runner, samples = open_runner(made, 2), pictures(6)
    for sample, expected in zip(samples, run_source(source.path, samples), strict=True):
        found = runner.run(sample)
        for key, array in expected.items():
            assert found[key].shape == array.shape
            np.testing.assert_allclose(found[key], array, rtol=1e-5, atol=1e-5)


def test_scores_on_a_scale_of_their_own(
    nets: ModuleType, tmp_path: Path, run_step: RunStep, capsys: pytest.CaptureFixture[str]
) -> None:
    """Boxes reach ten times as far as the logits: on one scale these have few steps."""
    source = save(nets.mixed_head(nms=False), tmp_path / "source.onnx")
    calibrate, evaluate = pictures(24, seed=2), pictures(24, seed=3)
    expected = run_source(source.path, evaluate)
    figures: dict[bool, dict[str, float]] = {}
    for split in (False, True):
        cut = run_step("onnx_cut_tail", source, split_heads=split)
        made = replace(run_step("onnx_int8", replace(cut, tail=None), calibrate), tail=cut.tail)
        runner = open_runner(made, 2)
        found = [runner.run(sample) for sample in evaluate]
        figures[split] = {
            name: sqnr_db(np.stack([row[name] for row in expected]), np.stack([row[name] for row in found]))
            for name in ("boxes", "scores")
        }
    with capsys.disabled():
        print(f"\nmixed {figures[False]}, split {figures[True]}", end="")  # noqa: T201
    assert figures[True]["scores"] > figures[False]["scores"] + 6
    assert figures[True]["boxes"] > figures[False]["boxes"] - 0.5


def test_heads_that_are_left_whole(nets: ModuleType) -> None:
    """Those of boxes alone, whose four numbers are alike; convolutions in groups; what nothing slices."""
    model = nets.detector()
    convolutions = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    assert split_heads(model, Scope(model), convolutions[-4:]) == convolutions[-4:]
    net = nets.Net()
    groups = net.add("Conv", net.levels[0], np.ones((16, 8, 1, 1), np.float32), group=2)
    first = net.add("Slice", groups, np.array([0]), np.array([4]), np.array([1]))
    plain = net.conv(net.levels[1], 12, 16)
    model = net.model(boxes=first, rest=groups, plain=plain)
    assert split_heads(model, Scope(model), [groups, plain]) == [groups, plain]


def test_without_biases_and_channels_out_of_order(nets: ModuleType, tmp_path: Path) -> None:
    """Every third channel is a score, by Gather; the other channels are read by nothing."""
    net = nets.Net()
    weights = np.random.default_rng(4).normal(size=(12, 16, 1, 1)).astype(np.float32)
    head = net.add("Conv", net.levels[0], weights)
    scores = net.add("Gather", head, np.array([2, 5, 8, 11]), axis=1)
    boxes = net.add("Gather", head, np.array([0, 3, 6, 9]), axis=1)
    model = net.model(scores=net.add("Sigmoid", scores), boxes=boxes)
    source = save(model, tmp_path / "source.onnx")
    changed = read_model(source.path)
    parts = split_heads(changed, Scope(changed), [head])
    assert len(parts) == 3
    other = save(changed, tmp_path / "split.onnx")
    samples = pictures(3)
    for expected, found in zip(run_source(source.path, samples), run_source(other.path, samples), strict=True):
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, atol=1e-5)


def test_a_constant_that_is_an_output(nets: ModuleType, tmp_path: Path) -> None:
    """No node reads it, and yet it stays."""
    model = nets.mixed_head(nms=False)
    heads = [node.output[0] for node in model.graph.node if node.op_type == "Conv"][-2:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.arange(3, dtype=np.float32), "strides"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("strides", onnx.TensorProto.FLOAT, (3,)))
    source = save(model, tmp_path / "source.onnx")
    changed = read_model(source.path)
    assert len(split_heads(changed, Scope(changed), heads)) > len(heads)
    other = save(changed, tmp_path / "split.onnx")
    for expected, found in zip(run_source(source.path, pictures(2)), run_source(other.path, pictures(2)), strict=True):
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], rtol=1e-5, atol=1e-5)


def test_a_head_that_is_named_twice(nets: ModuleType) -> None:
    models = [nets.mixed_head(nms=False) for _ in range(2)]
    heads = [node.output[0] for node in models[0].graph.node if node.op_type == "Conv"][-2:]
    once, twice = split_heads(models[0], Scope(models[0]), heads), split_heads(models[1], Scope(models[1]), heads * 2)
    assert once == twice
    assert len(once) > len(heads)
    assert models[0].graph == models[1].graph
