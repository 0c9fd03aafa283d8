"""The torch format: a `.pt2` exported program, a TorchScript archive, or a Python file whose factory builds the
module."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import IO, Artifact, Build, Tensor
from edgekit.errors import InputError
from edgekit.formats import Declared, Format, Header, Session, format_
from edgekit.formats.constants import is_broken
from edgekit.formats.declared import declare_inputs
from edgekit.formats.pt2_header import read_header
from edgekit.formats.torch_load import Program, example_feeds, first_line, load_program, order_inputs, to_tensors
from edgekit.graph import Graph

# The name of the first member of an archive that PyTorch wrote: ROOT/data/0, ROOT/data.pkl, ROOT/archive_format ...
_FIRST_MEMBER = re.compile(
    rb"[^/]{1,200}/(data/|data\.pkl|code/|constants|archive_format|byteorder|version|\.|models/)"
    rb"|serialized_|version$"
)


class TorchSession:
    """A module in evaluation mode, without gradients."""

    def __init__(self, program: Program, names: Sequence[str], threads: int) -> None:
        import torch

        torch.set_num_threads(max(1, threads))
        self._program = program
        self._names = tuple(names)

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            results = self._program.run(to_tensors(feeds, self._names))
        return {name: value.numpy() for name, value in results.items()}


@format_(
    "torch",
    suffixes=(".pt2", ".pt", ".pth", ".ts", ".py"),
    stack="torch",
    requires=("torch",),
    runtime="torch",
)
class Torch(Format):
    """PyTorch models, run by PyTorch itself."""

    def recognizes(self, path: Path, head: bytes) -> bool:
        if head.startswith(b"PK\x03\x04"):
            return _FIRST_MEMBER.match(_first_name(head)) is not None
        if path.suffix.lower() == ".py":
            return b"\0" not in head
        # A bare pickle, which PyTorch wrote before 1.6: recognized so that it can be refused by name.
        return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and self._is_mine(path)

    def read_header(self, path: Path) -> Header:
        return read_header(path)

    def read_io(self, path: Path, declared: Declared, build: Build | None = None) -> IO:
        """Runs the model once on zeros to see its outputs. A `.pt2` says its own inputs; the others need
        ``declared``."""
        program = load_program(path, build)
        inputs = _read_inputs(path, program, declared)
        outputs = _run_on_zeros(path, program, inputs)
        return IO(inputs, tuple(Tensor(n, n, tuple(v.shape), _dtype_name(v)) for n, v in outputs.items()))

    def describe(self, artifact: Artifact) -> Graph:
        from edgekit.formats.torch_trace import trace

        program = load_program(artifact.path, artifact.build)
        return trace(program, artifact.io)

    def open(self, artifact: Artifact, threads: int) -> Session:
        program = load_program(artifact.path, artifact.build)
        return TorchSession(program, [tensor.name for tensor in artifact.io.inputs], threads)

    def find_nan(self, artifact: Artifact) -> str | None:
        program = load_program(artifact.path, artifact.build)
        for name, value in program.module.state_dict().items():
            # bfloat16, which NumPy lacks, fits into float32.
            if value.is_floating_point() and is_broken(value.detach().float().numpy()):
                return str(name)
        return None

    def _is_mine(self, path: Path) -> bool:
        return path.suffix.lower() in self.suffixes


def _first_name(head: bytes) -> bytes:
    """The name of the first member of a ZIP archive, from its local header."""
    length = struct.unpack_from("<H", head, 26)[0] if len(head) >= 30 else 0
    return head[30 : 30 + length]


def _read_inputs(path: Path, program: Program, declared: Declared) -> tuple[Tensor, ...]:
    """An exported program's own inputs; those that are declared for the other kinds, in the order of the call."""
    if program.examples is not None:
        own = zip(program.parameters, program.examples, strict=True)
        return declare_inputs(path, [Tensor(name, name, shape, dtype) for name, (shape, dtype) in own], declared)
    if not declared.shapes:
        raise InputError(
            f"{path.name} does not say which inputs it takes",
            where=str(path),
            remedy="declare them: model.inputs: {NAME: {shape: [1, 3, 224, 224]}}, or --shape NAME=1x3x224x224",
            code="inputs_not_declared",
        )
    names = order_inputs(list(declared.shapes), program.parameters)
    given = [Tensor(n, n, tuple(declared.shapes[n]), declared.dtypes.get(n, "float32")) for n in names]
    return declare_inputs(path, given, declared)


def _run_on_zeros(path: Path, program: Program, inputs: Sequence[Tensor]) -> dict[str, Any]:
    import torch

    feeds = example_feeds(inputs)
    try:
        with torch.no_grad():
            return program.run(to_tensors(feeds, [tensor.name for tensor in inputs]))
    except InputError:
        raise
    except Exception as error:
        shapes = ", ".join(f"{t.name} {'x'.join(map(str, t.shape))} {t.dtype}" for t in inputs)
        raise InputError(
            f"{path.name} does not run on {shapes}: {type(error).__name__}: {first_line(error)}",
            where=str(path),
            remedy="correct shapes or types: --shape NAME=1x32:int64, or shape and dtype under model.inputs",
            code="model_does_not_run",
        ) from error


def _dtype_name(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")
