"""Cuts an ONNX model in two at tensors: what the device runs, and what the host runs after it.

x -> [ device ] -> cut tensors, as real numbers -> [ tail ] -> the model's outputs
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.errors import InputError
from edgekit.formats.onnx_file import graph_inputs
from edgekit.registry import did_you_mean
from edgekit.steps.convert.onnx_rewriting import read_names, rename_tensors

_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_UNUSUAL = re.compile(r"[^A-Za-z0-9_./-]")

#: {tensor: (numpy type, sizes)}: what ``onnx_rewriting.infer_tensors`` gives
Tensors = Mapping[str, "tuple[str, tuple[int | None, ...] | None]"]


@dataclass(frozen=True)
class Cut:
    """The two models, and the tensors between them, in the order of the device part's outputs and the tail's inputs;
    ``moved`` are the nodes of the tail."""

    device: Any
    tail: Any
    joints: tuple[Joint, ...]
    moved: tuple[Any, ...]


@dataclass(frozen=True)
class Joint:
    """A tensor at which a model was cut: its name in the whole, what the two parts call it, and what it is."""

    name: str
    output: str
    input: str
    dtype: str
    shape: tuple[int, ...]


class Wiring:
    """Who makes and who reads what in the main graph of a model. What the bodies of ``If`` and ``Loop`` read of it is
    read by the node; their own tensors play no part."""

    def __init__(self, model: Any) -> None:
        self.nodes = list(model.graph.node)
        self.makers = {name: place for place, node in enumerate(self.nodes) for name in node.output if name}
        self.inputs = {value.name for value in graph_inputs(model)}
        constants = {tensor.name for tensor in model.graph.initializer}
        constants |= {tensor.values.name for tensor in model.graph.sparse_initializer}
        known = self.makers.keys() | self.inputs | constants
        self.reads = [sorted(read_names([node]) & known) for node in self.nodes]
        self.outputs = [value.name for value in model.graph.output]
        self.readers: dict[str, list[int]] = {}
        for place, names in enumerate(self.reads):
            for name in names:
                self.readers.setdefault(name, []).append(place)

    def above(self, names: Iterable[str], stop: Callable[[str], bool] = lambda name: False) -> set[str]:
        """The tensors that these are made from, with themselves; those at which ``stop`` holds, and nothing above."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            if name in self.makers and not stop(name):
                waiting += self.reads[self.makers[name]]
        return found

    def nodes_for(self, tensors: set[str]) -> list[Any]:
        """The nodes that make any of some tensors, in order."""
        return [node for node in self.nodes if not tensors.isdisjoint(node.output)]


def cut_model(model: Any, tensors: Tensors, names: Sequence[str]) -> Cut:
    """Cut at ``names``; an output of the model that comes from none of them passes through the tail as it is.

    Raises:
        InputError: a name is none of a computed tensor, no output comes from it, the sizes of its tensor are free or
            its batch axis is not kept, or an output also comes from the model's inputs past the cut.
    """
    wiring = Wiring(model)
    for name in names:
        _check_cuttable(model, wiring, tensors, name)
    cuts = dict.fromkeys(names)
    for output in wiring.outputs:
        if output not in cuts and cuts.keys().isdisjoint(wiring.above([output])):
            cuts[output] = None
    below = wiring.above(wiring.outputs, stop=lambda name: name in cuts)
    _check_sides(wiring, cuts, below)
    moved = wiring.nodes_for(below - cuts.keys())
    _check_whole_nodes(moved, cuts)
    kept = wiring.nodes_for(wiring.above(cuts))
    joints = _name_joints(cuts, wiring, tensors)
    device = _part(model, kept, graph_inputs(model), [_value(joint.output, joint) for joint in joints])
    rename_tensors(device.graph, {joint.name: joint.output for joint in joints})
    passed = [_identity(joint) for joint in joints if joint.name in wiring.outputs]
    tail = _part(model, [*passed, *moved], [_value(joint.input, joint) for joint in joints], model.graph.output)
    rename_tensors(tail.graph, {joint.name: joint.input for joint in joints if joint.name not in wiring.outputs})
    return Cut(device, tail, joints, tuple(moved))


