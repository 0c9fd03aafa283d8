"""Bad input, each through the real command: one clear error, the right exit code, and nothing half-written (what goes
wrong underway is in ``test_bad_runs.py``).

What each printed is kept in ``snapshots/bad/``. Every case has a folder and a cache of its own, which are looked at
afterwards.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest

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
def pictures(here: Path) -> Path:
    """The same with ``picture.onnx`` (3x8x8 pictures to 2 classes), folders of pictures and ``pictures.yaml``."""
    write_picture_model(here / "picture.onnx")
    write_pictures(here / "val", range(6))
    write_pictures(here / "calib", range(100, 106))
    (here / "pictures.yaml").write_text(PICTURES)
    return here


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model.pt2``, ``model.pt`` (TorchScript), ``model.xml`` and ``.bin``, ``model.tflite``: a matrix
    product each."""
    import torch

    from edgekit.formats.openvino_file import import_openvino

    openvino = import_openvino()
    folder = tmp_path_factory.mktemp("models")
    module, example = torch.nn.Linear(4, 3).eval(), torch.zeros(1, 4)
    torch.export.save(torch.export.export(module, (example,)), folder / "model.pt2")
    torch.jit.trace(module, example).save(str(folder / "model.pt"))
    openvino.save_model(openvino.convert_model(module, example_input=example), folder / "model.xml")
    classifier = run_path(str(Path(__file__).parents[1] / "tflite_models.py"))["classifier"]
    (folder / "model.tflite").write_bytes(classifier())
    return folder


# --- the recipe ------------------------------------------------------------------------------------------------------


def test_typos_in_a_recipe(here: Path, checked: Any) -> None:
    text = (here / "tiny.yaml").read_text()
    text = text.replace("gates:", "gats:").replace("precision:", "precison:").replace("task: class", "task: clas")
    (here / "tiny.yaml").write_text(text)
    said = checked("typos", 2, "run", "tiny.yaml")
    assert "tiny.yaml:7:1: unknown key `gats`; did you mean `gates`?" in said
    assert len([line for line in said.splitlines() if line.startswith("tiny.yaml:")]) == 3


def test_unknown_target(here: Path, checked: Any) -> None:
    (here / "tiny.yaml").write_text((here / "tiny.yaml").read_text().replace("onnxruntime-cpu", "onxruntime-cpu"))
    assert "did you mean `onnxruntime-cpu`?" in checked("unknown-target", 2, "run", "tiny.yaml")


def test_unknown_step(here: Path, checked: Any) -> None:
    (here / "tiny.yaml").write_text((here / "tiny.yaml").read_text() + "steps: [onnx_simplfy]\n")
    assert "did you mean `onnx_simplify`?" in checked("unknown-step", 2, "run", "tiny.yaml")


def test_alias_bomb(here: Path, checked: Any) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    (here / "bomb.yaml").write_text("\n".join(lines) + "\n")
    checked("alias-bomb", 2, "run", "bomb.yaml")  # spelled out it would outlast the time that it is given


def test_int8_without_data(here: Path, checked: Any) -> None:
    text = (here / "tiny.yaml").read_text()
    (here / "tiny.yaml").write_text(text.replace("  calibrate: {path: calibrate.npz}\n", ""))
    assert "needs calibration samples" in checked("int8-without-data", 2, "run", "tiny.yaml")


def test_excluded_precision(checked: Any) -> None:
    said = checked("excluded-precision", 4, "run", "tiny.yaml", "--target", "coral/fp16")
    assert "Coral Edge TPU has no precision fp16" in said


@pytest.mark.parametrize("kind", ["folder", "utf16", "model"])
def test_a_recipe_that_is_none(kind: str, here: Path, checked: Any) -> None:
    file = here / "recipe.yaml"
    if kind == "folder":
        file.mkdir()
    else:
        file.write_bytes((here / "tiny.yaml").read_text().encode("utf-16") if kind == "utf16" else b"\x08\xff\x12\x00")
    checked(f"recipe-is-{kind}", 2, "run", "recipe.yaml")


def test_a_report_onto_a_folder(checked: Any) -> None:
    assert "--report json=report.json" in checked("report-onto-folder", 2, "run", "tiny.yaml", "--report", "json=.")


# --- the model file --------------------------------------------------------------------------------------------------


def test_missing_model(here: Path, checked: Any) -> None:
    (here / "model.onnx").unlink()
    assert "no model file at HERE/model.onnx" in checked("missing-model", 2, "run", "tiny.yaml").replace(
        str(here), "HERE"
    )


