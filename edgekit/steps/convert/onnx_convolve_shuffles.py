"""onnx -> onnx: channel shuffles and pixel (un)shuffles as convolutions whose weights are 0 and 1.

They only move numbers, but as DepthToSpace, or as reshape, transpose, reshape over five or six axes, they become
operators that accelerators refuse (GATHER, DEPTH_TO_SPACE) or tensors of more axes than those have. A convolution of
the same effect maps wherever convolutions do: 1 x 1 for a channel shuffle, one with a stride of the block for a pixel
unshuffle, a transposed one for a pixel shuffle. Where a shuffle follows a convolution it only reorders its weights. A
shuffle whose halves are taken apart at once, as ShuffleNetV2 writes it, is one convolution for each half.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_lowering import ACTIVATIONS
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, put_nodes, read_names, rewriting_step

Shape = tuple[int, ...]


class Options(StepOptions):
    most_channels: PositiveInt = Field(
        1024, description="shuffles of more channels stay as they are: their weights are the square of it"
    )


@rewriting_step("onnx_convolve_shuffles", version=4, options=Options, exact=True)
def onnx_convolve_shuffles(model: Any, options: Options) -> tuple[str, ...]:
    """Write channel shuffles, pixel shuffles and pixel unshuffles as convolutions with weights of 0 and 1."""
    graph = _Graph(model, options.most_channels)
    for node in model.graph.node:
        graph.take(node)
    if graph.done:
        put_nodes(model, graph.finish(), graph.scope)
    listed = ", ".join(f"{count} {name}" for name, count in sorted(graph.done.items()))
    return (f"as convolutions: {listed}",) if listed else ()


class _Graph:
    """The nodes as they are written anew."""

    def __init__(self, model: Any, most_channels: int) -> None:
        self.scope = Scope(model)
        self.done: Counter[str] = Counter()
        self._nodes: dict[int, Any] = {}
        self._most = most_channels
        self._outputs = {value.name for value in model.graph.output}
        self._readers: dict[str, int] = defaultdict(int)
        for node in model.graph.node:
            for name in node.input:
                self._readers[name] += 1
            for name in read_names([node]) - set(node.input):
                self._readers[name] += 2  # in a subgraph: it stays
        self._made: dict[str, int] = {
            name: place for place, node in enumerate(model.graph.node) for name in node.output
        }

    def take(self, node: Any) -> None:
        place = len(self._nodes)
        self._nodes[place] = node
        pattern = self._pattern(node) if node.domain in ("", "ai.onnx") else None
        if pattern is None:
            return
        given, sizes, order, pick = pattern
        before, after = self._sizes(given), self._sizes(node.output[0])
        if before is None or after is None or max(before[1], after[1]) > self._most or not self.scope.is_float(given):
            return
        moved = np.arange(math.prod(before)).reshape(sizes).transpose(order)
        moved = moved.reshape(after) if pick is None else moved.reshape(-1, *after)[pick]
        if np.array_equal(moved.reshape(-1), np.arange(moved.size)):
            return  # nothing moves
        made = self._shuffle(node, given, before, moved) or self._convolve(node, given, before, moved)
        if made is not None:
            self._nodes[place] = made

    def finish(self) -> list[Any]:
        """The nodes, without those whose outputs nobody reads any more."""
        nodes = list(self._nodes.values())
        while True:
            read = read_names(nodes) | self._outputs
            kept = [node for node in nodes if any(name in read for name in node.output)]
            if len(kept) == len(nodes):
                return nodes
            nodes = kept

    def _pattern(self, node: Any) -> tuple[str, Shape, Shape, int | None] | None:
        """(input, sizes, order, pick) where ``node`` ends a reshape to the sizes, a transpose and a reshape of four
        axes, or takes one part (``pick``) of a reshape to several such."""
        if node.op_type == "DepthToSpace":
            return self._depth_to_space(node)
        if node.op_type == "Gather":
            return self._part(node)
        turn = self._maker(node.input[0]) if node.op_type == "Reshape" else None
        if turn is None or turn.op_type != "Transpose":
            return None
        first = self._maker(turn.input[0])
        sizes, order = self.scope.shape(turn.input[0]), attribute_of(turn, "perm", None)
        if first is None or first.op_type != "Reshape" or sizes is None or None in sizes or order is None:
            return None
        return first.input[0], tuple(int(size) for size in sizes if size is not None), tuple(order), None

    def _part(self, node: Any) -> tuple[str, Shape, Shape, int | None] | None:
        """``shuffled.reshape(2, 1, channels / 2, height, width)[0]`` and ``[1]``."""
        index = self.scope.constants.get(node.input[1])
        parts = self._maker(node.input[0])
        shape = self.scope.shape(node.input[0])
        if index is None or index.ndim or attribute_of(node, "axis", 0) or parts is None or shape is None:
            return None
        found = None if parts.op_type != "Reshape" or len(shape) != 5 else self._pattern(parts)
        return None if found is None else (*found[:3], int(index))

    def _depth_to_space(self, node: Any) -> tuple[str, Shape, Shape, int | None] | None:
        given = self._sizes(node.input[0])
        if given is None:
            return None
        block, (_, channels, height, width) = int(attribute_of(node, "blocksize", 1)), given
        inner = channels // block**2
        if attribute_of(node, "mode", "DCR") == "CRD":
            return node.input[0], (1, inner, block, block, height, width), (0, 1, 4, 2, 5, 3), None
        return node.input[0], (1, block, block, inner, height, width), (0, 3, 4, 1, 5, 2), None

    def _shuffle(self, node: Any, given: str, before: Shape, moved: np.ndarray) -> Any | None:
        """For a channel shuffle behind a convolution (and an activation): its weights, reordered."""
        height, width = before[2:]
        if moved.shape != before or not self._is_alone(node, given):
            return None
        order = moved[0, :, 0, 0] // (height * width)
        if not np.array_equal(moved[0], np.arange(moved.size).reshape(before[1:])[order]):
            return None
        chain: list[Any] = []
        name = given
        while (maker := self._maker(name)) is not None and self._readers[name] == 1 and name not in self._outputs:
            chain.append(maker)
            if maker.op_type not in ACTIVATIONS:
                break
            name = maker.input[0]
        if not chain or chain[-1].op_type != "Conv" or not self._reorder(chain[-1], order):
            return None
        from onnx import helper

        self.done["channel shuffle in the weights before it"] += 1
        return helper.make_node("Identity", [given], [node.output[0]], name=node.name)

    def _is_alone(self, node: Any, given: str) -> bool:
        """Whether nobody else reads what stands between ``given`` and the node, for whom the order would change too."""
        name = node.input[0]
        while name != given:
            maker = self._maker(name)
            if maker is None or self._readers[name] != 1 or name in self._outputs:
                return False
            name = maker.input[0]
        return True

    def _reorder(self, convolution: Any, order: np.ndarray) -> bool:
        """Give a convolution's outputs another order; not where they come in groups, or its weights are computed."""
        arrays = [self.scope.constants.get(name) for name in convolution.input[1:]]
        if any(array is None for array in arrays) or attribute_of(convolution, "group", 1) != 1:
            return False
        copy = type(convolution)()
        copy.CopyFrom(convolution)
        for place, (name, array) in enumerate(zip(convolution.input[1:], arrays, strict=True), start=1):
            assert array is not None
            copy.input[place] = self.scope.constant(array[order], f"{name}_shuffled")
            self.scope.constants[copy.input[place]] = array[order]
        self._nodes[self._made[convolution.output[0]]] = copy
        return True

    def _convolve(self, node: Any, given: str, before: Shape, moved: np.ndarray) -> Any | None:
        """The convolution that moves number ``moved[i]`` to i, or None where no convolution does."""
        from onnx import helper

        if moved.shape[2] >= before[2]:
            found = _enlarging(before, moved)
            operator, kind = (
                ("ConvTranspose", "pixel shuffle") if moved.shape[2:] != before[2:] else ("Conv", "channel shuffle")
            )
        else:
            found = _shrinking(before, moved)
            operator, kind = "Conv", "pixel unshuffle"
        if found is None:
            return None
        block = list(found.shape[2:])
        weights = self.scope.constant(found.astype(self.scope.dtype(given)), f"{node.output[0]}_ones")
        self.done[kind] += 1
        return helper.make_node(
            operator, [given, weights], [node.output[0]], name=node.name, kernel_shape=block, strides=block
        )

    def _maker(self, name: str) -> Any | None:
        place = self._made.get(name)
        return None if place is None else self._nodes.get(place)

    def _sizes(self, name: str) -> Shape | None:
        """[1, channels, height, width], all known, or None."""
        shape = self.scope.shape(name)
        if shape is None or len(shape) != 4 or shape[0] != 1 or not all(shape):
            return None
        return tuple(int(size) for size in shape if size is not None)


