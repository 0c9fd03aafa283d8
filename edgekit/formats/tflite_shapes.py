"""Fixed shapes: sizes that a file leaves free, or computes as it runs, but that follow from the inputs' sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.formats.tflite_file import drop_unused, load_model, save_model, write_constant
from edgekit.formats.tflite_flatbuffer import StoredModel, StoredTensor
from edgekit.formats.tflite_operators import operator_name

_SAMPLES = 2


def fix_shapes(stored: StoredModel, threads: int) -> tuple[bytes, str | None]:
    """(The file with fixed sizes only, None), or (the file as it is, a tensor whose size depends on the numbers).

    The inputs get the sizes that the runtime takes unless told. Whether the rest follows from them is seen by running
    the model on two random samples: every tensor must then have the size that the file says. What a SHAPE operator
    computes becomes a constant, and so does what is computed of it alone.
    """
    folded = _find_folded(stored)
    if not folded and not any(None in tensor.shape for subgraph in stored.subgraphs for tensor in subgraph.tensors):
        return stored.data, None
    interpreter = _run(stored, threads)
    seen = {entry["index"]: tuple(entry["shape"].tolist()) for entry in interpreter.get_tensor_details()}
    for index, tensor in enumerate(stored.main.tensors):
        if seen.get(index, tensor.default_shape) != tensor.default_shape:
            return stored.data, tensor.name
    model = load_model(stored.data)
    subgraph = model.subgraphs[0]
    for index in folded.values():
        for output in stored.main.operators[index].outputs:
            write_constant(model, subgraph.tensors[output], interpreter.get_tensor(output))
    gone = set(folded.values())
    subgraph.operators = [operator for place, operator in enumerate(subgraph.operators) if place not in gone]
    for part in model.subgraphs:
        for tensor in part.tensors:
            tensor.shapeSignature = None
    drop_unused(model)
    return save_model(model), None


def _run(stored: StoredModel, threads: int) -> Any:
    """An interpreter that has run two random samples, with every tensor kept."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=stored.data, num_threads=threads, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    generator = np.random.default_rng(0)
    for _ in range(_SAMPLES):
        for index in stored.main.inputs:
            interpreter.set_tensor(index, _draw(stored.main.tensors[index], generator))
        interpreter.invoke()
    return interpreter


def _find_folded(stored: StoredModel) -> dict[int, int]:
    """{tensor: operator that computes it} for SHAPE operators and for what needs nothing but their results."""
    folded: dict[int, int] = {}
    for place, operator in enumerate(stored.main.operators):
        inputs = [index for index in operator.inputs if index >= 0]
        known = [index in folded or stored.is_constant(stored.main.tensors[index]) for index in inputs]
        settled = all(known) and any(index in folded for index in inputs)
        if settled or operator_name(stored.codes[operator.opcode]) == "SHAPE":
            folded.update(dict.fromkeys(operator.outputs, place))
    return folded


def _draw(tensor: StoredTensor, generator: np.random.Generator) -> np.ndarray:
    if tensor.dtype.startswith("float"):
        return generator.standard_normal(tensor.default_shape).astype(tensor.dtype)
    return generator.integers(0, 2, tensor.default_shape).astype(tensor.dtype)