def fold_shapes(model: Any, tensors: Tensors) -> int:
    """Write constants for the sizes of tensors whose sizes are fixed, in place; how many. A part then needs no tensor
    of the other for its sizes alone."""
    import numpy as np
    from onnx import helper, numpy_helper

    folded = 0
    for node in model.graph.node:
        shape = tensors.get(node.input[0], ("", None))[1] if node.op_type == "Shape" and node.domain == "" else None
        if shape is None or None in shape:
            continue
        given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        sizes = np.array(shape[given.get("start", 0) : given.get("end")], np.int64)
        value = numpy_helper.from_array(sizes)
        node.CopyFrom(helper.make_node("Constant", [], node.output, name=node.name, value=value))
        folded += 1
    return folded


def cut_fault(model: Any, tensors: Tensors, name: str) -> str | None:
    """Why the device part cannot end in a tensor; None where it can."""
    dtype, shape = tensors.get(name, ("", None))
    if not dtype or shape is None or None in shape:
        return "its sizes are not fixed (onnx_fix_shapes, then onnx_simplify, may fix them)"
    first = next((tensors[value.name][1] for value in graph_inputs(model)), None)
    batch = first[0] if first else None
    if not shape or (batch is not None and shape[0] != batch):
        return f"its first axis is not the batch: {list(shape)}"
    return None


def _check_cuttable(model: Any, wiring: Wiring, tensors: Tensors, name: str) -> None:
    if name not in wiring.makers:
        kind = "an input of the model" if name in wiring.inputs else "no computed tensor of the model"
        raise _wrong(f"`{name}` is {kind}{did_you_mean(name, wiring.makers)}")
    fault = cut_fault(model, tensors, name)
    if fault is not None:
        raise _wrong(f"the model cannot be cut at `{name}`: {fault}")


def _check_sides(wiring: Wiring, cuts: Mapping[str, None], below: set[str]) -> None:
    """Every cut tensor is needed below the cut, and nothing below it is an input of the model."""
    dead = [name for name in cuts if name not in below]
    if dead:
        raise _wrong(f"no output of the model comes from `{dead[0]}` that does not come from another named tensor")
    past = sorted(below & wiring.inputs)
    if past:
        output = next(name for name in wiring.outputs if past[0] in wiring.above([name], stop=cuts.__contains__))
        raise _wrong(f"the output `{output}` also comes from the input `{past[0]}` past the tensors that are named")


def _check_whole_nodes(moved: Sequence[Any], cuts: Mapping[str, None]) -> None:
    """No node of the tail gives a cut tensor beside another that the tail needs."""
    for node in moved:
        split = [name for name in node.output if name in cuts]
        if split:
            others = " and ".join(f"`{name}`" for name in node.output if name not in cuts)
            raise _wrong(f"`{split[0]}` is named and {others} of the same {node.op_type} not, which is needed too")


def _name_joints(cuts: Iterable[str], wiring: Wiring, tensors: Tensors) -> tuple[Joint, ...]:
    """Names that converters keep: some write others for colons and the like. Where a cut tensor is an output of the
    model, the tail takes it under another name and passes it on."""
    taken = wiring.makers.keys() | wiring.readers.keys() | set(wiring.outputs)
    joints = []
    for name in cuts:
        dtype, shape = tensors[name]
        output = name if _PLAIN.fullmatch(name) else _free_name(_UNUSUAL.sub("_", name), taken)
        given = _free_name(f"{output}_raw", taken) if name in wiring.outputs else output
        joints.append(Joint(name, output, given, dtype, tuple(size or 0 for size in shape or ())))
    return tuple(joints)


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _identity(joint: Joint) -> Any:
    from onnx import helper

    return helper.make_node("Identity", [joint.input], [joint.name], name=f"{joint.name}_pass")


def _value(name: str, joint: Joint) -> Any:
    import numpy as np
    from onnx import helper

    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(joint.dtype)), joint.shape)


def _part(model: Any, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> Any:
    """A model of some nodes, with the constants that they read and the opset, functions and IR version of the whole."""
    from onnx import ModelProto

    part = ModelProto()
    part.ir_version = model.ir_version
    part.opset_import.extend(model.opset_import)
    part.functions.extend(model.functions)
    part.graph.node.extend(nodes)
    part.graph.input.extend(inputs)
    part.graph.output.extend(outputs)
    read = read_names(nodes) | {value.name for value in outputs}
    part.graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in read)
    part.graph.sparse_initializer.extend(
        tensor for tensor in model.graph.sparse_initializer if tensor.values.name in read
    )
    return part


def _wrong(message: str) -> InputError:
    return InputError(
        message,
        where="onnx_cut_tail",
        remedy="name tensors of the ONNX model that together lie on every way from its inputs to its outputs: "
        "onnx_cut_tail: {outputs: [...]}",
        code="cannot_cut",
    )
