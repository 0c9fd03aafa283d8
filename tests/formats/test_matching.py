"""Inputs and outputs of converted models: found by running, never by shape. Models are ONNX, so that each case is
exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgekit.artifact import IO, Artifact, Tensor
from edgekit.errors import AmbiguousOutputs, StepError
from edgekit.formats import FORMATS
from edgekit.formats.matching import match_io, permutations_between, synthetic_samples
from edgekit.formats.runner import open_runner

ArtifactAt = Callable[..., Artifact]
NCHW_TO_NHWC, NHWC_TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


def make(
    path: Path,
    shape: tuple[int, ...],
    *,
    before: tuple[int, ...] | None = None,
    after: tuple[int, ...] | None = None,
    names: tuple[str, ...] = ("x", "left", "right"),
    swap: bool = False,
    noise: float = 0.0,
) -> Path:
    """A convolution (two 3x3 kernels, two outputs) over NCHW ``shape``; ``before`` and ``after`` transpose input and
    outputs as a converter does; ``swap`` exchanges the order of the outputs; ``noise`` disturbs the weights."""
    generator = np.random.default_rng(7)
    channels = shape[1]
    weights = [generator.standard_normal((channels, channels, 3, 3)).astype(np.float32) for _ in range(2)]
    disturbed = [w + noise * generator.standard_normal(w.shape).astype(np.float32) for w in weights]
    own = shape if before is None else tuple(shape[axis] for axis in np.argsort(before))
    out = shape if after is None else tuple(shape[axis] for axis in after)
    nodes = []
    first = names[0]
    if before is not None:
        nodes.append(helper.make_node("Transpose", [first], ["t"], perm=list(before)))
        first = "t"
    for index, name in enumerate(names[1:]):
        nodes.append(helper.make_node("Conv", [first, f"w{index}"], [f"c{index}"], pads=[1, 1, 1, 1]))
        last = helper.make_node("Transpose", [f"c{index}"], [name], perm=list(after)) if after else None
        nodes.append(last or helper.make_node("Identity", [f"c{index}"], [name]))
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, out) for name in names[1:]]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, own)],
        outputs[::-1] if swap else outputs,
        [numpy_helper.from_array(w, f"w{index}") for index, w in enumerate(disturbed)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize("shape", [(1, 16, 16, 16), (1, 3, 16, 16), (1, 3, 8, 10)])
def test_channels_last_is_found(tmp_path: Path, artifact_at: ArtifactAt, shape: tuple[int, ...]) -> None:
    """[1, 16, 16, 16] shows nothing by its shape."""
    parent = artifact_at(make(tmp_path / "parent.onnx", shape), "onnx")
    child = make(tmp_path / "child.onnx", shape, before=NHWC_TO_NCHW, after=NCHW_TO_NHWC)
    io = match_io(parent, child, "onnx", threads=1, seed=0)
    assert [tensor.permutation for tensor in (*io.inputs, *io.outputs)] == [NCHW_TO_NHWC] * 3
    sample = synthetic_samples(parent.io, 1, 5)[0]
    first = open_runner(parent, 1).run(sample)
    second = open_runner(artifact_at(child, "onnx", io=io), 1).run(sample)
    for name in ("left", "right"):
        np.testing.assert_allclose(first[name], second[name], atol=1e-4)


def test_only_the_outputs_moved(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    shape = (1, 8, 8, 8)
    parent = artifact_at(make(tmp_path / "parent.onnx", shape), "onnx")
    io = match_io(parent, make(tmp_path / "c.onnx", shape, after=NCHW_TO_NHWC), "onnx", threads=1, seed=0)
    assert [tensor.permutation for tensor in (*io.inputs, *io.outputs)] == [None, NCHW_TO_NHWC, NCHW_TO_NHWC]


def test_the_identity_is_taken_if_it_holds(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 8, 8, 8)), "onnx")
    io = match_io(parent, make(tmp_path / "c.onnx", (1, 8, 8, 8)), "onnx", threads=1, seed=0)
    assert all(tensor.permutation is None for tensor in (*io.inputs, *io.outputs))
    assert [tensor.layout for tensor in io.inputs] == ["NCHW"]


def test_permutations_are_composed_along_a_chain(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    """NCHW -> NHWC -> back: what comes out is in the source's layout again."""
    shape = (1, 3, 8, 10)
    source = artifact_at(make(tmp_path / "a.onnx", shape), "onnx")
    middle_path = make(tmp_path / "b.onnx", shape, before=NHWC_TO_NCHW, after=NCHW_TO_NHWC)
    middle = artifact_at(middle_path, "onnx", io=match_io(source, middle_path, "onnx", threads=1, seed=0))
    io = match_io(middle, make(tmp_path / "c.onnx", shape), "onnx", threads=1, seed=0)
    assert all(tensor.permutation is None for tensor in (*io.inputs, *io.outputs))
    last = make(tmp_path / "d.onnx", shape, before=NHWC_TO_NCHW)
    assert match_io(middle, last, "onnx", threads=1, seed=0).inputs[0].permutation == NCHW_TO_NHWC


def test_outputs_go_by_name_whatever_their_order(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 3, 8, 8)), "onnx")
    io = match_io(parent, make(tmp_path / "c.onnx", (1, 3, 8, 8), swap=True), "onnx", threads=1, seed=0)
    assert {tensor.name: tensor.source_name for tensor in io.outputs} == {"left": "left", "right": "right"}


