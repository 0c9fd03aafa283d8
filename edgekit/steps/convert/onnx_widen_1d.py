"""onnx -> onnx: 1-D convolutions and what stands between them, written with 2-D operators on [N, C, L, 1].

Each operator of the stretch gets the extra axis, so that only its borders have a reshape. The length becomes the
height, not the width: accelerators deal rows out over their memories, and a row of the whole length may fit in none.
With the new axis at the end, axes keep their numbers and a flattened tensor keeps its order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import Field

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, count_notes, put_nodes, read_names, rewriting_step


class Options(StepOptions):
    keep: tuple[str, ...] = Field((), description="names of nodes that stay 1-D")


@rewriting_step("onnx_widen_1d", version=4, options=Options, exact=True)
def onnx_widen_1d(model: Any, options: Options) -> tuple[str, ...]:
    """Write 1-D convolutions, poolings and what stands between them as 2-D ones on [N, C, L, 1]."""
    widening = Widening(Scope(model), frozenset(options.keep), [value.name for value in model.graph.output])
    for node in model.graph.node:
        widening.take(node)
    widening.finish()
    if widening.widened:
        put_nodes(model, widening.nodes, widening.scope)
    return count_notes(widening.widened, "by 2-D operators")


class Widening:
    """The graph as it is written anew: ``wide`` are the tensors [N, C, L] that have a form [N, C, L, 1]."""

    def __init__(self, scope: Scope, keep: frozenset[str], outputs: list[str]) -> None:
        self.scope = scope
        self.nodes: list[Any] = []
        self.widened: Counter[str] = Counter()
        self.wide: dict[str, str] = {}
        self._makers: dict[str, Any] = {}
        self._outputs = outputs
        self._keep = keep
        self._narrow: set[str] = set()  # those of ``wide`` that also exist as [N, C, L]

    def take(self, node: Any) -> None:
        """Write a node, 2-D if it can be and there is a reason: it slides a window, or its input is 2-D already."""
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") and node.name not in self._keep else None
        follows = any(name in self.wide for name in node.input)
        if rule is None or not (follows or node.op_type in _WINDOWS) or not rule(node, self):
            for name in sorted(read_names([node])):
                self.narrow(name)
            self.nodes.append(node)

    def finish(self) -> None:
        """The outputs, under their own names and shapes."""
        for name in self._outputs:
            self.narrow(name)

    def maker_for(self, reader: Any) -> Any | None:
        """The 2-D node whose output only ``reader`` reads; None where there is none."""
        name = reader.input[0]
        shared = name in self._outputs or len(self.scope.readers.get(name, ())) > 1 or name in self._narrow
        return None if shared else self._makers.get(self.wide.get(name, ""))

    def rank(self, name: str) -> int | None:
        shape = self.scope.shape(name)
        return None if shape is None else len(shape)

    def widen(self, name: str) -> str:
        """The name of the form [N, C, L, 1] of a tensor of three axes."""
        if name not in self.wide:
            self.wide[name] = self.scope.new_name(f"{name}_2d")
            self._narrow.add(name)
            self._add_axis_node("Unsqueeze", name, self.wide[name])
        return self.wide[name]

    def narrow(self, name: str) -> None:
        """See to it that a tensor exists as [N, C, L]."""
        if name in self.wide and name not in self._narrow:
            self._narrow.add(name)
            self._add_axis_node("Squeeze", self.wide[name], name)

    def apply(self, node: Any, inputs: list[str], **attributes: Any) -> bool:
        """Write the node's 2-D form, with its other attributes; always true."""
        from onnx import helper

        kept = {each.name: helper.get_attribute_value(each) for each in node.attribute if each.name not in attributes}
        chosen = kept | {name: value for name, value in attributes.items() if value is not None}
        output = self.scope.new_name(f"{node.output[0]}_2d")
        made = helper.make_node(node.op_type, inputs, [output], name=node.name, **chosen)
        self.nodes.append(made)
        self._makers[output] = made
        self.wide[node.output[0]] = output
        self.widened[node.op_type] += 1
        return True

    def array(self, name: str) -> np.ndarray | None:
        return self.scope.constants.get(name)

    def _add_axis_node(self, operator: str, given: str, made: str) -> None:
        from onnx import helper

        name = f"{made}_{operator.lower()}"
        if self.scope.opset < 13:
            self.nodes.append(helper.make_node(operator, [given], [made], name=name, axes=[3]))
        else:
            axes = self.scope.constant(np.array([3], np.int64), f"{made}_axes")
            self.nodes.append(helper.make_node(operator, [given, axes], [made], name=name))


