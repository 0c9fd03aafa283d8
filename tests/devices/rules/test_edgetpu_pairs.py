"""The Edge TPU's predictor against files and logs of the real compiler, and the benchmark that compares them."""

from __future__ import annotations

import copy
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.devices.edgetpu_compiler import placement_from_report
from edgekit.devices.edgetpu_report import Report, parse_report
from edgekit.devices.placement import Placement
from edgekit.devices.rules.edgetpu import predict
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model, read_model
from edgekit.graph import Graph, Operator, TensorInfo

ROOT = Path(__file__).resolve().parents[3]
ops = SimpleNamespace(**run_path(str(ROOT / "tests" / "edgetpu_operators.py")))
TABLE = load_table()
STATUS = TABLE.statuses

PAIRS = [
    "asr_model_fm15",
    "deeplab_mobilenet_edgetpu_slim_cityscapes_quant",
    "dense_256",
    "edgetpu_test_mnist_dense",
    "face_detection_front_128_full_integer_quant",
    "gabor_64x64_p4",
    "keras_lstm_mnist_ptq",
    "lenet_float32",
    "lenet_int8_floatio",
    "looming_64x64_3x3",
    "mobilenet_v1_0.25_128_quant",
    "op_add_chain_500",
    "op_conv_128x128x3x32x7x10",
    "op_padding_256x512x3",
    "op_padding_stride_128x128x3",
    "op_stride_64x64x3",
    "ship_tf_quant",
    "spot_bright_16x16",
    "spot_color_red_64x64",
    "ssd_mobilenet_detect_postprocess",
    "weather_forecast_quant_lstm",
    "yolov5n-int8_640",
    "yolov8n_640_1class_full_integer_quant",
]

#: Compiled files of which the layout of every operator is known.
EXACT = [
    "deeplab_mobilenet_edgetpu_slim_cityscapes_quant",
    "dense_256",
    "face_detection_front_128_full_integer_quant",
    "gabor_64x64_p4",
    "lenet_int8_floatio",
    "looming_64x64_3x3",
    "op_add_chain_500",
    "op_padding_stride_128x128x3",
    "op_stride_64x64x3",
    "ship_tf_quant",
    "spot_bright_16x16",
    "spot_color_red_64x64",
    "ssd_mobilenet_detect_postprocess",
    "yolov5n-int8_640",
    "yolov8n_640_1class_full_integer_quant",
]

#: {a file: by how many bytes its older compiler did otherwise}. 1.0 and 2.0 have no masks for the 10 and 35 classes of
#: a softmax (three rows for each four), 1.0 has eleven biases of zeros (ten of 32 channels, one of a single one).
OLDER = {
    "asr_model_fm15": 192 * 9,
    "edgetpu_test_mnist_dense": 192 * 3,
    "op_conv_128x128x3x32x7x10": -(10 * 128 + 64),
}


def judged(data: bytes) -> Placement:
    return predict(describe_model(parse_model(data)))


@pytest.fixture(scope="module")
def benchmark() -> SimpleNamespace:
    """The benchmark that derives the truth from a pair of files."""
    name = "edgetpu_placement"
    module = SimpleNamespace(**run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name=name))
    sys.modules.pop(name, None)
    return module


@pytest.mark.parametrize("name", PAIRS)
def test_where_the_real_compiler_put_each_operator(
    name: str, benchmark: SimpleNamespace, shared_data: Callable[[str], Path]
):
    pair = benchmark.read_pair(shared_data(f"coral/{name}_edgetpu.tflite"))
    assert pair.differences == []
    assert pair.predicted.subgraphs == len(pair.packages)
    assert pair.log in (None, "equal")


@pytest.mark.parametrize("name", EXACT)
def test_parameter_memory_is_exact_where_the_layout_is_known(
    name: str, benchmark: SimpleNamespace, shared_data: Callable[[str], Path]
):
    pair = benchmark.read_pair(shared_data(f"coral/{name}_edgetpu.tflite"))
    memory = pair.predicted.memory
    (package,) = pair.packages
    assert memory["cached_parameter_bytes"] == package.cached_parameter_bytes
    assert memory["streamed_parameter_bytes"] == package.streamed_parameter_bytes


