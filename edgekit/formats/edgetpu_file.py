"""What edgetpu_compiler writes into a .tflite file: one custom operator that holds a package of executables.

Its options are a FlexBuffer map (google-coral/libedgetpu, tflite/custom_op_data.cc): ``4`` is the package, ``7`` holds
further executables. A package is a FlatBuffer ``DWN1`` (google-coral/libedgetpu, executable/executable.fbs, which
the field numbers here follow). Nothing of it is trusted.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import InputError
from edgekit.formats.flatbuffer import Reader
from edgekit.formats.flexbuffer import read_map
from edgekit.formats.tflite_flatbuffer import StoredModel

CUSTOM_OPERATOR = "edgetpu-custom-op"
IDENTIFIER = b"DWN1"

#: ExecutableType by number. STAND_ALONE streams its parameters at every inference; PARAMETER_CACHING only loads them,
#: and EXECUTION_ONLY takes them to be there (and streams what found no room).
KINDS = ("STAND_ALONE", "PARAMETER_CACHING", "EXECUTION_ONLY")


@dataclass(frozen=True)
class Layer:
    """An input or output of an executable; ``shape`` is (y, x, z)."""

    name: str
    shape: tuple[int, int, int]
    size_bytes: int


@dataclass(frozen=True)
class Executable:
    """One program of the chip. Sizes in bytes; ``caching_token`` is equal among models compiled together."""

    kind: str
    parameter_bytes: int
    instruction_bytes: int
    scratch_bytes: int
    narrow_memory_bytes_per_tile: int
    caching_token: int
    chip: str
    inputs: tuple[Layer, ...] = ()
    outputs: tuple[Layer, ...] = ()


@dataclass(frozen=True)
class Package:
    """The contents of one custom operator."""

    min_runtime_version: int
    compiler_version: str
    bytes: int
    executables: tuple[Executable, ...]

    @property
    def cached_parameter_bytes(self) -> int:
        return sum(one.parameter_bytes for one in self.executables if one.kind == "PARAMETER_CACHING")

    @property
    def streamed_parameter_bytes(self) -> int:
        return sum(one.parameter_bytes for one in self.executables if one.kind != "PARAMETER_CACHING")


def is_compiled(path: Path) -> bool:
    """Whether a TensorFlow Lite file names the compiler's operator. Only looked for; the file may still be damaged."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data[4:8] == b"TFL3" and data.find(CUSTOM_OPERATOR.encode() + b"\0") >= 0


def read_packages(model: StoredModel) -> tuple[Package, ...]:
    """The package of each of the compiler's operators in the first subgraph.

    Raises:
        InputError: there is none, or one is damaged.
    """
    found = []
    for operator in model.main.operators:
        if model.codes[operator.opcode].custom != CUSTOM_OPERATOR:
            continue
        start, size = operator.custom
        found.append(parse_package(model.data[start : start + size]))
        if sum(package.bytes for package in found) > len(model.data):
            raise InputError("its packages lie over each other", code="invalid_model")
    if not found:
        raise InputError("no operator of the Edge TPU is in it", code="wrong_format")
    return tuple(found)


def parse_package(options: bytes) -> Package:
    """The package in the options of one operator."""
    entries = read_map(options)
    package = entries.get("4")
    if not isinstance(package, bytes) or package[4:8] != IDENTIFIER:
        raise InputError("its operator of the Edge TPU holds no package DWN1", code="invalid_model")
    reader = Reader(package)
    root = reader.follow(0)
    start, size = reader.vector(root, 1, 1)
    more = entries.get("7")
    parts = (
        [package[start : start + size], *(part for part in more if isinstance(part, bytes))]
        if isinstance(more, list)
        else [package[start : start + size]]
    )
    executables = [one for part in parts if part for one in _read_executables(part)]
    return Package(
        min_runtime_version=reader.scalar(root, 0, "<i", 0),
        compiler_version=reader.text(root, 4),
        bytes=len(options),
        executables=tuple(executables),
    )


def _read_executables(data: bytes) -> list[Executable]:
    """Those of a ``MultiExecutable``."""
    reader = Reader(data)
    root = reader.follow(0)
    start, count = reader.vector(root, 0, 4)
    found, total = [], 0
    for place in range(count):
        position = reader.follow(start + 4 * place)
        size = reader.integer("<I", position)
        total += size
        if total > len(data):
            raise InputError("its executables are longer than their package", code="invalid_model")
        found.append(_read_executable(data[position + 4 : position + 4 + size]))
    return found


def _read_executable(data: bytes) -> Executable:
    reader = Reader(data)
    root = reader.follow(0)
    number = reader.scalar(root, 13, "<h", 0)
    return Executable(
        kind=KINDS[number] if 0 <= number < len(KINDS) else f"type {number}",
        parameter_bytes=reader.vector(root, 6, 1)[1],
        instruction_bytes=sum(reader.tables(root, 5, lambda reader, table: reader.vector(table, 0, 1)[1])),
        scratch_bytes=reader.scalar(root, 4, "<i", 0),
        narrow_memory_bytes_per_tile=reader.scalar(root, 12, "<i", 0),
        caching_token=reader.scalar(root, 14, "<Q", 0),
        chip=reader.text(root, 10),
        inputs=reader.tables(root, 8, _read_layer),
        outputs=reader.tables(root, 9, _read_layer),
    )


def _read_layer(reader: Reader, table: int) -> Layer:
    y, x, z = (reader.scalar(table, number, "<i", 0) for number in (2, 3, 4))
    return Layer(reader.text(table, 0), (y, x, z), reader.scalar(table, 1, "<i", 0))
