"""Bad input, each through the real command: one clear error, the right exit code, and nothing half-written.

What each printed is kept in ``snapshots/bad/``. Every case has a folder and a cache of its own, which are looked at
afterwards.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]

REPORTS = {"report.json", "junit.xml", "summary.md", "recipe.resolved.yaml", ".edgekit-out.json"}
MODELS = (".onnx", ".tflite", ".xml", ".bin", ".edgekit.json")

PICTURES = """\
edgekit: 1
model: picture.onnx
preprocess:
  - resize: {size: 8}
  - scale: {divide: 255}
data: {evaluate: {path: val}, calibrate: {path: calib}}
task: classification
targets: {onnxruntime-cpu: {precision: int8}}
"""


@pytest.fixture
def here(tiny: Any, tmp_path: Path) -> Path:
    """A working folder with the tiny model, its samples and its recipe."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("model.onnx", "calibrate.npz", "evaluate.npz", "tiny.yaml"):
        shutil.copy(tiny.folder / name, folder)
    return folder


@pytest.fixture
def pictures(here: Path) -> Path:
    """The same with ``picture.onnx`` (3x8x8 pictures to 2 classes), folders of pictures and ``pictures.yaml``."""
    write_picture_model(here / "picture.onnx")
    write_pictures(here / "val", range(6))
    write_pictures(here / "calib", range(100, 106))
    (here / "pictures.yaml").write_text(PICTURES)
    return here


class Checked:
    """Runs a command in a folder, with a cache of its own, and looks at what it left."""

    def __init__(self, command: Command, folder: Path, snapshot: Any) -> None:
        self._command = command
        self._folder = folder
        self._snapshot = snapshot
        self.cache = folder.parent / "cache"

    def __call__(self, name: str, code: int, *words: str, env: dict[str, str] | None = None) -> str:
        """The error's text; exit code, form, snapshot and both folders are checked."""
        environment = {"EDGEKIT_CACHE": str(self.cache), **(env or {})}
        done = self._command(*words, cwd=self._folder, env=environment, timeout=120)
        said = error_lines(done.stderr)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        self.look_around()
        replaced = {self._folder: "HERE", self._folder.parent: "ABOVE"}
        self._snapshot(f"bad/{name}.txt", f"$ edgekit {' '.join(words)}\n{said}exit {code}\n", replaced)
        return said

    def look_around(self) -> None:
        """No model where nothing was made, nothing that is not listed, no scratch left in the cache."""
        for out in self._folder.glob("edgekit-out/*"):
            left = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
            assert {name for name in left if not name.startswith(("logs/", "steps/"))} <= REPORTS, left
            listed = json.loads((out / ".edgekit-out.json").read_text())["files"]
            assert left - {".edgekit-out.json"} <= set(listed)
        if self.cache.exists():
            assert not list((self.cache / "tmp").glob("*/*")), "scratch files were left"
            for entry in self.cache.glob("entries/*/*"):
                assert (entry / "entry.json").is_file(), f"{entry} is half-written"
        assert not [path for path in self._folder.rglob("*") if ".part" in path.name or path.name.endswith(".partial")]


@pytest.fixture
def checked(here: Path, edgekit_command: Command, snapshot: Any) -> Checked:
    return Checked(edgekit_command, here, snapshot)


def error_lines(text: str) -> str:
    """From the first `error:` line on: what was said of the error, progress left out."""
    lines = text.splitlines(keepends=True)
    starts = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    return "".join(lines[starts[0] :]) if starts else ""


# --- the recipe ------------------------------------------------------------------------------------------------------


def test_typos_in_a_recipe(here: Path, checked: Checked) -> None:
    text = (here / "tiny.yaml").read_text()
    text = text.replace("gates:", "gats:").replace("precision:", "precison:").replace("task: class", "task: clas")
    (here / "tiny.yaml").write_text(text)
    said = checked("typos", 2, "run", "tiny.yaml")
    assert "tiny.yaml:7:1: unknown key `gats`; did you mean `gates`?" in said
    assert len([line for line in said.splitlines() if line.startswith("tiny.yaml:")]) == 3


def test_unknown_target(here: Path, checked: Checked) -> None:
    (here / "tiny.yaml").write_text((here / "tiny.yaml").read_text().replace("onnxruntime-cpu", "onxruntime-cpu"))
    assert "did you mean `onnxruntime-cpu`?" in checked("unknown-target", 2, "run", "tiny.yaml")


def test_unknown_step(here: Path, checked: Checked) -> None:
    (here / "tiny.yaml").write_text((here / "tiny.yaml").read_text() + "steps: [onnx_simplfy]\n")
    assert "did you mean `onnx_simplify`?" in checked("unknown-step", 2, "run", "tiny.yaml")


def test_alias_bomb(here: Path, checked: Checked) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (here / "bomb.yaml").write_text("\n".join(lines) + "\n")
    checked("alias-bomb", 2, "run", "bomb.yaml")  # spelled out it would outlast the time that it is given