@pytest.mark.parametrize("name", OLDER)
def test_parameter_memory_is_that_of_compiler_16(
    name: str, benchmark: SimpleNamespace, shared_data: Callable[[str], Path]
):
    pair = benchmark.read_pair(shared_data(f"coral/{name}_edgetpu.tflite"))
    (package,) = pair.packages
    real = pair.parameter_bytes
    assert pair.predicted.memory["parameter_bytes"] - real == OLDER[name]
    assert pair.predicted.memory["streamed_parameter_bytes"] == package.streamed_parameter_bytes


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (lambda: ops.dense(8), 4),  # 16 outputs * (4 inputs + scale + bias + zero point, of four bytes each)
        (lambda: ops.dense(65), 32),  # 128 outputs
        (lambda: ops.conv(3), 12),  # 16 outputs * (9 places * 4 inputs + 12)
        (lambda: ops.depthwise(), 3),  # 4 channels * (9 places * 4 bytes + 12)
        (lambda: ops.reshaped((1, 65, 20, 20), (1, 65, 400)), 560),  # 7 times 64 outputs, of 4 columns of 20 each
        (lambda: ops.reshaped((1, 3, 4, 6), (1, 3, 24)), 32),  # 64 outputs, of 4 columns of 6 filled up to 8
        (lambda: ops.reshaped((1, 40, 40, 8), (1, 1600, 8)), 0),
        (lambda: ops.same("SOFTMAX", (1, 1000)), 0),
        (lambda: ops.same("SOFTMAX", (1, 1001)), 753),  # masks: three rows for each four classes
        (lambda: ops.single("ADD", [(1, 8, 8, 32), np.arange(32).astype(np.int8)], (1, 8, 8, 32)), 8),  # 16 tiles * 32
        (lambda: ops.single("ADD", [(1, 8, 8, 32), np.full(32, 3, np.int8)], (1, 8, 8, 32)), 0),  # one number
    ],
)
def test_parameter_memory_by_hand(data: Callable[[], bytes], rows: int):
    assert judged(data()).memory["parameter_bytes"] == 64 * rows


@pytest.mark.parametrize(
    ("log", "name"),
    [
        ("modelnew__yolov5n-int8", "yolov5n-int8_640"),
        ("facemesh_EdgeTPU__models__cocompile__face_detection_front_128_full_integer_quant", PAIRS[4]),
        ("asr_edgetpu_demo__tflite_model__ASR_Model", "asr_model_fm15"),
        ("tensorflowlite__detect", "ssd_mobilenet_detect_postprocess"),
    ],
)
def test_statuses_of_logs_whose_model_is_here(log: str, name: str, shared_data: Callable[[str], Path]):
    placement = predict(describe_model(read_model(shared_data(f"coral/{name}.tflite"))))
    told = placement_from_report(read_log(shared_data, log), placement)
    assert told is not None, "the log's counts are not the predicted ones"
    assert told.operators == placement.operators


def test_yolov8_with_80_classes(shared_data: Callable[[str], Path]):
    """Its log is here, its file is not: that of one class, with the sizes that the classes change, comes to the log's
    counts, but for a QUANTIZE more."""
    graph = describe_model(read_model(shared_data("coral/yolov8n_640_1class_full_integer_quant.tflite")))
    head = {operator.outputs[0] for operator in graph.operators if operator.index >= 183}
    sizes = {(1, 8400): (80, 8400), (5, 8400): (84, 8400)}

    def widen(tensor: TensorInfo) -> TensorInfo:
        shape = tuple(144 if size == 65 else size for size in tensor.shape)
        if len(shape) == 3:
            shape = (shape[0], *sizes.get(shape[1:], shape[1:]))
        if len(shape) == 4 and shape[1] == shape[2] and shape[3] == 1:
            shape = (*shape[:3], 80)
        return replace(tensor, shape=shape)

    tensors = tuple(widen(tensor) if index in head else tensor for index, tensor in enumerate(graph.tensors))
    found = Counter((one.type, one.status) for one in predict(replace(graph, tensors=tensors)).operators)
    (model,) = read_log(shared_data, "edgetpu_lite__yolov8n_full_integer_quant").models
    told = Counter({(row.type, row.status): row.count for row in model.rows})
    assert found - told == Counter({("QUANTIZE", STATUS["mapped"]): 1})
    assert told - found == Counter()


def test_weights_with_many_inputs_to_an_output_are_streamed():
    """google-coral/edgetpu issue 572: 3.45 MiB of a convolution over all of a [1, 7, 7, 576] are streamed."""
    made = ops.options("Conv2D", strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1, padding=1)
    parameters = [ops.weights(128, 7, 7, 576), ops.bias(128)]
    memory = judged(ops.single("CONV_2D", [(1, 7, 7, 576), *parameters], (1, 1, 1, 128), made)).memory
    assert memory["cached_parameter_bytes"] == 0
    assert f"{memory['streamed_parameter_bytes'] / 2**20:.2f}" == "3.45"


def test_a_layer_that_is_larger_than_the_chip_is_streamed():
    """LibrEdgeTPU: of a Dense of 8192 x 8192 nothing is cached, 64.00 MiB are streamed."""
    filters = np.broadcast_to(np.int8(1), (8192, 8192))
    memory = judged(ops.single("FULLY_CONNECTED", [(1, 8192), filters], (1, 8192))).memory
    assert (memory["cached_parameter_bytes"], memory["streamed_parameter_bytes"] >> 20) == (0, 64)


def read_log(shared_data: Callable[[str], Path], name: str) -> Report:
    return parse_report(shared_data(f"coral/logs/{name}.log").read_text())