#: (node, widening) -> whether it wrote the 2-D form.
Rule = Callable[[Any, Widening], bool]


def _convolution(node: Any, widening: Widening) -> bool:
    """Weights [out, in, K] become [out, in, K, 1]."""
    weights = widening.array(node.input[1])
    if weights is None or weights.ndim != 3 or widening.rank(node.input[0]) != 3:
        return False
    wider = widening.scope.constant(weights[..., None], f"{node.input[1]}_2d")
    widening.scope.constants[wider] = weights[..., None]
    return widening.apply(node, [widening.widen(node.input[0]), wider, *node.input[2:]], **_window(node))


def _pooling(node: Any, widening: Widening) -> bool:
    if len([name for name in node.output if name]) != 1 or widening.rank(node.input[0]) != 3:
        return False  # the second output of MaxPool numbers the places
    return widening.apply(node, [widening.widen(node.input[0])], **_window(node))


def _window(node: Any) -> dict[str, Any]:
    """The window's attributes for a width of 1 (None: not set). Any stride and dilation do there, so they are equal."""

    def doubled(name: str) -> list[int] | None:
        value = attribute_of(node, name, None)
        return None if value is None else [value[0], value[0]]

    def with_one(name: str, one: int) -> list[int] | None:
        value = attribute_of(node, name, None)
        return None if value is None else [value[0], one]

    pads = attribute_of(node, "pads", None)
    return {
        "kernel_shape": with_one("kernel_shape", 1),
        "strides": doubled("strides"),
        "dilations": doubled("dilations"),
        "pads": None if pads is None else [pads[0], 0, pads[1], 0],
        "output_padding": with_one("output_padding", 0),
        "output_shape": with_one("output_shape", 1),
    }


def _per_channel(node: Any, widening: Widening) -> bool:
    """Whatever else it reads has one number for each channel."""
    if len([name for name in node.output if name]) != 1 or widening.rank(node.input[0]) != 3:
        return False
    return widening.apply(node, [widening.widen(node.input[0]), *node.input[1:]])


def _activation(node: Any, widening: Widening) -> bool:
    """Number by number; other inputs are single numbers (the limits of Clip)."""
    if len([name for name in node.output if name]) != 1 or node.input[0] not in widening.wide:
        return False
    return widening.apply(node, [widening.widen(node.input[0]), *node.input[1:]])


def _elementwise(node: Any, widening: Widening) -> bool:
    """With broadcasting, which aligns last axes: a constant gets the new axis too, unless it is one number."""
    shapes = [widening.scope.shape(name) for name in node.input]
    if widening.rank(node.output[0]) != 3 or any(shape is None for shape in shapes):
        return False
    arrays = [widening.array(name) for name in node.input]
    if any(array is None and len(shape or ()) != 3 for array, shape in zip(arrays, shapes, strict=True)):
        return False
    inputs = []
    for name, array in zip(node.input, arrays, strict=True):
        if array is None:
            inputs.append(widening.widen(name))
        elif array.size == 1:
            inputs.append(widening.scope.constant(array.reshape(()), f"{name}_number"))
        else:
            inputs.append(widening.scope.constant(array[..., None], f"{name}_2d"))
    return widening.apply(node, inputs)


