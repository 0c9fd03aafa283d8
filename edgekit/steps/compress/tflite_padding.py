"""Padding before a maximum, which converters write with the lowest number there is.

    x -> PADV2 (-3.4e38) -> p -> MAX_POOL_2D -> y

The number never wins a maximum, but the range of p would reach down to it, and eight bits for that leave nothing for x.
"""

from __future__ import annotations

import numpy as np

from edgekit.formats.tflite_file import (
    Model,
    StoredOperator,
    add_tensor,
    load_model,
    name_of,
    read_constant,
    save_model,
    type_of,
    write_constant,
)
from edgekit.formats.tflite_padding import only_for_maximum
from edgekit.steps.compress.tflite_ranges import Ranges


def bound_padding(data: bytes, ranges: Ranges) -> tuple[bytes, Ranges]:
    """(the float model, the ranges) with padding that only a maximum reads raised to the lowest number that it is put
    around, or 0 if that is lower; both as they are where there is none."""
    model = load_model(data)
    found = dict(ranges)
    for operator in model.subgraphs[0].operators:
        if type_of(model, operator) == "PADV2" and only_for_maximum(model, operator):
            _bound(model, operator, found)
    return (data, ranges) if found == ranges else (save_model(model), found)


def _bound(model: Model, operator: StoredOperator, ranges: Ranges) -> None:
    subgraph = model.subgraphs[0]
    given, _, number = (subgraph.tensors[index] for index in operator.inputs)
    values = read_constant(model, number)
    seen = ranges.get(name_of(given))
    if values is None or seen is None or values.dtype != np.float32 or float(values.min()) >= min(seen[0], 0.0):
        return
    raised = add_tensor(subgraph, f"{name_of(number)}_raised_{operator.outputs[0]}", values.shape, "float32", None)
    write_constant(model, subgraph.tensors[raised], np.full(values.shape, min(seen[0], 0.0), np.float32))
    operator.inputs = [*operator.inputs[:2], raised]
    ranges[name_of(subgraph.tensors[operator.outputs[0]])] = seen
