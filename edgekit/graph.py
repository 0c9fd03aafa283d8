"""The neutral description of a model: tensors and operators with shapes, types, quantization and costs.

A format's ``describe()`` returns a Graph; ``inspect``, ``check`` and the device rules read nothing else.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

#: The most numbers of a constant that a graph holds itself.
MOST_VALUES = 64


@dataclass(frozen=True)
class Quantization:
    """Affine quantization, real = scale * (stored - zero_point).

    One scale and zero point for a tensor, or one per slice along ``axis`` (then ``axis`` is not None).
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    @staticmethod
    def from_dict(data: dict[str, Any] | None) -> Quantization | None:
        """What ``asdict`` said (None: nothing is quantized), after a journey through JSON too."""
        return None if data is None else Quantization(tuple(data["scale"]), tuple(data["zero_point"]), data.get("axis"))

    @property
    def per_channel(self) -> bool:
        return self.axis is not None and len(self.scale) > 1


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of a graph. ``shape`` holds None where a size is not known; ``dtype`` is NumPy's name for it.

    ``values`` are the numbers of a small constant (axes, permutations, paddings: at most ``MOST_VALUES``), flattened;
    ``zero`` says of any constant whether all its numbers are 0. Both are None where that is not known.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    constant: bool = False
    quantization: Quantization | None = None
    values: tuple[int | float, ...] | None = None
    zero: bool | None = None

    @property
    def elements(self) -> int | None:
        """How many numbers it holds; None if a size is not known."""
        total = 1
        for size in self.shape:
            if size is None:
                return None
            total *= size
        return total


@dataclass(frozen=True)
class Operator:
    """One operator. ``inputs`` and ``outputs`` are indices into ``Graph.tensors`` (-1: absent optional input).

    ``macs`` counts multiply-accumulates of convolutions, transposed convolutions and matrix products only;
    ``params`` counts the stored numbers of its constant weights and biases (zero points and scales excluded).
    """

    index: int
    type: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    version: int | None = None
    name: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    macs: int = 0
    params: int = 0


@dataclass(frozen=True)
class Graph:
    """Tensors and operators in execution order; ``inputs`` and ``outputs`` are tensor indices."""

    format: str
    tensors: tuple[TensorInfo, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Graph:
        """What ``to_dict`` said, after a journey through JSON too."""
        return Graph(
            data["format"],
            tuple(_tensor_from_dict(tensor) for tensor in data["tensors"]),
            tuple(_operator_from_dict(operator) for operator in data["operators"]),
            tuple(data["inputs"]),
            tuple(data["outputs"]),
            dict(data["metadata"]),
        )

    @property
    def macs(self) -> int:
        return sum(operator.macs for operator in self.operators)

    @property
    def params(self) -> int:
        return sum(operator.params for operator in self.operators)

    def count_types(self) -> dict[str, int]:
        """How often each operator type occurs, the most frequent first."""
        return dict(Counter(operator.type for operator in self.operators).most_common())


def _tensor_from_dict(data: dict[str, Any]) -> TensorInfo:
    values = data.get("values")
    return TensorInfo(
        **{
            **data,
            "shape": tuple(data["shape"]),
            "quantization": Quantization.from_dict(data["quantization"]),
            "values": None if values is None else tuple(values),
        }
    )


def _operator_from_dict(data: dict[str, Any]) -> Operator:
    return Operator(**{**data, "inputs": tuple(data["inputs"]), "outputs": tuple(data["outputs"])})
