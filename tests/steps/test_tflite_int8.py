"""tflite_int8 on models of one to four operators: what is mended, what is refused, and that the numbers are right."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgekit.artifact import Artifact, hash_files
from edgekit.errors import InputError, StepError
from edgekit.formats import FORMATS, Declared
from edgekit.formats.runner import open_runner
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import read_model
from edgekit.graph import Graph
from edgekit.numerics.sqnr import sqnr_db
from edgekit.steps import STEPS, Context

models = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "tflite_models.py")))
Sample = dict[str, np.ndarray]
FORMAT = FORMATS.get("tflite")


class Samples:
    """Seeded samples, made when they are asked for; each pass over them is counted."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], count: int = 16, seed: int = 0) -> None:
        self.shapes, self.count, self.seed, self.passes = shapes, count, seed, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        draw = np.random.default_rng((self.seed, index))
        return {name: draw.standard_normal(shape).astype(np.float32) for name, shape in self.shapes.items()}

    def __iter__(self) -> Iterator[Sample]:
        self.passes += 1
        return (self[index] for index in range(self.count))


IMAGES = {"image": (1, 8, 8, 3)}


@pytest.fixture
def source(tmp_path: Path) -> Callable[[bytes], Artifact]:
    def make(data: bytes) -> Artifact:
        path = tmp_path / "source.tflite"
        path.write_bytes(data)
        return Artifact(path, "tflite", *hash_files([path]), FORMAT.read_io(path, Declared()))

    return make


@pytest.fixture
def quantize(tmp_path: Path) -> Callable[..., Artifact]:
    """``quantize(artifact, samples, io="uint8")``"""
    runs = 0

    def run(artifact: Artifact, samples: Samples | None = None, **options: Any) -> Artifact:
        nonlocal runs
        runs += 1
        step = STEPS.get("tflite_int8")
        folder = tmp_path / f"run{runs}"
        folder.mkdir()
        produced = step.run(Context(folder, samples or Samples(IMAGES), threads=1), artifact, step.options(**options))
        return Artifact(produced.path, "tflite", *hash_files([produced.path]), produced.io)

    return run


def graph_of(artifact: Artifact) -> Graph:
    return describe_model(read_model(artifact.path))


def types_of(artifact: Artifact) -> list[str]:
    return [operator.type for operator in graph_of(artifact).operators]


def outputs_of(artifact: Artifact, samples: Samples) -> dict[str, np.ndarray]:
    runner = open_runner(artifact, 1)
    results = [runner.run(sample) for sample in samples]
    return {name: np.stack([result[name] for result in results]) for name in results[0]}


def compare(reference: Artifact, artifact: Artifact, samples: Samples) -> float:
    """SQNR in dB, the worst output's."""
    expected, found = outputs_of(reference, samples), outputs_of(artifact, samples)
    assert expected.keys() == found.keys()
    return min(sqnr_db(expected[name], found[name]) for name in expected)


def test_the_whole_file_is_integer_and_close(source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]):
    original = source(models.classifier())
    artifact = quantize(original)
    graph = graph_of(artifact)
    assert {tensor.dtype for tensor in graph.tensors} == {"int8", "int32"}
    assert [tensor.dtype for tensor in (*artifact.io.inputs, *artifact.io.outputs)] == ["int8", "int8"]
    assert compare(original, artifact, Samples(IMAGES, seed=1)) > 25
    assert graph.params == graph_of(original).params
    assert graph.macs == graph_of(original).macs


def test_constants_versions_and_shapes_are_those_of_old_runtimes(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    artifact = quantize(source(models.classifier(free=(0,))))
    assert graph_of(artifact).metadata["external_buffers"] == 0
    versions = {operator.type: operator.version for operator in graph_of(artifact).operators}
    assert versions == {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "MEAN": 2, "FULLY_CONNECTED": 4}
    assert not any(None in tensor.shape for tensor in graph_of(artifact).tensors)


@pytest.mark.parametrize(("compatible", "per_channel"), [("tf2.5", False), ("current", True)])
def test_dense_weights_have_one_scale_for_old_runtimes(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact], compatible: str, per_channel: bool
):
    graph = graph_of(quantize(source(models.classifier()), compatible=compatible))
    weights = {operator.type: graph.tensors[operator.inputs[1]].quantization for operator in graph.operators}
    assert weights["CONV_2D"] is not None and weights["CONV_2D"].per_channel
    assert weights["FULLY_CONNECTED"] is not None
    assert weights["FULLY_CONNECTED"].per_channel == per_channel


