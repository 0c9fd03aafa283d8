"""What must be there before anything runs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edgekit.errors import AbsentError, EdgekitError

from .planned import HEAD, outputs, plan

INT8 = "targets: {coral: {}}\n"
FP16 = "targets: {openvino-cpu: {precision: fp16}}\n"
NO_DATA = HEAD.replace("data: {evaluate: {path: val}, calibrate: {path: calib, samples: 200}}\n", "")


def problem(folder: Path, text: str, *overrides: str, head: str = HEAD, evaluate: bool = True) -> EdgekitError:
    with pytest.raises(EdgekitError) as caught:
        plan(folder, text, *overrides, head=head, evaluate=evaluate)
    return caught.value


def test_int8_without_data(folder: Path) -> None:
    error = problem(folder, INT8, head=NO_DATA)
    assert (error.exit_code, error.word) == (2, "no_calibration_data")
    assert "coral/int8" in error.message
    assert "tflite_int8" in error.message
    only = problem(folder, INT8, "data.calibrate=null")
    assert (only.exit_code, only.word) == (2, "no_calibration_data")
    assert plan(folder, FP16, head=NO_DATA).data is None
    # Quantizing needs samples whether or not anything is evaluated.
    assert problem(folder, INT8, head=NO_DATA, evaluate=False).word == "no_calibration_data"


@pytest.mark.parametrize("gates", ["gates: {max_drop: 1}\n", "gates: {min_metric: 70%}\n"])
def test_gates_on_accuracy_without_labels(folder: Path, gates: str) -> None:
    for change in ("data.evaluate=null", "task=compare"):
        error = problem(folder, gates + FP16, change)
        assert (error.exit_code, error.word) == (2, "labels_needed")
        assert error.where == f"{folder}/net.yaml:5"
        assert plan(folder, gates + FP16, change, evaluate=False).outputs[0].gates
    assert problem(folder, gates + FP16, head=NO_DATA).word == "labels_needed"
    # A flat folder and an archive of arrays without y show that they have no labels.
    flat = folder / "flat"
    flat.mkdir()
    (flat / "1.jpg").write_bytes(b"x")
    assert problem(folder, gates + FP16, f"data.evaluate.path={flat}").word == "labels_needed"
    (flat / "labels.csv").write_text("file,label\n1.jpg,0\n")
    plan(folder, gates + FP16, f"data.evaluate.path={flat}")
    for members, labelled in (
        (["x.npy"], False),
        (["x.npy", "y.npy"], True),
        (["jpeg.npy", "offsets.npy", "labels.npy"], True),
    ):
        with zipfile.ZipFile(folder / "d.npz", "w") as archive:
            for member in members:
                archive.writestr(member, b"")
        if labelled:
            plan(folder, gates + FP16, f"data.evaluate.path={folder}/d.npz")
        else:
            assert problem(folder, gates + FP16, f"data.evaluate.path={folder}/d.npz").word == "labels_needed"


def test_gates_of_an_entry_that_is_not_made_do_not_matter(folder: Path) -> None:
    text = "targets: {coral: {gates: {max_drop: 1}}, openvino-cpu: {}}\n"
    assert outputs(plan(folder, text, "task=compare", select=["openvino-cpu"])) == ["openvino-cpu/fp16"]


@pytest.mark.parametrize(
    ("override", "code", "word"),
    [
        ("model={file: gone.py:build}", 2, "missing_file"),
        ("model=gone.onnx", 2, "missing_file"),
        ("model=empty.onnx", 2, "empty_file"),
        ("model=net.yaml", 2, "wrong_format"),
        ("model.weights=gone.pt", 2, "missing_weights"),
        ("model.weights={path: gone.pt, get: pip install x}", 3, "missing_weights"),
        ("model.requires=[no-such-distribution-1, no-such-distribution-2]", 3, "missing_distribution"),
        ("data.calibrate.path=gone", 2, "missing_data"),
        ("data.evaluate.path=gone", 2, "missing_data"),
        ("data.evaluate.path=bare", 2, "empty_data"),
        ("data.evaluate.path=empty.onnx", 2, "empty_data"),
        ("data.evaluate.path=gone.py:read", 2, "missing_data"),
        ("data.evaluate={path: net.py:read, requires: [no-such-distribution-1]}", 3, "missing_distribution"),
        ("data=gone", 2, "missing_data"),
        ("task={name: classification, labels: gone.txt}", 2, "missing_file"),
    ],
)
def test_what_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch, override: str, code: int, word: str) -> None:
    monkeypatch.chdir(folder)
    (folder / "bare").mkdir()
    (folder / "empty.onnx").touch()
    error = problem(folder, INT8, override)
    assert (error.exit_code, error.word) == (code, word), error.message


def test_the_remedies_are_commands(folder: Path) -> None:
    absent = problem(folder, INT8, "model.weights={path: gone.pt, get: fetch the weights}")
    assert isinstance(absent, AbsentError)
    assert absent.remedy == "fetch the weights"
    absent = problem(folder, INT8, "model.requires=[no-such-distribution-1, numpy, no-such-distribution-2]")
    assert absent.remedy == "pip install no-such-distribution-1 no-such-distribution-2"


def test_data_that_nothing_needs_may_be_absent(folder: Path) -> None:
    (folder / "calib" / "cat" / "1.jpg").unlink()
    plan(folder, FP16, "data.calibrate.path=gone")
    plan(folder, INT8, "data.evaluate.path=gone", evaluate=False)


def test_of_several_problems_the_one_with_the_first_exit_code(folder: Path) -> None:
    weights = "model.weights={path: gone.pt, get: fetch}"
    assert problem(folder, "targets: {coral: {precision: fp32}}\n").exit_code == 4
    assert problem(folder, "targets: {coral: {precision: fp32}}\n", weights).exit_code == 3
    assert problem(folder, "targets: {coral: {precision: fp32}}\n", weights, "data.evaluate.path=gone").exit_code == 2
