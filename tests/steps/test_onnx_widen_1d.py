"""1-D stretches written as 2-D ones: the same numbers whatever stands in them, one reshape at each border."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from edgekit.artifact import Artifact

from ..onnx_models import Node, apply, check_equal, integers, node, numbers, operators, save


def widen(source: Artifact, folder: Path, **options: object) -> Artifact:
    return apply("onnx_widen_1d", source, folder, **options)


#: One operator each behind a 1-D convolution [1, 6, 16], and what becomes of it.
MIDDLES: dict[str, tuple[list[Node], dict[str, np.ndarray]]] = {
    "relu": ([node("Relu", "c", "m")], {}),
    "clip": ([node("Clip", "c", "low", "high", "m")], {"low": np.float32(-0.5), "high": np.float32(0.5)}),
    "per channel": ([node("Mul", "c", "k", "m")], {"k": numbers(6, 1)}),
    "per place": ([node("Add", "k", "c", "m")], {"k": numbers(16)}),
    "one number": ([node("Mul", "c", "k", "m")], {"k": numbers(1, 1, 1)}),
    "whole": ([node("Add", "c", "k", "m")], {"k": numbers(1, 6, 16)}),
    "slopes": ([node("PRelu", "c", "k", "m")], {"k": numbers(6, 1)}),
    "norm": (
        [node("BatchNormalization", "c", "k", "k", "k", "v", "m")],
        {"k": numbers(6), "v": np.abs(numbers(6)) + 1},
    ),
    "instance norm": ([node("InstanceNormalization", "c", "k", "k", "m")], {"k": numbers(6)}),
    "squeeze and excite": (
        [node("GlobalAveragePool", "c", "g"), node("Sigmoid", "g", "s"), node("Mul", "c", "s", "m")],
        {},
    ),
    "shortcut": ([node("Tanh", "c", "t"), node("Add", "c", "t", "m")], {}),
    "channels beside": ([node("Concat", "c", "c", "m", axis=-2)], {}),
    "lengths beside": ([node("Concat", "c", "c", "m", axis=2)], {}),
    "softmax": ([node("Softmax", "c", "m")], {}),
    "softmax of channels": ([node("Softmax", "c", "m", axis=1)], {}),
    "pad": ([node("Pad", "c", "k", "m", mode="reflect")], {"k": np.array([0, 0, 2, 0, 0, 1])}),
    "slice": (
        [node("Slice", "c", "first", "last", "axes", "m")],
        {"first": np.array([1]), "last": np.array([4]), "axes": np.array([1])},
    ),
    "repeated": (
        [node("Resize", "c", "", "k", "m", coordinate_transformation_mode="asymmetric", nearest_mode="floor")],
        {"k": np.array([1, 1, 3], np.float32)},
    ),
    "interpolated": ([node("Resize", "c", "", "k", "m", mode="linear")], {"k": np.array([1, 1, 2.5], np.float32)}),
    "interpolated to a size": (
        [node("Resize", "c", "", "", "k", "m", mode="linear", coordinate_transformation_mode="align_corners")],
        {"k": integers(1, 6, 40)},
    ),
    "max pool": ([node("MaxPool", "c", "m", kernel_shape=[3], strides=[2], ceil_mode=1)], {}),
    "average pool": (
        [node("AveragePool", "c", "m", kernel_shape=[3], pads=[1, 1], strides=[2], count_include_pad=1)],
        {},
    ),
    "maximum kept": ([node("ReduceMax", "c", "m", axes=[2], keepdims=1)], {}),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_one_reshape_at_each_border(name: str, tmp_path: Path) -> None:
    nodes, constants = MIDDLES[name]
    nodes = [node("Conv", "x", "w", "b", "c", pads=[1, 1]), *nodes, node("Relu", "m", "y")]
    source = save(tmp_path / "source.onnx", nodes, (1, 4, 16), w=numbers(6, 4, 3), b=numbers(6), **constants)
    made = widen(source, tmp_path / "made")
    inner = ["GlobalMaxPool" if each == "ReduceMax" else each for each in operators(source)]
    assert operators(made) == ["Unsqueeze", *inner, "Squeeze"]
    check_equal(source, made, (1, 4, 16))


#: What ends a stretch: it reads the narrow form, or the wide one where the order of the numbers is all that counts.
ENDS: dict[str, tuple[list[Node], list[str], dict[str, np.ndarray]]] = {
    "mean": ([node("ReduceMean", "c", "y", axes=[-1], keepdims=0)], ["GlobalAveragePool", "Flatten"], {}),
    "mean of channels": ([node("ReduceMean", "c", "y", axes=[1])], ["Squeeze", "ReduceMean"], {}),
    "flatten": ([node("Flatten", "c", "y")], ["Flatten"], {}),
    "flatten from behind": ([node("Flatten", "c", "y", axis=-1)], ["Flatten"], {}),
    "reshape": ([node("Reshape", "c", "k", "y")], ["Reshape"], {"k": np.array([0, -1, 8, 3])}),
    "transpose": ([node("Transpose", "c", "y", perm=[0, 2, 1])], ["Squeeze", "Transpose"], {}),
    "product": ([node("MatMul", "c", "k", "y")], ["Squeeze", "MatMul"], {"k": numbers(16, 3)}),
    "more axes": ([node("Add", "c", "k", "y")], ["Squeeze", "Add"], {"k": numbers(2, 1, 1, 1)}),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_stretch(name: str, tmp_path: Path) -> None:
    nodes, becomes, constants = ENDS[name]
    source = save(
        tmp_path / "source.onnx",
        [node("Conv", "x", "w", "c", pads=[1, 1]), *nodes],
        (1, 4, 16),
        w=numbers(6, 4, 3),
        **constants,
    )
    made = widen(source, tmp_path / "made")
    assert operators(made) == ["Unsqueeze", "Conv", *becomes]
    check_equal(source, made, (1, 4, 16))


def test_a_border_in_the_middle(tmp_path: Path) -> None:
    """Both forms of one tensor are read: each is made once."""
    nodes = [
        node("Conv", "x", "w", "c", pads=[1, 1]),
        node("Transpose", "c", "t", perm=[0, 2, 1]),
        node("MatMul", "t", "c", "p"),
        node("Conv", "c", "v", "d"),
        node("Flatten", "p", "f"),
        node("Flatten", "d", "g"),
        node("Concat", "f", "g", "y", axis=1),
    ]
    source = save(tmp_path / "source.onnx", nodes, (1, 4, 16), w=numbers(6, 4, 3), v=numbers(2, 6, 1))
    made = widen(source, tmp_path / "made")
    assert sorted(operators(made)) == sorted([*operators(source), "Unsqueeze", "Squeeze"])
    check_equal(source, made, (1, 4, 16))


@pytest.mark.parametrize("opset", [9, 12, 13, 18])
def test_older_and_newer_files(opset: int, tmp_path: Path) -> None:
    pads = [0, 0, 2, 0, 0, 1]
    pad = node("Pad", "c", "p", pads=pads) if opset < 11 else node("Pad", "c", "k", "p")
    nodes = [node("Conv", "x", "w", "c"), pad, node("Softmax", "p", "y", axis=1)]
    constants = {} if opset < 11 else {"k": np.array(pads)}
    source = save(tmp_path / "source.onnx", nodes, ("N", 4, 16), opset=opset, w=numbers(6, 4, 3), **constants)
    made = widen(source, tmp_path / "made")
    assert operators(made) == ["Unsqueeze", "Conv", "Pad", "Softmax", "Squeeze"]
    check_equal(source, made, (2, 4, 16))


def test_what_stays(tmp_path: Path) -> None:
    """2-D convolutions; computed weights; nodes that are to be kept; 3-D tensors without any window."""
    for name, nodes, shape, constants in (
        ("2-D", [node("Conv", "x", "w", "y")], (1, 4, 5, 5), {"w": numbers(6, 4, 3, 3)}),
        ("computed", [node("Relu", "v", "w"), node("Conv", "x", "w", "y")], (1, 4, 16), {"v": numbers(6, 4, 3)}),
        ("no window", [node("Relu", "x", "y")], (1, 4, 16), {}),
    ):
        source = save(tmp_path / f"{name}.onnx", nodes, shape, **constants)
        assert operators(widen(source, tmp_path / name)) == operators(source)
    source = save(tmp_path / "kept.onnx", [node("Conv", "x", "w", "y")], (1, 4, 16), w=numbers(6, 4, 3))
    assert operators(widen(source, tmp_path / "kept", keep=("Conv_y",))) == ["Conv"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pads=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    cut=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
)
def test_slices_of_padding(
    pads: tuple[int, int], cut: tuple[int, int], stride: int, dilation: int, tmp_path: Path
) -> None:
    """Causal networks pad on both sides and cut one off: less padding does the same. Others keep their slice."""
    attributes = {"pads": list(pads), "strides": [stride], "dilations": [dilation]}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="c", **attributes),
        node("Slice", "c", "first", "last", "axes", "y"),
    ]
    constants = {"first": integers(cut[0]), "last": integers(-cut[1] or 1000), "axes": integers(2)}
    length = (20 + sum(pads) - 2 * dilation - 1) // stride + 1
    if length <= sum(cut):
        return
    source = save(tmp_path / "source.onnx", nodes, (1, 4, 20), w=numbers(6, 4, 3), **constants)
    made = widen(source, tmp_path / "made")
    if stride == 1:
        covered = cut[0] <= pads[0] and cut[1] <= pads[1]
        assert operators(made) == ["Unsqueeze", "Conv", *([] if covered else ["Slice"]), "Squeeze"]
    check_equal(source, made, (1, 4, 20))


def test_a_slice_beside_another_reader(tmp_path: Path) -> None:
    """The padding is read there."""
    nodes = [
        node("Conv", "x", "w", "c", pads=[2, 2]),
        node("Slice", "c", "first", "last", "axes", "s"),
        node("GlobalAveragePool", "c", "g"),
        node("Mul", "s", "g", "y"),
    ]
    constants = {"first": integers(0), "last": integers(-2), "axes": integers(2)}
    source = save(tmp_path / "source.onnx", nodes, (1, 4, 16), w=numbers(6, 4, 3), **constants)
    made = widen(source, tmp_path / "made")
    assert operators(made) == ["Unsqueeze", "Conv", "Slice", "GlobalAveragePool", "Mul", "Squeeze"]
    check_equal(source, made, (1, 4, 16))


@st.composite
def windows(draw_: st.DrawFn) -> tuple[str, dict[str, object], int, int]:
    """(kind, attributes, groups, length) of a convolution, a transposed one or a pooling that has an output."""
    kind = draw_(st.sampled_from(["Conv", "ConvTranspose", "MaxPool", "AveragePool"]))
    kernel, stride = draw_(st.integers(1, 5)), draw_(st.integers(1, 4))
    dilation = draw_(st.integers(1, 3)) if kind != "AveragePool" else 1
    attributes: dict[str, object] = {"kernel_shape": [kernel], "strides": [stride]}
    if kind != "AveragePool":
        attributes["dilations"] = [dilation]
    length = draw_(st.integers(dilation * (kernel - 1) + 1, 24))
    if draw_(st.booleans()) and kind != "ConvTranspose":
        attributes["auto_pad"] = draw_(st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        attributes["strides"] = [min(stride, kernel)]  # else the oracle counts a negative padding
        attributes.pop("dilations", None)  # it refuses both at once
    else:
        attributes["pads"] = [draw_(st.integers(0, kernel - 1)), draw_(st.integers(0, kernel - 1))]
    if kind == "ConvTranspose" and stride > 1:
        attributes["output_padding"] = [draw_(st.integers(0, stride - 1))]
        attributes["pads"] = [0, 0]
    return kind, attributes, draw_(st.sampled_from([1, 2, 4])), length


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(window=windows())
def test_every_window(window: tuple[str, dict[str, object], int, int], tmp_path: Path) -> None:
    kind, attributes, groups, length = window
    kernel = attributes["kernel_shape"][0]  # type: ignore[index]
    constants = {}
    if kind.startswith("Conv"):
        attributes = {**attributes, "group": groups}
        constants = {"w": numbers(8, 4 // groups, kernel) if kind == "Conv" else numbers(4, 3, kernel)}
    given_ = ["x", *constants]
    nodes = [helper.make_node(kind, given_, ["y"], name="window", **attributes)]
    source = save(tmp_path / "source.onnx", nodes, (2, 4, length), **constants)
    made = widen(source, tmp_path / "made")
    assert operators(made) == ["Unsqueeze", kind, "Squeeze"]
    check_equal(source, made, (2, 4, length))


def test_a_network_from_torch(
    tmp_path: Path, network: Callable[[str], Artifact], run_step: Callable[..., Artifact]
) -> None:
    source = run_step("torch_to_onnx", network("audio"))
    made = run_step("onnx_widen_1d", run_step("onnx_simplify", source))
    stretch = ["Conv", "Relu", "Conv", "Relu", "MaxPool", "GlobalAveragePool"]
    assert operators(made) == ["Unsqueeze", *stretch, "Flatten", "Gemm"]
    x, name = numbers(1, 1, 1024), source.io.inputs[0].name
    files = [
        onnxruntime.InferenceSession(str(each.path), providers=["CPUExecutionProvider"]) for each in (source, made)
    ]
    first, second = (file.run(None, {name: x})[0] for file in files)
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)
