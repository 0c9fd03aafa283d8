"""The header of an exported program, held against what torch itself reads; damaged files."""

from __future__ import annotations

import contextlib
import json
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError
from edgekit.formats import Header
from edgekit.formats.pt2_guard import refuse_code
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


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def written(path: Path, sizes: str, method: int = zipfile.ZIP_STORED) -> Path:
    """A program of one input `x` with these sizes, as JSON says them."""
    specs = '[{"user_input": {"arg": {"as_tensor": {"name": "x"}}}}]'
    graph = f'{{"tensor_values": {{"x": {{"sizes": [{sizes}]}}}}}}'
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(
            "m/models/m.json", f'{{"graph_module": {{"graph": {graph}, "signature": {{"input_specs": {specs}}}}}}}'
        )
    return path


@pytest.mark.parametrize(
    "size", ["Infinity", "-Infinity", "NaN", "1e300", "-3", "0", "true", "3.0", '"3"', "null", str(2**63)]
)
@pytest.mark.parametrize("told", ['{"as_int": %s}', '{"as_expr": {"hint": {"as_int": %s}}}'])
def test_what_is_no_size(tmp_path: Path, told: str, size: str) -> None:
    good = read_header(written(tmp_path / "good.pt2", told % "3"))
    assert good == Header(None, {"x": (3 if told.startswith('{"as_int"') else None,)}, {"x": (3,)})
    found = read_header(written(tmp_path / "m.pt2", told % size))
    if size == "null" and "hint" in told:
        assert found == Header(None, {"x": (None,)}), "what it was at export is not known"
    else:
        assert found == Header()


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = written(tmp_path / "m.pt2", '{"as_int": 3}')
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flags of the member, and those of its entry in the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert read_header(path) == Header()
    with pytest.raises(InputError, match=r"damaged or truncated.*encrypted"):
        refuse_code(path)


@pytest.mark.parametrize("method", METHODS)
def test_damage_of_every_way_to_compress(tmp_path: Path, method: str) -> None:
    path = written(tmp_path / "m.pt2", '{"as_int": 3}', METHODS[method])
    whole, draw = path.read_bytes(), random.Random(0)
    assert read_header(path).inputs == {"x": (3,)}
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 4))):
            data[draw.randrange(len(data))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        path.write_bytes(data)
        assert isinstance(read_header(path), Header)
        with contextlib.suppress(InputError):
            refuse_code(path)
