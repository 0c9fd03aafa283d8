"""Reads the tail of a finished file from its sidecar: what the host runs after it. A sidecar is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.artifact import IO, Artifact, Tail
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
        tail = Tail(_beside(artifact.path, told["file"]), str(told["sha256"]), int(told["bytes"]), IO.from_dict(told))
        outputs = {tensor.name: tensor for tensor in IO.from_dict(sidecar["io"]).outputs}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(artifact.path, "what it says of the tail cannot be read") from error
    if outputs.keys() != {tensor.name for tensor in artifact.io.outputs}:
        raise _damaged(artifact.path, "it tells of other outputs than the file has")
    joined = tuple(
        replace(own, source_name=outputs[own.name].source_name, permutation=outputs[own.name].permutation)
        for own in artifact.io.outputs
    )
    if {tensor.source_name for tensor in tail.io.inputs} - {tensor.source_name for tensor in joined}:
        raise _damaged(artifact.path, "the tail takes what the file does not give")
    for tensor in joined:
        if tensor.permutation is not None and sorted(tensor.permutation) != list(range(len(tensor.shape))):
            raise _damaged(artifact.path, f"the permutation of `{tensor.name}` is none of its axes")
    read_tail_file(tail)
    return replace(artifact, io=IO(artifact.io.inputs, joined), tail=tail)


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
