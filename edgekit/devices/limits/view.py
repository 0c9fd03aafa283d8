"""A graph as limits look at it: the tensors of an operator by position, and what of them is stored."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from edgekit.devices.tail import find_tail
from edgekit.graph import Graph, Operator, TensorInfo

#: Operators that hand a constant on as one: weights stored as integers or half floats.
_HANDS_ON = ("DequantizeLinear", "DEQUANTIZE")


class View:
    """Positions that an operator does not have, or leaves out, give None."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def constants(self) -> frozenset[int]:
        """Constant tensors, and those that only dequantize one."""
        found = {index for index, tensor in enumerate(self.graph.tensors) if tensor.constant}
        for operator in self.graph.operators:
            if operator.type in _HANDS_ON and operator.inputs and operator.inputs[0] in found:
                found.update(operator.outputs)
        return frozenset(found)

    @cached_property
    def free_inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs that leave a size free."""
        inputs = (self.graph.tensors[index] for index in self.graph.inputs)
        return tuple(tensor.name for tensor in inputs if tensor.elements is None)

    @cached_property
    def read(self) -> frozenset[int]:
        """Tensors that an operator reads or the graph returns."""
        used = {index for operator in self.graph.operators for index in operator.inputs}
        return frozenset(used | set(self.graph.outputs))

    @cached_property
    def tail(self) -> frozenset[int]:
        """The ``index`` of what the step onnx_cut_tail would move to the host."""
        return frozenset(self.graph.operators[place].index for place in find_tail(self.graph, self.constants))

    @cached_property
    def softmax_tail(self) -> frozenset[int]:
        """The ``index`` of what it would move with the option softmax_over=0: final softmaxes too."""
        found = find_tail(self.graph, self.constants, softmax_over=0)
        return frozenset(self.graph.operators[place].index for place in found)

    @cached_property
    def makers(self) -> dict[int, Operator]:
        """{tensor: the operator that computes it}."""
        return {index: operator for operator in self.graph.operators for index in operator.outputs if index >= 0}

    @cached_property
    def readers(self) -> dict[int, list[Operator]]:
        """{tensor: the operators that read it}."""
        found: dict[int, list[Operator]] = {}
        for operator in self.graph.operators:
            for index in operator.inputs:
                found.setdefault(index, []).append(operator)
        return found

    def input(self, operator: Operator, position: int) -> TensorInfo | None:
        return self._tensor(operator.inputs, position)

    def output(self, operator: Operator, position: int) -> TensorInfo | None:
        return self._tensor(operator.outputs, position)

    def inputs(self, operator: Operator) -> list[TensorInfo]:
        """Those that are there."""
        return [self.graph.tensors[index] for index in operator.inputs if index >= 0]

    def is_constant(self, operator: Operator, position: int) -> bool:
        return operator.inputs[position] in self.constants

    def runtime_inputs(self, operator: Operator) -> int:
        """How many inputs are computed while it runs."""
        return sum(index >= 0 and index not in self.constants for index in operator.inputs)

    def _tensor(self, places: Sequence[int], position: int) -> TensorInfo | None:
        inside = -len(places) <= position < len(places)
        return self.graph.tensors[places[position]] if inside and places[position] >= 0 else None
