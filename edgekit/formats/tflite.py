"""TensorFlow Lite (.tflite): described from the file itself, run by LiteRT."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import IO, Artifact, Build, Tensor
from edgekit.errors import InputError, StepError
from edgekit.formats import Declared, Format, Header, Session, format_
from edgekit.formats.edgetpu_file import is_compiled
from edgekit.formats.tflite_costs import count_macs, count_params
from edgekit.formats.tflite_flatbuffer import (
    IDENTIFIER,
    Signature,
    StoredModel,
    StoredTensor,
    Subgraph,
    read_model,
)
from edgekit.formats.tflite_operators import operator_name, read_attributes
from edgekit.graph import MOST_VALUES, Graph, Operator, Quantization, TensorInfo


@format_("tflite", suffixes=(".tflite",), stack="litert", requires=("ai-edge-litert",), runtime="ai-edge-litert")
class TensorFlowLite(Format):
    """Own names are the signature's where exactly one names every input and output, else the tensors'."""

    #: Converters write inputs and outputs by name; their order is their own.
    keeps_order = False

    def recognizes(self, path: Path, head: bytes) -> bool:
        """One that is compiled for the Edge TPU is of another format: it does not run here."""
        return head[4:8] == IDENTIFIER and not is_compiled(path)

    def read_header(self, path: Path) -> Header:
        """Whether the model is quantized already; of its sizes none is in question."""
        try:
            tensors = describe_model(read_model(path)).tensors
        except (InputError, OSError):
            return Header()
        flowing = [tensor for tensor in tensors if not tensor.constant]
        return Header(quantized=any(one.quantization is not None and "int" in one.dtype for one in flowing))

    def read_io(self, path: Path, declared: Declared, build: Build | None = None) -> IO:
        """See ``Format.read_io``. A size that the file leaves free is the one the runtime takes unless told (1)."""
        io = read_own_io(read_model(path))
        for tensor in io.inputs:
            shape = declared.shapes.get(tensor.name)
            if shape is not None and tuple(shape) != tensor.shape:
                raise InputError(
                    f"the input `{tensor.name}` of {path} has the shape {list(tensor.shape)}, not {list(shape)}",
                    where=str(path),
                    remedy="leave the shape out: it is read from the file",
                    code="wrong_shape",
                )
        layouts = {
            tensor.name: declared.layouts.get(tensor.name, "NHWC" if len(tensor.shape) == 4 else None)
            for tensor in io.inputs
        }
        return IO(tuple(_with_layout(tensor, layouts[tensor.name]) for tensor in io.inputs), io.outputs)

    def describe(self, artifact: Artifact) -> Graph:
        """The first subgraph; how many there are is in the metadata.

        Raises:
            InputError: the file is truncated or inconsistent.
        """
        return describe_model(read_model(artifact.path))

    def open(self, artifact: Artifact, threads: int) -> Session:
        return _LiteRtSession(artifact.path, threads)

    def find_nan(self, artifact: Artifact) -> str | None:
        model = read_model(artifact.path)
        for subgraph in model.subgraphs:
            for tensor in subgraph.tensors:
                constant = model.read_constant(tensor) if tensor.dtype.startswith("float") else None
                if constant is not None and not np.isfinite(constant).all():
                    return tensor.name
        return None


def read_own_io(model: StoredModel) -> IO:
    """The io of a model against itself: own names, identity permutation, no layout."""
    subgraph = model.main
    input_names, output_names = own_names(model)
    return IO(
        tuple(_io_tensor(name, subgraph.tensors[index]) for name, index in input_names.items()),
        tuple(_io_tensor(name, subgraph.tensors[index]) for name, index in output_names.items()),
    )


def describe_model(model: StoredModel) -> Graph:
    """The Graph of the first subgraph; operators keep their place in it as their index."""
    subgraph = model.main
    constants = _find_constants(model, subgraph)
    values = _Values(model)
    tensors = tuple(
        _describe_tensor(values, tensor, index in constants) for index, tensor in enumerate(subgraph.tensors)
    )
    counted: set[int] = set()
    operators: list[Operator] = []
    for index, stored in enumerate(subgraph.operators):
        code = model.codes[stored.opcode]
        name = operator_name(code)
        attributes = {} if stored.options is None else read_attributes(model.data, *stored.options)
        outputs = [subgraph.tensors[output] for output in stored.outputs if output >= 0]
        operators.append(
            Operator(
                index=index,
                type=name,
                version=code.version,
                inputs=stored.inputs,
                outputs=stored.outputs,
                name=outputs[0].name if outputs else "",
                attributes=attributes,
                macs=count_macs(name, attributes, stored, subgraph.tensors),
                params=count_params(name, stored, subgraph.tensors, constants, counted),
            )
        )
    metadata: dict[str, Any] = {"description": model.description, "subgraphs": len(model.subgraphs)}
    metadata |= {"signatures": [signature.key for signature in model.signatures], "metadata": list(model.metadata)}
    metadata["external_buffers"] = sum(buffer.external for buffer in model.buffers)
    return Graph("tflite", tensors, tuple(operators), subgraph.inputs, subgraph.outputs, metadata)


def _find_constants(model: StoredModel, subgraph: Subgraph) -> set[int]:
    """Constant tensors, and those that a DEQUANTIZE makes of one (weights stored as float16)."""
    constants = {index for index, tensor in enumerate(subgraph.tensors) if model.is_constant(tensor)}
    for operator in subgraph.operators:
        name = operator_name(model.codes[operator.opcode])
        if name == "DEQUANTIZE" and operator.inputs and operator.inputs[0] in constants:
            constants.update(operator.outputs)
    return constants


class _LiteRtSession:
    """LiteRT's interpreter with its default delegate (XNNPACK), fed by the artifact's own names.

    Each run starts from the initial state: recurrent operators would otherwise go on where the last sample ended.
    """

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        model = read_model(path)
        self._inputs, self._outputs = own_names(model)
        self._has_state = any(tensor.variable for tensor in model.main.tensors)
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise StepError(
                f"LiteRT cannot load {path.name}: {reason}", where=str(path), code="runtime_refused"
            ) from error

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._has_state:
            self._interpreter.reset_all_variables()
        for name, index in self._inputs.items():
            self._interpreter.set_tensor(index, feeds[name])
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}


def own_names(model: StoredModel) -> tuple[dict[str, int], dict[str, int]]:
    """({input name: tensor index}, {output name: tensor index}) in the order of the first subgraph."""
    subgraph = model.main
    signatures = [signature for signature in model.signatures if signature.subgraph == 0]
    signature = signatures[0] if len(signatures) == 1 else Signature("", {}, {})
    return (
        _name_tensors(subgraph, subgraph.inputs, signature.inputs),
        _name_tensors(subgraph, subgraph.outputs, signature.outputs),
    )


def _name_tensors(subgraph: Subgraph, indices: tuple[int, ...], named: Mapping[str, int]) -> dict[str, int]:
    if sorted(named.values()) == sorted(indices):
        return {name: index for index in indices for name, other in named.items() if other == index}
    names = [subgraph.tensors[index].name for index in indices]
    if len(set(names)) < len(names):  # nothing in the format forbids it; the position then tells them apart
        names = [f"{name}:{place}" if names.count(name) > 1 else name for place, name in enumerate(names)]
    return dict(zip(names, indices, strict=True))


def _io_tensor(name: str, tensor: StoredTensor) -> Tensor:
    return Tensor(name, name, tensor.default_shape, tensor.dtype, quantization=_quantization(tensor))


def _with_layout(tensor: Tensor, layout: str | None) -> Tensor:
    return Tensor(tensor.name, tensor.source_name, tensor.shape, tensor.dtype, None, tensor.quantization, layout)


def _describe_tensor(known: _Values, tensor: StoredTensor, constant: bool) -> TensorInfo:
    quantization = _quantization(tensor)
    values, zero = known.read(tensor, quantization) if constant else (None, None)
    return TensorInfo(tensor.name, tensor.shape, tensor.dtype, constant, quantization, values, zero)


class _Values:
    """Reads constants for ``TensorInfo``. Tensors may share a buffer; each byte is looked at a few times at most."""

    def __init__(self, model: StoredModel) -> None:
        self._model = model
        self._bytes_left = 4 * len(model.data)

    def read(
        self, tensor: StoredTensor, quantization: Quantization | None
    ) -> tuple[tuple[int | float, ...] | None, bool | None]:
        """(the stored numbers of a small constant, whether all that it stands for is 0).

        A quantized 0 is stored as the zero point. What its buffer does not hold as its shape says is not known.
        """
        try:
            array = self._model.read_constant(tensor)
        except InputError:
            return None, None
        if array is None or array.dtype.kind not in "iufb":
            return None, None
        zero = self._is_zero(array, quantization)
        if array.size > MOST_VALUES or not np.isfinite(array).all():
            return None, zero
        return tuple(array.ravel().tolist()), zero

    def _is_zero(self, array: np.ndarray, quantization: Quantization | None) -> bool | None:
        points = quantization.zero_point if quantization is not None else (0,)
        self._bytes_left -= array.nbytes
        if len(set(points)) != 1 or self._bytes_left < 0:
            return None
        return bool((array == points[0]).all())


def _quantization(tensor: StoredTensor) -> Quantization | None:
    if not tensor.scale:
        return None
    zero_point = tensor.zero_point or (0,) * len(tensor.scale)
    return Quantization(tensor.scale, zero_point, tensor.axis if len(tensor.scale) > 1 else None)