def test_int8_without_data(here: Path, checked: Checked) -> None:
    text = (here / "tiny.yaml").read_text()
    (here / "tiny.yaml").write_text(text.replace("  calibrate: {path: calibrate.npz}\n", ""))
    assert "needs calibration samples" in checked("int8-without-data", 2, "run", "tiny.yaml")


def test_excluded_precision(checked: Checked) -> None:
    said = checked("excluded-precision", 4, "run", "tiny.yaml", "--target", "coral/fp16")
    assert "Coral Edge TPU has no precision fp16" in said


# --- the model file --------------------------------------------------------------------------------------------------


def test_missing_model(here: Path, checked: Checked) -> None:
    (here / "model.onnx").unlink()
    assert "no model file at HERE/model.onnx" in checked("missing-model", 2, "run", "tiny.yaml").replace(
        str(here), "HERE"
    )


def test_empty_model(here: Path, checked: Checked) -> None:
    (here / "model.onnx").write_bytes(b"")
    assert "is empty" in checked("empty-model", 2, "run", "tiny.yaml")


def test_truncated_model(here: Path, checked: Checked) -> None:
    whole = (here / "model.onnx").read_bytes()
    (here / "model.onnx").write_bytes(whole[: len(whole) // 2])
    checked("truncated-model", 2, "run", "tiny.yaml")


def test_renamed_model(here: Path, checked: Checked) -> None:
    (here / "model.onnx").rename(here / "model.tflite")
    said = checked("renamed-model", 2, "convert", "model.tflite", "--to", "tflite")
    assert "holds a model in the format onnx" in said


@pytest.mark.parametrize(("name", "location"), [("missing", "weights.bin"), ("outside", "../outside.bin")])
def test_external_data(name: str, location: str, here: Path, checked: Checked) -> None:
    import onnx
    from onnx import TensorProto

    (here.parent / "outside.bin").write_bytes(b"\0" * 96)
    model = onnx.load(here / "model.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (here / "model.onnx").write_bytes(model.SerializeToString())
    checked(f"external-data-{name}", 2, "run", "tiny.yaml")


@pytest.mark.parametrize("kind", ["pickle", "archive"])
def test_a_hostile_pickle_is_not_executed(kind: str, here: Path, checked: Checked) -> None:
    marker = here.parent / "executed"
    payload = f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()
    if kind == "pickle":
        (here / "model.pt").write_bytes(b"\x80\x02" + payload)
    else:
        with zipfile.ZipFile(here / "model.pt", "w") as archive:
            archive.writestr("model/data.pkl", b"\x80\x02" + payload)
            archive.writestr("model/version", "3\n")
    checked(f"hostile-{kind}", 2, "convert", "model.pt", "--to", "onnx", "--shape", "x=1x8")
    assert not marker.exists()


def test_a_hostile_pt2_is_not_executed(here: Path, checked: Checked) -> None:
    marker = here.parent / "executed"
    payload = b"\x80\x02" + f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()
    with zipfile.ZipFile(here / "model.pt2", "w") as archive:
        archive.writestr("model/archive_format", "pt2")
        archive.writestr("model/archive_version", "0")
        archive.writestr("model/data/constants/model_constants_config.json", "{}")
        archive.writestr("model/data/sample_inputs/model.pt", payload)
        archive.writestr("model/models/model.json", "{}")
    checked("hostile-pt2", 2, "convert", "model.pt2", "--to", "onnx")
    assert not marker.exists()


def test_weights_of_another_architecture(here: Path, checked: Checked, networks_file: Path) -> None:
    shutil.copy(networks_file, here / "nets.py")
    np.savez(here / "w.npz", **{"head.weight": np.zeros((10, 99), np.float32)})
    flags = ["--weights", "w.npz", "--shape", "image=1x3x16x16"]
    checked("other-weights", 2, "convert", "nets.py:classifier", *flags, "--to", "onnx")


def test_nan_in_weights(here: Path, checked: Checked) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(here / "model.onnx")
    broken = numpy_helper.to_array(model.graph.initializer[0]).copy()
    broken[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(broken, "w"))
    onnx.save(model, here / "model.onnx")
    assert "`w` holds NaN or infinity" in checked("nan-in-weights", 2, "run", "tiny.yaml")


def test_an_operator_that_a_converter_refuses(here: Path, checked: Checked) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("StringNormalizer", ["x"], ["y"], name="normalize_words")],
        "words",
        [helper.make_tensor_value_info("x", TensorProto.STRING, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, [1, None])],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), here / "words.onnx")
    said = checked("refused-operator", 5, "convert", "words.onnx", "--to", "openvino", "--shape", "x=1x4")
    assert "StringNormalizer" in said


# --- the data --------------------------------------------------------------------------------------------------------


def test_missing_data(pictures: Path, checked: Checked) -> None:
    shutil.rmtree(pictures / "val")
    checked("missing-data", 2, "run", "pictures.yaml")


def test_empty_data(pictures: Path, checked: Checked) -> None:
    shutil.rmtree(pictures / "val")
    (pictures / "val").mkdir()
    checked("empty-data", 2, "run", "pictures.yaml")