def test_uint8_and_float32_give_what_int8_gives(source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]):
    original = source(models.classifier())
    artifacts = {io: quantize(original, io=io) for io in ("int8", "uint8", "float32")}
    fresh = Samples(IMAGES, seed=1)
    expected = outputs_of(artifacts["int8"], fresh)["out0"]
    for io in ("uint8", "float32"):
        np.testing.assert_array_equal(outputs_of(artifacts[io], fresh)["out0"], expected)
        tensors = (*artifacts[io].io.inputs, *artifacts[io].io.outputs)
        assert [(tensor.name, tensor.dtype) for tensor in tensors] == [("image", io), ("out0", io)]
    assert types_of(artifacts["uint8"])[0] == types_of(artifacts["uint8"])[-1] == "QUANTIZE"
    assert types_of(artifacts["float32"])[-1] == "DEQUANTIZE"
    (image,), (inner,) = artifacts["uint8"].io.inputs, artifacts["int8"].io.inputs
    assert image.quantization is not None and inner.quantization is not None
    assert image.quantization.scale == inner.quantization.scale
    assert image.quantization.zero_point[0] == inner.quantization.zero_point[0] + 128


def test_the_bias_of_a_dead_channel_survives(source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]):
    """Weights of 1e-12 and a bias of 0.48: without the mend the channel gives -0.25 or so."""
    draw = np.random.default_rng(0)
    weights = draw.standard_normal((4, 3, 3, 3)).astype(np.float32) * 0.2
    weights[1] *= 1e-12
    weights[2] = 0.0
    bias = np.array([0.1, 0.48, -0.31, 0.2], np.float32)
    model = models.Builder()
    x = model.input("image", (1, 8, 8, 3))
    artifact = quantize(source(model.finish([model.conv(x, weights, bias)])))
    found = outputs_of(artifact, Samples(IMAGES, count=2))["out0"]
    quantization = artifact.io.outputs[0].quantization
    assert quantization is not None
    for channel in (1, 2):
        np.testing.assert_allclose(found[..., channel], bias[channel], atol=quantization.scale[0] * 0.51)


def test_every_bias_is_the_rounded_real_one(source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]):
    original = source(models.classifier())
    before, after = read_model(original.path), read_model(quantize(original).path)
    seen = 0
    for old, new in zip(before.main.operators, after.main.operators, strict=True):
        if len(old.inputs) < 3:
            continue
        real = before.read_constant(before.main.tensors[old.inputs[2]])
        data, weights, bias = (after.main.tensors[index] for index in new.inputs)
        expected = np.rint(real.astype(np.float64) / (data.scale[0] * np.array(weights.scale)))
        np.testing.assert_allclose(after.read_constant(bias), expected, atol=1)
        np.testing.assert_allclose(bias.scale, data.scale[0] * np.array(weights.scale), rtol=1e-6)
        seen += 1
    assert seen == 3


@pytest.mark.parametrize("ranges", ["minmax", "average"])
@pytest.mark.parametrize("calibration", ["profiler", "tensors"])
def test_the_inputs_range_is_that_of_the_samples(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact], ranges: str, calibration: str
):
    samples = Samples(IMAGES, count=12)
    artifact = quantize(source(models.classifier()), samples, ranges=ranges, calibration=calibration)
    merge = {"minmax": (np.min, np.max), "average": (np.mean, np.mean)}[ranges]
    lowest = merge[0]([sample["image"].min() for sample in samples])
    highest = merge[1]([sample["image"].max() for sample in samples])
    quantization = artifact.io.inputs[0].quantization
    assert quantization is not None
    assert quantization.scale[0] == pytest.approx((highest - lowest) / 255, rel=1e-5)
    assert quantization.zero_point[0] == round(-128 - lowest / quantization.scale[0])


