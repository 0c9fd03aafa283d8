"""What the steps that replace ONNX operators by others share: the types of tensors, new constants, new names.

Only the main graph is rewritten; the bodies of ``If`` and ``Loop`` stay as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np

from edgekit.artifact import Artifact
from edgekit.errors import StepError
from edgekit.formats.onnx_file import bodies_of, opset_of, read_constants, read_model, write_model
from edgekit.steps import Context, Produced, Run, StepOptions, step

FLOATS = ("float16", "float32", "float64")


def onnx_step(name: str, *, version: int, options: type[StepOptions], exact: bool) -> Callable[[Run], Run]:
    """Register the decorated function as a step from onnx to onnx that needs ONNX's library alone."""
    return step(
        name,
        accepts="onnx",
        produces="onnx",
        stack="onnx",
        version=version,
        options=options,
        exact=exact,
        requires=("onnx",),
    )


def rewriting_step(
    name: str, *, version: int, options: type[StepOptions], exact: bool
) -> Callable[[Callable[[Any, Any], tuple[str, ...]]], Run]:
    """Register the decorated function as a step from onnx to onnx whose inputs and outputs stay as they are.

    It is called with the model, which it changes in place, and the options, and returns its notes.
    """

    def register(rewrite: Callable[[Any, Any], tuple[str, ...]]) -> Run:
        @wraps(rewrite)
        def run(context: Context, artifact: Artifact, options: Any) -> Produced:
            model = read_model(artifact.path)
            notes = rewrite(model, options)
            path = context.workdir / f"{context.stem}.onnx"
            write_model(model, path)
            return Produced(path, artifact.io, notes)

        return onnx_step(name, version=version, options=options, exact=exact)(run)

    return register


