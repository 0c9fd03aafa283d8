"""How many bytes of parameters the Edge TPU's compiler makes of a model, and which of them it keeps on the chip.

Worked out by finding each weight of a model again in the compiled file. Parameters are rows of 64 bytes. A row holds,
for each output channel, the weights of four input channels; before the rows of up to 64 output channels stand their
scales (where they differ), biases (where there are some) and zero points (where there is one scale per channel), four
bytes each. Output channels are filled up to a multiple of 16, above 64 of 64 (one alone: of 4). Depthwise weights take
four bytes each. What moves channels off their multiple of four (padding and joining of channels, a reshape that cuts
them up) is done by such rows too; a softmax whose classes are no multiple of four has masks for them. Constants of
element-wise operators are laid out for every tile or every position, and are streamed, as are weights with many inputs
to each output (google-coral/edgetpu issues 663 and 572, where it is a convolution of 7 x 7 x 576). (Compilers 1.0 and
2.0 had no such masks, and 1.0 stored biases that are all zero.) These are the bytes in the file; the on-chip memory of
the compiler's log also counts the copies that layers of fewer than 64 outputs may have in several tiles (768 bytes of a
convolution to 16 channels: 3 KiB).

What a reshape takes that joins columns to channels follows from a single file (20 columns of 20 channels to 400), in
which a transpose took nothing.

Not known: what an LSTM takes, of which no figure is given. Its four gates lie in rows as above, a bias and the weights
of input and state for each unit (in two files: 1,408 bytes a gate for 7 inputs and 32 units, 1,664 for 28 and 20), and
one byte for each step and unit is streamed (120 x 32, and 28 x 20 filled up to 576); but 40,512 and 27,712 bytes of
matrices beside them, which move the digits of the state, were not worked out: two files do not tell by which of steps,
inputs and units they grow.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edgekit.devices.rules.edgetpu_limits import fill_up, sizes
from edgekit.graph import Graph, Operator, TensorInfo

_ROW = 64
_TILES = 16
#: Bytes of a scale, a bias or a zero point.
_WORD = 4

#: Inputs to each output: up to the first were seen cached, from the second on streamed.
_CACHED_INPUTS, _STREAMED_INPUTS = 4096, 14_400
#: What a layer's parameters cannot exceed to be cached: of 8192 x 8192 weights all are streamed, with 7.88 MiB unused
#: (ricardodeazambuja/LibrEdgeTPU, docs/HARDWARE_ANALYSIS.md).
_CHIP = 8 << 20
#: Used and remaining memory in compiler logs come to 6 to 8 MiB: what is below is cached whole. (Not where activations
#: take the place, as in google-coral/edgetpu issue 427, which caches 1.92 of 5.15 MiB; it is said by a note.)
_MOSTLY_CACHED = 6 << 20

_ELEMENTWISE = frozenset({"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE"})
#: Each output is a sum over a window of all channels.
_SUMMING = frozenset({"CONV_2D", "FULLY_CONNECTED"})
#: Leave the channels of what flows through them as they lie.
_PASSING = frozenset({"LOGISTIC", "QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "TANH"})
#: Their layout was not worked out.
_UNKNOWN = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM", "TRANSPOSE_CONV", "PRELU"})


@dataclass(frozen=True)
class Mapped:
    """A graph, the places of its operators that map, who reads each tensor, and which operator makes it."""

    graph: Graph
    region: frozenset[int]
    readers: dict[int, list[int]]
    makers: dict[int, Operator]

    def tensor(self, indices: Sequence[int], place: int) -> TensorInfo | None:
        index = indices[place] if place < len(indices) else -1
        return self.graph.tensors[index] if index >= 0 else None

    def shape(self, indices: Sequence[int], place: int = 0) -> tuple[int, ...]:
        """() where there is no such tensor."""
        tensor = self.tensor(indices, place)
        return sizes(tensor) if tensor is not None else ()


def predict_memory(graph: Graph, region: Collection[int]) -> dict[str, int | None]:
    """{parameter_bytes, cached_parameter_bytes, streamed_parameter_bytes} of the operators at these places.

    None where a figure is not known: layers whose layout is not known, or too many bytes to tell what is kept.
    """
    makers = {output: maker for maker in graph.operators for output in maker.outputs}
    mapped = Mapped(graph, frozenset(region), _find_readers(graph), makers)
    resident = streamed = 0
    known = settled = True
    for place in sorted(region):
        operator = graph.operators[place]
        known = known and operator.type not in _UNKNOWN
        inputs = math.prod(mapped.shape(operator.inputs, 1)[1:]) if operator.type in _SUMMING else 0
        weights = _align(_weight_bytes(mapped, operator) + _moving_bytes(mapped, operator))
        streams = inputs >= _STREAMED_INPUTS or weights > _CHIP
        settled = settled and (streams or inputs <= _CACHED_INPUTS)
        streamed += _constant_bytes(mapped, operator) + (weights if streams else 0)
        resident += 0 if streams else weights
    settled = settled and known and resident <= _MOSTLY_CACHED
    return {
        "parameter_bytes": resident + streamed if known else None,
        "cached_parameter_bytes": resident if settled else None,
        "streamed_parameter_bytes": streamed if settled else None,
    }


def _find_readers(graph: Graph) -> dict[int, list[int]]:
    readers: dict[int, list[int]] = defaultdict(list)
    for place, operator in enumerate(graph.operators):
        for index in set(operator.inputs):
            readers[index].append(place)
    return readers


def _weight_bytes(mapped: Mapped, operator: Operator) -> int:
    """Convolutions [out, height, width, in], depthwise [1, height, width, out], fully connected [out, in]."""
    shape = mapped.shape(operator.inputs, 1)
    head = _head_bytes(mapped.tensor(operator.inputs, 1), mapped.tensor(operator.inputs, 2))
    if operator.type == "FULLY_CONNECTED" and shape:
        return max(16, _fill_outputs(shape[0])) * (fill_up(math.prod(shape[1:]), 4) + head)
    if len(shape) != 4:
        return 0
    window = shape[1] * shape[2]
    if operator.type == "CONV_2D":
        outputs = _fill_outputs(_laid_apart(mapped, operator, shape[0]))
        return outputs * (window * fill_up(shape[3], 4) + head)
    if operator.type == "DEPTHWISE_CONV_2D":
        image = mapped.shape(operator.inputs)
        if image[-1:] == (1,) and shape[3] > 1:
            return _fill_outputs(shape[3]) * (4 * window + head)
        window = 1 if image[1:3] == (1, 1) else window  # the rest of the window only ever sees padding
        return fill_up(shape[3], 4) * (4 * window + head)
    return 0


def _head_bytes(weights: TensorInfo | None, bias: TensorInfo | None) -> int:
    """Per output channel. Weights that are not quantized yet, or only assumed to be (each scale 1), are taken to get a
    scale of its own for each channel."""
    quantization = weights.quantization if weights is not None else None
    per_channel = quantization is None or quantization.per_channel
    scales = quantization is None or len(set(quantization.scale)) > 1 or (per_channel and quantization.scale[0] == 1)
    biases = bias is not None and (scales or bias.zero is not True)
    return _WORD * (int(scales) + int(biases) + int(per_channel))


def _laid_apart(mapped: Mapped, operator: Operator, outputs: int) -> int:
    """The output channels of a convolution, more where a RESHAPE cuts them into parts: each part begins at a multiple
    of four."""
    index = operator.outputs[0] if operator.outputs else -1
    while index >= 0:
        readers = mapped.readers.get(index, [])
        if len(readers) != 1 or readers[0] not in mapped.region:
            break
        reader = mapped.graph.operators[readers[0]]
        if reader.type == "RESHAPE":
            part = (mapped.shape(reader.outputs) or (outputs,))[-1]
            return outputs // part * fill_up(part, 4) if 0 < part < outputs and outputs % part == 0 else outputs
        if reader.type not in _PASSING or not reader.outputs or reader.outputs[0] == index:
            break
        index = reader.outputs[0]
    return outputs


def _moving_bytes(mapped: Mapped, operator: Operator) -> int:
    """What it takes to bring channels to other places, and to mask those that only fill up."""
    before, after = mapped.shape(operator.inputs), mapped.shape(operator.outputs)
    if not before or not after:
        return 0
    if operator.type == "SOFTMAX":
        return 3 * _ROW * math.ceil(before[-1] / 4) if before[-1] % 4 else 0
    if operator.type == "PAD" and before[-1] != after[-1]:
        return _fill_outputs(after[-1]) * (fill_up(before[-1], 4) + _WORD)
    if operator.type == "CONCATENATION":
        joined = [mapped.shape(operator.inputs, place)[-1:] for place in range(len(operator.inputs))]
        channels = [shape[0] for shape in joined if shape]
        if sum(channels) == after[-1] and any(size % 4 for size in channels[:-1]):
            return max(16, _fill_outputs(after[-1])) * (sum(fill_up(size, 4) for size in channels) + _WORD)
    if operator.type == "STRIDED_SLICE" and before[-1] != after[-1]:
        begin = mapped.tensor(operator.inputs, 1)
        if begin is not None and begin.values and int(begin.values[-1]) % 4:
            return _fill_outputs(after[-1]) * fill_up(after[-1], 4)
    if operator.type == "RESHAPE" and before[-1] == 1 < after[-1] == math.prod(before):
        return 0 if _comes_in(mapped, operator) else _ROW * (min(after[-1], 16) + 1)
    if operator.type == "RESHAPE" and len(before) > 1 and 1 < before[-1] < after[-1] == before[-2] * before[-1]:
        return 0 if _feeds_a_layer(mapped, operator) else _joining_bytes(before[-1], after[-1])
    return 0


def _joining_bytes(channels: int, joined: int) -> int:
    """Columns laid behind each other: each 64 outputs come from the columns that lie under them."""
    starts = range(0, joined, 64)
    columns = max((min(start + 64, joined) - 1) // channels - start // channels + 1 for start in starts)
    return len(starts) * 64 * columns * fill_up(channels, 4)


def _feeds_a_layer(mapped: Mapped, operator: Operator) -> bool:
    """Whether all that reads it has weights, which can be laid out in the order that is there."""
    readers = [mapped.graph.operators[place] for index in operator.outputs for place in mapped.readers.get(index, ())]
    return bool(readers) and all(reader.type == "FULLY_CONNECTED" for reader in readers)


def _comes_in(mapped: Mapped, operator: Operator) -> bool:
    """Whether what it reads is an input of the model, which is loaded in the order that is wanted."""
    index = operator.inputs[0] if operator.inputs else -1
    makers, seen = mapped.makers, set[int]()
    while index in makers and index not in seen and makers[index].type in _PASSING and makers[index].inputs:
        seen.add(index)
        index = makers[index].inputs[0]
    return index in mapped.graph.inputs


def _constant_bytes(mapped: Mapped, operator: Operator) -> int:
    """Of an element-wise operator: one number for all is folded, one per channel is copied to every tile, more are
    laid out as the output is."""
    if operator.type not in _ELEMENTWISE:
        return 0
    output = mapped.shape(operator.outputs)
    total = 0
    for place in range(len(operator.inputs)):
        tensor = mapped.tensor(operator.inputs, place)
        if tensor is None or not tensor.constant:
            continue
        shape = sizes(tensor)
        if math.prod(shape) == 1 or (tensor.values is not None and len(set(tensor.values)) == 1):
            continue
        total += _TILES * shape[-1] if math.prod(shape) == shape[-1] else _align(math.prod(output))
    return total


def _fill_outputs(channels: int) -> int:
    if channels == 1:
        return 4
    return fill_up(channels, 16 if channels <= 64 else 64)


def _align(size: int) -> int:
    return fill_up(size, _ROW)
