"""The graph as onnx_lower_rank writes it anew: how numbers lie in memory, and how to bring them into an order.

Transposes wait until an operator needs their order, and are then chosen together with the layout at both ends: to a
runtime that works channel-last, a picture's channels lie last already, and so do those of the picture that comes of it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.steps.convert.onnx_rewriting import Scope, read_names
from edgekit.steps.convert.onnx_transposes import Turn, turns

Sizes = tuple[int, ...]

ACTIVATIONS = (
    "Abs", "Cast", "Ceil", "Celu", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Softplus", "Softsign",
    "Sqrt", "Swish", "Tanh", "ThresholdedRelu",
)  # fmt: skip
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean")
_SPATIAL = (
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "BatchNormalization",
    "InstanceNormalization", "Resize", "Upsample", "DepthToSpace", "SpaceToDepth",
)  # fmt: skip
_ALIKE = frozenset((*ACTIVATIONS, *ARITHMETIC, "Concat", "Split", "Slice", "Pad", "PRelu", "Identity", "Dropout"))

#: (node, lowering) -> whether it wrote the node's lower form. The sizes of all its tensors are known.
Rule = Callable[[Any, "Lowering"], bool]


@dataclass(frozen=True)
class Lying:
    """Numbers as they lie in ``name``: read as ``sizes`` and transposed by ``order``, they are those meant."""

    name: str
    sizes: Sizes
    order: tuple[int, ...]

    @property
    def after(self) -> Sizes:
        return tuple(self.sizes[axis] for axis in self.order)


class Lowering:
    """The graph as it is written anew: ``low`` are the tensors of five axes and more that have a lower form."""

    def __init__(self, model: Any, rules: Mapping[str, Rule], *, channel_last: bool) -> None:
        self.scope = Scope(model)
        self.nodes: list[Any] = []
        self.lowered: Counter[str] = Counter()
        self.low: dict[str, Lying] = {}
        self._rules = rules
        first = [(self.scope.shape(value.name) or (1,))[:1] for value in model.graph.input]
        self._batched = any(sizes not in ((), (1,)) for sizes in first)
        self._channel_last = channel_last
        self._restored: set[str] = set()
        self._made: dict[str, Sizes] = {}  # the sizes of the tensors that this step adds

    def take(self, node: Any) -> None:
        """Write a node: in its lower form if it has to do with five axes and there is a rule that can."""
        rule = self._rules.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        names = [name for name in (*node.input, *node.output) if name]
        known = all(self.sizes(name) is not None for name in names)
        if rule is not None and known and any(self.is_high(name) for name in names) and rule(node, self):
            self.lowered[node.op_type] += 1
            return
        for name in sorted(read_names([node])):
            self.restore(name)
        self.nodes.append(node)

    def sizes(self, name: str) -> Sizes | None:
        """The sizes of a tensor, if all are known and none is 0."""
        shape = self._made.get(name) or self.scope.shape(name)
        if shape is None or any(size is None or size == 0 for size in shape):
            return None
        return tuple(int(size) for size in shape if size is not None)

    def is_high(self, name: str) -> bool:
        """Whether a tensor has five axes and more, or four of which the first is neither 1 nor a batch."""
        sizes = self.sizes(name) or self.scope.shape(name) or ()
        return len(sizes) > 4 or (len(sizes) == 4 and not self._batched and (sizes[0] or 1) > 1)

    def array(self, name: str) -> np.ndarray | None:
        return self.scope.constants.get(name)

    def lying(self, name: str) -> Lying:
        """How the numbers of a tensor are to be had; one of the file's own lies as it is."""
        sizes = self.sizes(name) or ()
        return self.low.get(name, Lying(name, sizes, tuple(range(len(sizes)))))

    def keep(self, name: str, lying: Lying) -> None:
        """Note how the numbers of a node's output are to be had, and write the output if it has four axes at most."""
        self.low[name] = lying
        if not self.is_high(name):
            self.restore(name)
            del self.low[name]

    def restore(self, name: str) -> None:
        """See to it that a tensor exists under its own name and shape."""
        if name in self.low and name not in self._restored:
            self._restored.add(name)
            self._settle(self.low[name], self.sizes(name) or (), name)

    def settle(self, name: str, wanted: Sizes | None = None) -> str:
        """A tensor with the numbers of ``name`` in their order, of these sizes, or of any (at most four)."""
        lying = self.lying(name)
        settled = self._settle(lying, wanted)
        if wanted is None and self.is_high(settled):
            settled = self._reshape(settled, (1, 1, 1, math.prod(lying.sizes)))
        sizes = self.sizes(settled) or ()
        if name not in self.low:
            self._restored.add(name)  # it is there under its own name already
        self.low[name] = Lying(settled, sizes, tuple(range(len(sizes))))
        return settled

    def isolate(self, name: str, axis: int, end: int | None = None) -> tuple[str, int]:
        """(a tensor with the numbers of ``name`` in their order, the place of the axis ``axis`` in it). With ``end``,
        of the axes up to there as one."""
        before, size, after = around(self.sizes(name) or (), axis, end)
        settled = self.settle(name)
        given = self.sizes(settled) or ()
        for place, found in enumerate(given):
            if found == size and math.prod(given[:place]) == before:
                return settled, place
        wanted = (1, before, size, after) if after > 1 else (1, 1, before, size)
        return self.settle(name, wanted), 2 if after > 1 else 3

    def add(
        self, operator: str, inputs: Sequence[str], sizes: Sizes, output: str | None = None, **attributes: Any
    ) -> str:
        """Write a node of this step's own; the name of its output, of those sizes."""
        from onnx import helper

        made = output or self.scope.new_name(f"{inputs[0]}_{operator.lower()}")
        node = helper.make_node(operator, list(inputs), [made], name=f"{made}_node", **attributes)
        self.nodes.append(node)
        if output is None:
            self._made[made] = sizes
            self.scope.producers[made] = node
        return made

    def apply(self, node: Any, inputs: Sequence[str], sizes: Sizes, **attributes: Any) -> str:
        """What a node's operator makes of other inputs, with its other attributes."""
        from onnx import helper

        kept = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        return self.add(node.op_type, inputs, sizes, **(kept | attributes))

    def slice(self, name: str, axis: int, first: int, last: int) -> str:
        """The part [first, last) of an axis."""
        given = self.sizes(name) or ()
        sizes = (*given[:axis], last - first, *given[axis + 1 :])
        if self.scope.opset < 10:
            return self.add("Slice", [name], sizes, axes=[axis], starts=[first], ends=[last])
        numbers = ((first, "first"), (last, "last"), (axis, "axis"))
        inputs = [self.scope.constant(np.array([value], np.int64), f"{name}_{stem}") for value, stem in numbers]
        return self.add("Slice", [name, *inputs], sizes)

    def _settle(self, lying: Lying, wanted: Sizes | None, output: str | None = None) -> str:
        """The tensor of the sizes ``wanted`` that holds the numbers meant, called ``output``."""
        name = lying.name
        first, goes, last = self._cheapest(lying, wanted, output)
        if first:
            name = self._transpose(name, (0, 2, 3, 1))
        for go in goes:
            shift = 4 - len(go.sizes)
            padded = self._reshape(name, (*[1] * shift, *go.sizes))
            name = self._transpose(padded, (*range(shift), *(place + shift for place in go.order)))
        if wanted is None:
            return name
        if last:
            turned = self._reshape(name, (wanted[0], *wanted[2:], wanted[1]))
            return self._transpose(turned, (0, 3, 1, 2), output)
        return self._reshape(name, wanted, output)

    def _cheapest(self, lying: Lying, wanted: Sizes | None, output: str | None) -> tuple[bool, tuple[Turn, ...], bool]:
        """(whether to begin channel-last, the transposes, whether to end so): the fewest in a channel-last runtime."""
        best = None
        given = self.sizes(lying.name) or lying.sizes
        begins = [None, *([given[1]] if self._channel_last and self._is_picture(lying.name, given) else [])]
        becomes = self._channel_last and wanted is not None and output and self._becomes_picture(output, wanted)
        ends = [None, *([wanted[1]] if wanted is not None and becomes else [])]
        for begin in begins:
            for end in ends:
                goes = _goes(lying, begin, end)
                if goes is None:
                    continue
                cost = len(goes) + (begin is None and len(begins) > 1) + (end is None and len(ends) > 1)
                if best is None or cost < best[0]:
                    best = (cost, begin is not None, goes, end is not None)
        assert best is not None
        return best[1:]

    def _is_picture(self, name: str, sizes: Sizes) -> bool:
        """Whether a channel-last runtime has this tensor channel-last: it comes of a convolution or the like."""
        if len(sizes) != 4 or sizes[0] != 1 or sizes[1] == 1 or sizes[2] * sizes[3] == 1:
            return False
        return is_picture(self.scope, name)

    def _becomes_picture(self, name: str, sizes: Sizes) -> bool:
        """Whether a convolution or the like reads it, sooner or later."""
        if len(sizes) != 4 or sizes[0] != 1 or sizes[1] == 1 or sizes[2] * sizes[3] == 1:
            return False
        names = [name]
        for _ in range(20):
            readers = [node for each in names for node in self.scope.readers.get(each, ())]
            if any(node.op_type in _SPATIAL for node in readers):
                return True
            names = [output for node in readers if node.op_type in _ALIKE for output in node.output]
        return False

    def _reshape(self, name: str, wanted: Sizes, output: str | None = None) -> str:
        if self.sizes(name) == wanted:
            return name if output is None else self.add("Identity", [name], wanted, output)
        shape = self.scope.constant(np.array(wanted, np.int64), f"{output or name}_sizes")
        return self.add("Reshape", [name, shape], wanted, output)

    def _transpose(self, name: str, order: Sequence[int], output: str | None = None) -> str:
        given = self.sizes(name) or ()
        return self.add("Transpose", [name], tuple(given[axis] for axis in order), output, perm=list(order))


