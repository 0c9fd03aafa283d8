"""What the compressors' options do, what they refuse, and that they keep no samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import Artifact, hash_files
from edgekit.errors import InputError, StepError, UnknownName
from edgekit.formats import FORMATS, Declared
from edgekit.formats.matching import synthetic_samples
from edgekit.formats.onnx_file import read_constants, read_model
from edgekit.formats.openvino_file import import_openvino
from edgekit.formats.runner import open_runner

RunStep = Callable[..., Artifact]
Sqnr = Callable[..., float]


@pytest.fixture(scope="module")
def exported(network: Callable[[str], Artifact], tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The classifier as simplified ONNX."""
    from edgekit.steps import STEPS, Context

    artifact = network("classifier")
    for name in ("torch_to_onnx", "onnx_simplify"):
        step = STEPS.get(name)
        produced = step.run(Context(tmp_path_factory.mktemp(name)), artifact, step.options())
        artifact = Artifact(produced.path, "onnx", *hash_files([produced.path]), produced.io)
    return artifact


def write(model: Any, path: Path) -> Artifact:
    onnx.save(model, path)
    return Artifact(path, "onnx", *hash_files([path]), FORMATS.get("onnx").read_io(path, Declared()))


def float_nodes(artifact: Artifact) -> int:
    return int(FORMATS.get("onnx").describe(artifact).metadata["quantization"]["float_operators"])


# --- onnx_int8 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["onnx_int8", "openvino_int8"])
@pytest.mark.parametrize("samples", [None, []])
def test_int8_needs_samples(step: str, samples: Any, exported: Artifact, run_step: RunStep) -> None:
    artifact = run_step("onnx_to_openvino", exported) if step == "openvino_int8" else exported
    with pytest.raises(InputError, match="needs calibration samples") as raised:
        run_step(step, artifact, samples)
    assert raised.value.exit_code == 2


def test_per_channel_is_the_default_and_better(exported: Artifact, run_step: RunStep, sqnr: Sqnr) -> None:
    samples = synthetic_samples(exported.io, 16, 0)
    by_channel = run_step("onnx_int8", exported, samples)
    by_tensor = run_step("onnx_int8", exported, samples, per_channel=False)
    scales = [a for n, a in read_constants(read_model(by_channel.path)).items() if n.endswith("_scale") and a.size > 1]
    assert scales
    assert not [a for n, a in read_constants(read_model(by_tensor.path)).items() if n.endswith("_scale") and a.size > 1]
    assert sqnr(exported, by_channel, samples) > sqnr(exported, by_tensor, samples)


def test_scales_are_those_of_the_ranges(exported: Artifact, run_step: RunStep) -> None:
    """The input's scale is (highest - lowest) / 255 over all samples, the range made to hold zero."""
    samples = synthetic_samples(exported.io, 5, 0)
    model = read_model(run_step("onnx_int8", exported, samples).path)
    node = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "image")
    scale = read_constants(model)[node.input[1]]
    values = np.concatenate([sample["image"].ravel() for sample in samples])
    assert scale == pytest.approx((max(values.max(), 0) - min(values.min(), 0)) / 255, rel=1e-6)


@pytest.mark.parametrize("float_weights", [False, True])
def test_q_dq_as_tensorrt_reads_it(float_weights: bool, exported: Artifact, run_step: RunStep, sqnr: Sqnr) -> None:
    """Zero points of 0 and biases in floats (its parser refuses anything else), weights as int8 or in floats."""
    samples = synthetic_samples(exported.io, 16, 0)
    options = {"activations": "int8", "symmetric": True, "quantize_bias": False, "float_weights": float_weights}
    made = run_step("onnx_int8", exported, samples, **options)
    model = onnx.load(made.path)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert pairs
    assert all(constants[node.input[2]].dtype == np.int8 and not constants[node.input[2]].any() for node in pairs)
    assert not any(array.dtype == np.int32 for array in constants.values())
    stored = {constants[node.input[0]].dtype for node in pairs if node.input[0] in constants}
    assert stored == ({np.dtype(np.float32)} if float_weights else {np.dtype(np.int8)})
    assert sqnr(exported, made, samples) > 15


def test_symmetric_needs_signed_activations(exported: Artifact, run_step: RunStep) -> None:
    with pytest.raises(ValueError, match="needs `activations: int8`"):
        run_step("onnx_int8", exported, synthetic_samples(exported.io, 2, 0), symmetric=True)


