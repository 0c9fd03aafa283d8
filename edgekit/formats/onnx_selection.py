"""Finds where an ONNX graph begins to select: NMS, TopK and the like, which give as many numbers as they find, or give
them in an order of their own.

Outputs behind a selection cannot be compared number by number: a score that differs in its last digit changes their
length or their order. What the selection is made from can, since it has one size. These tensors are the *entries*: the
computed real numbers that operators behind a selection read, or that what they read was decided by (a comparison, an
ArgMax).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgekit.formats import Watched
from edgekit.formats.onnx_session import OnnxSession, open_session

SELECTS = frozenset({"NonMaxSuppression", "TopK", "NonZero", "Compress", "Unique"})
WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger"}
    | {"DeformConv", "LSTM", "GRU", "RNN", "Einsum"}
)
#: These give the numbers that they read, in their order; a pair of the last two, the numbers that 8 bits hold of them.
_KEEPS = frozenset(
    {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear"}
)
#: These read sizes alone, not numbers.
_SIZES = frozenset({"Shape", "Size"})
#: A constant of more numbers than these was trained; the matrix from centres and sides to corners has 16.
_TRAINED_OVER = 64
#: protobuf writes no message beyond this, and ONNX Runtime reads none.
_MOST_BYTES = 2**31 - 1


@dataclass(frozen=True)
class Selection:
    """``entries``: tensors that a graph selects from, in an order that does not depend on names; ``behind``: the
    model's outputs that come from what it selected."""

    entries: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


def find_selection(model: Any) -> Selection:
    """The selection at the end of a model; an empty one where there is none, or where trained layers work on what was
    selected (two-stage detectors), of which the entries would not tell."""
    search = _Search(model)
    behind = tuple(value.name for value in model.graph.output if value.name in search.selected)
    if not behind or search.works_on():
        return Selection()
    entries = tuple(search.entries(behind))
    return Selection(entries, behind) if entries else Selection()


def changing_output(model: Any) -> tuple[str, str] | None:
    """(the operator that selects, the output of the model whose size that leaves open), of the first such output."""
    behind = find_selection(model).behind
    fixed = _fixed_outputs(model)
    loose = next((name for name in behind if name not in fixed), None)
    if loose is None:
        return None
    search = _Search(model)
    kinds = [node.op_type for node in search.above(loose) if node.op_type in SELECTS - {"TopK"}]
    return (kinds[0], loose) if kinds else None


def selecting_nodes(model: Any) -> list[Any]:
    """The nodes of the selection at the end of a model, and those behind it: they move a few results, of which boxes,
    scores and classes may stand side by side."""
    if not find_selection(model).behind:
        return []
    selected = _Search(model).selected
    return [node for node in model.graph.node if not selected.isdisjoint(node.output)]


def watch(model: Any, selection: Selection) -> dict[str, str]:
    """Make the entries outputs of the model too, in place; {name of that output: entry}."""
    from onnx import ValueInfoProto, helper

    taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*model.graph.input, *model.graph.output)}
    watched = {}
    for name in selection.entries:
        given = f"{name}_entry"
        while given in taken:
            given += "_"
        taken.add(given)
        watched[given] = name
        model.graph.node.append(helper.make_node("Identity", [name], [given]))
        model.graph.output.append(ValueInfoProto(name=given))
    return watched


def open_watched(model: Any, opened: Any, threads: int) -> Watched:
    """``opened``, ONNX Runtime's session of ``model``; where that selects, another one that gives the entries too. The
    model is changed."""
    selection = find_selection(model)
    if not selection.entries or model.ByteSize() > _MOST_BYTES:
        return Watched(OnnxSession(opened))
    entries = watch(model, selection)
    return Watched(OnnxSession(open_session(model.SerializeToString(), threads)), entries, frozenset(selection.behind))


class _Search:
    def __init__(self, model: Any) -> None:
        self._nodes = list(model.graph.node)
        self._makers = {name: node for node in self._nodes for name in node.output if name}
        self._sizes = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
        self._floats = _float_tensors(model)
        self._constants = set(self._sizes) | {one.values.name for one in model.graph.sparse_initializer}
        self.selected: set[str] = set()
        for node in self._nodes:  # in topological order, as ONNX demands
            reads = list(_reads(node))
            constant = all(name in self._constants for name in reads) and (reads or node.op_type == "Constant")
            if constant and not _selects(node):
                self._constants.update(node.output)
                largest = max((self._sizes.get(name, 0) for name in reads), default=0)
                self._sizes.update(dict.fromkeys(node.output, largest))
            if _selects(node) or not self.selected.isdisjoint(reads):
                self.selected.update(name for name in node.output if name)

    def works_on(self) -> bool:
        """Whether a layer with trained weights reads what was selected."""
        return any(
            node.op_type in WEIGHTED
            and not self.selected.isdisjoint(node.input)
            and any(name in self._constants and self._sizes.get(name, 0) > _TRAINED_OVER for name in node.input)
            for node in self._nodes
        )

    def above(self, name: str) -> list[Any]:
        """The nodes that a tensor is made by, in the graph's order."""
        wanted, found = {name}, []
        for node in reversed(self._nodes):
            if not wanted.isdisjoint(node.output):
                wanted.update(_reads(node))
                found.append(node)
        return found[::-1]

    def entries(self, behind: tuple[str, ...]) -> Iterator[str]:
        """From the outputs upwards, inputs in order: the same in a graph whose tensors have other names. Of several
        that hold the same numbers the first."""
        seen: set[str] = set()
        origins: set[str] = set()
        waiting = list(reversed(behind))
        while waiting:
            name = waiting.pop()
            if name in seen or name in self._constants:
                continue
            seen.add(name)
            node = self._makers.get(name)
            if name not in self.selected and name in self._floats:
                origin = self._origin(name)
                if origin not in origins:
                    origins.add(origin)
                    yield name
            elif node is not None and node.op_type not in _SIZES:
                waiting.extend(reversed(list(_reads(node))))

    def _origin(self, name: str) -> str:
        """The tensor whose numbers these are."""
        node = self._makers.get(name)
        while node is not None and node.op_type in _KEEPS:
            name = node.input[0]
            node = self._makers.get(name)
        return name


def _selects(node: Any) -> bool:
    return node.op_type in SELECTS or any(_selects(inner) for graph in _graphs(node) for inner in graph.node)


def _graphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _reads(node: Any) -> Iterator[str]:
    """The tensors of the main graph that a node reads, those of its bodies' nodes included."""
    yield from (name for name in node.input if name)
    for graph in _graphs(node):
        own = {name for inner in graph.node for name in inner.output} | {value.name for value in graph.input}
        own |= {tensor.name for tensor in graph.initializer}
        for inner in graph.node:
            yield from (name for name in _reads(inner) if name not in own)


def _fixed_outputs(model: Any) -> set[str]:
    """The outputs whose sizes are known before the model runs."""
    import onnx

    with contextlib.suppress(Exception):  # as in _float_tensors
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return {
        value.name
        for value in model.graph.output
        if value.type.tensor_type.HasField("shape")
        and all(size.HasField("dim_value") for size in value.type.tensor_type.shape.dim)
    }


def _float_tensors(model: Any) -> set[str]:
    """Tensors of real numbers, by inference; by what the file says alone where that fails."""
    import onnx

    reals = {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16}
    with contextlib.suppress(Exception):  # of several kinds, also for models over 2 GB
        model = onnx.shape_inference.infer_shapes(model)
    values = (*model.graph.value_info, *model.graph.output, *model.graph.input)
    return {value.name for value in values if value.type.tensor_type.elem_type in reals}