def _enlarging(before: Shape, moved: np.ndarray) -> np.ndarray | None:
    """Weights [in, out, rows, columns] of the transposed convolution with a stride of the block (those of the 1 x 1
    convolution [out, in, 1, 1] for a block of one), if each place of a block reads one channel of its own."""
    _, channels, height, width = before
    _, outputs, tall, wide = moved.shape
    if tall % height or wide % width:
        return None
    block = (tall // height, wide // width)
    if block != (1, 1) and outputs * block[0] * block[1] != channels:
        return None
    places = moved.reshape(outputs, height, block[0], width, block[1]).transpose(0, 2, 4, 1, 3)
    first = places[..., :1, :1]
    if not np.array_equal(
        places - first, np.broadcast_to(np.arange(height * width).reshape(height, width), places.shape)
    ):
        return None
    source, inside = np.divmod(first[..., 0, 0], height * width)
    if inside.any():
        return None
    weights = np.zeros((channels, outputs, *block))
    at = np.indices(source.shape)
    weights[source, at[0], at[1], at[2]] = 1
    return weights.transpose(1, 0, 2, 3) if block == (1, 1) else weights


def _shrinking(before: Shape, moved: np.ndarray) -> np.ndarray | None:
    """Weights [out, in, rows, columns] of the convolution with a stride of the block, if each channel reads one place
    of the blocks of one channel."""
    _, channels, height, width = before
    _, outputs, low, narrow = moved.shape
    if height % low or width % narrow:
        return None
    block = (height // low, width // narrow)
    steps = np.arange(low)[:, None] * block[0] * width + np.arange(narrow)[None] * block[1]
    first = moved[0, :, :1, :1]
    if not np.array_equal(moved[0] - first, np.broadcast_to(steps, moved.shape[1:])):
        return None
    source, inside = np.divmod(first[:, 0, 0], height * width)
    row, column = np.divmod(inside, width)
    if (row >= block[0]).any() or (column >= block[1]).any():
        return None
    weights = np.zeros((outputs, channels, *block))
    weights[np.arange(outputs), source, row, column] = 1
    return weights