def test_excluded_nodes_stay_in_floats(exported: Artifact, run_step: RunStep) -> None:
    samples = synthetic_samples(exported.io, 4, 0)
    convolution = next(node.name for node in onnx.load(exported.path).graph.node if node.op_type == "Conv")
    assert float_nodes(run_step("onnx_int8", exported, samples)) == 0
    assert float_nodes(run_step("onnx_int8", exported, samples, exclude=[convolution])) == 1
    for step in ("onnx_int8", "onnx_fp16"):
        with pytest.raises(UnknownName, match="did you mean"):
            run_step(step, exported, samples, exclude=[convolution + "x"])


@pytest.mark.parametrize("opset", [11, 12])
def test_an_old_opset_is_raised_for_per_channel(opset: int, tmp_path: Path, run_step: RunStep, sqnr: Sqnr) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    artifact = write(model, tmp_path / "old.onnx")
    samples = synthetic_samples(artifact.io, 8, 0)
    written = run_step("onnx_int8", artifact, samples)
    assert onnx.load(written.path).opset_import[0].version == 13
    assert sqnr(artifact, written, samples) > 30


def test_masks_stay_in_floats(tmp_path: Path, run_step: RunStep, sqnr: Sqnr) -> None:
    """Attention adds -3e38 where it must not look; 8 bits for that range would leave nothing of the scores."""
    generator = np.random.default_rng(0)
    arrays = {
        "mask": np.triu(np.full((6, 6), -3e38, np.float32), 1)[None],
        "wq": generator.standard_normal((8, 8)).astype(np.float32) / 3,
        "wk": generator.standard_normal((8, 8)).astype(np.float32) / 3,
    }
    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["q"]),
        helper.make_node("MatMul", ["x", "wk"], ["k"]),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"]),
        helper.make_node("Add", ["scores", "mask"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "x"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6, 8])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    artifact = write(model, tmp_path / "masked.onnx")
    samples = synthetic_samples(artifact.io, 8, 0)
    assert sqnr(artifact, run_step("onnx_int8", artifact, samples), samples) > 25


def test_what_was_selected_stays_in_floating_point(
    tmp_path: Path, run_step: RunStep, load_test_module: Callable[[str], ModuleType]
) -> None:
    """Boxes in pixels, scores and classes lie side by side behind NMS: on one scale of 8 bits classes would be lost."""
    source = write(load_test_module("postprocessing").detections(padded=20), tmp_path / "padded.onnx")
    samples = synthetic_samples(source.io, 8, 0)
    made = run_step("onnx_int8", source, samples)
    first, second = open_runner(source, 1), open_runner(made, 1)
    for sample in samples:
        exact, found = first.run(sample)["detections"][0], second.run(sample)["detections"][0]
        assert set(found[:, 5]) <= {0, 1, 2, 3, 4}
        assert set(found[found[:, 4] < 0, 4]) == set(exact[exact[:, 4] < 0, 4]) == {-1}
        assert abs(np.count_nonzero(found[:, 4] > 0) - np.count_nonzero(exact[:, 4] > 0)) <= 3


# --- onnx_fp16 --------------------------------------------------------------------------------------------------------