def _concatenation(node: Any, widening: Widening) -> bool:
    if any(widening.rank(name) != 3 for name in node.input):
        return False
    axis = int(attribute_of(node, "axis", 1)) % 3
    return widening.apply(node, [widening.widen(name) for name in node.input], axis=axis)


def _softmax(node: Any, widening: Widening) -> bool:
    """Before opset 13 it ran over all axes from ``axis`` on, of which the new one is the last."""
    axis = int(attribute_of(node, "axis", -1 if widening.scope.opset >= 13 else 1)) % 3
    return widening.apply(node, [widening.widen(node.input[0])], axis=axis)


def _padding(node: Any, widening: Widening) -> bool:
    """[begin N, C, L, end N, C, L], an input since opset 11; with chosen axes (opset 18) nothing changes."""
    if len(node.input) > 3 and node.input[3]:
        return _axes_up(node, 3, widening) and widening.apply(node, [widening.widen(node.input[0]), *node.input[1:]])
    if widening.scope.opset < 11:
        pads = attribute_of(node, "pads", [0] * 6)
        return widening.apply(node, [widening.widen(node.input[0])], pads=[*pads[:3], 0, *pads[3:], 0])
    values = widening.array(node.input[1])
    if values is None or values.size != 6:
        return False
    wider = widening.scope.constant(np.array([*values[:3], 0, *values[3:], 0], np.int64), f"{node.input[1]}_2d")
    return widening.apply(node, [widening.widen(node.input[0]), wider, *node.input[2:]])


def _slice(node: Any, widening: Widening) -> bool:
    """Axes from the front; an input since opset 10, the first ones where they are left out."""
    if widening.scope.opset < 10 or (len(node.input) > 3 and node.input[3] and not _axes_up(node, 3, widening)):
        return False
    if _trim(node, widening):
        return True
    return widening.apply(node, [widening.widen(node.input[0]), *node.input[1:]])


def _trim(node: Any, widening: Widening) -> bool:
    """A slice that takes off what a convolution's padding brought in (as causal networks do) is less padding."""
    limits = [widening.array(name) for name in node.input[1:] if name]
    convolution, length = widening.maker_for(node), (widening.scope.shape(node.input[0]) or (None,) * 3)[2]
    if convolution is None or convolution.op_type != "Conv" or length is None:
        return False
    if attribute_of(convolution, "auto_pad", "NOTSET") != "NOTSET":
        return False
    if len(limits) not in (3, 4) or any(each is None or each.size != 1 for each in limits):
        return False
    first, last, axis, stride_ = (int(each.reshape(())) for each in (*limits, np.array(1))[:4] if each is not None)
    begin, end, _ = slice(first, last).indices(length)
    if axis != 2 or stride_ != 1 or end <= begin:
        return False
    pads = _less_padding(convolution, widening, begin, end)
    if pads is None:
        return False
    from onnx import helper

    kept = [attribute for attribute in convolution.attribute if attribute.name != "pads"]
    del convolution.attribute[:]
    convolution.attribute.extend([*kept, helper.make_attribute("pads", pads)])
    widening.wide[node.output[0]] = widening.wide[node.input[0]]
    widening.widened["Slice"] += 1
    return True


def _less_padding(convolution: Any, widening: Widening, begin: int, end: int) -> list[int] | None:
    """The padding with which only the places [begin, end) of the output are computed, or None."""
    given = next(name for name, wide in widening.wide.items() if wide == convolution.input[0])
    length = (widening.scope.shape(given) or (None,) * 3)[2]
    weights = widening.array(convolution.input[1])
    if length is None or weights is None:
        return None
    stride = attribute_of(convolution, "strides", [1])[0]
    window = attribute_of(convolution, "dilations", [1])[0] * (weights.shape[2] - 1) + 1
    front = attribute_of(convolution, "pads", [0])[0] - begin * stride
    back = (end - begin - 1) * stride + window - length - front
    return None if front < 0 or back < 0 else [front, 0, back, 0]


def _axes_up(node: Any, place: int, widening: Widening) -> bool:
    """Whether the axes in an input are constants from the front, which the new axis does not renumber."""
    axes = widening.array(node.input[place])
    return axes is not None and bool((axes >= 0).all())