def test_every_rule_that_is_not_settled_is_listed(benchmark: SimpleNamespace):
    lines = benchmark.list_of_rules().splitlines()
    listed = {tuple(line.split("\t")[:2]) for line in lines if "\t" in line}
    assert {("TILE", "maps"), ("SUM", "not_over_batch"), ("TRANSPOSE", "two_copies_fit_a_tile")} <= listed
    assert ("CONV_2D", "maps") not in listed
    assert ("BATCH_MATMUL", "refused") in listed
    assert ("LEAKY_RELU", "refused") not in listed
    told = {(kind, limit.rule) for kind, row in TABLE.rows.items() for limit in row.limits if limit.inferred}
    assert told <= listed


# The benchmark on files that are no plain pairs


def twice(compiled: bytes) -> bytes:
    """The compiled file with a second operator of the Edge TPU, as the option -a gives."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(compiled, 0))
    graph = model.subgraphs[0]
    (again,) = [copy.copy(one) for one in graph.operators if model.operatorCodes[one.opcodeIndex].customCode]
    again.outputs = [len(graph.tensors)]
    graph.tensors.append(copy.copy(graph.tensors[graph.outputs[0]]))
    graph.operators.append(again)
    builder = flatbuffers.Builder(len(compiled))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_the_benchmark_tells_what_it_cannot_compare(
    benchmark: SimpleNamespace, shared_data: Callable[[str], Path], tmp_path: Path
):
    source, compiled = (shared_data(f"coral/dense_256{end}.tflite").read_bytes() for end in ("", "_edgetpu"))
    other = shared_data("coral/lenet_int8_floatio_edgetpu.tflite").read_bytes()
    cases = {"good": compiled, "lone": compiled, "cut": compiled[:-4096], "other": other, "two": twice(compiled)}
    for name, data in cases.items():
        (tmp_path / f"{name}_edgetpu.tflite").write_bytes(data)
        if name != "lone":
            (tmp_path / f"{name}.tflite").write_bytes(source)
    (tmp_path / "uncompiled.tflite").write_bytes(source)
    pairs, alone, unread = benchmark.read_pairs(tmp_path)
    assert [(pair.name, len(pair.packages), pair.judged) for pair in pairs] == [("good", 1, True), ("two", 2, False)]
    assert pairs[1].parameter_bytes == 2 * pairs[0].parameter_bytes
    assert alone == ["lone_edgetpu.tflite"]
    assert [name for name, _ in unread] == ["cut_edgetpu.tflite", "other_edgetpu.tflite"]
    assert "is not in its source" in unread[1][1]


def test_the_benchmark_notices_files_of_other_models(
    benchmark: SimpleNamespace, shared_data: Callable[[str], Path], tmp_path: Path
):
    """Nothing is left of a model that is compiled as a whole, so that its inputs and outputs have to tell."""
    whole = {name: shared_data(f"coral/{name}_edgetpu.tflite") for name in ("dense_256", "spot_bright_16x16")}
    for path in whole.values():
        assert [one.type for one in describe_model(read_model(path)).operators] == ["edgetpu-custom-op"]
    source = shared_data("coral/dense_256.tflite").read_bytes()
    for name, first, second in (
        ("other", source, whole["spot_bright_16x16"].read_bytes()),
        ("twice", whole["dense_256"].read_bytes(), whole["dense_256"].read_bytes()),
    ):
        (tmp_path / f"{name}.tflite").write_bytes(first)
        (tmp_path / f"{name}_edgetpu.tflite").write_bytes(second)
    pairs, alone, unread = benchmark.read_pairs(tmp_path)
    assert (pairs, alone, [name for name, _ in unread]) == ([], [], ["other_edgetpu.tflite", "twice_edgetpu.tflite"])
    assert "compiled from another model" in unread[0][1]
    assert "is a compiled file itself" in unread[1][1]


def test_a_log_that_is_not_utf8(benchmark: SimpleNamespace, shared_data: Callable[[str], Path], tmp_path: Path):
    for end in ("", "_edgetpu"):
        (tmp_path / f"m{end}.tflite").write_bytes(shared_data(f"coral/dense_256{end}.tflite").read_bytes())
    (tmp_path / "m_edgetpu.log").write_bytes("Mod\xe8le compil\xe9".encode("latin-1"))
    ((pair,), _, unread) = benchmark.read_pairs(tmp_path)
    assert (pair.log, unread) == ("not settled", [])
    head = re.split("  +", benchmark.table_of_models([pair]).splitlines()[0].strip())
    assert len(set(head)) == len(head) == 10


def test_operators_of_one_type_and_name_are_counted(benchmark: SimpleNamespace):
    tensors = tuple(TensorInfo("same", (1, 4), "int8") for _ in range(4))
    operators = tuple(Operator(place, "ADD", (place,), (place + 1,), name="same") for place in range(3))
    graph = Graph("tflite", tensors, operators, (0,), (3,))
    left = replace(graph, operators=(replace(operators[0], type="edgetpu-custom-op"), operators[2]))
    assert benchmark.find_mapped(graph, left) == (True, True, False)
