"""Whether a compiled file may come from a model: other people's pairs, each with itself and with all others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.devices.compiled import belongs
from edgekit.devices.edgetpu_compiler import same_ends
from edgekit.formats.edgetpu import describe_compiled
from edgekit.formats.edgetpu_file import is_compiled
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import read_model
from edgekit.graph import Graph

#: One input and one output of the same names and sizes, and nothing left of either: no file tells them apart.
ALIKE = {"op_add_chain_500", "op_padding_stride_128x128x3"}


@pytest.fixture(scope="module")
def pairs(shared_data: Callable[[str], Path]) -> dict[str, tuple[Graph, Graph]]:
    """{name: (compiled, source)}; of some the source has a free batch, or outputs of which it does not say the size."""
    found = {}
    for path in sorted(shared_data("coral").glob("*_edgetpu.tflite")):
        name = path.name.removesuffix("_edgetpu.tflite")
        compiled = describe_compiled(path) if is_compiled(path) else describe_model(read_model(path))
        found[name] = (compiled, describe_model(read_model(path.with_name(f"{name}.tflite"))))
    return found


def test_every_compiled_file_belongs_to_its_source_alone(pairs: dict[str, tuple[Graph, Graph]]) -> None:
    assert len(pairs) > 20
    for name, (compiled, _) in pairs.items():
        mine = {other for other, (_, source) in pairs.items() if belongs(compiled, source)}
        assert mine == (ALIKE if name in ALIKE else {name})


def test_other_ends(pairs: dict[str, tuple[Graph, Graph]]) -> None:
    compiled, source = pairs["ship_tf_quant"]
    assert source.tensors[source.inputs[0]].shape[0] is None
    assert same_ends(compiled, source)
    for change in ({"name": "other"}, {"dtype": "int8"}, {"shape": (1, 128, 128, 4)}, {"shape": (1, 128, 128)}):
        index = compiled.inputs[0]
        tensors = list(compiled.tensors)
        tensors[index] = replace(tensors[index], **change)
        assert not same_ends(replace(compiled, tensors=tuple(tensors)), source), change
    assert not same_ends(replace(compiled, outputs=()), source)
