"""Compiled files: figures of the real ones, and what is damaged."""

from __future__ import annotations

import csv
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from types import SimpleNamespace

import pytest
from flatbuffers import flexbuffers

from edgekit.artifact import IO, Artifact
from edgekit.errors import InputError, StepError
from edgekit.formats import FORMATS, Declared, find_format
from edgekit.formats.edgetpu import describe_compiled
from edgekit.formats.edgetpu_file import is_compiled, parse_package, read_packages
from edgekit.formats.flexbuffer import read_map
from edgekit.formats.tflite import describe_model
from edgekit.formats.tflite_flatbuffer import parse_model, read_model
from edgekit.formats.tflite_operators import read_attributes

ROOT = Path(__file__).resolve().parents[2]
models = SimpleNamespace(**run_path(str(ROOT / "tests" / "tflite_models.py")))
FORMAT = FORMATS.get("edgetpu")
COMPILED = "coral/lenet_int8_floatio_edgetpu.tflite"


@pytest.fixture(scope="module")
def coral(shared_data: Callable[[str], Path]) -> Path:
    return shared_data("coral")


@pytest.fixture(scope="module")
def index(coral: Path) -> dict[str, dict[str, str]]:
    """The figures that came with the files, taken from them by another program."""
    with (coral / "index.csv").open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def benchmark() -> SimpleNamespace:
    name = "edgetpu_placement"
    module = SimpleNamespace(**run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name=name))
    sys.modules.pop(name, None)
    return module


def test_figures_of_every_compiled_file(coral: Path, index: dict[str, dict[str, str]]):
    for name, row in index.items():
        path = coral / f"{name}_edgetpu.tflite"
        if not row["executables"]:
            assert not is_compiled(path)
            continue
        (package,) = read_packages(read_model(path))
        kinds = sorted(one.kind for one in package.executables)
        assert kinds == sorted(row["executables"].split()), name
        assert package.min_runtime_version == int(row["min_runtime_version"])
        assert package.cached_parameter_bytes == int(row["cached_parameter_bytes"])
        assert package.streamed_parameter_bytes == int(row["streamed_parameter_bytes"])
        assert sum(one.instruction_bytes for one in package.executables) == int(row["instruction_bytes"])
        assert {one.chip for one in package.executables} == {"beagle"}
        graph = describe_compiled(path)
        assert graph.metadata["cpu_operators"] == int(row["n_cpu"])
        assert len(graph.operators) == int(row["n_cpu"]) + 1


def test_layers_are_the_models_inputs_and_outputs(coral: Path):
    (package,) = read_packages(read_model(coral / "ship_tf_quant_edgetpu.tflite"))
    (running,) = [one for one in package.executables if one.kind == "EXECUTION_ONLY"]
    assert [layer.shape for layer in running.inputs] == [(128, 128, 3)]
    assert [layer.shape for layer in running.outputs] == [(1, 1, 2)]
    assert len({one.caching_token for one in package.executables}) == 1


def test_compiled_and_plain_files_are_told_apart(coral: Path):
    assert find_format(coral / "dense_256.tflite").name == "tflite"
    assert find_format(coral / "dense_256_edgetpu.tflite").name == "edgetpu"
    # Compiler 16 copies a float model as it is.
    assert find_format(coral / "lenet_float32_edgetpu.tflite").name == "tflite"


def test_it_is_described_but_not_run(shared_data: Callable[[str], Path]):
    path = shared_data(COMPILED)
    io = FORMAT.read_io(path, Declared())
    assert [tensor.dtype for tensor in (*io.inputs, *io.outputs)] == ["float32", "float32"]
    artifact = Artifact(path, "edgetpu", "", 0, io)
    assert FORMAT.describe(artifact).count_types() == {"QUANTIZE": 1, "edgetpu-custom-op": 1, "DEQUANTIZE": 1}
    assert FORMAT.find_nan(artifact) is None
    with pytest.raises(StepError, match="runs only on one"):
        FORMAT.open(artifact, 1)


def test_inspect_shows_what_is_inside(shared_data: Callable[[str], Path], edgekit_command: Callable[..., object]):
    result = edgekit_command("inspect", shared_data(COMPILED))
    for text in ("PARAMETER_CACHING on beagle (74,752 B", "EXECUTION_ONLY", "kept on the chip", "DEQUANTIZE"):
        assert text in result.stdout  # type: ignore[attr-defined]


