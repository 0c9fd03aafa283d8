"""How many bytes of parameters a compiled model holds."""

from __future__ import annotations

from collections.abc import Collection

from edgekit.graph import Graph


def predict_memory(graph: Graph, region: Collection[int]) -> dict[str, int | None]:
    """Bytes of parameters of the operators at these places, and how they are kept. None: not known."""
    return {"parameter_bytes": None, "cached_parameter_bytes": None, "streamed_parameter_bytes": None}