class Scope:
    """What a rule knows of the graph, and the constants that it adds."""

    def __init__(self, model: Any) -> None:
        self.opset = opset_of(model)
        self.constants = read_constants(model)
        self.added: list[Any] = []
        self.tensors = infer_tensors(model)
        self.producers = {name: node for node in model.graph.node for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in (*node.input, *sorted(read_names([node]) - set(node.input))):  # in its subgraphs too
                self.readers.setdefault(name, []).append(node)
        self._taken = names_in(model.graph)
        self._counts: Counter[str] = Counter()

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """The sizes of a tensor (None: a free one), or None where the number of axes is not known."""
        return self.tensors.get(name, ("", None))[1]

    def dtype(self, name: str) -> str:
        """The element type of a tensor by its numpy name, or an empty text where it is not known."""
        return self.tensors.get(name, ("", None))[0]

    def is_float(self, name: str) -> bool:
        return self.dtype(name) in FLOATS

    def new_name(self, stem: str) -> str:
        """A name that no tensor of the graph or of a body in it has: the stem, with a number where it is taken."""
        name = stem
        while name in self._taken:
            self._counts[stem] += 1
            name = f"{stem}_{self._counts[stem]}"
        self._taken.add(name)
        return name

    def number(self, value: float, like: str, stem: str) -> str:
        """The name of a new scalar constant of the type of the tensor ``like``."""
        return self.constant(np.asarray(value, self.dtype(like)), stem)

    def constant(self, values: np.ndarray, stem: str) -> str:
        """The name of a new constant."""
        from onnx import numpy_helper

        name = self.new_name(stem)
        self.added.append(numpy_helper.from_array(values, name))
        return name


class NodeWriter:
    """Collects new nodes that take the place of the one that wrote ``output``, after which they are called."""

    def __init__(self, scope: Scope, output: str) -> None:
        self.scope, self.output = scope, output
        self.nodes: list[Any] = []

    def add(self, kind: str, inputs: Sequence[str], what: str = "", **attributes: Any) -> str:
        """The tensor that a new node writes, called after ``what`` it is, or else its operator."""
        from onnx import helper

        name = self.scope.new_name(f"{self.output}_{what or kind.lower()}")
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def finish(self) -> list[Any]:
        """The nodes, the last of which writes the output."""
        self.nodes[-1].output[0] = self.output
        return self.nodes


#: (node, scope) -> the nodes that take its place, the last of which writes its output; None: it stays.
Rule = Callable[[Any, Scope], "list[Any] | None"]


def replace_nodes(model: Any, rules: Mapping[str, Rule]) -> Counter[str]:
    """Replace the nodes for whose operator there is a rule, in place; how many of each operator were."""
    scope, nodes = Scope(model), []
    replaced: Counter[str] = Counter()
    left: set[str] = set()  # what replaced nodes read
    for node in model.graph.node:
        rule = rules.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        made = None if rule is None else rule(node, scope)
        nodes += [node] if made is None else made
        if made is not None:
            replaced[node.op_type] += 1
            left.update(node.input)
    if replaced:
        put_nodes(model, nodes, scope)
        drop_unread(model, left)
    return replaced


def drop_unread(model: Any, names: Iterable[str]) -> None:
    """Take out of the graph, in place, the nodes and constants that gave tensors of ``names`` which nothing reads any
    more, then what only these nodes read, and so on. The outputs of the graph, and what the bodies of ``If`` and
    ``Loop`` read, are read; other tensors that nothing reads stay, and so do default values of inputs."""
    graph = model.graph
    readers = Counter(name for node in graph.node for name in read_names([node]))
    readers.update(value.name for value in (*graph.output, *graph.input))
    places = {name: place for place, node in enumerate(graph.node) for name in node.output if name}
    waiting, unread, gone = list(names), set[str](), set[int]()
    while waiting:
        name = waiting.pop()
        place = places.get(name)
        if readers[name] or place in gone:
            continue
        unread.add(name)
        if place is not None and not any(readers[each] for each in graph.node[place].output if each):
            gone.add(place)
            given = read_names([graph.node[place]])
            readers.subtract(given)
            waiting += given
    for place in sorted(gone, reverse=True):
        del graph.node[place]
    kept = [tensor for tensor in graph.initializer if tensor.name not in unread]
    if len(kept) < len(graph.initializer):
        del graph.initializer[:]
        graph.initializer.extend(kept)


def put_nodes(model: Any, nodes: Iterable[Any], scope: Scope) -> None:
    """Make these the nodes of the model's graph, in place, and add the scope's new constants. A new node may be called
    as another is already (``act_1``, made of ``act``), which ONNX Runtime refuses: the later one gets a new name."""
    copies = [node.SerializeToString(deterministic=True) for node in nodes]  # they live in the list that is emptied
    del model.graph.node[:]
    seen: set[str] = set()
    counts: Counter[str] = Counter()
    for copy in copies:
        node = model.graph.node.add()
        node.ParseFromString(copy)
        given = node.name
        while node.name and node.name in seen:
            counts[given] += 1
            node.name = f"{given}_{counts[given]}"
        seen.add(node.name)
    model.graph.initializer.extend(scope.added)


def read_names(nodes: Iterable[Any]) -> set[str]:
    """The tensors that some nodes read, in the graphs of their attributes too."""
    names: set[str] = set()
    for node in nodes:
        names.update(node.input)
        for body in bodies_of(node):
            names.update(value.name for value in body.output)
            names |= read_names(body.node)
    return names


def names_in(graph: Any) -> set[str]:
    """The tensors of a graph, and of the graphs of its nodes' attributes, which may not be called alike."""
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    names.update(value.name for value in (*graph.input, *graph.output, *graph.initializer))
    for body in (body for node in graph.node for body in bodies_of(node)):
        names |= names_in(body)
    return names


def rename_tensors(graph: Any, names: Mapping[str, str]) -> None:
    """Give tensors other names in a graph, in place, and in the bodies of its nodes, which may read them."""
    changed = {old: new for old, new in names.items() if old != new}
    graphs = [graph] if changed else []
    while graphs:
        each = graphs.pop()
        for node in each.node:
            node.input[:] = [changed.get(name, name) for name in node.input]
            node.output[:] = [changed.get(name, name) for name in node.output]
            graphs.extend(bodies_of(node))
        for value in each.output:
            value.name = changed.get(value.name, value.name)


def infer_tensors(model: Any) -> dict[str, tuple[str, tuple[int | None, ...] | None]]:
    """{tensor: (numpy type, sizes)} as far as ONNX's shape inference gets.

    Raises:
        StepError: the model contradicts itself, or is too large for it.
    """
    import onnx

    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception as error:
        raise StepError(
            f"the shapes of the model cannot be inferred: {' '.join(str(error).split())[:300]}",
            remedy="leave this step out of `steps`",
        ) from error
    found: dict[str, tuple[str, tuple[int | None, ...] | None]] = {
        tensor.name: (_numpy_name(tensor.data_type), tuple(tensor.dims)) for tensor in inferred.initializer
    }
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = value.type.tensor_type
        sizes = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
        found[value.name] = (_numpy_name(kind.elem_type), sizes if kind.HasField("shape") else None)
    return found


def attribute_of(node: Any, name: str, default: Any) -> Any:
    """The value of an attribute of a node, or the default where it is not set; texts are not bytes."""
    from onnx import helper

    for attribute in node.attribute:
        if attribute.name == name:
            value = helper.get_attribute_value(attribute)
            return value.decode() if isinstance(value, bytes) else value
    return default


def count_notes(replaced: Counter[str], how: str) -> tuple[str, ...]:
    """One note that says what was replaced, or none."""
    if not replaced:
        return ()
    listed = ", ".join(f"{count} {name}" for name, count in sorted(replaced.items()))
    return (f"replaced {how}: {listed}",)


def _numpy_name(element_type: int) -> str:
    from onnx import TensorProto, helper

    if element_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        return ""
    return str(helper.tensor_dtype_to_np_dtype(element_type))
