"""ONNX files that are valid, but that edgekit cannot measure or read: it says which tensor or version is why."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

Command = Callable[..., subprocess.CompletedProcess[str]]


def save(path: Path, node: onnx.NodeProto, x: int, y: onnx.ValueInfoProto, opset: int = 17) -> None:
    """A model of one node, from ``x`` (1, 4) of that type to ``y``."""
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", x, [1, 4])], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)


def value(kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("y", kind, [1, 4])


def test_text_and_sequences(edgekit_command: Command, tmp_path: Path) -> None:
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 4]))
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)
    save(tmp_path / "text.onnx", cast, TensorProto.FLOAT, value(TensorProto.STRING))
    pack = helper.make_node("SequenceConstruct", ["x"], ["y"])
    save(tmp_path / "sequence.onnx", pack, TensorProto.FLOAT, helper.make_value_info("y", sequence))
    same = helper.make_node("Identity", ["x"], ["y"])
    save(tmp_path / "fed.onnx", same, TensorProto.STRING, value(TensorProto.STRING))
    for name, said in (
        ("text.onnx", "the output `y` of text.onnx is text;"),
        ("sequence.onnx", "the output `y` of sequence.onnx is a sequence or map;"),
        ("fed.onnx", "the input `x` of fed.onnx is text;"),
    ):
        done = edgekit_command("compare", name, name, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"error: {said} edgekit measures arrays of numbers\n" in done.stderr


@pytest.mark.parametrize("opset", [99, onnx.defs.onnx_opset_version() + 1])
def test_an_opset_that_is_too_new(opset: int, edgekit_command: Command, tmp_path: Path) -> None:
    """The newest that is named is read: the model exported with it runs."""
    node = helper.make_node("Relu", ["x"], ["y"])
    save(tmp_path / "new.onnx", node, TensorProto.FLOAT, value(TensorProto.FLOAT), opset)
    done = edgekit_command("inspect", "new.onnx", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    told = f"error: the model is of opset {opset}; the newest that is read here is "
    line = next(line for line in done.stderr.splitlines() if line.startswith(told))
    newest = int(line.removeprefix(told))
    save(tmp_path / "old.onnx", node, TensorProto.FLOAT, value(TensorProto.FLOAT), newest)
    assert edgekit_command("compare", "old.onnx", "old.onnx", cwd=tmp_path).returncode == 0
    save(tmp_path / "next.onnx", node, TensorProto.FLOAT, value(TensorProto.FLOAT), newest + 1)
    done = edgekit_command("compare", "next.onnx", "next.onnx", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"the model is of opset {newest + 1}; the newest that is read here is {newest}\n" in done.stderr
