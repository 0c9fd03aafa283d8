"""`eval` and `compare` on the tiny model and what was made of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.cli.judge import measuring_recipe
from edgekit.cli.model_flags import Flags

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_eval_counts_what_numpy_counts(tiny: Any, edgekit_command: Command) -> None:
    words = ["eval", "model.onnx", "--data", "evaluate.npz", "--task", "classification", "--json"]
    done = edgekit_command(*words, cwd=tiny.folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == "edgekit.eval/1"
    assert (found["samples"], found["metric"]) == (60, "top1")
    assert found["value"] == pytest.approx(57 / 60)  # three labels are wrong on purpose
    assert found["interval"][0] < 57 / 60 < found["interval"][1]
    assert found["agreement"] is None
    assert found["sqnr_db"] is None
    assert set(found["latency_ms"]) == {"median", "p10", "p90"}


def test_eval_with_a_reference(tiny: Any, tiny_run: Any, edgekit_command: Command, snapshot: Any) -> None:
    made = "edgekit-out/tiny/onnxruntime-cpu/tiny-onnxruntime-cpu-int8.onnx"
    words = ["eval", made, "--reference", "model.onnx", "--recipe", "tiny.yaml"]
    done = edgekit_command(*words, cwd=tiny.folder)
    assert done.returncode == 0, done.stderr
    snapshot("eval.txt", done.stdout)
    found = json.loads(edgekit_command(*words, "--json", cwd=tiny.folder).stdout)
    report = json.loads((tiny_run.out / "report.json").read_text())
    measured = next(o["measurement"] for o in report["outputs"] if o["precision"] == "int8")
    for name in ("value", "agreement", "sqnr_db", "drop_points"):
        assert found[name] == pytest.approx(measured[name])


def test_eval_uses_the_sidecar(tiny: Any, tiny_run: Any, edgekit_command: Command) -> None:
    made = tiny_run.out / "onnxruntime-cpu" / "tiny-onnxruntime-cpu-fp16.onnx"
    done = edgekit_command("eval", made, "--data", tiny.folder / "evaluate.npz", "--json")
    assert json.loads(done.stdout)["metric"] == "top1"


def test_eval_and_compare_say_what_the_sidecar_says(
    tiny: Any, tiny_run: Any, edgekit_command: Command, tmp_path: Path
) -> None:
    """The file of another device, of which this machine's runtime only gives simulated figures."""
    made = tiny_run.out / "onnxruntime-cpu" / "tiny-onnxruntime-cpu-int8.onnx"
    told = json.loads(made.with_name(f"{made.stem}.edgekit.json").read_text())
    assert (told["calibration"]["samples"], len(set(told["calibration"]["contents"]))) == (20, 20)
    there = tmp_path / made.name
    there.write_bytes(made.read_bytes())
    (tmp_path / f"{made.stem}.edgekit.json").write_text(json.dumps({**told, "output": "coral/int8", "target": "coral"}))
    done = edgekit_command("eval", there, "--data", tiny.folder / "calibrate.npz", "--json")
    found = json.loads(done.stdout)
    assert (found["target"], found["simulated"]) == ("coral/int8", True)
    assert "was calibrated on 20 samples; 20 of these 20 are among them, which flatters" in done.stderr
    shown = edgekit_command("eval", there, "--data", tiny.folder / "evaluate.npz")
    assert "coral/int8, simulated: measured here" in shown.stdout
    assert "was calibrated on 20 samples, none of them among these" in shown.stderr
    both = json.loads(edgekit_command("compare", made, there, "--json").stdout)
    assert [(both[side]["target"], both[side]["simulated"]) for side in "ab"] == [
        ("onnxruntime-cpu/int8", False),
        ("coral/int8", True),
    ]
    assert "simulated: measured here" in edgekit_command("compare", made, there).stdout


def test_eval_needs_samples(tiny: Any, edgekit_command: Command) -> None:
    done = edgekit_command("eval", tiny.model)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no samples: give --data PATH" in done.stderr


def test_compare(tiny: Any, tiny_run: Any, edgekit_command: Command) -> None:
    made = "edgekit-out/tiny/onnxruntime-cpu/tiny-onnxruntime-cpu-int8.onnx"
    done = edgekit_command("compare", "model.onnx", made, "--recipe", "tiny.yaml", "--json", cwd=tiny.folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == "edgekit.compare/1"
    assert (found["samples"], found["data"]) == (60, "evaluate")
    assert [output["name"] for output in found["outputs"]] == ["scores"]
    assert found["outputs"][0]["sqnr_db"] == pytest.approx(found["sqnr_db"])
    worst = [entry["sqnr_db"] for entry in found["worst"]]
    assert worst == sorted(worst)
    assert worst[0] < found["sqnr_db"]


def test_compare_a_model_with_itself(tiny: Any, edgekit_command: Command) -> None:
    done = edgekit_command("compare", tiny.model, tiny.model)
    assert done.returncode == 0, done.stderr
    assert "200.0 dB" in done.stdout
    assert "8 random samples" in done.stdout


def test_compare_what_cannot_be_compared(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["scores"])],
        "other",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 5])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.ones((5, 3), np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "other.onnx")
    done = edgekit_command("compare", tiny.model, tmp_path / "other.onnx")
    assert done.returncode == 2
    assert "`x` [1, 8] and `x` [1, 5] cannot stand for one another" in done.stderr
    assert "do: give two files of the same network" in done.stderr


def test_class_names_come_from_the_sidecar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order that the model was measured in, which need not be the folders'."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "val").mkdir()
    (tmp_path / "m.onnx").write_bytes(b"not read here")
    told = {
        "preprocess": [{"resize": {"size": 8}}],
        "task": {"name": "classification", "options": {}},
        "labels": ["b", "a"],
    }
    (tmp_path / "m.edgekit.json").write_text(json.dumps(told))
    recipe = measuring_recipe(Flags(model="m.onnx", evaluate="val"), tmp_path)
    assert recipe.task is not None and recipe.task.labels is not None
    assert Path(recipe.task.labels).read_text() == "b\na\n"
    assert recipe.preprocess == [{"resize": {"size": 8, "interpolation": "bilinear"}}]
    other = measuring_recipe(Flags(model="first.onnx", evaluate="val"), tmp_path, ("m.onnx",))
    assert other.task is not None and other.task.name == "classification"
