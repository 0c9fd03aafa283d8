"""Which operator of an ONNX model a converter fails at, and which step of edgekit writes it so that it does not.

Converters tell of a failure in the words of their own parts, or write a file that computes something else. So the model
is cut after ever fewer operators, in their order, until the first is found with which the conversion fails. Then each
step from ONNX to ONNX is tried on the whole model: one that writes this operator otherwise, and after which it
converts, is a cure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import IO, Artifact, Tensor
from edgekit.errors import EdgekitError
from edgekit.formats.onnx_file import graph_inputs, read_model, write_model
from edgekit.steps import STEPS, Context, Step
from edgekit.steps.convert.onnx_rewriting import infer_tensors, read_names

#: Whether a model converts.
Attempt = Callable[[Artifact], bool]


#: It writes the whole model anew: named only where no step for the operator does.
_WIDEST = "onnx_lower_opset"


@dataclass(frozen=True)
class Culprit:
    """An operator at which a conversion fails; ``cure`` is the step after which it does not (None: none is known), and
    ``exact`` whether that computes the same."""

    operator: str
    output: str
    cure: str | None = None
    exact: bool = True

    @property
    def title(self) -> str:
        return f"{self.operator} (its output is `{self.output}`)"

    @property
    def remedy(self) -> str | None:
        """What to do about it, where something is known."""
        if self.cure is None:
            return None
        how = "it then converts" if self.exact else "it then converts, as an approximation"
        return f"add the step {self.cure} before it (`check --step {self.cure}`, or a recipe's `steps`): {how}"


def tell_culprit(context: Context, artifact: Artifact, converts: Attempt) -> Culprit | None:
    """The same for a failure that is told anyway: None too for a model in which shapes contradict each other."""
    try:
        return find_culprit(context, artifact, converts)
    except EdgekitError as error:
        context.log.warning("the operator at which it fails cannot be told: %s", error.message)
        return None


def find_culprit(context: Context, artifact: Artifact, converts: Attempt) -> Culprit | None:
    """The operator at which the conversion of a model fails; None where no single one shows."""
    model = read_model(artifact.path)
    if len(model.graph.node) < 1:
        return None
    cutter = _Cutter(model, artifact, context.workdir / "cut")
    first, last = 0, len(model.graph.node) - 1  # with the first `first` operators it converts, with all it does not
    while first < last:
        middle = (first + last) // 2
        if _does(converts, cutter.cut_after(middle)):
            first = middle + 1
        else:
            last = middle
    node = model.graph.node[first]
    if _does(converts, cutter.cut_after(first)):
        return None
    cure = _find_cure(context, artifact, node, converts)
    name, exact = (None, True) if cure is None else (cure.name, cure.exact)
    return Culprit(node.op_type, next(iter(node.output), ""), name, exact)


def _does(converts: Attempt, artifact: Artifact | None) -> bool:
    """Whether it converts; what has nothing to show (None) does."""
    return artifact is None or converts(artifact)


class _Cutter:
    """Makes models of the first operators of another one, or of what some of its tensors are computed by."""

    def __init__(self, model: Any, artifact: Artifact, folder: Path) -> None:
        self._model, self._artifact, self._folder = model, artifact, folder
        self._tensors = infer_tensors(model)
        self._made = 0

    def cut_after(self, place: int) -> Artifact | None:
        """The operators up to that one; its outputs are the tensors that the others, or the model's user, read."""
        nodes = list(self._model.graph.node)
        behind = read_names(nodes[place + 1 :]) | {value.name for value in self._model.graph.output}
        live = [name for node in nodes[: place + 1] for name in node.output if name in behind]
        return self._make(nodes[: place + 1], live)

    def cut_to(self, outputs: Sequence[str]) -> Artifact | None:
        """The operators that some tensors are computed by."""
        wanted, nodes = set(outputs), list[Any]()
        for node in reversed(self._model.graph.node):
            if wanted & set(node.output):
                nodes.insert(0, node)
                wanted |= read_names([node])
        return self._make(nodes, outputs)

    def _make(self, nodes: Sequence[Any], outputs: Iterable[str]) -> Artifact | None:
        """The model of these operators; None if it has no input, or none of its outputs' types is known."""
        from onnx import helper

        read = read_names(nodes)
        inputs = [value for value in graph_inputs(self._model) if value.name in read]
        shown = [name for name in outputs if self._tensors.get(name, ("", None))[0] and self._sizes(name) is not None]
        if not inputs or not shown:
            return None
        kept = [tensor for tensor in self._model.graph.initializer if tensor.name in read]
        ends = []
        for name in shown:
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(self._tensors[name][0]))
            ends.append(helper.make_tensor_value_info(name, kind, self._sizes(name)))
        graph = helper.make_graph(nodes, "cut", inputs, ends, kept)
        made = helper.make_model(graph, opset_imports=self._model.opset_import, ir_version=self._model.ir_version)
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir(parents=True)
        write_model(made, folder / "cut.onnx")
        names = {value.name for value in inputs}
        io = IO(
            tuple(tensor for tensor in self._artifact.io.inputs if tensor.name in names),
            tuple(Tensor(name, name, tuple(self._sizes(name) or ()), self._tensors[name][0]) for name in shown),
        )
        return replace(self._artifact, path=folder / "cut.onnx", io=io, tail=None)

    def _sizes(self, name: str) -> tuple[int | None, ...] | None:
        return self._tensors.get(name, ("", None))[1]


def _find_cure(context: Context, artifact: Artifact, node: Any, converts: Attempt) -> Step | None:
    """The first step, exact ones before others, that writes a node otherwise so that it converts."""
    rewriting = [step for step in STEPS if step.accepts == step.produces == "onnx" and not step.calibrates]
    for step in sorted(rewriting, key=lambda step: (not step.exact, step.name == _WIDEST)):
        folder = context.workdir / "cure" / step.name
        folder.mkdir(parents=True)
        try:
            produced = step.run(replace(context, workdir=folder), artifact, step.options())
            model = read_model(produced.path)
        except (EdgekitError, ImportError):
            continue
        outputs = [name for name in node.output if name]
        known = {name for each in model.graph.node for name in each.output}
        if _has(model, node) or not set(outputs) <= known:
            continue
        rewritten = replace(artifact, path=produced.path, io=produced.io, tail=None)
        cut = _Cutter(model, rewritten, folder / "cut").cut_to(outputs)
        if cut is not None and converts(cut):
            return step
    return None


def _has(model: Any, node: Any) -> bool:
    """Whether a model has a node as it is, whatever it is called."""
    return any(
        (each.op_type, list(each.input), list(each.output)) == (node.op_type, list(node.input), list(node.output))
        and list(each.attribute) == list(node.attribute)
        for each in model.graph.node
    )
