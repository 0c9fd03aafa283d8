"""Runs an artifact on samples of the *source* model: applies the io's permutation and quantization both ways, and runs
the tail that the artifact may have."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec

import numpy as np

from edgekit.artifact import IO, Artifact, Tail, Tensor
from edgekit.errors import AbsentError, InputError
from edgekit.formats import AGAIN, FORMATS, Session, Watched
from edgekit.installation import install_command
from edgekit.numerics.affine import dequantize, quantize


class Runner:
    """An opened artifact that takes and gives the source model's names, layout and real numbers."""

    def __init__(self, session: Session, io: IO, tail: TailSession | None = None) -> None:
        self._session = session
        self._io = io
        self._tail = tail

    def run(self, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{source output name: real-valued array in the source's layout} for {source input name: array}."""
        results = collect(self._io, self._session.run(feed(self._io, sample)))
        return results if self._tail is None else self._tail.run(results)


class TailSession:
    """The tail of an artifact in ONNX Runtime, on this machine's CPU. ``runtime`` is ``onnxruntime VERSION``."""

    def __init__(self, watched: Watched, io: IO) -> None:
        self.watched = watched
        self._io = io
        self.runtime = f"onnxruntime {metadata.version('onnxruntime')}"

    def run(self, results: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{source output name: array} for {source_name of the artifact's output: real-valued array}."""
        return self.run_watched(results)[0]

    def run_watched(self, results: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(what ``run`` gives, what the tail selects from)."""
        feeds = {name: np.ascontiguousarray(array) for name, array in feed(self._io, results).items()}
        found = self.watched.session.run(feeds)
        return collect(self._io, found), read_entries(self.watched, found)


def open_runner(artifact: Artifact, threads: int) -> Runner:
    """The artifact, loaded in its own runtime, behind its io mapping and before its tail."""
    return Runner(FORMATS.get(artifact.format).open(artifact, threads), artifact.io, open_tail(artifact.tail, threads))


def open_tail(tail: Tail | None, threads: int) -> TailSession | None:
    """The tail, loaded; None where there is none.

    Raises:
        InputError: its file is missing, is not the one that belongs to the artifact, or takes and gives something else.
        AbsentError: ONNX Runtime is not installed.
    """
    if tail is None:
        return None
    if find_spec("onnxruntime") is None:
        raise AbsentError(
            f"the tail {tail.path.name} is run by onnxruntime, which is not installed",
            where=str(tail.path),
            remedy=install_command("onnx"),
            code="package_absent",
        )
    from edgekit.formats.onnx_selection import open_watched
    from edgekit.formats.onnx_session import open_session

    content = read_tail_file(tail)
    session = open_session(content, threads)
    own = ({value.name for value in session.get_inputs()}, {value.name for value in session.get_outputs()})
    told = tuple({tensor.name for tensor in tensors} for tensors in (tail.io.inputs, tail.io.outputs))
    if own != told:
        raise InputError(
            f"the tail {tail.path.name} takes {_listed(own[0])} and gives {_listed(own[1])}, "
            f"not {_listed(told[0])} and {_listed(told[1])}",
            where=str(tail.path),
            remedy=AGAIN,
            code="tail_differs",
        )
    import onnx

    return TailSession(open_watched(onnx.load_model_from_string(content), session, threads), tail.io)


def read_tail_file(tail: Tail) -> bytes:
    """The bytes of a tail's file.

    Raises:
        InputError: it is not there, or another one than the artifact was made with.
    """
    try:
        content = tail.path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the tail {tail.path} is missing: the file before it gives raw outputs, not the model's",
            where=str(tail.path),
            remedy="put it back beside the file that it belongs to",
            code="tail_missing",
        ) from error
    if hashlib.sha256(content).hexdigest() != tail.sha256:
        raise InputError(
            f"the tail {tail.path} is not the one that was made with the file before it: its SHA-256 is another",
            where=str(tail.path),
            remedy=AGAIN,
            code="tail_changed",
        )
    return content


def read_entries(watched: Watched, results: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{tensor that a model selects from: array} of what its session gave."""
    return {name: results[given] for given, name in watched.entries.items()}


def _listed(names: set[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "nothing"


def feed(io: IO, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What to hand to the artifact for a sample of the source: {own name: array}."""
    return {tensor.name: to_native(tensor, _permute(tensor, sample[tensor.source_name])) for tensor in io.inputs}


def feed_real(io: IO, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As ``feed`` but without quantization: what a calibrating tool is given for a float artifact."""
    return {tensor.name: _permute(tensor, sample[tensor.source_name]) for tensor in io.inputs}


def collect(io: IO, results: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The artifact's results as the source's outputs: {source name: array}."""
    return {tensor.source_name: _from_native(tensor, results[tensor.name]) for tensor in io.outputs}


def _permute(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    return array if tensor.permutation is None else np.ascontiguousarray(array.transpose(tensor.permutation))


def to_native(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    """Real numbers (in the artifact's order of axes) as the numbers that its tensor holds."""
    if tensor.quantization is not None:
        return quantize(array, tensor.quantization, tensor.dtype)
    return array.astype(tensor.dtype, copy=False)


def _from_native(tensor: Tensor, array: np.ndarray) -> np.ndarray:
    if tensor.quantization is not None:
        array = dequantize(array, tensor.quantization)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    if tensor.permutation is None:
        return array
    return array.transpose(np.argsort(tensor.permutation))
