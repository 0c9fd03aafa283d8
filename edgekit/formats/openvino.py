"""The openvino format: an IR (.xml and .bin), run by OpenVINO on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import IO, Artifact, Build, Tensor
from edgekit.errors import InputError, StepError
from edgekit.formats import Declared, Format, Session, Watched, format_
from edgekit.formats.constants import is_broken
from edgekit.formats.declared import declare_inputs
from edgekit.formats.openvino_file import import_openvino, name_of, read_model, reason, weights_file
from edgekit.formats.openvino_selection import watch
from edgekit.graph import Graph


class OpenvinoSession:
    """A compiled model and one request; results are copies. ``model`` tells the names, but for those of its last
    outputs, which are called ``more``."""

    def __init__(self, model: Any, compiled: Any, more: Sequence[str] = ()) -> None:
        self._inputs = {name_of(port): index for index, port in enumerate(model.inputs)}
        own = len(model.outputs) - len(more)
        self._outputs = [*(name_of(port) for port in model.outputs[:own]), *more]
        self._request = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._request.infer({self._inputs[name]: array for name, array in feeds.items()}, share_inputs=True)
        return {name: self._request.get_output_tensor(index).data.copy() for index, name in enumerate(self._outputs)}


@format_("openvino", suffixes=(".xml",), stack="openvino", requires=("openvino",), runtime="openvino")
class Openvino(Format):
    """OpenVINO IR; inputs and outputs keep the order of the file."""

    def recognizes(self, path: Path, head: bytes) -> bool:
        text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
        return text.startswith(b"<") and b"<net " in text

    def files(self, path: Path) -> list[Path]:
        return [path, weights_file(path)]

    def read_io(self, path: Path, declared: Declared, build: Build | None = None) -> IO:
        if build is not None:
            raise InputError(f"{path} is a whole model: it takes no factory, options or weights", where=str(path))
        model = read_model(path)
        inputs = declare_inputs(path, [_tensor(port) for port in model.inputs], declared)
        _fix_sizes(model, inputs)
        return IO(inputs, tuple(map(_tensor, model.outputs)))

    def describe(self, artifact: Artifact) -> Graph:
        from edgekit.formats.openvino_graph import describe_model

        model = read_model(artifact.path)
        _fix_sizes(model, artifact.io.inputs)
        return describe_model(model)

    def open(self, artifact: Artifact, threads: int) -> Session:
        return _open_session(artifact, threads).session

    def open_watched(self, artifact: Artifact, threads: int) -> Watched:
        return _open_session(artifact, threads, watched=True)

    def find_nan(self, artifact: Artifact) -> str | None:
        for node in read_model(artifact.path).get_ordered_ops():
            constant = node.get_type_name() == "Constant" and node.get_element_type().is_real()
            if constant and is_broken(np.asarray(node.data, np.float32)):
                return str(node.get_friendly_name())
        return None


def _fix_sizes(model: Any, inputs: Sequence[Tensor]) -> None:
    """Give a model that leaves sizes free those of ``inputs`` (matched by name), with what follows from them; one that
    OpenVINO cannot give them keeps its own, and its runtime will say why."""
    shapes = {tensor.name: list(tensor.shape) for tensor in inputs if None not in tensor.shape}
    if model.is_dynamic() and shapes:
        with contextlib.suppress(RuntimeError):
            model.reshape({port: shapes[name_of(port)] for port in model.inputs if name_of(port) in shapes})


def _open_session(artifact: Artifact, threads: int, *, watched: bool = False) -> Watched:
    """``watched``: with what the model selects from as further outputs."""
    openvino = import_openvino()
    # float32 is asked for, since a processor with bfloat16 would otherwise compute floats in that.
    settings = {
        "INFERENCE_NUM_THREADS": max(1, threads),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = read_model(artifact.path)
    shapes = {tensor.name: list(tensor.shape) for tensor in artifact.io.inputs if None not in tensor.shape}
    try:
        if model.is_dynamic() and shapes:
            model.reshape(shapes)
        entries, behind = watch(model) if watched else ({}, frozenset())
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        return Watched(OpenvinoSession(model, compiled, tuple(entries)), entries, behind)
    except RuntimeError as error:
        raise StepError(
            f"OpenVINO refuses the model: {reason(error)}", where=str(artifact.path), code="runtime_refused"
        ) from error


def _tensor(port: Any) -> Tensor:
    name = name_of(port)
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    dtype = str(np.dtype(port.get_element_type().to_dtype()))
    return Tensor(name, name, shape, dtype)