def test_unreadable_picture(pictures: Path, checked: Checked) -> None:
    (pictures / "val" / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    assert "0.png" in checked("unreadable-picture", 2, "run", "pictures.yaml")


def test_classes_that_do_not_match(pictures: Path, checked: Checked) -> None:
    write_pictures(pictures / "val", range(20, 23), classes=("c",))
    checked("other-classes", 2, "run", "pictures.yaml")


def test_shared_samples(pictures: Path, checked: Checked) -> None:
    shutil.copy(pictures / "val" / "a" / "0.png", pictures / "calib" / "a" / "again.png")
    checked("shared-samples", 2, "run", "pictures.yaml")


def test_nan_in_data(here: Path, checked: Checked) -> None:
    x = np.zeros((20, 8), np.float32)
    x[:, 0] = np.arange(20)
    x[7, 3] = np.nan
    np.savez(here / "calibrate.npz", x=x)
    checked("nan-in-data", 2, "run", "tiny.yaml")


def test_no_preprocessing_for_pictures(pictures: Path, checked: Checked) -> None:
    flags = ["--calibrate", "calib", "-t", "onnxruntime-cpu"]
    checked("no-preprocessing", 2, "quantize", "picture.onnx", *flags)


# --- the surroundings ------------------------------------------------------------------------------------------------


def test_a_folder_of_somebody_else(here: Path, edgekit_command: Command, checked: Checked) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("years of work")
    said = checked("foreign-folder", 2, "run", "tiny.yaml", "--out", "mine")
    assert "holds files that edgekit did not write" in said
    assert [path.name for path in (here / "mine").iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way(here: Path, tiny_run: Any, checked: Checked) -> None:
    shutil.copytree(tiny_run.out, here / "out")
    mine = here / "out" / "coral" / "tiny-coral-int8.tflite"
    mine.parent.mkdir()
    mine.write_text("mine")
    checked("foreign-file", 2, "run", "tiny.yaml", "--target", "coral", "--out", "out")
    assert mine.read_text() == "mine"


def test_absent_toolchain(here: Path, checked: Checked) -> None:
    nothing = {"EDGEKIT_TOOLCHAINS": str(here.parent / "toolchains")}
    said = checked("absent-toolchain", 3, "convert", "model.onnx", "--to", "tflite", env=nothing)
    assert "do: edgekit toolchain install onnx2tf" in said


def test_absent_package(here: Path, checked: Checked) -> None:
    text = (here / "tiny.yaml").read_text()
    (here / "tiny.yaml").write_text(
        text.replace("model: model.onnx", "model: {file: model.onnx, requires: [no-such-dist]}")
    )
    assert "do: pip install no-such-dist" in checked("absent-package", 3, "run", "tiny.yaml")


def test_absent_weights(here: Path, checked: Checked, networks_file: Path) -> None:
    shutil.copy(networks_file, here / "nets.py")
    model = "model: {file: 'nets.py:classifier', weights: {path: w.npz, get: python fetch.py}}"
    (here / "nets.yaml").write_text(f"edgekit: 1\n{model}\ntargets: {{openvino-cpu: {{precision: fp16}}}}\n")
    assert "do: python fetch.py" in checked("absent-weights", 3, "run", "nets.yaml")


SLOW = """\
import time
import numpy as np

def slow():
    for _ in range(6000):
        time.sleep(0.1)
    return [(np.zeros(8, np.float32), 0)]
"""


@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_signals(number: int, code: int, word: str, here: Path, edgekit_program: Path, checked: Checked) -> None:
    """Ctrl-C, or a termination, in the middle of a job: quick, said, nothing left running, nothing half-written."""
    import os

    (here / "slow.py").write_text(SLOW)
    text = (here / "tiny.yaml").read_text().replace("evaluate.npz", "slow.py:slow")
    (here / "tiny.yaml").write_text(text)
    environment = {**os.environ, "EDGEKIT_CACHE": str(checked.cache)}
    process = subprocess.Popen(
        [edgekit_program, "run", "tiny.yaml", "--json"],
        cwd=here,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "] data ..." in line:
            break
    time.sleep(1.0)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)  # it would take ten minutes
    assert process.returncode == code, err
    report = json.loads(out)
    assert (report["exit_code"], report["error"]["code"]) == (code, word)
    assert f"error: {word}" in err
    checked.look_around()


# --- what the cases are made of --------------------------------------------------------------------------------------


def write_pictures(folder: Path, seeds: Iterable[int], classes: tuple[str, ...] = ("a", "b")) -> None:
    """A small PNG per seed and class, no two alike."""
    from PIL import Image

    for place, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for seed in seeds:
            pixels = np.random.default_rng([place, seed]).integers(0, 256, (9, 10, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{seed}.png")


def write_picture_model(path: Path) -> None:
    """The mean of each channel, then a matrix product to 2 classes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.array([[1, -1], [0.5, 0.25], [-1, 1]], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["means"]),
            helper.make_node("Flatten", ["means"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["scores"]),
        ],
        "picture",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
