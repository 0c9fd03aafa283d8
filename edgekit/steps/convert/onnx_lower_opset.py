"""onnx -> onnx: the same graph in an older opset, for devices whose parser reads no newer one.

An operator that an older version takes as it stands is left alone: its attributes and inputs are those of the older
one, or say what that does anyway. Some others are written out, and what cannot be is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from pydantic import Field

from edgekit.errors import StepError
from edgekit.formats.onnx_file import bodies_of
from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import NodeWriter, Scope, attribute_of, put_nodes, rewriting_step

#: Attributes that an older version lacks, and the value at which it does the same (ONNX's operator changelog).
_NEUTRAL: dict[str, Any] = {
    "allowzero": 0,
    "antialias": 0,
    "block_size": 0,
    "keep_aspect_ratio_policy": "stretch",
    "layout": 0,
    "noop_with_empty_axes": 0,
    "reduction": "none",
    "saturate": 1,
    "start": 0,
    "training_mode": 0,
}
#: Values that an attribute may have since an opset only, while it is older itself.
_SINCE = {"half_pixel_symmetric": 19, "wrap": 19, "max": 18, "min": 18}
#: IR versions count what a file may hold; 8 is that of the last parsers before opset 17.
_IR_VERSION = 8
#: Of what a newer version does otherwise with the same words, the attributes that it has to have (RoiAlign: its default
#: moved boxes by half a pixel from opset 16 on).
_CHANGED = {"RoiAlign": {"coordinate_transformation_mode": "output_half_pixel"}}


class Options(StepOptions):
    opset: int = Field(13, ge=13, description="the opset of the file; a model of this or an older one stays as it is")


@rewriting_step("onnx_lower_opset", version=1, options=Options, exact=True)
def onnx_lower_opset(model: Any, options: Options) -> tuple[str, ...]:
    """Write the model in an older opset; operators that it lacks are written out in older ones where that is known.

    Raises:
        StepError: an operator is not in the older opset, or does something there that this one does not.
    """
    scope = Scope(model)
    if scope.opset <= options.opset:
        return ()
    lowering = _Lowering(scope, options.opset)
    put_nodes(model, list(lowering.lower(model.graph)), scope)
    if lowering.left:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(lowering.left.items()))
        raise StepError(
            f"opset {options.opset} cannot say what these operators of opset {scope.opset} do: {listed}",
            where=listed,
            remedy=f"export the model again with opset {options.opset}, or replace these operators before",
        )
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = options.opset
    model.ir_version = min(model.ir_version, _IR_VERSION)
    written = ", ".join(f"{count} {name}" for name, count in sorted(lowering.written.items()))
    return (f"opset {scope.opset} written as {options.opset}" + (f"; written out: {written}" if written else ""),)


class _Lowering:
    """``left``: operators that could not be lowered, ``written``: those that were written in others."""

    def __init__(self, scope: Scope, opset: int) -> None:
        self.scope = scope
        self.opset = opset
        self.left: Counter[str] = Counter()
        self.written: Counter[str] = Counter()

    def lower(self, graph: Any) -> Iterator[Any]:
        """The nodes of a graph in the older opset; the bodies of its nodes are changed in place."""
        for node in graph.node:
            for body in bodies_of(node):
                kept = [one.SerializeToString() for one in self.lower(body)]
                del body.node[:]
                for one in kept:
                    body.node.add().ParseFromString(one)
            yield from self._lower_node(node)

    def _lower_node(self, node: Any) -> list[Any]:
        if node.domain not in ("", "ai.onnx") or self._is_as_old(node):
            return [node]
        rule = _WRITTEN.get(node.op_type)
        made = None if rule is None else rule(node, self.scope)
        if made is not None:
            self.written[node.op_type] += 1
            return made
        if not self._fits(node):
            self.left[node.op_type] += 1
        return [node]

    def _is_as_old(self, node: Any) -> bool:
        schema = _schema(node.op_type, self.scope.opset)
        return schema is not None and schema.since_version <= self.opset

    def _fits(self, node: Any) -> bool:
        """Whether the older version takes the node and does the same; attributes that say nothing new are dropped."""
        schema = _schema(node.op_type, self.opset)
        if schema is None or any(
            attribute_of(node, name, None) != value for name, value in _CHANGED.get(node.op_type, {}).items()
        ):
            return False
        while node.input and not node.input[-1]:
            node.input.pop()
        if any(_SINCE.get(str(attribute_of(node, one.name, "")), 0) > self.opset for one in node.attribute):
            return False
        strange = [one for one in node.attribute if one.name not in schema.attributes]
        if not all(self._says_nothing(node, one.name) for one in strange):
            return False
        for one in strange:
            node.attribute.remove(one)
        counted = len(node.input) <= schema.max_input and len(node.output) <= schema.max_output
        return counted and self._takes_types(node, schema)

    def _says_nothing(self, node: Any, name: str) -> bool:
        """Whether the older version, which lacks the attribute, does what it says."""
        value = attribute_of(node, name, None)
        if name == "dilations":
            return all(step == 1 for step in value)
        if name == "allowzero" and value:
            sizes = self.scope.constants.get(node.input[1])
            return sizes is not None and bool(np.all(sizes))
        return name in _CHANGED.get(node.op_type, {}) or (name in _NEUTRAL and _NEUTRAL[name] == value)

    def _takes_types(self, node: Any, schema: Any) -> bool:
        allowed = {each.type_param_str: set(each.allowed_type_strs) for each in schema.type_constraints}
        for place, name in enumerate(node.input):
            formal = schema.inputs[min(place, len(schema.inputs) - 1)]
            told = self.scope.dtype(name)
            kind = {"float32": "float", "float64": "double"}.get(told, told)
            if told and f"tensor({kind})" not in allowed.get(formal.type_str, {formal.type_str}):
                return False
        return True


def _schema(operator: str, opset: int) -> Any:
    import onnx

    try:
        return onnx.defs.get_schema(operator, opset, "")
    except onnx.defs.SchemaError:
        return None


def _reduce(node: Any, scope: Scope) -> list[Any] | None:
    """From opset 18 on the axes are an input."""
    from onnx import helper

    keep = attribute_of(node, "keepdims", 1)
    axes = scope.constants.get(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    if len(node.input) > 1 and node.input[1] and axes is None:
        return None
    if axes is None or not axes.size:
        if attribute_of(node, "noop_with_empty_axes", 0):
            if node.op_type not in _KEEP_SINGLE:
                return None
            return [helper.make_node("Identity", node.input[:1], node.output, name=node.name)]
        return [helper.make_node(node.op_type, node.input[:1], node.output, name=node.name, keepdims=keep)]
    told = [int(axis) for axis in axes]
    return [helper.make_node(node.op_type, node.input[:1], node.output, name=node.name, axes=told, keepdims=keep)]


def _split(node: Any, scope: Scope) -> list[Any] | None:
    """From opset 18 on equal parts, of which the last may be smaller, are a count."""
    from onnx import helper

    parts, shape = attribute_of(node, "num_outputs", 0), scope.shape(node.input[0])
    axis = attribute_of(node, "axis", 0)
    if not parts:
        return [node]
    size = None if shape is None else shape[axis]
    if size is None:
        return None
    each = -(-size // parts)
    sizes = scope.constant(np.array([*[each] * (parts - 1), size - each * (parts - 1)], np.int64), f"{node.name}_sizes")
    return [helper.make_node("Split", [node.input[0], sizes], node.output, name=node.name, axis=axis)]


def _normalize(node: Any, scope: Scope) -> list[Any] | None:
    """LayerNormalization, new with opset 17: (x - mean) / sqrt(mean of squares + epsilon) * scale + bias."""
    source, shape = node.input[0], scope.shape(node.input[0])
    if shape is None or scope.dtype(source) not in ("float32", "float64") or any(node.output[1:]):
        return None
    axes = list(range(attribute_of(node, "axis", -1) % len(shape) - len(shape), 0))
    writer = NodeWriter(scope, node.output[0])
    centred = writer.add("Sub", [source, writer.add("ReduceMean", [source], "mean", axes=axes)])
    variance = writer.add("ReduceMean", [writer.add("Mul", [centred, centred])], "variance", axes=axes)
    epsilon = scope.number(attribute_of(node, "epsilon", 1e-5), source, f"{node.output[0]}_epsilon")
    made = writer.add("Div", [centred, writer.add("Sqrt", [writer.add("Add", [variance, epsilon])])])
    for operator, place in (("Mul", 1), ("Add", 2)):
        if len(node.input) > place and node.input[place]:
            made = writer.add(operator, [made, node.input[place]])
    return writer.finish()


def _hard_swish(node: Any, scope: Scope) -> list[Any]:
    """x * max(0, min(1, x / 6 + 1 / 2)), new with opset 14."""
    writer = NodeWriter(scope, node.output[0])
    writer.add("Mul", [node.input[0], writer.add("HardSigmoid", [node.input[0]], alpha=1 / 6, beta=0.5)])
    return writer.finish()


def _mish(node: Any, scope: Scope) -> list[Any]:
    """x * tanh(softplus(x)), new with opset 18."""
    writer = NodeWriter(scope, node.output[0])
    writer.add("Mul", [node.input[0], writer.add("Tanh", [writer.add("Softplus", [node.input[0]])])])
    return writer.finish()


def _gelu(node: Any, scope: Scope) -> list[Any] | None:
    """x / 2 * (1 + erf(x / sqrt(2))), new with opset 20; its approximation by tanh is left."""
    source, output = node.input[0], node.output[0]
    if attribute_of(node, "approximate", "none") != "none" or not scope.is_float(source):
        return None
    half, one, root = (
        scope.number(value, source, f"{output}_{name}")
        for name, value in (("half", 0.5), ("one", 1.0), ("root", 2**-0.5))
    )
    writer = NodeWriter(scope, output)
    share = writer.add("Add", [writer.add("Erf", [writer.add("Mul", [source, root])]), one])
    writer.add("Mul", [writer.add("Mul", [source, half]), share])
    return writer.finish()


#: Over one number these are that number; a norm is its absolute value.
_KEEP_SINGLE = frozenset({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"})
_REDUCTIONS = ("Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
_WRITTEN: dict[str, Callable[[Any, Scope], list[Any] | None]] = {
    **{f"Reduce{name}": _reduce for name in _REDUCTIONS},
    "Split": _split,
    "LayerNormalization": _normalize,
    "HardSwish": _hard_swish,
    "Mish": _mish,
    "Gelu": _gelu,
}