def test_large_numbers_are_kept(tmp_path: Path, run_step: RunStep) -> None:
    """The library's own default would clip a bias of 20,000 at 10,000."""
    arrays = {"w": np.ones((3, 2), np.float32), "b": np.array([20_000.0, -0.25], np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    written = run_step("onnx_fp16", write(model, tmp_path / "large.onnx"))
    constants = read_constants(read_model(written.path))
    assert constants["b"].dtype == np.float16
    np.testing.assert_array_equal(constants["b"], arrays["b"])
    assert [tensor.dtype for tensor in (*written.io.inputs, *written.io.outputs)] == ["float32", "float32"]


def test_casts_of_integers(tmp_path: Path, run_step: RunStep) -> None:
    """The library leaves `Cast to float32` as it is, and takes its result for float16: as of the classes behind NMS."""
    graph = helper.make_graph(
        [
            helper.make_node("TopK", ["x", "two"], ["best", "places"]),
            helper.make_node("Cast", ["places"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Concat", ["best", "numbers"], ["joined"], axis=1),
            helper.make_node("Mul", ["joined", "half"], ["y"]),
            helper.make_node("Cast", ["places"], ["z"], to=TensorProto.FLOAT),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, size]) for name, size in (("y", 4), ("z", 2))],
        [
            numpy_helper.from_array(np.array([2], np.int64), "two"),
            numpy_helper.from_array(np.float32([0.5]), "half"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made = run_step("onnx_fp16", write(model, tmp_path / "casts.onnx"))
    found = open_runner(made, 1).run({"x": np.float32([[1, 7, 0, 9]])})
    assert found["y"].tolist() == [[4.5, 3.5, 1.5, 0.5]]
    assert found["z"].tolist() == [[3, 1]]


@pytest.mark.parametrize("step", ["onnx_fp16", "openvino_fp16"])
def test_half_the_size(step: str, network: Callable[[str], Artifact], run_step: RunStep) -> None:
    artifact = run_step("onnx_simplify", run_step("torch_to_onnx", network("mobilenet_v2")))
    if step == "openvino_fp16":
        artifact = run_step("onnx_to_openvino", artifact)
    assert run_step(step, artifact).bytes == pytest.approx(artifact.bytes / 2, rel=0.05)


# --- refusals of converters -------------------------------------------------------------------------------------------


def test_openvino_names_the_operator_that_it_refuses(tmp_path: Path, run_step: RunStep) -> None:
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    node = helper.make_node("Frobnicate", ["x"], ["y"], domain="my.own")
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("my.own", 1)]
    model = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:]), opset_imports=imports, ir_version=8)
    with pytest.raises(StepError, match="Frobnicate") as raised:
        run_step("onnx_to_openvino", write(model, tmp_path / "odd.onnx"))
    assert raised.value.exit_code == 5


# --- openvino_int8 ----------------------------------------------------------------------------------------------------


class Counted:
    """Samples made as they are asked for."""

    def __init__(self, artifact: Artifact, count: int) -> None:
        self.artifact, self.count = artifact, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        return (self[index] for index in range(self.count))

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return synthetic_samples(self.artifact.io, 1, index)[0]


@pytest.mark.parametrize(
    "options", [{"preset": "mixed"}, {"fast_bias_correction": False}, {"model_type": "transformer"}]
)
def test_options_of_nncf(options: dict[str, Any], exported: Artifact, run_step: RunStep, sqnr: Sqnr) -> None:
    ir = run_step("onnx_to_openvino", exported)
    written = run_step("openvino_int8", ir, Counted(ir, 12), **options)
    assert sqnr(ir, written, synthetic_samples(ir.io, 8, 100)) > 10


def test_means_are_summed_as_they_come() -> None:
    """nncf's own aggregator, and the same with sums: equal means, one tensor kept instead of 50."""
    import_openvino()
    from nncf.common.tensor_statistics.collectors import MeanAggregator
    from nncf.tensor import Tensor

    from edgekit.steps.compress.running_means import running_means

    generator = np.random.default_rng(0)
    values = [generator.standard_normal((3, 4)).astype(np.float32) for _ in range(50)]

    def aggregate(axes: tuple[int, ...]) -> tuple[np.ndarray, int]:
        aggregator = MeanAggregator(aggregation_axes=axes)
        for value in values:
            aggregator.register_reduced_input(Tensor(value))
        return aggregator.aggregate().data, len(aggregator._container)

    for axes in ((0,), (0, 1), (0, 2)):
        expected, kept = aggregate(axes)
        assert kept == 50
        with running_means():
            found, kept = aggregate(axes)
        assert kept == 1
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert aggregate((0,))[1] == 50, "nncf is as it was"


# --- a model with a free batch ----------------------------------------------------------------------------------------


def test_a_free_batch_is_fixed_at_one(tmp_path: Path, run_step: RunStep, sqnr: Sqnr) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 6, 6])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    free = write(model, tmp_path / "free.onnx")
    samples = synthetic_samples(free.io, 8, 0)
    fixed = run_step("onnx_simplify", free)
    assert FORMATS.get("onnx").read_io(fixed.path, Declared()).outputs[0].shape == (1, 4, 6, 6)
    for artifact in (fixed, run_step("onnx_to_openvino", free), run_step("onnx_to_openvino", fixed)):
        assert sqnr(free, artifact, samples) > 100
    assert sqnr(free, run_step("onnx_int8", free, samples), samples) > 30
