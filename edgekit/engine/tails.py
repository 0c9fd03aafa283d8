"""The tails of artifacts on their way through a run: from the step that cuts one off to the output folder.

A tail lies beside the file that it belongs to, in the cache as in the output folder, and is called after it:
``model.tflite``, ``model.tail.onnx``. It has a hash of its own; that of the artifact is that of its own files.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.artifact import IO, Artifact, Tail, hash_files, hash_value
from edgekit.engine.files import copy_atomically
from edgekit.engine.keys import ABSENT, HashMemo, versions_of
from edgekit.errors import InputError, StepError

if TYPE_CHECKING:
    from edgekit.steps import Produced

SUFFIX = ".tail.onnx"
RUNTIME = "onnxruntime"


def tail_name(file: Path) -> str:
    """What the tail of a model file is called."""
    return f"{file.stem}{SUFFIX}"


def hand_on(parent: Artifact, produced: Produced, made: Path, out: Path, step: str) -> Tail | None:
    """The tail of what a step made (``made``: its path relative to ``out``), put into ``out``: the one that it cut off,
    else its parent's. Its path is relative to ``out``.

    Raises:
        StepError: the parent has one already, or the outputs that its parent's tail takes are not there any more.
        InputError: the parent's tail is not the file that it was.
    """
    if produced.tail is None and parent.tail is None:
        return None
    there = out / tail_name(made)
    if produced.tail is None:
        assert parent.tail is not None
        _check_joint(parent.tail.io, produced, step)
        copy_atomically(_checked(parent.tail), there)
        return replace(parent.tail, path=Path(there.name))
    if parent.tail is not None:
        raise StepError(
            f"the step {step} cuts off a tail, but the model has lost one already",
            where=step,
            remedy="keep one such step in `steps`, and name what it is to cut at in its `outputs`",
            code="cut_already",
        )
    _check_joint(produced.tail.io, produced, step)
    shutil.move(produced.tail.path, there)
    sha256, size = hash_files([there])
    return Tail(Path(there.name), sha256, size, produced.tail.io)


def tail_inputs(artifact: Artifact) -> dict[str, Any]:
    """What stands for an artifact's tail in a key; nothing where it has none."""
    if artifact.tail is None:
        return {}
    return {"tail": {"sha256": artifact.tail.sha256, "io": hash_value(artifact.tail.io.to_dict())}}


def tail_versions(artifact: Artifact) -> dict[str, str]:
    """{distribution: version} of what runs an artifact's tail."""
    return {} if artifact.tail is None else versions_of((RUNTIME,))


def settle_tail(artifact: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The stored artifact with the path of its tail, if it has one, in ``folder``."""
    tail = artifact.get("tail")
    return dict(artifact) if tail is None else {**artifact, "tail": {**tail, "path": str(folder / tail["path"])}}


def source_terms(io: IO) -> dict[str, Any]:
    """An io as a sidecar has it: a tensor's ``layout`` is called what it is, the source model's; the file's own, which
    stands under ``feed``, may be another."""
    return {
        kind: [{"source_layout" if key == "layout" else key: value for key, value in tensor.items()} for tensor in told]
        for kind, told in io.to_dict().items()
    }


def sidecar_tail(tail: Tail | None) -> dict[str, Any] | None:
    """What a sidecar says of the tail that lies beside it (``formats.tail`` reads it)."""
    if tail is None:
        return None
    return {"file": tail.path.name, "bytes": tail.bytes, "sha256": tail.sha256, **source_terms(tail.io)}


def told_of(file: Path) -> dict[str, Any] | None:
    """What the sidecar of a finished file says of its io and its tail; None where there is no sidecar, or no tail."""
    try:
        told = json.loads(file.with_name(f"{file.stem}.edgekit.json").read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(told, dict) or told.get("tail") is None:
        return None
    return {"io": told.get("io"), "tail": told["tail"]}


def told_inputs(file: Path, told: Mapping[str, Any] | None, memo: HashMemo) -> dict[str, Any]:
    """What stands in a key for what ``told_of`` says, and for the file that it names; nothing where it says nothing."""
    if told is None:
        return {}
    name = told["tail"].get("file") if isinstance(told["tail"], dict) else None
    beside = file.with_name(name) if isinstance(name, str) and name and Path(name).name == name else None
    content = memo.hash_file(beside) if beside is not None and beside.is_file() else ABSENT
    return {"tail": {"told": hash_value(told), "file": content}}


def _check_joint(tail: IO, produced: Produced, step: str) -> None:
    given = {tensor.source_name for tensor in produced.io.outputs}
    lost = [tensor.source_name for tensor in tail.inputs if tensor.source_name not in given]
    if lost:
        raise StepError(
            f"the file that {step} made gives no `{lost[0]}`, which its tail takes",
            where=step,
            code="tail_without_input",
        )


def _checked(tail: Tail) -> Path:
    if not tail.path.is_file() or hash_files([tail.path])[0] != tail.sha256:
        raise InputError(f"the tail {tail.path} is not the file that it was", where=str(tail.path), code="tail_changed")
    return tail.path
