"""The format tflite: figures of files made by others, its own names, and files that lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.artifact import Artifact
from edgekit.errors import EdgekitError, InputError, StepError
from edgekit.formats import FORMATS, Declared, find_format
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model, read_model

models = SimpleNamespace(**run_path(str(Path(__file__).parents[1] / "tflite_models.py")))
FORMAT = FORMATS.get("tflite")


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """A file with these bytes."""

    def write(data: bytes, name: str = "model.tflite") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "macs", "params"),
    [
        # Sandler et al., MobileNetV2 (2018): 300 M multiply-adds, 3.47 M parameters with 1000 classes; 1001 here.
        ("models/mobilenet_v2_1.0_224_quant.tflite", 300.8e6, 3.49e6),
        # MLPerf Tiny: ResNet-8 has 12.5 M MACs and 78 k parameters before its batch norms are folded.
        ("models/cifar10_resnet8_int8.tflite", 12.5e6, 77.7e3),
        ("models/cifar10_resnet8_float.tflite", 12.5e6, 77.7e3),
    ],
)
def test_published_costs(shared_data: Callable[[str], Path], name: str, macs: float, params: float):
    graph = describe_model(read_model(shared_data(name)))
    assert graph.macs == pytest.approx(macs, rel=0.005)
    assert graph.params == pytest.approx(params, rel=0.005)


def test_costs_of_every_kind_of_layer_by_hand():
    model = models.Builder()
    x = model.input("image", (1, 8, 8, 3))
    x = model.conv(x, np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32))
    x = model.depthwise(x, np.ones((1, 5, 5, 4), np.float32), np.ones(4, np.float32))
    x = model.dense(model.mean(x), np.ones((6, 4), np.float32), np.ones(6, np.float32))
    graph = describe_model(parse_model(model.finish([x])))
    assert [operator.macs for operator in graph.operators] == [64 * 4 * 27, 64 * 4 * 25, 0, 24]
    assert [operator.params for operator in graph.operators] == [108 + 4, 100 + 4, 0, 24 + 6]
    assert graph.operators[0].attributes["padding"] == "SAME"
    assert graph.operators[0].attributes["fused_activation_function"] == "NONE"


def test_a_tensor_that_two_operators_share_counts_once():
    model = models.Builder()
    x = model.input("x", (1, 4))
    weights = model.constant(np.ones((4, 4), np.float32))
    first = model.add("FULLY_CONNECTED", [x, weights, -1], (1, 4))
    second = model.add("FULLY_CONNECTED", [first, weights, -1], (1, 4))
    graph = describe_model(parse_model(model.finish([second])))
    assert [operator.params for operator in graph.operators] == [16, 0]
    assert [operator.macs for operator in graph.operators] == [16, 16]


def test_io_of_a_quantized_file(shared_data: Callable[[str], Path]):
    io = FORMAT.read_io(shared_data("models/cifar10_resnet8_int8.tflite"), Declared())
    (image,), (scores,) = io.inputs, io.outputs
    assert (image.shape, image.dtype, image.layout, image.permutation) == ((1, 32, 32, 3), "int8", "NHWC", None)
    # Its makers say: int8 = pixel - 128.
    assert image.quantization is not None
    assert (image.quantization.scale, image.quantization.zero_point) == ((1.0,), (-128,))
    assert scores.dtype == "int8"
    assert scores.layout is None


def test_own_names_are_the_signatures(written: Callable[..., Path]):
    io = FORMAT.read_io(written(models.classifier()), Declared())
    assert ([tensor.name for tensor in io.inputs], [tensor.name for tensor in io.outputs]) == (["image"], ["out0"])
    io = FORMAT.read_io(written(models.classifier(signature=False)), Declared())
    assert [tensor.name for tensor in io.outputs] == ["fully_connected_3"]


def test_a_declared_layout_is_taken_and_a_wrong_shape_refused(written: Callable[..., Path]):
    path = written(models.classifier())
    io = FORMAT.read_io(path, Declared(layouts={"image": "NCHW"}))
    assert io.inputs[0].layout == "NCHW"
    with pytest.raises(InputError, match=r"has the shape \[1, 8, 8, 3\], not \[1, 3, 8, 8\]"):
        FORMAT.read_io(path, Declared(shapes={"image": (1, 3, 8, 8)}))


def test_it_runs_as_the_bare_interpreter_does(shared_data: Callable[[str], Path], artifact_at: Callable[..., Artifact]):
    from ai_edge_litert.interpreter import Interpreter

    artifact = artifact_at(shared_data("models/cifar10_resnet8_float.tflite"), "tflite")
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    bare = Interpreter(str(artifact.path), num_threads=1)
    bare.allocate_tensors()
    bare.set_tensor(bare.get_input_details()[0]["index"], image)
    bare.invoke()
    expected = bare.get_tensor(bare.get_output_details()[0]["index"])
    session = FORMAT.open(artifact, 1)
    (found,) = session.run({artifact.io.inputs[0].name: image}).values()
    np.testing.assert_array_equal(found, expected)
    assert session.run({artifact.io.inputs[0].name: image * 0}).keys() == {artifact.io.outputs[0].name}
    np.testing.assert_array_equal(found, expected)  # a result is not overwritten by the next run


def test_what_the_runtime_refuses_is_a_step_error(written: Callable[..., Path], artifact_at: Callable[..., Artifact]):
    model = models.Builder()
    x = model.input("x", (1, 4))
    path = written(model.finish([model.add("CONV_2D", [x, x], (1, 4), version=99)]))
    with pytest.raises(StepError, match="CONV_2D"):
        FORMAT.open(artifact_at(path, "tflite"), 1)


def test_nan_is_found_and_named(written: Callable[..., Path], artifact_at: Callable[..., Artifact]):
    assert FORMAT.find_nan(artifact_at(written(models.classifier()), "tflite")) is None
    model = models.Builder()
    x = model.input("x", (1, 8, 8, 3))
    weights = np.zeros((2, 1, 1, 3), np.float32)
    weights[1, 0, 0, 2] = np.inf
    path = written(model.finish([model.conv(x, weights, np.zeros(2, np.float32))]))
    assert FORMAT.find_nan(artifact_at(path, "tflite")) == "constant_1"


def test_the_content_decides_not_the_suffix(written: Callable[..., Path]):
    assert find_format(written(models.classifier())).name == "tflite"
    with pytest.raises(InputError, match=r"holds a model in the format tflite"):
        find_format(written(models.classifier(), "model.onnx"))
    with pytest.raises(InputError):
        find_format(written(b"\0" * 100))


def test_every_truncation_is_an_input_error(written: Callable[..., Path]):
    data = models.classifier()
    for size in range(0, len(data), 97):
        with pytest.raises(InputError):
            read_model(written(data[:size]))


@pytest.mark.parametrize("name", ["models/cifar10_resnet8_int8.tflite", "coral/keras_lstm_mnist_ptq.tflite"])
def test_a_damaged_file_is_described_or_refused_but_never_crashes(
    shared_data: Callable[[str], Path], written: Callable[..., Path], name: str
):
    data = shared_data(name).read_bytes()
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(data)
        # The tables lie at the end of such files, the weights before them: half of the damage goes where it hurts.
        where = draw.integers(0, len(data), 3).tolist() + draw.integers(max(0, len(data) - 6000), len(data), 6).tolist()
        for place in where:
            damaged[place] = int(draw.integers(0, 256))
        refused += attempt(written(bytes(damaged)))
    assert 0 < refused < 200


def attempt(path: Path) -> int:
    """1 if the file is refused, 0 if it is described; anything else than an InputError fails the test."""
    try:
        FORMAT.read_io(path, Declared())
        model = read_model(path)
        describe_model(model)
        for tensor in model.main.tensors:
            model.read_constant(tensor)
    except EdgekitError as error:
        assert isinstance(error, InputError)
        return 1
    return 0


def test_tables_that_multiply_are_refused_at_once():
    """3,000 subgraphs that are one and the same, with 3,000 tensors that are one: 9 million tables in 25 kilobytes."""
    count = 3000
    data = bytearray(models.classifier())
    data += bytes(-len(data) % 4)
    root = struct.unpack_from("<I", data, 0)[0]
    vtable = root - struct.unpack_from("<i", data, root)[0]
    field = root + struct.unpack_from("<H", data, vtable + 4 + 2 * 2)[0]  # field 2 of the model: its subgraphs
    subgraphs = len(data)
    subgraph = subgraphs + 4 + 4 * count + 8  # after the vector and a vtable that has field 0 only: the tensors
    tensors = subgraph + 8
    tensor = tensors + 4 + 4 * count + 4
    struct.pack_into("<I", data, field, subgraphs - field)
    data += struct.pack("<I", count) + b"".join(
        struct.pack("<I", subgraph - subgraphs - 4 - 4 * i) for i in range(count)
    )
    data += struct.pack("<HHHH", 6, 8, 4, 0) + struct.pack("<iI", 8, tensors - (subgraph + 4))
    data += struct.pack("<I", count) + b"".join(struct.pack("<I", tensor - tensors - 4 - 4 * i) for i in range(count))
    data += struct.pack("<HH", 4, 4) + struct.pack("<i", 4)
    with pytest.raises(InputError, match="more tables than it has room for"):
        parse_model(bytes(data))


def test_constants_outside_the_flatbuffer_are_seen():
    from ai_edge_litert import schema_py_generated as schema

    data = models.classifier()
    model = schema.ModelT.InitFromPackedBuf(data)
    outside = next(index for index, buffer in enumerate(model.buffers) if buffer.data is not None)
    numbers = bytes(model.buffers[outside].data)
    model.buffers[outside].data, model.buffers[outside].size = None, len(numbers)
    packed = pack(model)
    model.buffers[outside].offset = len(packed)
    model.buffers[outside].offset = len(pack(model))  # with an offset the file is a little longer
    whole = pack(model) + numbers
    parsed = parse_model(whole)
    assert [buffer.external for buffer in parsed.buffers].count(True) == 1
    tensor = next(tensor for tensor in parsed.main.tensors if tensor.buffer == outside)
    expected = parse_model(data)
    np.testing.assert_array_equal(
        parsed.read_constant(tensor),
        expected.read_constant(next(other for other in expected.main.tensors if other.name == tensor.name)),
    )
    assert describe_model(parsed).metadata["external_buffers"] == 1


def pack(model: object) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_header_tells_whether_a_model_is_quantized(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Floats at the ends, as in the second, do not count; a damaged file tells nothing."""
    known = FORMATS.get("tflite")
    for name, quantized in (("dense_256", True), ("lenet_int8_floatio", True), ("lenet_float32", False)):
        assert known.read_header(shared_data(f"coral/{name}.tflite")).quantized is quantized
    data = shared_data("coral/dense_256.tflite").read_bytes()
    for damaged in (b"", data[:100], data[:5000]):
        (tmp_path / "m.tflite").write_bytes(damaged)
        assert not known.read_header(tmp_path / "m.tflite").quantized
    assert not known.read_header(tmp_path / "missing.tflite").quantized
