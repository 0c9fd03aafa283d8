"""Splits convolutions whose channels mean several things, as the head of a YOLO does: boxes and scores of every anchor.

Quantized, they would share one scale. Which channels belong together is told by what follows: every number of a head
is given a number of its own, these are moved through the graph as it moves the head (reshape, transpose, join, slice),
and channels that come out in the same slices are one part. The parts are computed by convolutions of their own, with
the rows of the weights and biases; a Concat and a Gather behind them put the channels back into their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.formats.onnx_session import open_session
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, drop_unread, put_nodes, read_names

_MOVES = frozenset({"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Concat"})
_CUTS = frozenset({"Split", "Slice", "Gather"})
#: What gives one number for each; with a constant beside it too, where the shape stays.
_EACH = frozenset({"Add", "Sub", "Mul", "Div", "Neg", "Clip", "Cast", "Exp", "Pow"}) | frozenset(
    {"Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softmax", "LogSoftmax"}
)
#: What is cut off so many numbers are parts of a box, which are alike.
COORDINATES = 4
#: A head in more parts than these is no head of boxes and scores; every part is an output of the file.
MOST_PARTS = 6


def split_heads(model: Any, scope: Scope, names: Sequence[str]) -> list[str]:
    """Split, in place, the convolutions that give some of the tensors ``names``, where what follows slices them; the
    tensors that now stand for ``names``, each once and followed by the others of its parts."""
    names = list(dict.fromkeys(names))
    heads = [name for name in names if _weights_of(model, scope, name) is not None]
    parts = _find_parts(model, scope, heads) if heads else {}
    if not parts:
        return names
    made: dict[str, list[str]] = {}
    nodes: list[Any] = []
    left: list[str] = []
    for node in model.graph.node:
        groups = parts.get(node.output[0]) if len(node.output) == 1 else None
        if groups is None:
            nodes.append(node)
            continue
        replaced, made[node.output[0]] = _split(node, groups, scope)
        nodes += replaced
        left += node.input
    put_nodes(model, nodes, scope)
    drop_unread(model, left)
    return [part for name in names for part in made.get(name, [name])]


def _weights_of(model: Any, scope: Scope, name: str) -> np.ndarray | None:
    """The weights of the convolution that gives a tensor; None where it is none that can be split: in groups, or with
    weights or biases that are computed."""
    node = scope.producers.get(name)
    if node is None or node.op_type != "Conv" or attribute_of(node, "group", 1) != 1:
        return None
    if any(each not in scope.constants for each in node.input[1:] if each):
        return None
    shape = scope.shape(name)
    fixed = shape is not None and None not in shape and name not in {value.name for value in model.graph.output}
    return scope.constants[node.input[1]] if fixed else None


def _find_parts(model: Any, scope: Scope, heads: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """{head: the channels of each part}, of heads that come out in several."""
    slices = _follow(model, scope, heads)
    found = {}
    start = 0
    for name in heads:
        shape = [size or 0 for size in scope.shape(name) or ()]
        size, inner = int(np.prod(shape)), int(np.prod(shape[2:]))
        signs: list[tuple[int, ...]] = [()] * shape[1]
        for place, ids in enumerate(slices):
            own = ids[(ids >= start) & (ids < start + size)] - start
            channels = np.unique(own // inner % shape[1])
            if 0 < len(channels) < shape[1]:
                for channel in channels:
                    signs[channel] = (*signs[channel], place)
        kinds = list(dict.fromkeys(signs))
        if 1 < len(kinds) <= MOST_PARTS:
            found[name] = [np.array([place for place, sign in enumerate(signs) if sign == kind]) for kind in kinds]
        start += size
    return found


def _follow(model: Any, scope: Scope, heads: Sequence[str]) -> list[np.ndarray]:
    """The numbers of the heads' elements, counted through all heads, that each slice of the graph gives."""
    from onnx import TensorProto, ValueInfoProto, helper

    flowing = set(heads)
    nodes, slices = [], []
    for node in model.graph.node:
        moved = _as_move(node, flowing, scope)
        if moved is None:
            continue
        nodes.append(moved)
        flowing.update(node.output)
        if node.op_type in _CUTS:
            slices += [name for name in node.output if _longest_cut(node.input[0], name, scope) > COORDINATES]
    if not slices:
        return []
    values, start = {}, 0
    inputs = []
    for name in heads:
        shape = [size or 0 for size in scope.shape(name) or ()]
        values[name] = np.arange(start, start + int(np.prod(shape)), dtype=np.int64).reshape(shape)
        start += values[name].size
        inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, shape))
    outputs = [ValueInfoProto(name=name) for name in slices]
    constants = {name: scope.constants[name] for name in read_names(nodes) & scope.constants.keys()}
    graph = helper.make_graph(nodes, "moves", inputs, outputs, _as_tensors(constants))
    moves = helper.make_model(graph, opset_imports=[helper.make_opsetid("", scope.opset)], ir_version=8)
    return list(open_session(moves.SerializeToString(), 1).run(slices, values))


def _longest_cut(whole: str, part: str, scope: Scope) -> int:
    """The length of the longest axis that a slice shortens."""
    before, after = scope.shape(whole) or (), scope.shape(part) or ()
    if len(before) != len(after):
        return max((size or 0 for size in before), default=0)
    return max((a or 0 for a, b in zip(before, after, strict=True) if a != b), default=0)


def _as_move(node: Any, flowing: set[str], scope: Scope) -> Any | None:
    """The node as one that moves whole numbers; None where it does something else, or reads something else."""
    from onnx import helper

    reads = [name for name in node.input if name in flowing]
    others = [name for name in node.input if name and name not in flowing]
    if not reads or not all(name in scope.constants for name in others):
        return None
    if node.op_type in _EACH and len(reads) == 1 and scope.shape(reads[0]) == scope.shape(node.output[0]):
        return helper.make_node("Identity", reads, [node.output[0]])
    if node.op_type == "Concat":
        return None if others else node
    return node if node.op_type in _MOVES | _CUTS and reads == [node.input[0]] else None


def _as_tensors(constants: Mapping[str, np.ndarray]) -> list[Any]:
    from onnx import numpy_helper

    return [numpy_helper.from_array(values, name) for name, values in constants.items()]


def _split(node: Any, groups: Sequence[np.ndarray], scope: Scope) -> tuple[list[Any], list[str]]:
    """(the nodes in the convolution's place, what each part is called)."""
    from onnx import helper

    name = node.output[0]
    weights = [scope.constants[each] if each else None for each in node.input[1:]]
    nodes, parts = [], []
    for place, channels in enumerate(groups):
        part = scope.new_name(f"{name}_part{place}")
        given = [
            "" if values is None else scope.constant(values[channels], f"{part}_{kind}")
            for values, kind in zip(weights, ("weights", "bias"), strict=False)
        ]
        made = helper.make_node("Conv", [node.input[0], *given], [part], name=part)
        made.attribute.extend(node.attribute)
        nodes.append(made)
        parts.append(part)
    joined = scope.new_name(f"{name}_parts")
    order = scope.constant(np.argsort(np.concatenate(groups)).astype(np.int64), f"{name}_order")
    nodes.append(helper.make_node("Concat", parts, [joined], name=joined, axis=1))
    nodes.append(helper.make_node("Gather", [joined, order], [name], name=f"{name}_in_order", axis=1))
    return nodes, parts
