"""Runs an artifact on samples of the *source* model: applies the io's permutation and quantization both ways."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.artifact import IO, Artifact, Tensor
from edgekit.formats import FORMATS, Session
from edgekit.numerics.affine import dequantize, quantize


class Runner:
    """An opened artifact that takes and gives the source model's names, layout and real numbers."""

    def __init__(self, session: Session, io: IO) -> None:
        self._session = session
        self._io = io

    def run(self, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{source output name: real-valued array in the source's layout} for {source input name: array}."""
        return collect(self._io, self._session.run(feed(self._io, sample)))


def open_runner(artifact: Artifact, threads: int) -> Runner:
    """The artifact, loaded in its own runtime, behind its io mapping."""
    return Runner(FORMATS.get(artifact.format).open(artifact, threads), artifact.io)


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