# What is damaged


def test_a_package_that_is_none(shared_data: Callable[[str], Path], tmp_path: Path):
    data = bytearray(shared_data(COMPILED).read_bytes())
    data[data.index(b"DWN1")] = ord("X")
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    with pytest.raises(InputError, match="no package DWN1"):
        FORMAT.describe(Artifact(path, "edgetpu", "", 0, IO((), ())))


def test_cut_off_anywhere(shared_data: Callable[[str], Path]):
    data = shared_data("coral/gabor_64x64_p4_edgetpu.tflite").read_bytes()
    model = parse_model(data)
    (operator,) = [one for one in model.main.operators if one.custom[1]]
    start, size = operator.custom
    options = data[start : start + size]
    assert parse_package(options).executables
    for end in [*range(64), *range(64, size, 997)]:
        with pytest.raises(InputError):
            parse_package(options[:end])
    for end in range(8, len(data), 1499):
        with pytest.raises(InputError):
            describe_model(parse_model(data[:end]))


def test_damaged_files_are_read_or_refused(coral: Path, benchmark: SimpleNamespace):
    """No other error, no crash, no hang."""
    names = ("gabor_64x64_p4", "lenet_int8_floatio", "looming_64x64_3x3", "weather_forecast_quant_lstm")
    files = [coral / f"{name}{kind}.tflite" for name in names for kind in ("", "_edgetpu")]
    assert "10000 damaged files" in benchmark.damage(files, 10_000, seed=1)


def test_damaged_options_are_read_or_refused(coral: Path):
    """The same for what lies inside the compiler's operator, where random damage to the file seldom falls."""
    model = parse_model((coral / "lenet_int8_floatio_edgetpu.tflite").read_bytes())
    start, size = next(one.custom for one in model.main.operators if one.custom[1])
    options = model.data[start : start + size]
    draw = random.Random(0)
    refused = 0
    for _ in range(3000):
        changed = bytearray(options)
        for _ in range(draw.choice((1, 2, 8))):
            near = draw.choice((0, 4096, size - 256))
            place = min(size - 4, near + draw.randrange(256))
            changed[place : place + 4] = draw.choice(
                (draw.randbytes(4), b"\xff" * 4, b"\0" * 4, struct.pack("<I", size))
            )
        try:
            parse_package(bytes(changed))
        except InputError:
            refused += 1
    assert 0 < refused < 3000


def test_options_beyond_any_file_are_refused():
    """An offset at the end of 32 bits, found by damaging files."""
    with pytest.raises(InputError, match="lie outside the file"):
        read_attributes(bytes(64), 1, (1 << 32) + 1279)


def test_names_that_lie_over_each_other_are_refused():
    """Thousands of tensors whose name is the same megabyte would take for ever to copy."""
    model = models.Builder(signature=False)
    x = model.input("x" * (1 << 20), (1, 4), "int8")
    for _ in range(400):
        x = model.add("LOGISTIC", [x], (1, 4), dtype="int8")
    data = bytearray(model.finish([x]))
    parsed = parse_model(bytes(data))
    long = data.index(b"x" * 64) - 4
    for tensor in parsed.main.tensors[1:]:
        name = struct.pack("<I", len(tensor.name)) + tensor.name.encode() + b"\0"
        position = data.find(name)
        for place in range(0, len(data) - 4, 4):
            if place + struct.unpack_from("<I", data, place)[0] == position and long > place:
                struct.pack_into("<I", data, place, long - place)
                break
    with pytest.raises(InputError, match="lie over each other"):
        parse_model(bytes(data))


def test_a_map_as_another_library_writes_it():
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Key("1")
        builder.Int(-5)
        builder.Key("4")
        builder.String("package" * 50)
        builder.Key("6")
        builder.TypedVectorFromElements([1, 2, 70000])
        builder.Key("7")
        with builder.Vector():
            builder.String("first")
            builder.Int(300)
        builder.Key("8")
        builder.Float(1.5)
    found = read_map(bytes(builder.Finish()))
    assert found == {"1": -5, "4": b"package" * 50, "6": [1, 2, 70000], "7": [b"first", 300]}


@pytest.mark.parametrize("data", [b"", b"\x01\x26\x01", b"\0\0\0", b"\xff" * 40, bytes(8) + b"\x26\x08"])
def test_a_map_that_is_none(data: bytes):
    with pytest.raises(InputError):
        read_map(data)
