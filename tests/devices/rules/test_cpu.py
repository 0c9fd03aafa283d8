"""Devices without an accelerator, against the runtimes themselves: each is asked for every operator of its table."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit.devices import load_profiles
from edgekit.devices.judge import judge_graph
from edgekit.devices.latency import estimate
from edgekit.devices.profile import Profile
from edgekit.devices.rules.table import OperatorTable, load_table
from edgekit.graph import Graph, Operator, TensorInfo

PROFILES = load_profiles()
CPU = [name for name in PROFILES if PROFILES[name].operators.rules == "cpu"]


def network(*types: str, format_name: str = "tflite", version: int | None = 1, **attributes: Any) -> Graph:
    """A chain of operators over vectors of 8 numbers."""
    tensors = tuple(TensorInfo(f"t{place}", (1, 8), "float32") for place in range(len(types) + 1))
    operators = tuple(
        Operator(place, type_, (place,), (place + 1,), version, attributes=attributes, macs=10, params=3)
        for place, type_ in enumerate(types)
    )
    return Graph(format_name, tensors, operators, (0,), (len(types),))


def test_the_profiles_that_have_nothing_but_a_cpu() -> None:
    boards = {"raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5"}
    assert set(CPU) == {"android-cpu", "browser", "onnxruntime-cpu", "openvino-cpu", *boards}


@pytest.mark.parametrize("name", CPU)
def test_all_of_it_runs_and_nothing_is_accelerated(name: str) -> None:
    format_name = {"onnx": "onnx", "openvino": "openvino"}.get((PROFILES[name].formats.value or [""])[0], "tflite")
    types = ("ADD", "RESHAPE") if format_name == "tflite" else ("Add", "Reshape")
    placement = judge_graph(network(*types, format_name=format_name), PROFILES[name]).placement
    assert (placement.verdict(), placement.subgraphs) == ("fits", 0)
    assert [(placed.placement, placed.cause) for placed in placement.operators] == [("cpu", "host")] * 2
    shares = {"mapped_operators": 0.0, "mapped_macs": 0.0, "mapped_params": 0.0}
    assert placement.totals() == {"operators": 2, "accelerator": 0, "not_known": 0, **shares}


def test_what_does_not_run_and_what_is_not_known() -> None:
    """LiteRT has no kernel for STABLEHLO_TANH (its message: Didn't find op for builtin opcode), and ADD of version 6 at
    most; what an application registers for itself nobody knows."""
    board = PROFILES["raspberry-pi-4"]
    refused = judge_graph(network("ADD", "STABLEHLO_TANH"), board).placement
    assert (refused.verdict(), refused.operators[1].placement) == ("violates", "unsupported")
    assert "LiteRT 2.3 does not support it" in (refused.operators[1].reason or "")
    newer = judge_graph(network("ADD", version=7), board).placement
    assert newer.operators[0].reason == "it is of version 7; versions up to 6 are read"
    custom = judge_graph(network("ADD", "MyOwnLayer"), board).placement
    assert (custom.verdict(), custom.operators[1].placement) == ("not_known", "not_known")
    assert custom.totals()["accelerator"] == 0


def test_a_release_that_is_not_known_is_told() -> None:
    (told,) = judge_graph(network("Add", format_name="onnx"), PROFILES["onnxruntime-cpu"]).placement.notes
    assert told.startswith("there is no accelerator")
    _, searched = judge_graph(network("Add", format_name="onnx"), PROFILES["browser"]).placement.notes
    assert "WebGPU" in searched and searched.startswith("the release on browser is not known")


def test_operators_of_other_domains() -> None:
    desktop = PROFILES["onnxruntime-cpu"]
    own = judge_graph(network("QLinearAdd", format_name="onnx", domain="com.microsoft"), desktop).placement
    assert own.verdict() == "fits"
    foreign = judge_graph(network("QLinearAdd", format_name="onnx", domain="org.example"), desktop).placement
    assert (foreign.verdict(), foreign.operators[0].reason) == (
        "not_known",
        "it is an operator of the domain org.example",
    )


def test_a_board_of_ones_own_that_lacks_an_operator() -> None:
    stored = PROFILES["raspberry-pi-4"].model_dump(mode="json", exclude_none=True)
    stored["operators"]["refused"] = {"value": ["SOFTMAX"], "source": "its manual, p. 3"}
    board = Profile.model_validate({**stored, "name": "mine", "title": "Mine"})
    placement = judge_graph(network("ADD", "SOFTMAX"), board).placement
    assert placement.verdict() == "violates"
    assert placement.operators[1].reason == "Mine does not take it (its manual, p. 3)"


def test_the_latency_of_a_cpu_is_its_own() -> None:
    """As for a graph of which nothing is placed: all of it is the device's work."""
    graph = network(*["ADD"] * 40)
    wide = replace(graph, tensors=tuple(replace(tensor, shape=(1, 1_000_000)) for tensor in graph.tensors))
    board = PROFILES["raspberry-pi-4"]
    found = estimate(wide, board, judge_graph(wide, board).placement)
    assert found is not None and found == estimate(wide, board)


# --- the tables, against the runtimes --------------------------------------------------------------------------------


def newest_version(table: OperatorTable, type_: str) -> int | None:
    """The newest version that a table says is read; None for an operator that it refuses."""
    (entry,) = table.entries[type_].values()
    return int(entry.limits["version"]) if entry.supported else None


def test_litert_finds_what_its_table_has() -> None:
    """Every builtin operator of the format: the interpreter finds the newest version that the table says, and not the
    next one. It looks before it reads any operator's options, so that a model without operators tells."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    table = load_table("litert")
    builtin = {name: number for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    unjudged = {"CUSTOM", "PLACEHOLDER_FOR_GREATER_OP_CODES"}
    assert set(builtin) - unjudged <= set(table.entries)
    wrong = []
    for type_, number in builtin.items():
        if type_ in unjudged:
            continue
        newest = newest_version(table, type_)
        found = [version for version in (newest or 1, (newest or 1) + 1) if _finds(schema, number, version)]
        if found != ([] if newest is None else [newest]):
            wrong.append((type_, newest, found))
    assert wrong == []


def _finds(schema: Any, number: int, version: int) -> bool:
    """Whether LiteRT makes an interpreter of a model that names the operator but does not use it."""
    import flatbuffers
    from ai_edge_litert.interpreter import Interpreter

    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
    tensor, graph, model = schema.TensorT(), schema.SubGraphT(), schema.ModelT()
    tensor.shape, tensor.buffer, tensor.name = [1], 0, "t"
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [], [], []
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), b"TFL3")
    try:
        Interpreter(model_content=bytes(builder.Output()))
    except ValueError as error:
        assert re.search("Didn't find op for builtin opcode", str(error))
        return False
    return True


def test_onnxruntime_has_a_kernel_for_what_its_table_has() -> None:
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    kernels = {
        f"{one.domain}.{one.op_name}" if one.domain else one.op_name
        for one in state.get_all_opkernel_def()
        if one.provider == "CPUExecutionProvider"
    }
    table = load_table("onnxruntime")
    (release,) = table.releases
    runs = {type_ for type_ in table.entries if (entry := table.find(type_, release)) and entry.supported}
    assert kernels <= runs
    # Stored by the session itself, or made of others (functions, by ONNX's own definitions):
    onnx = pytest.importorskip("onnx")
    functions = {
        schema.name
        for schema in onnx.defs.get_all_schemas()
        if schema.has_function or schema.has_context_dependent_function
    }
    assert runs - kernels <= functions | {"Constant"}
    assert "ImageDecoder" not in runs | kernels


def test_openvino_compiles_some_of_what_its_table_has() -> None:
    """One operation of each of several kinds, on the CPU plugin."""
    openvino = pytest.importorskip("openvino")
    from openvino import opset13

    core, table = openvino.Core(), load_table("openvino")
    for name in ("relu", "swish", "hswish", "softplus", "mish", "erf", "floor", "negative", "sign", "logical_not"):
        kind = np.bool_ if name == "logical_not" else np.float32
        given = opset13.parameter([1, 8], kind)
        node = getattr(opset13, name)(given)
        assert table.entries[node.get_type_name()]
        core.compile_model(openvino.Model([node], [given], "one"), "CPU")
