"""Small float TensorFlow Lite models, built operator by operator, for tests of what reads and quantizes such files.

    model = Builder()
    x = model.input("image", (1, 8, 8, 3))
    x = model.conv(x, weights, bias)
    data = model.finish([x])

Names of computed tensors are the operator's type and a running number. Nothing of edgekit is used: LiteRT's generated
classes write the file.
"""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int8": 9}


class Builder:
    """Tensors are indices; each method that adds an operator returns its output's."""

    def __init__(self, *, signature: bool = True) -> None:
        self.signature = signature
        self.model = schema.ModelT()
        self.model.version, self.model.description = 3, "test"
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, name: str, shape: Sequence[int], dtype: str = "float32", free: Sequence[int] = ()) -> int:
        """A computed tensor; the sizes of the axes in ``free`` are open in its signature."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name.encode(), list(shape), TYPES[dtype], 0
        if free:
            tensor.shapeSignature = [-1 if axis in free else size for axis, size in enumerate(shape)]
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(self, array: np.ndarray) -> int:
        index = self.tensor(f"constant_{len(self.graph.tensors)}", array.shape, str(array.dtype))
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32", free: Sequence[int] = ()) -> int:
        index = self.tensor(name, shape, dtype, free)
        self.graph.inputs.append(index)
        return index

    def add(
        self,
        kind: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: object | None = None,
        *,
        version: int = 1,
        dtype: str = "float32",
    ) -> int:
        """An operator with one output. ``options`` is an object of LiteRT's (``Conv2DOptionsT``)."""
        number = getattr(schema.BuiltinOperator, kind)
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        output = self.tensor(f"{kind.lower()}_{len(self.graph.operators)}", shape, dtype)
        operator.inputs, operator.outputs = list(inputs), [output]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self.graph.operators.append(operator)
        return output

    def conv(self, x: int, weights: np.ndarray, bias: np.ndarray, *, activation: int = 0) -> int:
        """Stride 1, padding "same"; weights [out, height, width, in]. ``activation`` 1 is RELU, 3 RELU6."""
        options = schema.Conv2DOptionsT()
        options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
        options.fusedActivationFunction = activation
        shape = (*self.shape(x)[:3], weights.shape[0])
        return self.add("CONV_2D", [x, self.constant(weights), self.constant(bias)], shape, options)

    def depthwise(self, x: int, weights: np.ndarray, bias: np.ndarray) -> int:
        """Stride 1, padding "same"; weights [1, height, width, channels]."""
        options = schema.DepthwiseConv2DOptionsT()
        options.strideW = options.strideH = options.depthMultiplier = 1
        options.dilationWFactor = options.dilationHFactor = 1
        return self.add("DEPTHWISE_CONV_2D", [x, self.constant(weights), self.constant(bias)], self.shape(x), options)

    def dense(self, x: int, weights: np.ndarray, bias: np.ndarray) -> int:
        """[1, in] to [1, out]; weights [out, in]."""
        options = schema.FullyConnectedOptionsT()
        shape = (self.shape(x)[0], weights.shape[0])
        return self.add("FULLY_CONNECTED", [x, self.constant(weights), self.constant(bias)], shape, options)

    def mean(self, x: int) -> int:
        """Over height and width."""
        shape = self.shape(x)
        return self.add(
            "MEAN", [x, self.constant(np.array([1, 2], np.int32))], (shape[0], shape[3]), schema.ReducerOptionsT()
        )

    def shape(self, index: int) -> tuple[int, ...]:
        return tuple(self.graph.tensors[index].shape)

    def finish(self, outputs: Sequence[int]) -> bytes:
        """The file's bytes; the signature names inputs as they are called and outputs ``out0``, ``out1`` ..."""
        self.graph.outputs = list(outputs)
        if self.signature:
            signature = schema.SignatureDefT()
            signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
            names = [self.graph.tensors[index].name for index in self.graph.inputs]
            signature.inputs = [_entry(name, index) for name, index in zip(names, self.graph.inputs, strict=True)]
            signature.outputs = [_entry(f"out{place}".encode(), index) for place, index in enumerate(outputs)]
            self.model.signatureDefs = [signature]
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def classifier(seed: int = 0, *, signature: bool = True, free: Sequence[int] = (), scale: float = 1.0) -> bytes:
    """[1, 8, 8, 3] -> convolution, RELU6 -> depthwise -> mean -> 10 scores."""
    draw = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return (draw.standard_normal(shape) * scale / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    model = Builder(signature=signature)
    x = model.input("image", (1, 8, 8, 3), free=free)
    x = model.conv(x, numbers(8, 3, 3, 3), draw.uniform(-0.3, 0.3, 8).astype(np.float32), activation=3)
    x = model.depthwise(x, numbers(1, 3, 3, 8), draw.uniform(-0.3, 0.3, 8).astype(np.float32))
    x = model.dense(model.mean(x), numbers(10, 8) * 3, draw.uniform(-0.3, 0.3, 10).astype(np.float32))
    return model.finish([x])


def _entry(name: bytes, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
