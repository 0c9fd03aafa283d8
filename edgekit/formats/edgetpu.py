"""TensorFlow Lite files that edgetpu_compiler has compiled: described, but run only by the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.artifact import IO, Artifact, Build
from edgekit.errors import InputError, StepError
from edgekit.formats import AGAIN, FORMATS, Declared, Format, Session, format_
from edgekit.formats.edgetpu_file import CUSTOM_OPERATOR, Executable, Package, is_compiled, read_packages
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import read_model
from edgekit.graph import Graph


@format_("edgetpu", suffixes=(".tflite",), stack="litert", requires=("ai-edge-litert",))
class EdgeTpu(Format):
    """The operators that the compiler left on the CPU stand in the graph as ever, the others inside one of its own."""

    keeps_order = False

    def recognizes(self, path: Path, head: bytes) -> bool:
        return is_compiled(path)

    def read_io(self, path: Path, declared: Declared, build: Build | None = None) -> IO:
        return FORMATS.get("tflite").read_io(path, declared, build)

    def describe(self, artifact: Artifact) -> Graph:
        """What TensorFlow Lite sees of it; what is inside the compiled operator is in the metadata.

        Raises:
            InputError: the file or its package is truncated or damaged.
        """
        return describe_compiled(artifact.path)

    def open(self, artifact: Artifact, threads: int) -> Session:
        raise StepError(
            f"{artifact.path.name} is compiled for the Edge TPU and runs only on one",
            where=str(artifact.path),
            remedy="measure the .tflite file that it was compiled from",
            code="runtime_refused",
        )

    def find_nan(self, artifact: Artifact) -> str | None:
        return FORMATS.get("tflite").find_nan(artifact)


def describe_compiled(path: Path) -> Graph:
    """The Graph of a compiled file. Its metadata hold, beside those of TensorFlow Lite:

    ``min_runtime_version``, ``compiler``, ``executables`` (one line each), ``parameter_caching`` and bytes:
    ``package``, ``cached_parameter``, ``streamed_parameter``, ``instruction``, ``scratch``; ``cpu_operators`` counts.
    """
    model = read_model(path)
    try:
        packages = read_packages(model)
    except InputError as error:
        message = f"{path} is not a sound compiled model: {error.message}"
        raise InputError(message, where=str(path), remedy=AGAIN, code=error.word) from error
    graph = describe_model(model)
    left = sum(1 for operator in graph.operators if operator.type != CUSTOM_OPERATOR)
    metadata = {**graph.metadata, **summarize(packages), "cpu_operators": left}
    return Graph("edgetpu", graph.tensors, graph.operators, graph.inputs, graph.outputs, metadata)


def summarize(packages: tuple[Package, ...]) -> dict[str, Any]:
    """Plain figures of the packages of a file; see ``describe_compiled``."""
    executables = [one for package in packages for one in package.executables]
    tokens = sorted({one.caching_token for one in executables if one.kind != "STAND_ALONE"})
    return {
        "edgetpu_subgraphs": len(packages),
        "min_runtime_version": max(package.min_runtime_version for package in packages),
        "compiler": ", ".join(sorted({package.compiler_version for package in packages})),
        "executables": [_show(one) for one in executables],
        "parameter_caching": ", ".join(f"token {token:016x}" for token in tokens) or "no",
        "package_bytes": sum(package.bytes for package in packages),
        "cached_parameter_bytes": sum(package.cached_parameter_bytes for package in packages),
        "streamed_parameter_bytes": sum(package.streamed_parameter_bytes for package in packages),
        "instruction_bytes": sum(one.instruction_bytes for one in executables),
        "scratch_bytes": sum(one.scratch_bytes for one in executables),
    }


def _show(one: Executable) -> str:
    """``EXECUTION_ONLY on beagle (24,064 B of parameters, 341,392 B of instructions)``."""
    sizes = f"{one.parameter_bytes:,} B of parameters, {one.instruction_bytes:,} B of instructions"
    return f"{one.kind} on {one.chip} ({sizes})"
