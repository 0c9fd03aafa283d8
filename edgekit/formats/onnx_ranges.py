"""The lowest and highest value of tensors of an ONNX model over samples, found by the model itself: ReduceMin and
ReduceMax are appended, so that only two numbers a tensor leave ONNX Runtime and memory does not grow with the number
of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.errors import InputError
from edgekit.formats.onnx_session import open_session

Range = tuple[float, float]


def collect_ranges(
    model: Any,
    tensors: Sequence[str],
    feeds: Iterable[Mapping[str, np.ndarray]],
    threads: int,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Range]:
    """{tensor name: (lowest, highest)} over all feeds, for float32 tensors of the ModelProto ``model`` (left as it is).

    ``feeds`` are {input name: array}; ``progress`` is told how many are done. A range holds infinities where the tensor
    does (an attention mask). Graph inputs may be among ``tensors``.

    Raises:
        InputError: there are no feeds.
        StepError: ONNX Runtime refuses the model.
    """
    session = open_session(_append_reductions(model, tensors).SerializeToString(), threads)
    names = [name for tensor in tensors for name in _reduced(tensor)]
    lowest = np.full(len(tensors), np.inf, np.float32)
    highest = np.full(len(tensors), -np.inf, np.float32)
    done = 0
    for done, feed in enumerate(feeds, 1):
        found = np.array(session.run(names, dict(feed)), np.float32)
        np.fmin(lowest, found[0::2], out=lowest)
        np.fmax(highest, found[1::2], out=highest)
        progress(done)
    if not done:
        raise InputError("there are no calibration samples", code="no_samples")
    return {name: (float(low), float(high)) for name, low, high in zip(tensors, lowest, highest, strict=True)}


def _reduced(tensor: str) -> tuple[str, str]:
    return f"{tensor}/edgekit_lowest", f"{tensor}/edgekit_highest"


def _append_reductions(model: Any, tensors: Sequence[str]) -> Any:
    import onnx

    measured = onnx.ModelProto()
    measured.CopyFrom(model)
    del measured.graph.output[:]
    for tensor in tensors:
        for kind, name in zip(("ReduceMin", "ReduceMax"), _reduced(tensor), strict=True):
            measured.graph.node.append(onnx.helper.make_node(kind, [tensor], [name], keepdims=0))
            measured.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, []))
    return measured