def is_picture(scope: Scope, name: str) -> bool:
    """Whether a tensor of four axes comes of a convolution or the like, so that a channel-last runtime has its channels
    last."""
    for _ in range(20):
        maker = scope.producers.get(name)
        if maker is None or maker.op_type in _SPATIAL:
            return maker is not None
        if maker.op_type not in _ALIKE:
            return False
        name = next((each for each in maker.input if each not in scope.constants), "")
    return False


def around(sizes: Sizes, axis: int, end: int | None = None) -> tuple[int, int, int]:
    """(the sizes before an axis, the axis or the axes up to ``end``, those after it), multiplied."""
    end = axis + 1 if end is None else end
    return math.prod(sizes[:axis]), math.prod(sizes[axis:end]), math.prod(sizes[end:])


def _goes(lying: Lying, begin: int | None, end: int | None) -> tuple[Turn, ...] | None:
    """The transposes from the order in memory to the order meant; ``begin`` and ``end`` are the channels that lie (or
    are to lie) last instead of first there. None where channels and places do not part between two axes."""
    lies = _channels_last(lying.sizes, tuple(range(len(lying.sizes))), begin)
    wanted = _channels_last(lying.sizes, lying.order, end)
    if lies is None or wanted is None:
        return None
    return turns([lying.sizes[axis] for axis in lies], [lies.index(axis) for axis in wanted])


def _channels_last(sizes: Sizes, axes: tuple[int, ...], channels: int | None) -> tuple[int, ...] | None:
    """The axes with those that the channels are made of put last; as they are for ``channels`` None."""
    if channels is None:
        return axes
    product = 1
    for place, axis in enumerate(axes):
        product *= sizes[axis]
        if product == channels:
            return axes[place + 1 :] + axes[: place + 1]
        if product > channels:
            return None
    return None
