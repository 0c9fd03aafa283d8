"""The Edge TPU's rules: each limit from both sides, what else decides a status, and where the graph is cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgekit.devices.placement import Placement
from edgekit.devices.rules import RULES
from edgekit.devices.rules.edgetpu import NOT_COMPILED, predict
from edgekit.devices.rules.edgetpu_limits import RULES as LIMITS
from edgekit.devices.rules.edgetpu_partition import first_region
from edgekit.devices.rules.edgetpu_table import load_table
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model
from edgekit.graph import Graph, Operator, Quantization, TensorInfo

ROOT = Path(__file__).resolve().parents[3]
models = SimpleNamespace(**run_path(str(ROOT / "tests" / "tflite_models.py")))
ops = SimpleNamespace(**run_path(str(ROOT / "tests" / "edgetpu_operators.py")))
TABLE = load_table()
STATUS = TABLE.statuses


def test_it_is_a_rule_set():
    assert RULES.get("edgetpu").judges == "tflite"


# One operator on either side of each limit


def judged(data: bytes) -> Placement:
    return predict(describe_model(parse_model(data)))


PAIRED = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
WIDE = (1, 80, 8400)
NARROW = (1, 80, 600)
#: {(operator, rule): (a model that maps, one that does not)}. Sizes are those of the sources, or beside the limit.
SIDES: dict[tuple[str, str], tuple[bytes, bytes]] = {
    ("AVERAGE_POOL_2D", "no_fused_activation"): (ops.pool("AVERAGE_POOL_2D", 0), ops.pool("AVERAGE_POOL_2D", 1)),
    ("MAX_POOL_2D", "no_fused_activation"): (ops.pool("MAX_POOL_2D", 0), ops.pool("MAX_POOL_2D", 3)),
    ("CONCATENATION", "no_fused_activation"): (
        ops.concatenated([(1, 4), (1, 4)], (1, 8)),
        ops.concatenated([(1, 4), (1, 4)], (1, 8), activation=1),
    ),
    ("CONCATENATION", "constant_is_padding"): (
        ops.concatenated([(1, 4), np.zeros((1, 4), np.int8)], (1, 8)),
        ops.concatenated([(1, 4), np.ones((1, 4), np.int8)], (1, 8)),
    ),
    ("CONCATENATION", "row_elements_fit"): (
        ops.concatenated([(1, 14400, 9), (1, 4806, 9)], (1, 19206, 9), axis=1),
        ops.concatenated([(1, 2352, 85), (1, 735, 85)], (1, 3087, 85), axis=1),
    ),
    ("CONV_2D", "constant_inputs"): (ops.conv(3), ops.conv(3, computed=True)),
    ("CONV_2D", "equal_dilation"): (ops.conv(3, across=2, down=2), ops.conv(3, across=2)),
    ("CONV_2D", "window_below"): (ops.conv(16), ops.conv(64)),
    ("DEPTHWISE_CONV_2D", "constant_inputs"): (ops.depthwise(), ops.depthwise(computed=True)),
    ("DEPTHWISE_CONV_2D", "equal_dilation"): (ops.depthwise(across=2, down=2), ops.depthwise(down=2)),
    ("FULLY_CONNECTED", "constant_inputs"): (ops.dense(8), ops.dense(8, computed=True)),
    ("FULLY_CONNECTED", "default_weights_format"): (ops.dense(8), ops.dense(8, shuffled=1)),
    ("FULLY_CONNECTED", "output_is_vector"): (ops.dense(8), ops.dense(8, rows=2)),
    ("FULLY_CONNECTED", "outputs_below"): (ops.dense(12_288), ops.dense(100_000)),
    ("LOGISTIC", "single_row_fits"): (ops.same("LOGISTIC", (1, 2034, 91)), ops.same("LOGISTIC", (1, 19206, 9))),
    **{(kind, "single_row_fits"): (ops.same(kind, NARROW), ops.same(kind, WIDE)) for kind in ("RELU", "RELU6", "TANH")},
    ("RELU_N1_TO_1", "single_row_fits"): (ops.same("RELU_N1_TO_1", NARROW), ops.same("RELU_N1_TO_1", WIDE)),
    **{(kind, "single_row_fits"): (ops.paired(kind, NARROW), ops.paired(kind, WIDE)) for kind in PAIRED},
    ("SPLIT", "single_row_fits"): (ops.split(1, (1, 80, 600)), ops.split(1, (1, 80, 8400))),
    ("QUANTIZE", "single_row_fits"): (ops.same("QUANTIZE", NARROW), ops.same("QUANTIZE", WIDE)),
    ("MEAN", "not_over_batch"): (ops.reduced("MEAN", [1, 2]), ops.reduced("MEAN", [0])),
    ("MEAN", "channel_reduction_multiple"): (ops.reduced("MEAN", [3], (1, 8, 8, 8)), ops.reduced("MEAN", [-1])),
    ("MEAN", "averaged_below"): (
        ops.reduced("MEAN", [1, 2], (1, 64, 128, 3)),
        ops.reduced("MEAN", [1, 2], (1, 256, 128, 3)),
    ),
    ("SUM", "not_over_batch"): (ops.reduced("SUM", [3]), ops.reduced("SUM", [0])),
    ("REDUCE_MAX", "not_over_batch"): (ops.reduced("REDUCE_MAX", [1, 2]), ops.reduced("REDUCE_MAX", [0])),
    ("REDUCE_MIN", "not_over_batch"): (ops.reduced("REDUCE_MIN", [1, 2]), ops.reduced("REDUCE_MIN", [-4])),
    ("PACK", "not_over_batch"): (ops.packed(1), ops.packed(0)),
    ("PAD", "no_batch_padding"): (
        ops.padded(0),
        ops.single("PAD", [(1, 1, 4, 4), ops.ints([[1, 0], *[[0, 0]] * 3])], (1, 2, 4, 4)),
    ),
    ("PRELU", "slope_per_channel"): (
        ops.single("PRELU", [(1, 4, 4, 8), ops.weights(1, 1, 8)], (1, 4, 4, 8)),
        ops.single("PRELU", [(1, 4, 4, 8), ops.weights(4, 4, 8)], (1, 4, 4, 8)),
    ),
    ("RESHAPE", "both_sides_fit_a_tile"): (
        ops.reshaped((1, 400, 3, 85), (1, 1200, 85)),
        ops.reshaped((1, 1600, 3, 85), (1, 4800, 85)),
    ),
    ("RESIZE_BILINEAR", "enlarges_up_to"): (
        ops.resized("RESIZE_BILINEAR", (1, 16, 16, 128), 64),
        ops.resized("RESIZE_BILINEAR", (1, 1, 1, 256), 33),
    ),
    ("RESIZE_BILINEAR", "output_fits_tiles"): (
        ops.resized("RESIZE_BILINEAR", (1, 64, 64, 32), 128),
        ops.resized("RESIZE_BILINEAR", (1, 256, 256, 32), 512),
    ),
    ("RESIZE_NEAREST_NEIGHBOR", "output_fits_tiles"): (
        ops.resized("RESIZE_NEAREST_NEIGHBOR", (1, 40, 40, 128), 80),
        ops.resized("RESIZE_NEAREST_NEIGHBOR", (1, 512, 512, 3), 1024),
    ),
    ("SLICE", "single_row_fits"): (
        ops.single("SLICE", [NARROW, ops.ints(0, 0, 0), ops.ints(1, 8, 600)], (1, 8, 600)),
        ops.single("SLICE", [WIDE, ops.ints(0, 0, 0), ops.ints(1, 8, 8400)], (1, 8, 8400)),
    ),
    ("SOFTMAX", "vector_up_to"): (ops.same("SOFTMAX", (1, 16_384)), ops.same("SOFTMAX", (1, 16_385))),
    ("SPLIT", "not_over_batch"): (ops.split(2, (1, 96, 64, 1)), ops.split(0, (2, 32, 64))),
    ("SQUEEZE", "squeezes_leading_axes"): (
        ops.squeezed((1, 1, 5, 10), [1], (1, 5, 10)),
        ops.squeezed((1, 5, 1, 10), [2], (1, 5, 10)),
    ),
    ("STRIDED_SLICE", "channel_stride_is_one"): (
        ops.strided((1, 224, 224, 3), (1, 112, 112, 3), (1, 2, 2, 1)),
        ops.strided((1, 3, 160, 320), (1, 3, 160, 160), (1, 1, 1, 2)),
    ),
    ("STRIDED_SLICE", "no_ellipsis_or_new_axis"): (
        ops.sliced((1, 8, 8), (1, 8, 4)),
        ops.sliced((1, 8, 8), (1, 8, 4), ellipsisMask=1),
    ),
    ("STRIDED_SLICE", "single_row_fits"): (ops.sliced(NARROW, (1, 8, 600)), ops.sliced((1, 144, 8400), (1, 64, 8400))),
    ("TRANSPOSE", "two_copies_fit_a_tile"): (ops.transposed((1, 24, 24, 144)), ops.transposed((1, 20, 20, 256))),
    ("TRANSPOSE_CONV", "constant_inputs"): (ops.upconvolved(4, 4, 8), ops.upconvolved_by_computed_weights()),
    ("TRANSPOSE_CONV", "smaller_than_refused"): (ops.upconvolved(31, 1024, 512, 2), ops.upconvolved(32, 1024, 512, 2)),
    ("UNIDIRECTIONAL_SEQUENCE_LSTM", "features_up_to"): (ops.recurrent(900), ops.recurrent(1100)),
}


def test_every_limit_of_the_table_stands_here():
    limits = {(name, limit.rule) for name, row in TABLE.rows.items() for limit in row.limits}
    assert limits == SIDES.keys()
    assert {rule for _, rule in limits} == LIMITS.keys()
    assert TABLE.remedies["limits"].keys() == LIMITS.keys()


@pytest.mark.parametrize("case", SIDES, ids="-".join)
def test_both_sides_of_a_limit(case: tuple[str, str]):
    inside, outside = (judged(data) for data in SIDES[case])
    assert [one.status for one in inside.operators] == [STATUS["mapped"]]
    (refused,) = outside.operators
    assert refused.type == case[0]
    limit = next(limit for limit in TABLE.rows[case[0]].limits if limit.rule == case[1])
    assert (refused.status, refused.cause, refused.placement) == (STATUS[limit.status], "rejected", "cpu")
    assert refused.reason
    remedies = {one.text for one in TABLE.remedies["limits"][case[1]]}
    assert refused.remedy in remedies, "refused for this limit and no other"
    assert outside.subgraphs == 0


def test_a_constant_beside_two_other_inputs_of_a_concatenation():
    zeros = np.zeros((1, 4), np.int8)
    assert judged(ops.concatenated([(1, 4), zeros, (1, 4)], (1, 12))).operators[0].status == STATUS["limited"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (ops.same("LEAKY_RELU", (1, 8)), "operator"),
        (ops.same("HARD_SWISH", (1, 8)), "operator"),
        (ops.same("LOGISTIC", (2, 4, 4, 4)), "rank"),
        (ops.single("ADD", [(2, 4, 4, 4), (2, 4, 4, 4)], (2, 4, 4, 4), dtype="float32"), "rank"),
        (ops.single("ADD", [(1, 4), (1, 4)], (1, 4), dtype="float32"), "data_type"),
        (ops.single("CAST", [(1, 4)], (1, 4), out="int32"), "data_type"),
        (ops.single("ARG_MAX", [(1, 4), ops.ints(1)], (1,), out="int64"), "data_type"),
        (ops.single("QUANTIZE", [(1, 4)], (1, 4), dtype="float32", out="int8"), "limited"),
        (ops.single("FULLY_CONNECTED", [(1, 4), ops.weights(4, 4), ops.bias(4)], (1, 4), version=9), "version"),
        (ops.single("FULLY_CONNECTED", [(1, 4), ops.weights(4, 4), ops.bias(4)], (1, 4), version=5), "mapped"),
        (ops.same("LOGISTIC", (1, 1, 1, 4, 4, 4)), "mapped"),
    ],
)
def test_what_else_decides_a_status(data: bytes, status: str):
    assert [one.status for one in judged(data).operators] == [STATUS[status]]


@pytest.mark.parametrize(
    "build",
    [lambda batch: ops.conv(3, batch=batch), lambda batch: ops.depthwise(batch=batch)],
    ids=["conv", "depthwise"],
)
def test_a_convolution_of_a_batch_has_too_many_axes(build: Callable[[int], bytes]):
    """Four axes above 1 are one too many, so that a batch of pictures is refused for its rank."""
    assert [judged(build(batch)).operators[0].status for batch in (1, 2)] == [STATUS["mapped"], STATUS["rank"]]


def test_float16_weights_are_refused_for_their_rank_or_their_type():
    """As compiler 16 logged it of a YOLOv5 in float16: 4-D weights by rank, biases and all else by type."""
    model = models.Builder()
    x = model.input("x", (1, 8, 8, 3))
    filters = model.add("DEQUANTIZE", [model.constant(np.ones((4, 3, 3, 3), np.float16))], (4, 3, 3, 3))
    offsets = model.add("DEQUANTIZE", [model.constant(np.ones(4, np.float16))], (4,))
    y = model.add("CONV_2D", [x, filters, offsets], (1, 8, 8, 4), ops.options("Conv2D", strideW=1, strideH=1))
    placement = judged(model.finish([y]))
    assert [one.status for one in placement.operators] == [STATUS[name] for name in ("rank", "data_type", "data_type")]
    assert {one.cause for one in placement.operators} == {"rejected"}


def test_float_ends_are_the_hosts():
    model = models.Builder()
    x = model.add("QUANTIZE", [model.input("x", (1, 8))], (1, 8), dtype="int8")
    x = model.add("LOGISTIC", [x], (1, 8), dtype="int8")
    placement = judged(model.finish([model.add("DEQUANTIZE", [x], (1, 8))]))
    assert [one.cause for one in placement.operators] == ["host", "mapped", "host"]
    assert placement.verdict() == "fits"


@pytest.mark.parametrize(
    ("kind", "rule"),
    [("GELU", "unknown_operator"), ("REDUCE_ALL", "unknown_operator"), ("STABLEHLO_ADD", "unknown_operator")],
)
def test_an_operator_beyond_the_compilers_enumeration_fails_the_whole_model(kind: str, rule: str):
    model = models.Builder()
    x = model.add("LOGISTIC", [model.input("x", (1, 8), "int8")], (1, 8), dtype="int8")
    placement = judged(model.finish([model.add(kind, [x], (1, 8), dtype="int8")]))
    assert [violation.rule for violation in placement.violations] == [rule]
    assert placement.violations[0].source and "{" not in placement.violations[0].message
    assert placement.operators[0].status == NOT_COMPILED
    assert (placement.verdict(), placement.subgraphs) == ("violates", 0)


@pytest.mark.parametrize("name", ["Atan", "PosenetDecoder", "MaxPoolingWithArgmax2D", "mfcc", ""])
def test_a_custom_operator_that_the_compiler_does_not_have_fails_the_whole_model(name: str):
    """As it said of Atan, and of PosenetDecoderOp: Encountered unresolved custom op."""
    placement = judged(ops.custom(name, (1, 8)))
    (violation,) = placement.violations
    assert violation.rule == "custom_operator" and violation.source and violation.remedy
    assert f"ERROR: Encountered unresolved custom op: {name or 'CUSTOM'}." in violation.message
    assert [one.placement for one in placement.operators] == ["cpu", "cpu"]


@pytest.mark.parametrize(
    ("name", "status"), [("TFLite_Detection_PostProcess", "data_type"), ("AudioSpectrogram", "data_type")]
)
def test_custom_operators_of_tensorflow_lite_stay_on_the_cpu(name: str, status: str):
    placement = judged(ops.custom(name, (1, 8), out="float32"))
    assert placement.violations == ()
    assert [one.status for one in placement.operators] == [STATUS["mapped"], STATUS[status]]


def test_the_pose_decoder_is_joined_to_what_the_compiler_writes():
    placement = judged(ops.custom("PosenetDecoderOp", (1, 8), out="float32"))
    assert placement.violations == () and placement.subgraphs == 1
    assert sum(note.startswith("PosenetDecoderOp: the compiler refuses") for note in placement.notes) == 1


@pytest.mark.parametrize(("classes", "dtype", "told"), [(1000, "int8", 1), (100, "int8", 0), (1000, "float32", 0)])
def test_a_final_softmax_whose_probabilities_vanish_in_8_bits(classes: int, dtype: str, told: int):
    """Behind a layer with weights, at the end of the model; one in its middle (attention) is another's matter."""
    scaled = None if dtype == "float32" else Quantization((1.0,), (0,))
    tensors = [
        *[TensorInfo("x", (1, 8), dtype, quantization=scaled), TensorInfo("w", (classes, 8), dtype, constant=True)],
        *[TensorInfo(name, (1, classes), dtype, quantization=scaled) for name in ("z", "y")],
        *[TensorInfo("v", (classes, classes), dtype, constant=True), TensorInfo("u", (1, classes), dtype)],
    ]
    operators = [
        Operator(0, "FULLY_CONNECTED", (0, 1), (2,)),
        Operator(1, "SOFTMAX", (2,), (3,)),
        Operator(2, "FULLY_CONNECTED", (3, 4), (5,)),
    ]
    final = predict(Graph("tflite", tuple(tensors[:4]), tuple(operators[:2]), (0,), (3,)))
    inner = predict(Graph("tflite", tuple(tensors), tuple(operators), (0,), (5,)))
    assert [sum("onnx_cut_tail:softmax_over=0" in note for note in one.notes) for one in (final, inner)] == [told, 0]