def _resize(node: Any, widening: Widening) -> bool:
    """By constant factors or to constant sizes of all three axes; the new axis keeps its 1."""
    arrays = [widening.array(name) if name else None for name in node.input[2:]]
    given = [array for array in arrays if array is not None and array.size]
    if node.input[0] not in widening.wide or len(given) != 1 or given[0].size != 3 or widening.scope.opset < 13:
        return False
    if attribute_of(node, "axes", None) is not None:
        return False
    if attribute_of(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return False  # its region has a place for each axis too
    wider = widening.scope.constant(np.append(given[0], np.ones(1, given[0].dtype)), f"{node.output[0]}_factors")
    places = [wider if array is not None and array.size else "" for array in arrays]
    return widening.apply(node, [widening.widen(node.input[0]), "", *places])


def _mean(node: Any, widening: Widening) -> bool:
    return _reduction(node, widening, "GlobalAveragePool")


def _maximum(node: Any, widening: Widening) -> bool:
    return _reduction(node, widening, "GlobalMaxPool")


def _reduction(node: Any, widening: Widening, pooling: str) -> bool:
    """Over the length: global pooling, and Flatten to [N, C] where the axis is not kept."""
    from onnx import helper

    axes = attribute_of(node, "axes", None)
    if len(node.input) > 1 and node.input[1]:
        values = widening.array(node.input[1])
        axes = None if values is None else values.reshape(-1).tolist()
    if axes is None or [axis % 3 for axis in axes] != [2] or not widening.scope.is_float(node.input[0]):
        return False
    given, output = widening.widen(node.input[0]), node.output[0]
    pooled = widening.scope.new_name(f"{output}_2d")
    widening.nodes.append(helper.make_node(pooling, [given], [pooled], name=node.name))
    widening.widened[node.op_type] += 1
    if attribute_of(node, "keepdims", 1):
        widening.wide[output] = pooled
    else:
        widening.nodes.append(helper.make_node("Flatten", [pooled], [output], name=f"{node.name}_flatten", axis=1))
    return True


def _flattening(node: Any, widening: Widening) -> bool:
    """It takes the wide form as it is: the order of the numbers is the same."""
    from onnx import helper

    axis = int(attribute_of(node, "axis", 1))
    axis += 3 if axis < 0 else 0
    given = widening.wide[node.input[0]]
    widening.nodes.append(helper.make_node("Flatten", [given], node.output, name=node.name, axis=axis))
    return True


def _reshape(node: Any, widening: Widening) -> bool:
    """As with Flatten; a 0 in the new shape means one of the first three sizes, which are the same."""
    from onnx import helper

    shape = widening.array(node.input[1])
    if shape is None or node.input[0] not in widening.wide or (shape.size > 3 and 0 in shape[3:]):
        return False
    kept = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    inputs = [widening.wide[node.input[0]], node.input[1]]
    widening.nodes.append(helper.make_node("Reshape", inputs, node.output, name=node.name, **kept))
    return True


_WINDOWS: dict[str, Rule] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "MaxPool": _pooling,
    "AveragePool": _pooling,
    "GlobalAveragePool": _pooling,
    "GlobalMaxPool": _pooling,
    "BatchNormalization": _per_channel,
    "InstanceNormalization": _per_channel,
}
_ACTIVATIONS = (
    "Abs", "Cast", "Ceil", "Celu", "Clip", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Softplus",
    "Softsign", "Sqrt", "Swish", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_RULES: dict[str, Rule] = {
    **_WINDOWS,
    **dict.fromkeys(_ACTIVATIONS, _activation),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean", "PRelu"), _elementwise),
    "Concat": _concatenation,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Pad": _padding,
    "Slice": _slice,
    "Resize": _resize,
    "ReduceMean": _mean,
    "ReduceMax": _maximum,
    "Flatten": _flattening,
    "Reshape": _reshape,
}
