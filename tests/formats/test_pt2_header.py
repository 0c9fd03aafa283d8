"""The header of an exported program, held against what torch itself reads; damaged files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.formats import Header
from edgekit.formats.pt2_header import read_header


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of two inputs: one with a free batch and width, one fixed; a parameter and a buffer too."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 2, 1)
            self.register_buffer("shift", torch.ones(1))

        def forward(self, image: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
            return self.layer(image) * scale + self.shift

    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    free = {0: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    given = (torch.zeros(4, 3, 8, 12), torch.zeros(1))
    torch.export.save(torch.export.export(Net(), given, dynamic_shapes={"image": free, "scale": None}), path)
    return path


def test_what_it_reads(file: Path) -> None:
    found = read_header(file)
    assert found == Header(None, {"image": (None, 3, 8, None), "scale": (1,)}, {"image": (4, 3, 8, 12), "scale": (1,)})
    import torch

    nodes = [node for node in torch.export.load(file).graph.nodes if node.op == "placeholder"]
    values = {node.name: node.meta["val"].shape for node in nodes}
    for name, sizes in found.inputs.items():
        assert sizes == tuple(size if isinstance(size, int) else None for size in values[name])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02.", b"def build(): ..."])
def test_what_is_no_program_has_an_empty_header(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.pt2"
    path.write_bytes(content)
    assert read_header(path) == Header()
    assert read_header(tmp_path / "absent.pt2") == Header()


@pytest.mark.parametrize(
    "program",
    [
        None,
        [],
        {},
        {"graph_module": 1},
        {"graph_module": {"graph": {"tensor_values": {}}, "signature": {}}},
        "[" * 9999,
    ],
)
def test_programs_in_another_form(tmp_path: Path, program: object) -> None:
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/models/m.json", program if isinstance(program, str) else json.dumps(program))
    assert read_header(path) == Header()


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 40_000))
def test_damage_raises_nothing(file: Path, tmp_path: Path, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(file.read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / "m.pt2"
    path.write_bytes(data[: max(length, 1)] if length % 2 else data)
    assert isinstance(read_header(path), Header)
