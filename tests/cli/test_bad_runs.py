"""What goes wrong while a run is under way, through the real command: it is told in one clear error with the right exit
code, nothing half-written is left, and the same command works afterwards.

What each printed is kept in ``snapshots/bad/``, as in ``test_bad_input.py``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from edgekit.installation import install_command

ROWS = 30_000  # so many calibration samples that the step is still at work when it is interrupted


@pytest.fixture
def long_step(here: Path) -> Path:
    """The tiny recipe, whose step onnx_int8 takes seconds."""
    x = np.random.default_rng(5).normal(size=(ROWS, 8)).astype(np.float32)
    np.savez(here / "calibrate.npz", x=x)
    text = (here / "tiny.yaml").read_text()
    (here / "tiny.yaml").write_text(text.replace("{path: calibrate.npz}", f"{{path: calibrate.npz, samples: {ROWS}}}"))
    return here


def wait_for(process: subprocess.Popen[str], text: str) -> None:
    """Read the plain progress up to a line with ``text``."""
    assert process.stderr is not None
    assert any(text in line for line in process.stderr), f"it ended without `{text}`"


def rerun(command: Any, here: Path, cache: Path) -> dict[str, Any]:
    """The report of the same command once more, which must work."""
    done = command("run", "tiny.yaml", "--json", cwd=here, env={"EDGEKIT_CACHE": str(cache)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_ctrl_c_in_the_middle_of_a_step(long_step: Path, edgekit_command: Any, checked: Any) -> None:
    """Ctrl-C reaches the whole process group, workers too."""
    process = checked.begin("run", "tiny.yaml")
    wait_for(process, "] onnx_int8 ...")
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "error: interrupted\nwhere: step onnx_int8\n" in err
    assert not psutil.wait_procs(children, timeout=10)[1], "a worker is still there"
    checked.look_around()
    nodes = {node["id"]: node for node in rerun(edgekit_command, long_step, checked.cache)["nodes"]}
    assert nodes["onnx_simplify"]["status"] == "cached", "it goes on where it was"
    assert nodes["onnx_int8"]["status"] == "done"


def test_a_worker_that_is_killed(long_step: Path, edgekit_command: Any, checked: Any) -> None:
    process = checked.begin("run", "tiny.yaml", "--target", "onnxruntime-cpu/int8")
    wait_for(process, "] onnx_int8 ...")
    children = psutil.Process(process.pid).children(recursive=True)
    workers = [child for child in children if child.cmdline()[-2:] == ["edgekit.engine.worker", "onnx"]]
    for worker in workers:
        worker.kill()
    _, err = process.communicate(timeout=60)
    assert workers
    assert process.returncode == 5, err
    assert "error: step onnx_int8 was killed by signal 9 (SIGKILL)" in err
    assert "log: edgekit-out/tiny/logs/onnx_int8.log" in err
    assert not psutil.wait_procs(children, timeout=10)[1], "a worker is still there"
    checked.look_around()
    rerun(edgekit_command, long_step, checked.cache)


@pytest.fixture
def small_disk(tmp_path: Path, require: Any) -> Iterator[Path]:
    """A file system of 24 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        require("tmpfs", "a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_no_room_for_the_outputs(here: Path, small_disk: Path, checked: Any) -> None:
    said = checked("full-disk-out", 5, "run", "tiny.yaml", "--out", str(small_disk / "out"))
    assert said.startswith("error: the disk is full")
    out = small_disk / "out"
    made = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert made - {".edgekit-out.json"} <= set(json.loads((out / ".edgekit-out.json").read_text())["files"])
    for model in out.glob("*/*.onnx"):
        if model.parent.name != "steps":
            assert model.with_suffix(".edgekit.json").is_file(), "a model without its sidecar"


def test_no_room_for_the_cache(here: Path, small_disk: Path, edgekit_command: Any, checked: Any) -> None:
    checked.cache = small_disk / "cache"
    said = checked("full-disk-cache", 5, "run", "tiny.yaml")
    assert "the disk is full" in said
    rerun(edgekit_command, here, here.parent / "roomy")


def test_a_cache_below_a_file(here: Path, checked: Any) -> None:
    checked("cache-is-file", 2, "run", "tiny.yaml", env={"EDGEKIT_CACHE": str(here / "model.onnx")})


def test_outputs_below_a_file(checked: Any) -> None:
    checked("out-below-file", 2, "run", "tiny.yaml", "--out", "model.onnx/out")


def test_a_package_that_is_not_installed(here: Path, checked: Any) -> None:
    """Workers and command cannot import openvino, as on a machine that never had it."""
    hidden = here.parent / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys\nsys.modules['openvino'] = None\n")
    said = checked("absent-openvino", 3, "convert", "model.onnx", "--to", "openvino", env={"PYTHONPATH": str(hidden)})
    assert f"do: {install_command('openvino')}\n" in said


def write_graph(path: Path, *, operator: str, domain: str = "", outputs: tuple[str, ...] = ("y",)) -> None:
    """An ONNX file with one operator from ``x`` (4 numbers) to ``y``."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], name="the_node", domain=domain)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in outputs],
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def test_outputs_that_cannot_be_told_apart(here: Path, checked: Any) -> None:
    write_graph(here / "twice.onnx", operator="Relu", outputs=("y", "y"))
    said = checked("ambiguous-outputs", 5, "convert", "twice.onnx", "--to", "openvino")
    assert "`y` cannot be told apart" in said


def test_an_operator_of_somebody_elses(here: Path, checked: Any) -> None:
    write_graph(here / "odd.onnx", operator="Frobnicate", domain="com.acme")
    said = checked("custom-operator", 5, "convert", "odd.onnx", "--to", "openvino")
    assert "com.acme:Frobnicate" in said


def test_another_shape_than_the_files(checked: Any) -> None:
    checked("other-shape", 2, "convert", "model.onnx", "--to", "openvino", "--shape", "x=1x9")
