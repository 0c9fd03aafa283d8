"""Reads the tail of a finished file from its sidecar: what the host runs after it. A sidecar is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import IO, Artifact, Tail, Tensor
from edgekit.errors import InputError
from edgekit.formats import AGAIN
from edgekit.formats.runner import read_tail_file


def attach_tail(artifact: Artifact, sidecar: Mapping[str, Any]) -> Artifact:
    """The artifact with the tail that its sidecar tells of, checked, and outputs that stand for the tail's inputs; as
    it is where the sidecar tells of none. ``artifact`` is as read from its file: the shapes, types and scales of its
    outputs are the file's.

    Raises:
        InputError: what the sidecar says of the tail is no description of one or not of this file; or the tail's file
            is missing, another one, or outside the folder.
    """
    told = sidecar.get("tail")
    if told is None:
        return artifact
    try:
        path = _beside(artifact.path, told["file"])
        tail_io, file_io = _read_io(told), _read_io(sidecar["io"])
        tail = Tail(path, str(told["sha256"]), int(told["bytes"]), tail_io)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(artifact.path, f"what it says of the tail cannot be read ({error})") from error
    outputs = {tensor.name: tensor for tensor in file_io.outputs}
    own = artifact.io.outputs
    if {(t.name, len(t.shape)) for t in own} != {(t.name, len(t.shape)) for t in outputs.values()}:
        raise _damaged(artifact.path, "it tells of other outputs than the file has")
    joined = tuple(
        replace(tensor, source_name=outputs[tensor.name].source_name, permutation=outputs[tensor.name].permutation)
        for tensor in own
    )
    if {tensor.source_name for tensor in tail_io.inputs} - {tensor.source_name for tensor in joined}:
        raise _damaged(artifact.path, "the tail takes what the file does not give")
    read_tail_file(tail)
    return replace(artifact, io=IO(artifact.io.inputs, joined), tail=tail)


def _read_io(told: Mapping[str, Any]) -> IO:
    """The io that a sidecar tells of, each tensor checked (ValueError or TypeError where it is none)."""
    io = IO.from_dict({kind: told[kind] for kind in ("inputs", "outputs")})
    for tensor in (*io.inputs, *io.outputs):
        _check_tensor(tensor)
    return io


def _check_tensor(tensor: Tensor) -> None:
    """ValueError where a tensor's fields are not what they should be."""
    if not isinstance(tensor.name, str) or not isinstance(tensor.source_name, str):
        raise ValueError("a name is no text")
    if not all(size is None or (type(size) is int and size >= 0) for size in tensor.shape):
        raise ValueError(f"the shape of `{tensor.name}`")
    if not isinstance(tensor.dtype, str) or np.dtype(tensor.dtype).kind not in "fiub":
        raise ValueError(f"the type of `{tensor.name}`")
    axes, rank = tensor.permutation, len(tensor.shape)
    if axes is not None and (any(type(axis) is not int for axis in axes) or sorted(axes) != [*range(rank)]):
        raise ValueError(f"the permutation of `{tensor.name}`")


def _beside(model: Path, name: str) -> Path:
    """The file of that name in the model's folder (InputError where the name leads elsewhere)."""
    path = model.parent / name
    if not name or Path(name).name != name or "\\" in name or path.resolve().parent != model.parent.resolve():
        raise InputError(
            f"the sidecar of {model} names a tail that does not lie beside it: {name or '(nothing)'}",
            where=str(model),
            remedy="put the tail into the folder of the file that it belongs to",
            code="tail_outside",
        )
    return path


def _damaged(model: Path, why: str) -> InputError:
    return InputError(
        f"the sidecar of {model} is damaged: {why}", where=str(model), remedy=AGAIN, code="damaged_sidecar"
    )
