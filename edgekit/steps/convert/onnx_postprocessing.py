"""Finds the float post-processing at the end of an ONNX graph: box decoding, selection, a softmax over many classes.

Only what comes after the last weighted layer is looked at: nodes from which no convolution or matrix product with
trained weights is reached any more. Among them:

- A *head* is what a weighted layer gives, as far as it is only moved, joined, squashed or calculated with: reshape,
  transpose, slice, concat, sigmoid, exp, arithmetic. An activation such as ReLU, a pooling or a resize ends it: these
  belong to the network and map well.
- A *cause* is a node that does not belong on an 8-bit accelerator: one that joins heads (boxes and scores, or the
  levels of a pyramid, whose ranges differ, would share one scale); one that selects (NMS, TopK, ArgMax, comparisons,
  gathers by index); exp, log, pow, sqrt of a head; arithmetic of a head with constants that differ from place to place
  (anchors, grids); a softmax over more classes than the limit.

What follows a cause goes to the host, and so do the parts of heads that only lead to it, so that the device part ends
in the outputs of weighted layers themselves. A plain softmax over few classes is no cause, and stays.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.steps.convert.onnx_cutting import Wiring, cut_fault
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of

WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger"}
    | {"DeformConv", "LSTM", "GRU", "RNN", "Einsum"}
)
MOVES = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Slice", "Split", "Gather"}
    | {"Expand", "Tile", "Concat"}
)
SQUASHES = frozenset({"Sigmoid", "HardSigmoid", "Tanh", "Softmax", "LogSoftmax", "Softplus"})
CURVES = frozenset({"Exp", "Log", "Pow", "Sqrt"})
ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div"})
CALCULATES = ARITHMETIC | frozenset(
    {"Neg", "Abs", "Reciprocal", "Floor", "Ceil", "Round", "Mod", "Min", "Max", "Clip", "ReduceMax", "ReduceSum"}
)
SELECTS = frozenset(
    {"NonMaxSuppression", "TopK", "ArgMax", "ArgMin", "NonZero", "Unique", "Compress", "GatherND", "GatherElements"}
    | {"Scatter", "ScatterND", "ScatterElements", "OneHot", "Where", "Greater", "GreaterOrEqual", "Less"}
    | {"LessOrEqual", "Equal", "Not", "And", "Or", "Loop", "If", "Scan"}
)
HEADS = MOVES | SQUASHES | CURVES | CALCULATES | SELECTS | WEIGHTED


@dataclass(frozen=True)
class Found:
    """Where to cut (nothing: there is no post-processing, or it cannot be cut off), and why, as a text."""

    cuts: tuple[str, ...]
    reason: str


def find_postprocessing(model: Any, scope: Scope, softmax_over: int) -> Found:
    """The tensors before the post-processing; a softmax over more than ``softmax_over`` numbers is part of it."""
    return _Search(model, scope, softmax_over).find()


class _Search:
    def __init__(self, model: Any, scope: Scope, softmax_over: int) -> None:
        self._model = model
        self._scope = scope
        self._softmax_over = softmax_over
        self._wiring = Wiring(model)
        self._constants = self._find_constants()
        self._weighted = {place for place, node in enumerate(self._wiring.nodes) if self._is_weighted(node)}
        self._after = self._find_after()
        #: {tensor of a head: the weighted layers' outputs that it comes from}
        self._heads = self._find_heads()

    def find(self) -> Found:
        causes = [place for place in self._after if self._is_cause(place)]
        if not causes:
            return Found((), "nothing at the end of the graph is post-processing that the host should do")
        moved = self._grow(causes)
        cuts = self._tensors_between(moved)
        for name in cuts:
            fault = self._fault(name)
            if fault is not None:
                return Found((), f"the post-processing was not cut off at `{name}`: {fault}")
        kinds = Counter(self._wiring.nodes[place].op_type for place in sorted(causes))
        listed = ", ".join(f"{count} {name}" for name, count in sorted(kinds.items()))
        return Found(tuple(cuts), f"because of {listed}")

    # --- what is what ------------------------------------------------------------------------------------------------

    def _find_constants(self) -> set[str]:
        """Initializers, and all that is computed from constants alone."""
        graph = self._model.graph
        found = {tensor.name for tensor in graph.initializer} | {one.values.name for one in graph.sparse_initializer}
        for node, reads in zip(self._wiring.nodes, self._wiring.reads, strict=True):
            if all(name in found for name in reads) and (reads or node.op_type == "Constant"):
                found.update(node.output)
        return found

    def _is_weighted(self, node: Any) -> bool:
        """Whether it has trained weights. A product of computed tensors has none, nor has one with written numbers."""
        if node.op_type not in WEIGHTED or all(name in self._constants for name in node.output):
            return False
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum"):
            weights = [name for name in node.input[:2] if name in self._constants]
            return bool(weights) and not all(self._is_written(name) for name in weights)
        return True

    def _is_written(self, name: str) -> bool:
        """Whether a constant was written rather than trained: all of its numbers are multiples of a half, as in the
        expectation over bins 0, 1, 2, ... of a box's side, or in the matrix from centres and sizes to corners."""
        values = self._scope.constants.get(name)
        return values is not None and bool(np.all(2 * values == np.round(2 * values)))

    def _find_after(self) -> list[int]:
        """The places of the nodes after the last weighted layers: below one, and above none."""
        nodes, reads = self._wiring.nodes, self._wiring.reads
        above: set[str] = set()  # tensors from which a weighted layer is reached
        for place in reversed(range(len(nodes))):
            if place in self._weighted or not above.isdisjoint(nodes[place].output):
                above.update(name for name in reads[place] if name not in self._constants)
        below: set[str] = set()
        after = []
        for place, node in enumerate(nodes):
            if place in self._weighted or not below.isdisjoint(reads[place]):
                below.update(node.output)
                if place not in self._weighted and above.isdisjoint(node.output):
                    after.append(place)
        return after

    def _find_heads(self) -> dict[str, frozenset[str]]:
        nodes = self._wiring.nodes
        layers = {name for place in self._weighted for name in nodes[place].output}
        heads = {name: frozenset({name}) for name in layers}
        for place in self._after:
            node = nodes[place]
            flowing = [name for name in self._wiring.reads[place] if name not in self._constants]
            if not all(name in heads for name in flowing):
                continue
            if set(flowing) <= layers and self._ends_a_layer(node):
                layers.update(node.output)
                heads.update({name: frozenset({name}) for name in node.output})
            elif node.op_type in HEADS and not (node.op_type == "Clip" and set(flowing) <= layers):
                joined = frozenset().union(*(heads[name] for name in flowing))
                heads.update(dict.fromkeys(node.output, joined))
        self._layers = layers
        return heads

    def _ends_a_layer(self, node: Any) -> bool:
        """Batch norm, or arithmetic with one number per channel: part of the weighted layer before it."""
        if node.op_type == "BatchNormalization":
            return True
        sizes = [self._axes_over_one(name) for name in node.input if name in self._constants]
        return node.op_type in ARITHMETIC and sizes == [1]

    def _axes_over_one(self, name: str) -> int:
        shape = self._scope.shape(name) or ()
        return sum(size is None or size > 1 for size in shape)

    # --- causes ------------------------------------------------------------------------------------------------------

    def _is_cause(self, place: int) -> bool:
        node = self._wiring.nodes[place]
        kind = node.op_type
        if kind in SELECTS:
            return True
        if kind in ("Softmax", "LogSoftmax") and self._classes(node) > self._softmax_over:
            return True
        if not all(name in self._heads for name in node.output) or self._layers.issuperset(node.output):
            return False
        if kind == "Concat":
            joined = {self._heads[name] for name in node.input if name in self._heads}
            return len(frozenset().union(*joined)) > 1
        if kind in ARITHMETIC:
            return any(name in self._constants and self._axes_over_one(name) > 1 for name in node.input)
        return kind in CURVES

    def _classes(self, node: Any) -> int:
        """How many numbers a softmax spreads over; 0 where that is not known."""
        shape = self._scope.shape(node.input[0])
        if not shape:
            return 0
        if self._scope.opset >= 13:
            return shape[attribute_of(node, "axis", -1)] or 0
        sizes = shape[attribute_of(node, "axis", 1) :]
        return math.prod(size or 0 for size in sizes)

    # --- the cut -----------------------------------------------------------------------------------------------------

    def _grow(self, causes: list[int]) -> set[int]:
        """The causes, all that follows them, and the parts of heads that lead to nothing else."""
        nodes, reads, readers = self._wiring.nodes, self._wiring.reads, self._wiring.readers
        moved = set(causes)
        made = {name for place in moved for name in nodes[place].output}
        for place in self._after:
            if not made.isdisjoint(reads[place]):
                moved.add(place)
                made.update(nodes[place].output)
        for place in reversed(self._after):
            node = nodes[place]
            is_head = all(name in self._heads for name in node.output) and self._layers.isdisjoint(node.output)
            following = [reader for name in node.output for reader in readers.get(name, ())]
            if is_head and following and moved.issuperset(following):
                moved.add(place)
        return moved

    def _tensors_between(self, moved: set[int]) -> list[str]:
        """What moved nodes read of those that stay, in the order in which it is made."""
        reads, makers = self._wiring.reads, self._wiring.makers
        found = {
            name
            for place in moved
            for name in reads[place]
            if name not in self._constants and makers.get(name) not in moved
        }
        return sorted(found, key=lambda name: (makers.get(name, -1), name))

    def _fault(self, name: str) -> str | None:
        if name in self._wiring.inputs:
            return "it is an input of the model, which the post-processing reads"
        if not self._scope.is_float(name):
            return f"it holds no real numbers but {self._scope.dtype(name) or 'something unknown'}"
        return cut_fault(self._model, self._scope.tensors, name)