@pytest.mark.parametrize(
    ("dtype", "told"),
    [("uint8", "add the step onnx_float_inputs"), ("int32", "it makes floats of the model's integer input")],
)
def test_the_cast_of_an_integer_input(dtype: str, told: str):
    """Told apart from a cast in the middle of the model."""
    tensors = (
        *(TensorInfo("x", (1, 8, 8, 3), dtype), TensorInfo("order", (4,), "int32", constant=True)),
        *(TensorInfo("t", (1, 3, 8, 8), dtype), TensorInfo("y", (1, 3, 8, 8), "float32")),
    )
    turn, cast = Operator(0, "TRANSPOSE", (0, 1), (2,)), Operator(1, "CAST", (2,), (3,))
    placed = predict(Graph("tflite", tensors, (turn, cast), (0,), (3,))).operators[1]
    assert placed.type == "CAST" and (placed.remedy or "").startswith(told)
    squash = Operator(0, "LOGISTIC", (0,), (2,))
    placed = predict(Graph("tflite", tensors, (squash, cast), (0,), (3,))).operators[1]
    assert "integer input" not in (placed.remedy or "")


def test_every_operator_is_mapped_refused_or_unknown_to_the_compiler():
    known = {name for name in vars(schema.BuiltinOperator) if name.isupper() or name[0].isupper()}
    beside = {"CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
    assert {name for name in known if not TABLE.parses(name)} == TABLE.newer | beside


@pytest.mark.parametrize(
    ("kind", "inputs", "version", "parsed"),
    [
        ("TILE", [(1, 4, 4, 4), ops.ints(1, 1, 2, 1)], 2, True),
        ("TILE", [(1, 4, 4, 4), ops.ints(1, 1, 2, 1)], 3, False),
        ("TRANSPOSE_CONV", [ops.ints(1, 4, 8, 4), ops.weights(4, 1, 1, 4), (1, 2, 4, 4)], 2, True),
        ("TRANSPOSE_CONV", [ops.ints(1, 4, 8, 4), ops.weights(4, 1, 1, 4), (1, 2, 4, 4)], 4, False),
        ("CONV_2D", [(1, 4, 8, 4), ops.weights(4, 1, 1, 4), ops.bias(4)], 3, True),
        ("CONV_2D", [(1, 4, 8, 4), ops.weights(4, 1, 1, 4), ops.bias(4)], 6, False),
    ],
)
def test_a_version_that_is_not_parsed_fails_the_whole_model(kind: str, inputs: list, version: int, parsed: bool):
    """As compiler 16 said of models by TensorFlow 2.19: Didn't find op for builtin opcode 'TILE' version '3', and of
    TRANSPOSE_CONV 4 and CONV_2D 6; it parsed TRANSPOSE_CONV 2."""
    placement = judged(ops.single(kind, inputs, (1, 4, 8, 4), version=version))
    assert [violation.rule for violation in placement.violations] == ([] if parsed else ["operator_version"])
    for violation in placement.violations:
        assert f"Didn't find op for builtin opcode '{kind}' version '{version}'" in violation.message
        assert violation.source and violation.remedy


def test_what_is_only_inferred_is_told():
    seen = judged(ops.same("LOGISTIC", NARROW)).notes
    (inferred,) = set(judged(ops.paired("SUB", WIDE)).notes) - set(seen)
    assert inferred.startswith("SUB: its place is inferred")
    (documented,) = set(judged(ops.packed(1)).notes) - set(seen)
    assert documented.endswith(": PACK")
    (refused,) = set(judged(ops.same("SQRT", NARROW)).notes) & set(judged(ops.same("SQRT", WIDE)).notes) - set(seen)
    assert refused.startswith("SQRT: its place is inferred")
    assert judged(ops.same("LEAKY_RELU", NARROW)).notes == seen


def test_sizes_that_are_computed_or_free():
    computed = ops.single("RESHAPE", [(1, 4, 4), (2,)], (1, 16))
    assert [violation.rule for violation in judged(computed).violations] == ["dynamic_shape"]
    for free, expected in ((0, []), (1, ["dynamic_shape"])):
        model = models.Builder()
        x = model.input("x", (1, 8, 8, 4), "int8", free=[free])
        placement = judged(model.finish([model.add("LOGISTIC", [x], (1, 8, 8, 4), dtype="int8")]))
        assert [violation.rule for violation in placement.violations] == expected


# Where the graph is cut


def chain(edges: list[tuple[list[int], list[int]]]) -> Graph:
    count = 1 + max(index for reads, writes in edges for index in (*reads, *writes))
    tensors = tuple(TensorInfo(f"t{index}", (1, 4), "int8") for index in range(count))
    operators = tuple(
        Operator(place, "ADD", tuple(reads), tuple(writes)) for place, (reads, writes) in enumerate(edges)
    )
    return Graph("tflite", tensors, operators, (0,), (count - 1,))


def test_the_first_region_follows_the_data_not_the_file():
    # 0 forks: 1 (refused) -> 2; 3 -> 4 later in the file do not wait for it; 5 needs both.
    graph = chain([([0], [1]), ([1], [2]), ([2], [3]), ([1], [4]), ([4], [5]), ([3, 5], [6])])
    assert first_region(graph, [True, False, True, True, True, True]) == {0, 3, 4}


def test_refused_operators_ahead_cost_only_themselves():
    graph = chain([([0], [1]), ([1], [2]), ([2], [3]), ([3], [4])])
    assert first_region(graph, [False, True, True, False]) == {1, 2}
    assert first_region(graph, [True, False, True, True]) == {0}
    assert first_region(graph, [False] * 4) == frozenset()


def test_the_first_region_counts_not_the_largest():
    # 0 and 1 are both ready, 0 is refused: the refused ones go first, and 1 joins what comes after.
    graph = chain([([0], [1]), ([0], [2]), ([1, 2], [3])])
    assert first_region(graph, [False, True, True]) == {1, 2}
    assert first_region(graph, [True, False, True]) == {0}


def test_a_cycle_ends():
    graph = chain([([1], [0]), ([0], [1])])
    assert first_region(graph, [True, True]) == frozenset()
