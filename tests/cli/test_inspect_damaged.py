"""`edgekit inspect` of damaged compiled files: all that the command does with a file, in this process, many times."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path

import pytest

from edgekit.artifact import Artifact
from edgekit.cli.inspect import inspection, inspection_text
from edgekit.devices import load_profiles
from edgekit.devices.compiled import judge_compiled
from edgekit.errors import InputError
from edgekit.formats import Declared, find_format
from edgekit.formats.tflite_flatbuffer import parse_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def mutate() -> Callable[[bytes, random.Random], bytes]:
    name = "edgetpu_placement"
    module = run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name=name)
    sys.modules.pop(name, None)
    return module["mutate"]


def test_damaged_compiled_files_are_shown_or_refused(
    shared_data: Callable[[str], Path], mutate: Callable[[bytes, random.Random], bytes], tmp_path: Path
) -> None:
    """Damage to the whole file, and to what lies inside of the compiler's operator alone."""
    draw, coral, refused = random.Random(3), load_profiles()["coral"], 0
    files = [
        shared_data(f"coral/{name}_edgetpu.tflite").read_bytes()
        for name in ("gabor_64x64_p4", "lenet_int8_floatio", "op_padding_256x512x3")
    ]
    path = tmp_path / "damaged.tflite"
    for turn in range(600):
        data = draw.choice(files)
        path.write_bytes(mutate(data, draw) if turn % 2 else _damage_inside(data, draw))
        try:
            known = find_format(path)
            artifact = Artifact(path, known.name, "", 0, known.read_io(path, Declared()))
            graph = known.describe(artifact)
            json.dumps(inspection(artifact, graph), allow_nan=False)
            assert inspection_text("damaged", artifact, graph)
            if known.name == "edgetpu":
                judge_compiled(graph, coral)
        except InputError:
            refused += 1
    assert 0 < refused < 600


def _damage_inside(data: bytes, draw: random.Random) -> bytes:
    """A few numbers changed near the begin, the end or anywhere of the compiler's options."""
    start, size = next(operator.custom for operator in parse_model(data).main.operators if operator.custom[1])
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = start + draw.choice((draw.randrange(256), size - 4 - draw.randrange(252), draw.randrange(size - 4)))
        value = draw.choice((0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, size, draw.getrandbits(32)))
        changed[place : place + 4] = value.to_bytes(4, "little")
    return bytes(changed)
