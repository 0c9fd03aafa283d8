"""What flows through a plan: an artifact, and how each of its inputs and outputs maps to the source model's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekit.errors import AmbiguousOutputs
from edgekit.graph import Quantization


@dataclass(frozen=True)
class Tensor:
    """An input or output of an artifact, and the source model's tensor that it stands for.

    ``shape`` and ``dtype`` are those of the artifact's own tensor. ``permutation`` says how the artifact's axes come
    from the source's: ``artifact_array = source_array.transpose(permutation)``; None is the identity. ``quantization``
    is per-tensor and is None where the tensor holds real numbers. ``layout`` (``NCHW``, ``NHWC`` or None) is the
    source's and is only given for the source model's inputs.
    """

    name: str
    source_name: str
    shape: tuple[int | None, ...]
    dtype: str
    permutation: tuple[int, ...] | None = None
    quantization: Quantization | None = None
    layout: str | None = None


@dataclass(frozen=True)
class IO:
    """The inputs and outputs of an artifact, in the artifact's own order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> IO:
        return IO(
            tuple(_tensor_from_dict(item) for item in data["inputs"]),
            tuple(_tensor_from_dict(item) for item in data["outputs"]),
        )


@dataclass(frozen=True)
class Tail:
    """What the host runs after an artifact: an ONNX file from the artifact's outputs to the source model's.

    ``io`` joins the two. Each of its inputs has the ``source_name`` of one of the artifact's outputs (whose own
    ``permutation`` then speaks of the tail's tensor) and takes it as real numbers; its outputs are the source model's.
    """

    path: Path
    sha256: str
    bytes: int
    io: IO

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Tail:
        return Tail(Path(data["path"]), data["sha256"], data["bytes"], IO.from_dict(data["io"]))


@dataclass(frozen=True)
class Build:
    """How to make a torch module from a Python file: call ``factory(**options)``, then load ``weights`` strictly."""

    factory: str
    options: dict[str, Any] = field(default_factory=dict)
    weights: Path | None = None


@dataclass(frozen=True)
class Artifact:
    """A model in a file (or a pair of files, or a folder). Never changed after it is written.

    ``bytes`` and ``sha256`` cover every file that belongs to it (``formats.FORMATS.get(format).files(path)``).
    ``build`` is set only for a torch source that is made by a Python file. With a ``tail``, the ``source_name`` of an
    output of ``io`` is not the source model's but that of an input of the tail.
    """

    path: Path
    format: str
    sha256: str
    bytes: int
    io: IO
    build: Build | None = None
    tail: Tail | None = None

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """What stands for the source model's outputs: the file's own, or those of its tail."""
        return self.io.outputs if self.tail is None else self.tail.io.outputs

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["path"] = str(self.path)
        if self.tail is not None:
            data["tail"]["path"] = str(self.tail.path)
        if self.build is not None:
            data["build"]["weights"] = None if self.build.weights is None else str(self.build.weights)
        return data

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Artifact:
        build, tail = data.get("build"), data.get("tail")
        return Artifact(
            path=Path(data["path"]),
            format=data["format"],
            sha256=data["sha256"],
            bytes=data["bytes"],
            io=IO.from_dict(data["io"]),
            build=None if build is None else build_from_dict(build),
            tail=None if tail is None else Tail.from_dict(tail),
        )


def build_from_dict(data: dict[str, Any]) -> Build:
    """The Build that ``asdict`` (with paths as text) described."""
    weights = data.get("weights")
    return Build(data["factory"], dict(data.get("options") or {}), None if weights is None else Path(weights))


def canonical(value: Any) -> bytes:
    """One byte string per value: JSON with sorted keys and no spaces (NaN is refused)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str)
    return text.encode()


def hash_value(value: Any) -> str:
    """SHA-256 of the canonical form of plain data."""
    return hashlib.sha256(canonical(value)).hexdigest()


def hash_files(files: Iterable[Path]) -> tuple[str, int]:
    """(SHA-256, size in bytes) of some files: a single one's own hash, or that of the (name, hash) of several."""
    paths = sorted(files)
    hashes = [(path.name, _hash_file(path), path.stat().st_size) for path in paths]
    if len(hashes) == 1:
        return hashes[0][1], hashes[0][2]
    return hash_value([entry[:2] for entry in hashes]), sum(entry[2] for entry in hashes)


def compose(parent: IO, child: IO) -> IO:
    """The child's io in terms of the source, where the child's ``source_name`` and ``permutation`` speak of its parent.

    A converter reports its outputs against the artifact it read; this joins that to what the parent's io says, so that
    ``source_name``, ``permutation`` and ``layout`` always refer to the source model.
    """
    return IO(
        tuple(_compose_tensor(parent.inputs, tensor, "input") for tensor in child.inputs),
        tuple(_compose_tensor(parent.outputs, tensor, "output") for tensor in child.outputs),
    )


def _compose_tensor(parents: tuple[Tensor, ...], child: Tensor, kind: str) -> Tensor:
    matches = [tensor for tensor in parents if tensor.name == child.source_name]
    if len(matches) != 1:
        known = ", ".join(tensor.name for tensor in parents)
        raise AmbiguousOutputs(f"{kind} `{child.name}` does not come from one of the {kind}s {known}", where=child.name)
    parent = matches[0]
    return replace(
        child,
        source_name=parent.source_name,
        permutation=compose_permutations(parent.permutation, child.permutation),
        layout=parent.layout,
    )


def compose_permutations(first: tuple[int, ...] | None, second: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The permutation that does ``first`` and then ``second`` (None is the identity)."""
    if first is None:
        return second
    if second is None:
        return first
    joined = tuple(first[axis] for axis in second)
    return None if joined == tuple(range(len(joined))) else joined


def _tensor_from_dict(data: dict[str, Any]) -> Tensor:
    permutation = data.get("permutation")
    return Tensor(
        name=data["name"],
        source_name=data["source_name"],
        shape=tuple(data["shape"]),
        dtype=data["dtype"],
        permutation=None if permutation is None else tuple(permutation),
        quantization=Quantization.from_dict(data.get("quantization")),
        layout=data.get("source_layout", data.get("layout")),  # as a sidecar calls it
    )


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
