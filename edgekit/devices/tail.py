"""What the step onnx_cut_tail would move to the host, told of a graph in ONNX's or TensorFlow Lite's operators.

The same search as the step's own (edgekit/steps/convert/onnx_postprocessing.py says what counts as post-processing and
why), on what a graph knows: after the last layer with trained weights, whatever joins heads, selects, or bends the
numbers of a head, and what follows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property

from edgekit.graph import Graph, Operator, TensorInfo

_WEIGHTED = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger"}
    | {"DeformConv", "LSTM", "GRU", "RNN", "Einsum", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "CONV_3D"}
    | {"FULLY_CONNECTED", "BATCH_MATMUL", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"}
)
#: Of these, those that may multiply two computed tensors, or by numbers that nobody trained.
_PRODUCTS = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    | {"BATCH_MATMUL", "CONV_3D", "TRANSPOSE_CONV"}
)
_MOVES = frozenset(
    {"Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Cast", "Slice", "Split", "Gather"}
    | {"Expand", "Tile", "RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "CAST", "SLICE", "STRIDED_SLICE", "SPLIT"}
    | {"SPLIT_V", "UNPACK", "GATHER", "BROADCAST_TO", "TILE", "QUANTIZE", "DEQUANTIZE"}
)
_JOINS = frozenset({"Concat", "CONCATENATION", "PACK"})
_SOFTMAXES = frozenset({"Softmax", "LogSoftmax", "SOFTMAX", "LOG_SOFTMAX"})
_SQUASHES = frozenset({"Sigmoid", "HardSigmoid", "Tanh", "Softplus", "LOGISTIC", "TANH"})
_CURVES = frozenset({"Exp", "Log", "Pow", "Sqrt", "EXP", "LOG", "POW", "SQUARE", "SQRT", "RSQRT"})
_ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Div", "ADD", "SUB", "MUL", "DIV"})
_CALCULATES = frozenset(
    {"Neg", "Abs", "Reciprocal", "Floor", "Ceil", "Round", "Mod", "Min", "Max", "Clip", "ReduceMax", "ReduceSum"}
    | {"NEG", "ABS", "FLOOR", "CEIL", "ROUND", "FLOOR_MOD", "MINIMUM", "MAXIMUM", "REDUCE_MAX", "SUM"}
)
_SELECTS = frozenset(
    {"NonMaxSuppression", "TopK", "ArgMax", "ArgMin", "NonZero", "Unique", "Compress", "GatherND", "GatherElements"}
    | {"Scatter", "ScatterND", "ScatterElements", "OneHot", "Where", "Greater", "GreaterOrEqual", "Less"}
    | {"LessOrEqual", "Equal", "Not", "And", "Or", "Loop", "If", "Scan", "NON_MAX_SUPPRESSION_V4"}
    | {"NON_MAX_SUPPRESSION_V5", "TOPK_V2", "ARG_MAX", "ARG_MIN", "WHERE", "UNIQUE", "GATHER_ND", "SCATTER_ND"}
    | {"ONE_HOT", "SELECT", "SELECT_V2", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "LOGICAL_NOT"}
    | {"LOGICAL_AND", "LOGICAL_OR", "WHILE", "IF"}
)
_HEADS = _MOVES | _JOINS | _SOFTMAXES | _SQUASHES | _CURVES | _ARITHMETIC | _CALCULATES | _SELECTS | _WEIGHTED
_PLAIN = ("NONE", None)


#: The longest softmax that the step leaves where it is, by default.
SOFTMAX_OVER = 16_000


def find_tail(graph: Graph, constants: Collection[int], softmax_over: int = SOFTMAX_OVER) -> frozenset[int]:
    """The places, in ``graph.operators``, of what would be moved; ``softmax_over`` is the step's option. Empty where
    there is no post-processing, or the model cannot be cut before it."""
    return _Search(graph, constants, softmax_over).find()


class _Search:
    def __init__(self, graph: Graph, constants: Collection[int], softmax_over: int) -> None:
        self._graph = graph
        self._softmax_over = softmax_over
        self._constants = set(constants)
        for operator in graph.operators:
            if operator.inputs and (self._is_folded(operator) or not self._flowing(operator)):
                self._constants.update(operator.outputs)
        self._layers: set[int] = set()

    def find(self) -> frozenset[int]:
        causes = {place for place in self._after if self._is_cause(place)}
        moved = self._grow(causes)
        return moved if moved and all(map(self._may_end_in, self._cuts(moved))) else frozenset()

    # --- what is what ------------------------------------------------------------------------------------------------

    def _is_folded(self, operator: Operator) -> bool:
        """Fixed sizes, which the step writes as constants."""
        return operator.type in ("Shape", "SHAPE") and self._tensor(operator.inputs[0]).elements is not None

    def _flowing(self, operator: Operator) -> list[int]:
        return [index for index in operator.inputs if index >= 0 and index not in self._constants]

    def _tensor(self, index: int) -> TensorInfo:
        return self._graph.tensors[index]

    @cached_property
    def _weighted(self) -> frozenset[int]:
        operators = enumerate(self._graph.operators)
        return frozenset(place for place, operator in operators if self._is_weighted(operator))

    def _is_weighted(self, operator: Operator) -> bool:
        if operator.type not in _WEIGHTED or not self._flowing(operator):
            return False
        if operator.type not in _PRODUCTS:
            return True
        places = operator.inputs[1:2] if operator.type == "TRANSPOSE_CONV" else operator.inputs[:2]
        stored = [index for index in places if index in self._constants]
        return bool(stored) and not all(map(self._is_written, stored))

    def _is_written(self, index: int) -> bool:
        """Whether a constant was written rather than trained: all of its numbers are multiples of a half."""
        values = self._tensor(index).values
        return values is not None and all(2 * value == round(2 * value) for value in values)

    @cached_property
    def _after(self) -> list[int]:
        """The places behind a weighted layer and before none."""
        operators = self._graph.operators
        above: set[int] = set()
        for place in reversed(range(len(operators))):
            if place in self._weighted or not above.isdisjoint(operators[place].outputs):
                above.update(self._flowing(operators[place]))
        below: set[int] = set()
        found = []
        for place, operator in enumerate(operators):
            if place in self._weighted or not below.isdisjoint(operator.inputs):
                below.update(operator.outputs)
                if place not in self._weighted and above.isdisjoint(operator.outputs):
                    found.append(place)
        return found

    @cached_property
    def _heads(self) -> dict[int, frozenset[int]]:
        """{tensor that is a weighted layer's output, only moved, squashed or calculated with: those outputs}."""
        operators = self._graph.operators
        plain = [place for place in self._weighted if _is_plain(operators[place])]
        self._layers = {index for place in plain for index in operators[place].outputs}
        heads = {index: frozenset({index}) for index in self._layers}
        for place in self._after:
            operator, flowing = operators[place], self._flowing(operators[place])
            if not flowing or not all(index in heads for index in flowing) or not _is_plain(operator):
                continue
            if self._layers.issuperset(flowing) and self._ends_a_layer(operator):
                self._layers.update(operator.outputs)
                heads.update({index: frozenset({index}) for index in operator.outputs})
            elif operator.type in _HEADS and not (operator.type == "Clip" and self._layers.issuperset(flowing)):
                joined = frozenset[int]().union(*(heads[index] for index in flowing))
                heads.update(dict.fromkeys(operator.outputs, joined))
        return heads

    def _ends_a_layer(self, operator: Operator) -> bool:
        if operator.type == "BatchNormalization":
            return True
        stored = [self._axes_over_one(index) for index in operator.inputs if index in self._constants]
        return operator.type in _ARITHMETIC and stored == [1]

    def _axes_over_one(self, index: int) -> int:
        return sum(size is None or size > 1 for size in self._tensor(index).shape)

    # --- causes, and what goes with them -----------------------------------------------------------------------------

    def _is_cause(self, place: int) -> bool:
        operator = self._graph.operators[place]
        if operator.type in _SELECTS:
            return not self._is_mask(operator)
        if operator.type in _SOFTMAXES and self._classes(operator) > self._softmax_over:
            return True
        if not self._is_head(operator):
            return False
        if operator.type in _JOINS:
            joined = [self._heads[index] for index in operator.inputs if index in self._heads]
            return len(frozenset[int]().union(*joined)) > 1
        if operator.type in _ARITHMETIC:
            return any(index in self._constants and self._axes_over_one(index) > 1 for index in operator.inputs)
        return operator.type in _CURVES

    def _is_mask(self, operator: Operator) -> bool:
        """A comparison or choice that only a converter wrote: a threshold whose answer, as a number, multiplies what
        was compared (ThresholdedRelu), or what stands for numbers that are unequal to themselves (GridSample)."""
        if operator.type in ("SELECT", "SELECT_V2"):
            made = next((one for one in self._graph.operators if operator.inputs[0] in one.outputs), None)
            return made is not None and made.type == "NOT_EQUAL" and len(set(made.inputs)) == 1
        compares = operator.type in ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
        casts = self._read_by(operator)
        products = [each for one in casts for each in self._read_by(one)]
        given = set(self._flowing(operator))
        masks = bool(products) and all(one.type == "MUL" and given & set(one.inputs) for one in products)
        return compares and masks and all(one.type == "CAST" for one in casts)

    def _read_by(self, operator: Operator) -> list[Operator]:
        places = (place for index in operator.outputs for place in self._readers.get(index, ()))
        return [self._graph.operators[place] for place in places]

    def _classes(self, operator: Operator) -> int:
        """How many numbers a softmax spreads over; 0 where that is not known."""
        shape, axis = self._tensor(operator.inputs[0]).shape, operator.attributes.get("axis", -1)
        return (shape[axis] or 0) if -len(shape) <= axis < len(shape) else 0

    def _is_head(self, operator: Operator) -> bool:
        """Whether it makes heads, and not the outputs of layers themselves."""
        made = operator.outputs
        return all(index in self._heads for index in made) and not self._layers.issuperset(made)

    def _grow(self, causes: set[int]) -> frozenset[int]:
        operators = self._graph.operators
        moved = set(causes)
        made = {index for place in moved for index in operators[place].outputs}
        for place in self._after:
            if not made.isdisjoint(operators[place].inputs):
                moved.add(place)
                made.update(operators[place].outputs)
        for place in reversed(self._after):
            following = {reader for index in operators[place].outputs for reader in self._readers.get(index, ())}
            if self._is_head(operators[place]) and following and moved.issuperset(following):
                moved.add(place)
        return frozenset(moved)

    @cached_property
    def _readers(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for place, operator in enumerate(self._graph.operators):
            for index in operator.inputs:
                found.setdefault(index, []).append(place)
        return found

    def _cuts(self, moved: frozenset[int]) -> Iterator[TensorInfo]:
        operators = self._graph.operators
        made = {index for place in moved for index in operators[place].outputs}
        read = {index for place in moved for index in self._flowing(operators[place])}
        return (self._tensor(index) for index in sorted(read - made))

    def _may_end_in(self, tensor: TensorInfo) -> bool:
        """Real numbers (or what they were quantized to), of fixed sizes, the batch first; no input of the model."""
        inputs = [self._tensor(index) for index in self._graph.inputs]
        real = tensor.dtype.startswith("float") or tensor.quantization is not None
        if tensor in inputs or not real or not tensor.shape or tensor.elements is None:
            return False
        batch = inputs[0].shape[0] if inputs and inputs[0].shape else None
        return batch is None or tensor.shape[0] == batch


def _is_plain(operator: Operator) -> bool:
    """Without a fused activation, which ends a head as one of its own does."""
    return operator.attributes.get("fused_activation_function") in _PLAIN