def test_renamed_outputs_go_by_position_where_the_order_is_the_models(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 3, 8, 8)), "onnx")
    child = make(tmp_path / "c.onnx", (1, 3, 8, 8), names=("input_1", "a", "b"))
    io = match_io(parent, child, "onnx", threads=1, seed=0)
    assert [(tensor.name, tensor.source_name) for tensor in (*io.inputs, *io.outputs)] == [
        ("input_1", "x"),
        ("a", "left"),
        ("b", "right"),
    ]


def test_renamed_and_exchanged_outputs_are_noticed(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 3, 8, 8)), "onnx")
    child = make(tmp_path / "c.onnx", (1, 3, 8, 8), names=("x", "a", "b"), swap=True)
    with pytest.raises(StepError, match="computes something else"):
        match_io(parent, child, "onnx", threads=1, seed=0)


def test_renamed_outputs_without_order_are_refused_by_name(
    tmp_path: Path, artifact_at: ArtifactAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FORMATS.get("onnx"), "keeps_order", False)
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 3, 8, 8)), "onnx")
    child = make(tmp_path / "c.onnx", (1, 3, 8, 8), names=("x", "Identity", "Identity_1"))
    with pytest.raises(AmbiguousOutputs) as raised:
        match_io(parent, child, "onnx", threads=1, seed=0)
    assert raised.value.exit_code == 5
    assert all(name in raised.value.message for name in ("`Identity`", "`Identity_1`", "`left`", "`right`"))


def test_one_renamed_output_needs_no_order(
    tmp_path: Path, artifact_at: ArtifactAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FORMATS.get("onnx"), "keeps_order", False)
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 3, 8, 8), names=("x", "y")), "onnx")
    child = make(tmp_path / "c.onnx", (1, 3, 8, 8), names=("in", "out"))
    assert match_io(parent, child, "onnx", threads=1, seed=0).outputs[0].source_name == "y"


def test_a_lost_output_is_refused(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 3, 8, 8)), "onnx")
    with pytest.raises(AmbiguousOutputs, match="has 1 outputs"):
        match_io(parent, make(tmp_path / "c.onnx", (1, 3, 8, 8), names=("x", "left")), "onnx", threads=1, seed=0)


@pytest.mark.parametrize(("noise", "agrees"), [(1e-4, True), (1e-2, False)])
def test_sixty_decibels(tmp_path: Path, artifact_at: ArtifactAt, noise: float, agrees: bool) -> None:
    """Noise of 1e-4 of the weights is 80 dB, of 1e-2 it is 40 dB."""
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 3, 8, 8)), "onnx")
    child = make(tmp_path / "c.onnx", (1, 3, 8, 8), noise=noise)
    if agrees:
        match_io(parent, child, "onnx", threads=1, seed=0)
    else:
        with pytest.raises(StepError, match=r"reaches (39|40|41)\.\d dB of 60"):
            match_io(parent, child, "onnx", threads=1, seed=0)


def test_a_shape_that_no_permutation_makes(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    parent = artifact_at(make(tmp_path / "parent.onnx", (1, 3, 8, 8)), "onnx")
    with pytest.raises(StepError, match="no permutation"):
        match_io(parent, make(tmp_path / "c.onnx", (1, 3, 8, 9)), "onnx", threads=1, seed=0)


# --- candidates and samples -------------------------------------------------------------------------------------------

sizes = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@settings(max_examples=100, deadline=None)
@given(shape=sizes, data=st.data())
def test_candidates_are_all_and_only_those_that_fit(shape: list[int], data: Any) -> None:
    new = data.draw(st.permutations(shape))
    found = list(permutations_between(shape, new))
    array = np.zeros(shape)
    assert found
    assert all(array.transpose(permutation).shape == tuple(new) for permutation in found)
    assert len(set(found)) == len(found)
    if list(new) == shape:
        assert found[0] == tuple(range(len(shape)))


def test_equal_sizes_leave_all_permutations() -> None:
    found = list(permutations_between((5, 5, 5, 5), (5, 5, 5, 5)))
    assert len(found) == 24
    assert found[:3] == [(0, 1, 2, 3), NCHW_TO_NHWC, NHWC_TO_NCHW]
    assert list(permutations_between((1, 2), (1, 2, 1))) == []


def test_synthetic_samples_are_seeded_and_in_the_sources_layout() -> None:
    image = Tensor("x", "image", (1, 8, 10, 3), "float32", permutation=NCHW_TO_NHWC)
    tokens = Tensor("ids", "ids", (None, 7), "int64")
    picture = Tensor("p", "p", (1, 2), "uint8")
    io = IO((image, tokens, picture), ())
    first, again, other = (synthetic_samples(io, 2, seed) for seed in (3, 3, 4))
    assert first[0]["image"].shape == (1, 3, 8, 10) and first[0]["image"].dtype == np.float32
    assert first[0]["ids"].shape == (1, 7) and set(first[0]["ids"].ravel()) <= {0, 1}
    assert first[0]["p"].dtype == np.uint8
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["image"], two["image"])
    assert not np.array_equal(first[0]["image"], first[1]["image"])
    assert not np.array_equal(first[0]["image"], other[0]["image"])