def test_empty_model(here: Path, checked: Any) -> None:
    (here / "model.onnx").write_bytes(b"")
    assert "is empty" in checked("empty-model", 2, "run", "tiny.yaml")


def test_truncated_model(here: Path, checked: Any) -> None:
    whole = (here / "model.onnx").read_bytes()
    (here / "model.onnx").write_bytes(whole[: len(whole) // 2])
    checked("truncated-model", 2, "run", "tiny.yaml")


def test_renamed_model(here: Path, checked: Any) -> None:
    (here / "model.onnx").rename(here / "model.tflite")
    said = checked("renamed-model", 2, "convert", "model.tflite", "--to", "tflite")
    assert "holds a model in the format onnx" in said


@pytest.mark.parametrize(("name", "location"), [("missing", "weights.bin"), ("outside", "../outside.bin")])
def test_external_data(name: str, location: str, here: Path, checked: Any) -> None:
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
def test_a_hostile_pickle_is_not_executed(kind: str, here: Path, checked: Any) -> None:
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


def test_a_hostile_pt2_is_not_executed(here: Path, checked: Any) -> None:
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


def test_a_hostile_argument_in_a_whole_pt2_is_not_executed(here: Path, checked: Any, models: Path) -> None:
    """What torch saves of the example arguments is an archive within the archive, and a pickle in that."""
    marker = here.parent / "executed"
    payload = b"\x80\x02" + f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()
    with zipfile.ZipFile(models / "model.pt2") as whole, zipfile.ZipFile(here / "model.pt2", "w") as written:
        for name in whole.namelist():
            content = whole.read(name)
            if name.endswith("sample_inputs/model.pt"):
                inner = io.BytesIO()
                with zipfile.ZipFile(io.BytesIO(content)) as example, zipfile.ZipFile(inner, "w") as planted:
                    for member in example.namelist():
                        planted.writestr(member, payload if member.endswith("data.pkl") else example.read(member))
                content = inner.getvalue()
            written.writestr(name, content)
    said = checked("hostile-argument", 2, "convert", "model.pt2", "--to", "onnx")
    assert "holds a pickle of more than tensors" in said
    assert not marker.exists()


@pytest.mark.parametrize("suffix", [".pt2", ".pt", ".tflite", ".xml"])
@pytest.mark.parametrize("what", ["missing", "empty", "folder", "text", "truncated"])
def test_no_whole_model(what: str, suffix: str, here: Path, checked: Any, models: Path) -> None:
    file = here / f"net{suffix}"
    if what == "folder":
        file.mkdir()
    elif what != "missing":
        whole = (models / f"model{suffix}").read_bytes()
        content = {"empty": b"", "text": b"not a model\n" * 9, "truncated": whole[: len(whole) * 97 // 100]}[what]
        file.write_bytes(content)
        (here / "net.bin").write_bytes((models / "model.bin").read_bytes())
    words = ["convert", file.name, "--to", "onnx", "--shape", "x=1x4"] if "pt" in suffix else ["inspect", file.name]
    said = checked(f"{what}-{suffix[1:]}", 2, *words)
    assert file.name in said
    assert "do: " in said


def test_external_data_that_are_too_short(here: Path, checked: Any) -> None:
    import onnx
    from onnx import TensorProto

    (here / "weights.bin").write_bytes(b"\0" * 10)
    model = onnx.load(here / "model.onnx")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    (here / "model.onnx").write_bytes(model.SerializeToString())
    assert "10 bytes, 96 are needed" in checked("external-data-short", 2, "run", "tiny.yaml")


def test_weights_of_another_architecture(here: Path, checked: Any, networks_file: Path) -> None:
    shutil.copy(networks_file, here / "nets.py")
    np.savez(here / "w.npz", **{"head.weight": np.zeros((10, 99), np.float32)})
    flags = ["--weights", "w.npz", "--shape", "image=1x3x16x16"]
    checked("other-weights", 2, "convert", "nets.py:classifier", *flags, "--to", "onnx")


def test_nan_in_weights(here: Path, checked: Any) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(here / "model.onnx")
    broken = numpy_helper.to_array(model.graph.initializer[0]).copy()
    broken[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(broken, "w"))
    onnx.save(model, here / "model.onnx")
    assert "`w` holds NaN or infinity" in checked("nan-in-weights", 2, "run", "tiny.yaml")


def test_an_operator_that_a_converter_refuses(here: Path, checked: Any) -> None:
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"], name="determinant")],
        "volumes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), here / "volumes.onnx")
    said = checked("refused-operator", 5, "convert", "volumes.onnx", "--to", "openvino")
    assert "Det" in said


# --- the data --------------------------------------------------------------------------------------------------------


def test_missing_data(pictures: Path, checked: Any) -> None:
    shutil.rmtree(pictures / "val")
    checked("missing-data", 2, "run", "pictures.yaml")


def test_empty_data(pictures: Path, checked: Any) -> None:
    shutil.rmtree(pictures / "val")
    (pictures / "val").mkdir()
    checked("empty-data", 2, "run", "pictures.yaml")


def test_unreadable_picture(pictures: Path, checked: Any) -> None:
    (pictures / "val" / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    assert "0.png" in checked("unreadable-picture", 2, "run", "pictures.yaml")


def test_classes_that_do_not_match(pictures: Path, checked: Any) -> None:
    write_pictures(pictures / "val", range(20, 23), classes=("c",))
    checked("other-classes", 2, "run", "pictures.yaml")


def test_shared_samples(pictures: Path, checked: Any) -> None:
    shutil.copy(pictures / "val" / "a" / "0.png", pictures / "calib" / "a" / "again.png")
    checked("shared-samples", 2, "run", "pictures.yaml")


def test_nan_in_data(here: Path, checked: Any) -> None:
    x = np.zeros((20, 8), np.float32)
    x[:, 0] = np.arange(20)
    x[7, 3] = np.nan
    np.savez(here / "calibrate.npz", x=x)
    checked("nan-in-data", 2, "run", "tiny.yaml")


def test_a_picture_that_is_a_link_to_itself(pictures: Path, checked: Any) -> None:
    picture = pictures / "val" / "a" / "0.png"
    picture.unlink()
    picture.symlink_to("0.png")
    assert "0.png cannot be read" in checked("looping-link", 2, "run", "pictures.yaml")


def test_an_archive_of_objects(here: Path, checked: Any) -> None:
    np.savez(here / "evaluate.npz", x=np.array([{}] * 5, dtype=object), y=np.zeros(5, int))
    assert "`x` in HERE/evaluate.npz" in checked("objects-in-data", 2, "run", "tiny.yaml").replace(str(here), "HERE")


def test_an_archive_without_rows(here: Path, checked: Any) -> None:
    np.savez(here / "evaluate.npz", x=np.zeros((0, 8), np.float32), y=np.zeros(0, int))
    assert "evaluate.npz holds no samples" in checked("no-rows", 2, "run", "tiny.yaml")


def test_no_preprocessing_for_pictures(pictures: Path, checked: Any) -> None:
    flags = ["--calibrate", "calib", "-t", "onnxruntime-cpu"]
    checked("no-preprocessing", 2, "quantize", "picture.onnx", *flags)


# --- the surroundings ------------------------------------------------------------------------------------------------


def test_a_folder_of_somebody_else(here: Path, checked: Any) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("years of work")
    said = checked("foreign-folder", 2, "run", "tiny.yaml", "--out", "mine")
    assert "holds files that edgekit did not write" in said
    assert [path.name for path in (here / "mine").iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way(here: Path, tiny_run: Any, checked: Any) -> None:
    shutil.copytree(tiny_run.out, here / "out")
    mine = here / "out" / "coral" / "tiny-coral-int8.tflite"
    mine.parent.mkdir()
    mine.write_text("mine")
    checked("foreign-file", 2, "run", "tiny.yaml", "--target", "coral", "--out", "out")
    assert mine.read_text() == "mine"


def test_absent_toolchain(here: Path, checked: Any) -> None:
    nothing = {"EDGEKIT_TOOLCHAINS": str(here.parent / "toolchains")}
    said = checked("absent-toolchain", 3, "convert", "model.onnx", "--to", "tflite", env=nothing)
    assert "do: edgekit toolchain install onnx2tf" in said


def test_absent_package(here: Path, checked: Any) -> None:
    text = (here / "tiny.yaml").read_text()
    (here / "tiny.yaml").write_text(
        text.replace("model: model.onnx", "model: {file: model.onnx, requires: [no-such-dist]}")
    )
    assert "do: pip install no-such-dist" in checked("absent-package", 3, "run", "tiny.yaml")


def test_absent_weights(here: Path, checked: Any, networks_file: Path) -> None:
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
def test_signals(number: int, code: int, word: str, here: Path, checked: Any) -> None:
    """Ctrl-C, or a termination, in the middle of a job: quick, said, nothing left running, nothing half-written."""
    (here / "slow.py").write_text(SLOW)
    text = (here / "tiny.yaml").read_text().replace("evaluate.npz", "slow.py:slow")
    (here / "tiny.yaml").write_text(text)
    process = checked.begin("run", "tiny.yaml", "--json")
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
