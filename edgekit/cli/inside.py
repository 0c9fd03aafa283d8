"""What `edgekit inspect` says of a file that a device's compiler made, beyond the operators that are left in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: What is told in words here, and so not once more as it is stored.
TOLD = frozenset(
    {
        "edgetpu_subgraphs",
        "min_runtime_version",
        "compiler",
        "executables",
        "parameter_caching",
        "package_bytes",
        "cached_parameter_bytes",
        "streamed_parameter_bytes",
        "instruction_bytes",
        "scratch_bytes",
        "cpu_operators",
    }
)


def is_compiled(metadata: Mapping[str, Any]) -> bool:
    return "edgetpu_subgraphs" in metadata


def compiled_rows(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is inside of the compiled operators, by the metadata of ``formats.edgetpu.describe_compiled``."""
    from edgekit.report.figures import size

    count, left = metadata["edgetpu_subgraphs"], metadata["cpu_operators"]
    held = f"{count} operator{'s' * (count != 1)} of {size(metadata['package_bytes'])}, which the accelerator runs"
    cached, streamed = metadata["cached_parameter_bytes"], metadata["streamed_parameter_bytes"]
    token = metadata["parameter_caching"]
    kept = f"parameters stay on the chip between inferences ({token}, the same in models compiled together)"
    return [
        ("compiled", held),
        ("on the CPU", f"{left} operator{'s' * (left != 1)}" if left else "no operator"),
        ("inside", f"parameters: {size(cached)} kept on the chip, {size(streamed)} fetched for every inference"),
        ("", f"instructions: {size(metadata['instruction_bytes'])}; scratch memory: {size(metadata['scratch_bytes'])}"),
        ("executables", "\n".join(metadata["executables"]) or "none"),
        ("caching", "no parameters stay on the chip between inferences" if token == "no" else kept),
        ("runtime", f"version {metadata['min_runtime_version']} or later"),
        ("compiler", shown_version(metadata["compiler"]) or "which version it was, the file does not say"),
    ]


def shown_version(told: str) -> str | None:
    """The version of the compiler in the file; None where there is none (compiler 16 writes ``cl/``)."""
    return told if re.search(r"\d", told) else None
