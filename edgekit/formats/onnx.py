"""The onnx format: one `.onnx` file (and its external data), run by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.artifact import IO, Artifact, Build, Tensor
from edgekit.errors import InputError
from edgekit.formats import Declared, Format, Header, Session, Watched, format_
from edgekit.formats.constants import is_broken
from edgekit.formats.declared import declare_inputs
from edgekit.formats.onnx_file import all_tensors, external_files, graph_inputs, looks_like_onnx, opset_of, read_model
from edgekit.formats.onnx_header import read_header
from edgekit.formats.onnx_selection import open_watched
from edgekit.formats.onnx_session import OnnxSession, newest_opset, open_session, refuse_version
from edgekit.formats.onnx_sizes import fix_inputs, has_free_inputs
from edgekit.graph import Graph


@format_("onnx", suffixes=(".onnx",), stack="onnx", requires=("onnx", "onnxruntime"), runtime="onnxruntime")
class Onnx(Format):
    """ONNX models; inputs and outputs keep the order of the file."""

    def recognizes(self, path: Path, head: bytes) -> bool:
        return looks_like_onnx(head)

    def read_header(self, path: Path) -> Header:
        return read_header(path)

    def files(self, path: Path) -> list[Path]:
        return [path, *external_files(path, read_model(path, with_data=False))]

    def read_io(self, path: Path, declared: Declared, build: Build | None = None) -> IO:
        if build is not None:
            raise InputError(f"{path} is a whole model: it takes no factory, options or weights", where=str(path))
        import onnx

        model = read_model(path, with_data=False)
        if opset_of(model) > onnx.defs.onnx_opset_version():
            raise refuse_version(str(path), "opset", opset_of(model), newest_opset())
        try:
            onnx.checker.check_model(path)
        except onnx.checker.ValidationError as error:
            text = " ".join(str(error).split())[:300]
            raise InputError(f"{path} is not valid ONNX: {text}", where=str(path), code="unreadable_model") from error
        inputs = declare_inputs(path, [_tensor(value) for value in graph_inputs(model)], declared)
        if has_free_inputs(model):
            fix_inputs(model, inputs)
        return IO(inputs, tuple(_tensor(value) for value in model.graph.output))

    def describe(self, artifact: Artifact) -> Graph:
        from edgekit.formats.onnx_graph import describe_model

        model = read_model(artifact.path)
        if has_free_inputs(model):
            fix_inputs(model, artifact.io.inputs)
        return describe_model(model)

    def open(self, artifact: Artifact, threads: int) -> Session:
        return OnnxSession(open_session(artifact.path, threads))

    def open_watched(self, artifact: Artifact, threads: int) -> Watched:
        return open_watched(read_model(artifact.path), open_session(artifact.path, threads), threads)

    def find_nan(self, artifact: Artifact) -> str | None:
        from onnx import numpy_helper

        for tensor in all_tensors(read_model(artifact.path)):
            if is_broken(numpy_helper.to_array(tensor)):
                return str(tensor.name) or "an unnamed constant"
        return None


def _tensor(value: Any) -> Tensor:
    from onnx import helper

    kind = value.type.tensor_type
    sizes = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type)) if kind.elem_type else "float32"
    return Tensor(value.name, value.name, sizes, dtype)