def test_samples_are_read_once_and_their_order_does_not_matter(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    original, samples = source(models.classifier()), Samples(IMAGES)
    first = quantize(original, samples)
    assert samples.passes == 1

    class Reversed(Samples):
        def __iter__(self) -> Iterator[Sample]:
            return (self[index] for index in reversed(range(self.count)))

    second = quantize(original, Reversed(IMAGES))
    assert first.path.read_bytes() == second.path.read_bytes()


def test_progress_is_told_and_memory_does_not_keep_samples(source: Callable[[bytes], Artifact], tmp_path: Path):
    step, told = STEPS.get("tflite_int8"), []
    alive: list[int] = []

    class Weighed(Samples):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            alive.append(index)
            weakref.finalize(sample["image"], alive.remove, index)
            assert len(alive) <= 4
            return sample

    context = Context(
        tmp_path, Weighed(IMAGES, count=40), threads=1, progress=lambda done, total: told.append((done, total))
    )
    step.run(context, source(models.classifier()), step.options())
    assert told == [(place, 40) for place in range(1, 41)]


def test_a_file_without_a_signature_is_quantized_under_its_own_names(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    original = source(models.classifier(signature=False))
    artifact = quantize(original)
    assert [tensor.source_name for tensor in artifact.io.outputs] == [tensor.name for tensor in original.io.outputs]
    assert compare(original, artifact, Samples(IMAGES, seed=1)) > 25


def island(
    kind: str, shape: tuple[int, ...], options: object | None = None, *more: np.ndarray, after: bool = True
) -> bytes:
    """image -> convolution of 8 channels -> the operator [-> convolution]."""
    draw = np.random.default_rng(0)
    model = models.Builder()
    x = model.input("image", (1, 8, 8, 3))
    x = model.conv(x, draw.standard_normal((8, 3, 3, 3)).astype(np.float32), draw.standard_normal(8).astype(np.float32))
    x = model.add(kind, [x, *(model.constant(array) for array in more)], shape, options)
    if after:
        x = model.conv(x, draw.standard_normal((4, 3, 3, shape[-1])).astype(np.float32), np.zeros(4, np.float32))
    return model.finish([x])


def depth_to_space() -> object:
    from ai_edge_litert import schema_py_generated as schema

    options = schema.DepthToSpaceOptionsT()
    options.blockSize = 2
    return options


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize(
    ("kind", "shape", "more"),
    [
        ("RELU6", (1, 8, 8, 8), ()),
        ("ELU", (1, 8, 8, 8), ()),
        ("ABS", (1, 8, 8, 8), ()),
        ("DEPTH_TO_SPACE", (1, 16, 16, 2), ()),
        ("MINIMUM", (1, 8, 8, 8), (np.array([1.5], np.float32),)),
        ("PRELU", (1, 8, 8, 8), (np.linspace(0.05, 0.3, 8, dtype=np.float32).reshape(1, 1, 8),)),
    ],
)
def test_operators_that_the_quantizer_leaves_in_float_get_their_int8_form(
    source: Callable[[bytes], Artifact],
    quantize: Callable[..., Artifact],
    kind: str,
    shape: tuple[int, ...],
    more: tuple[np.ndarray, ...],
    after: bool,
):
    options = depth_to_space() if kind == "DEPTH_TO_SPACE" else None
    original = source(island(kind, shape, options, *more, after=after))
    artifact = quantize(original)
    # MINIMUM keeps its input's steps; what comes after may want others.
    types = [name for name in types_of(artifact) if name != "QUANTIZE"]
    assert types == ["CONV_2D", kind, "CONV_2D"] if after else ["CONV_2D", kind]
    assert compare(original, artifact, Samples(IMAGES, seed=1)) > 25


def test_two_operators_left_in_float_behind_each_other(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    model = models.Builder()
    x = model.input("image", (1, 8, 8, 3))
    x = model.conv(
        x, np.random.default_rng(0).standard_normal((8, 1, 1, 3)).astype(np.float32), np.zeros(8, np.float32)
    )
    x = model.add("RELU6", [x], (1, 8, 8, 8))
    x = model.add("DEPTH_TO_SPACE", [x], (1, 16, 16, 2), depth_to_space())
    original = source(model.finish([x]))
    artifact = quantize(original)
    assert types_of(artifact) == ["CONV_2D", "RELU6", "DEPTH_TO_SPACE"]
    assert compare(original, artifact, Samples(IMAGES, seed=1)) > 25


def test_an_operator_without_int8_form_is_refused_by_name_or_left_in_float(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    original = source(island("COS", (1, 8, 8, 8)))
    with pytest.raises(StepError, match="no int8 form of COS `cos_1`") as error:
        quantize(original)
    assert error.value.exit_code == 5
    assert "float_operators" in (error.value.remedy or "")
    with pytest.raises(StepError, match="COS"):
        quantize(original, compatible="current", float_operators="refuse")
    artifact = quantize(original, compatible="current")
    assert types_of(artifact) == ["CONV_2D", "DEQUANTIZE", "COS", "QUANTIZE", "CONV_2D"]
    assert compare(original, artifact, Samples(IMAGES, seed=1)) > 20


def test_what_tensorflow_25_lacks_is_refused_by_name(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    original = source(island("GELU", (1, 8, 8, 8)))
    with pytest.raises(StepError, match=r"TensorFlow 2\.5\.3's level does not have GELU \(operator 1\)"):
        quantize(original)
    artifact = quantize(original, compatible="current")
    assert types_of(artifact) == ["CONV_2D", "GELU", "CONV_2D"]


def test_weights_of_a_matrix_product_have_one_scale(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    """With a scale per column, as the quantizer writes them, LiteRT computes garbage (0 dB)."""
    weights = np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32) * np.logspace(
        -1, 1, 5, dtype=np.float32
    )
    model = models.Builder()
    x = model.input("x", (1, 4, 8))
    original = source(model.finish([model.add("BATCH_MATMUL", [x, model.constant(weights)], (1, 4, 5))]))
    samples = Samples({"x": (1, 4, 8)})
    for compatible in ("tf2.5", "current"):
        assert compare(original, quantize(original, samples, compatible=compatible), samples) > 25


@pytest.mark.parametrize("activation", [0, 1], ids=["linear", "relu"])
@pytest.mark.parametrize("other_reader", [False, True])
def test_padding_before_a_maximum(
    activation: int, other_reader: bool, source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    """Written by converters with the lowest number there is: a scale of 1e36 for the whole tensor leaves nothing of
    it. What something else reads too stays as it is."""
    from ai_edge_litert import schema_py_generated as schema

    draw = np.random.default_rng(2)
    model = models.Builder()
    x = model.input("image", (1, 8, 8, 3))
    lowest = model.constant(np.array([-4.0 if other_reader else -3.4e38], np.float32))
    sides = model.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    means = []
    for _ in range(2):  # one constant for both
        weights, bias = draw.standard_normal((4, 3, 3, 3)).astype(np.float32), np.zeros(4, np.float32)
        given = model.conv(x, weights, bias, activation=activation)
        padded = model.add("PADV2", [given, sides, lowest], (1, 10, 10, 4), schema.PadV2OptionsT())
        options = schema.Pool2DOptionsT()
        options.padding, options.strideH, options.strideW = 1, 2, 2
        options.filterHeight = options.filterWidth = 3
        pooled = model.add("MAX_POOL_2D", [padded], (1, 4, 4, 4), options)
        means += [pooled, *([model.mean(padded)] if other_reader else [])]
    original, samples = source(model.finish(means)), Samples(IMAGES)
    artifact = quantize(original, samples)
    assert compare(original, artifact, Samples(IMAGES, seed=1)) > (15 if other_reader else 25)
    graph = graph_of(artifact)
    scales = [tensor.quantization.scale[0] for tensor in graph.tensors if tensor.quantization is not None]
    assert max(scales) < 1


def test_two_inputs_two_outputs_and_an_integer_one(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    from ai_edge_litert import schema_py_generated as schema

    table = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    model = models.Builder()
    indices, x = model.input("indices", (3,), "int32"), model.input("x", (3, 8))
    picked = model.add("GATHER", [model.constant(table), indices], (3, 8), schema.GatherOptionsT())
    total = model.add("ADD", [picked, x], (3, 8), schema.AddOptionsT())
    scores = model.dense(
        total, np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32), np.ones(4, np.float32)
    )
    original = source(model.finish([total, scores]))

    class Indexed(Samples):
        def __getitem__(self, index: int) -> Sample:
            given = super().__getitem__(index)
            return {**given, "indices": np.random.default_rng(index).integers(0, 5, 3).astype(np.int32)}

    samples = Indexed({"x": (3, 8)})
    for io in ("int8", "float32"):
        artifact = quantize(original, samples, io=io)
        assert [(tensor.name, tensor.dtype) for tensor in artifact.io.inputs] == [("indices", "int32"), ("x", io)]
        assert compare(original, artifact, samples) > 25


def test_nan_in_an_activation_names_tensor_and_sample(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    class Poisoned(Samples):
        def __getitem__(self, index: int) -> Sample:
            given = super().__getitem__(index)
            if index == 4:
                given["image"][0, 0, 0, 0] = np.inf
            return given

    with pytest.raises(StepError, match=r"holds NaN or infinity on calibration sample 5"):
        quantize(source(models.classifier()), Poisoned(IMAGES))


def test_a_quantized_model_is_not_quantized_again(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact]
):
    artifact = quantize(source(models.classifier()))
    with pytest.raises(InputError, match="compressed already: its tensor `image` is int8") as error:
        quantize(artifact)
    assert error.value.remedy == "start from the float32 model"


def test_options_that_lead_out_of_the_file_are_an_input_error(
    source: Callable[[bytes], Artifact], quantize: Callable[..., Artifact], tmp_path: Path
):
    artifact = source(models.classifier())
    data = bytearray(artifact.path.read_bytes())
    table = read_model(artifact.path).main.operators[0].options
    assert table is not None
    data[table[1] : table[1] + 4] = (0x7FFFFFF0).to_bytes(4, "little")  # where its vtable is said to lie
    artifact.path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        quantize(artifact)


def test_no_samples_is_an_input_error(source: Callable[[bytes], Artifact], tmp_path: Path):
    step = STEPS.get("tflite_int8")
    for samples in (None, Samples(IMAGES, count=0)):
        with pytest.raises(InputError, match="needs calibration samples"):
            step.run(Context(tmp_path, samples), source(models.classifier()), step.options())
    assert not list(tmp_path.glob("*.tflite*")) or [path.name for path in tmp_path.glob("*.tflite")] == [
        "source.tflite"
    ]
