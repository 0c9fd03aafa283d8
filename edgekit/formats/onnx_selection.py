"""What an ONNX graph selects from at its end (``selection``), and a session that gives it too."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from edgekit.formats import Watched
from edgekit.formats.onnx_file import bodies_of
from edgekit.formats.onnx_session import OnnxSession, open_session
from edgekit.formats.selection import TRAINED_OVER, Piece, Role, Search, Selection

#: Operators whose results have another size for other numbers.
_LOOSE = frozenset({"NonMaxSuppression", "NonZero", "Compress", "Unique"})
SELECTS = _LOOSE | {"TopK"}
_WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger"}
    | {"DeformConv", "LSTM", "GRU", "RNN", "Einsum"}
)
#: A pair of the last two gives the numbers that 8 bits hold of them.
_KEEPS = frozenset(
    {"Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear"}
)
_SIZES = frozenset({"Shape", "Size"})
#: protobuf writes no message beyond this, and ONNX Runtime reads none.
_MOST_BYTES = 2**31 - 1


def find_selection(model: Any) -> Selection:
    """The selection at the end of a model; an empty one where there is none."""
    return _search(model).find(value.name for value in model.graph.output)


def loose_operator(model: Any) -> tuple[str, str] | None:
    """(operator, its output) of the first in the selection at the end of a model whose results have another size for
    other numbers, where that of an output follows; NMS also where it does not, as what is padded behind it."""
    search = _search(model)
    behind = search.find(value.name for value in model.graph.output).behind
    fixed = _fixed_outputs(model) if behind else set()
    for name in behind:
        for piece in search.selecting(name):
            if piece.kind == "NonMaxSuppression" or (piece.kind in _LOOSE and name not in fixed):
                return piece.kind, piece.makes[0]
    return None


def selecting_nodes(model: Any) -> list[Any]:
    """The nodes of the selection at the end of a model, and those behind it: they move a few results, of which boxes,
    scores and classes may stand side by side."""
    search = _search(model)
    if not search.find(value.name for value in model.graph.output).behind:
        return []
    return [node for node in model.graph.node if not search.selected.isdisjoint(node.output)]


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


def _search(model: Any) -> Search:
    if not any(map(_selects, model.graph.node)):  # as most models: their tensors need not be looked at
        return Search((), (), ())
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    constants = set(sizes) | {one.values.name for one in model.graph.sparse_initializer}
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    made = ((node, _constant(node)) for node in model.graph.node if node.op_type == "Constant")
    values |= {node.output[0]: tensor for node, tensor in made if tensor is not None}
    pieces = []
    for node in model.graph.node:  # in topological order, as ONNX demands
        reads, makes = tuple(_reads(node)), tuple(name for name in node.output if name)
        selects = _selects(node) and not (node.op_type == "TopK" and _is_one(values.get(node.input[-1])))
        if not selects and all(name in constants for name in reads) and (reads or node.op_type == "Constant"):
            constants.update(makes)
            sizes.update(dict.fromkeys(makes, max((sizes.get(name, 0) for name in reads), default=0)))
        learned = max((sizes.get(name, 0) for name in reads if name in constants), default=0)
        pieces.append(Piece(node.op_type, _role(node, selects, learned), reads, makes))
    return Search(pieces, _float_tensors(model), constants)


def _constant(node: Any) -> Any | None:
    """The tensor that a Constant makes; None of one that has no whole numbers in `value`, `value_int` or
    `value_ints`, which is no `k`."""
    from onnx import TensorProto, helper

    for attribute in node.attribute:
        if attribute.name == "value" and attribute.HasField("t"):
            return attribute.t
        if attribute.name == "value_int":
            return helper.make_tensor("", TensorProto.INT64, [], [attribute.i])
        if attribute.name == "value_ints":
            return helper.make_tensor("", TensorProto.INT64, [len(attribute.ints)], attribute.ints)
    return None


def _is_one(tensor: Any | None) -> bool:
    """Whether it is the `k` of a TopK that gives one number, as ArgMax does."""
    from onnx import TensorProto, numpy_helper

    if tensor is None or tensor.data_location == TensorProto.EXTERNAL:
        return False
    return list(numpy_helper.to_array(tensor).ravel()) == [1]


def _role(node: Any, selects: bool, learned: int) -> Role:
    """``learned``: how many numbers its largest constant has."""
    if selects:
        return "selects"
    if node.op_type in _WEIGHTED:
        return "trained" if learned > TRAINED_OVER else ""
    return "keeps" if node.op_type in _KEEPS else "sizes" if node.op_type in _SIZES else ""


def _selects(node: Any) -> bool:
    return node.op_type in SELECTS or any(_selects(inner) for graph in bodies_of(node) for inner in graph.node)


def _reads(node: Any) -> Iterator[str]:
    """The tensors of the main graph that a node reads, those of its bodies' nodes included."""
    yield from (name for name in node.input if name)
    for graph in bodies_of(node):
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
