"""A tiny model and samples, a run of it through the installed command, snapshots of whole outputs, and commands that
are to fail cleanly."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.installation import command_from, install_command

SNAPSHOTS = Path(__file__).with_name("snapshots")
FEATURES, CLASSES = 8, 3

# What differs from run to run, and what stands for it in a snapshot.
FILTERS = [
    (re.compile(r"\[ *\d+\.\d s\]"), "[TIME]"),
    (re.compile(r"\b\d+ min \d\d s\b|\b\d+(\.\d+)? s\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)?(e-\d+)? ms( \(10 %: [^)]*\))?"), "TIME"),
    (re.compile(r"onnxruntime \d[\w.+]*"), "onnxruntime VERSION"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[0-9:]+(\+00:00|Z)"), "DATE"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "HASH"),
    (re.compile(r"\b[0-9.]+ [kM]?B\b"), "SIZE"),
    (re.compile(r"/tmp/\d+-[0-9a-f]+/\w+-\w+"), "/tmp/RUN"),
]

Snapshot = Callable[..., None]


@pytest.fixture
def snapshot() -> Snapshot:
    """``snapshot("name.txt", text, {path: "NAME"})``: compare with the stored text, times, hashes, sizes and the given
    paths filtered. A missing one is written and the test fails, so that somebody looks at it."""

    def compare(name: str, text: str, replaced: dict[Path | str, str] | None = None) -> None:
        for real, shown in (replaced or {}).items():
            text = text.replace(str(real), shown)
        for pattern, shown in FILTERS:
            text = pattern.sub(shown, text)
        text = re.sub(r"(?<=\S) {2,}(?=\S)", "  ", text)  # columns are as wide as their longest figure
        path = SNAPSHOTS / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            pytest.fail(f"{path} was written; look at it and run again")
        assert text == path.read_text(encoding="utf-8")

    return compare


@dataclass(frozen=True)
class Tiny:
    """A folder with ``model.onnx`` (one matrix product with a bias, 8 features to 3 classes), ``calibrate.npz``,
    ``evaluate.npz`` (its own decisions are the labels but for 3 of 60) and ``tiny.yaml``."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def recipe(self) -> Path:
        return self.folder / "tiny.yaml"


RECIPE = """\
edgekit: 1
model: model.onnx
data:
  evaluate: {path: evaluate.npz}
  calibrate: {path: calibrate.npz}
task: classification
gates: {max_drop: 5.0}
targets:
  onnxruntime-cpu: {precision: [fp16, int8]}
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    pytest.importorskip("onnx")
    made = Tiny(tmp_path_factory.mktemp("tiny"))
    write_tiny(made.folder)
    return made


@pytest.fixture
def compiler(tmp_path: Path) -> Callable[..., dict[str, str | None]]:
    """An edgetpu_compiler on PATH that prints a text and gives a compiled file; the environment that has it."""

    def install(text: str, compiled: Path | None = None) -> dict[str, str | None]:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "said.txt").write_text(text)
        lines = [
            f"#!{sys.executable}",
            "import pathlib, shutil, sys",
            "out, model = pathlib.Path(sys.argv[sys.argv.index('-o') + 1]), pathlib.Path(sys.argv[-1])",
            f"print(pathlib.Path({str(folder / 'said.txt')!r}).read_text())",
        ]
        if compiled is not None:
            lines.append(f"shutil.copy({str(compiled)!r}, out / (model.stem + '_edgetpu.tflite'))")
        (folder / "edgetpu_compiler").write_text("\n".join(lines) + f"\nsys.exit({int(compiled is None)})\n")
        (folder / "edgetpu_compiler").chmod(0o755)
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    return install


def write_tiny(folder: Path) -> None:
    """Write the model, its samples and its recipe into ``folder``."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(0)
    weights = random.normal(size=(FEATURES, CLASSES)).astype(np.float32)
    bias = np.array([0.1, -0.1, 0.0], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["scores"], name="dense")],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, FEATURES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    for name, count in (("calibrate", 20), ("evaluate", 60)):
        x = random.normal(size=(count, FEATURES)).astype(np.float32)
        y = (x @ weights + bias).argmax(axis=1)
        y[:3] = (y[:3] + 1) % CLASSES
        np.savez(folder / f"{name}.npz", x=x, y=y)
    (folder / "tiny.yaml").write_text(RECIPE)


@dataclass(frozen=True)
class Ran:
    """The finished command, and the folder it wrote to."""

    done: subprocess.CompletedProcess[str]
    out: Path


@pytest.fixture(scope="session")
def tiny_run(tiny: Tiny, edgekit_command: Callable[..., subprocess.CompletedProcess[str]]) -> Ran:
    """``edgekit run tiny.yaml``, once for all tests."""
    done = edgekit_command("run", "tiny.yaml", cwd=tiny.folder)
    assert done.returncode == 0, done.stderr
    return Ran(done, tiny.folder / "edgekit-out" / "tiny")


def files_below(folder: Path) -> set[str]:
    """The files in a folder, relative to it; empty if it is not there."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


REPORTS = {"report.json", "junit.xml", "summary.md", "recipe.resolved.yaml", ".edgekit-out.json"}
MODELS = (".onnx", ".tflite", ".xml", ".bin", ".edgekit.json")


@pytest.fixture
def here(tiny: Any, tmp_path: Path) -> Path:
    """A working folder with the tiny model, its samples and its recipe."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("model.onnx", "calibrate.npz", "evaluate.npz", "tiny.yaml"):
        shutil.copy(tiny.folder / name, folder)
    return folder


class Checked:
    """Runs a command in a folder, with a cache of its own, and looks at what it left."""

    def __init__(
        self, command: Callable[..., subprocess.CompletedProcess[str]], program: Path, folder: Path, snapshot: Any
    ) -> None:
        self._command = command
        self._program = program
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
        assert len(said.splitlines()) <= 4 or " mistake" in said
        self.look_around()
        replaced = {self._folder: "HERE", self._folder.parent: "ABOVE"}
        replaced[install_command("openvino")] = command_from(None, "openvino")
        self._snapshot(f"bad/{name}.txt", f"$ edgekit {' '.join(words)}\n{said}exit {code}\n", replaced)
        return said

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The command in a process group of its own, in which Ctrl-C works (a shell's `&` has it ignored)."""
        return subprocess.Popen(
            [self._program, *words],
            cwd=self._folder,
            env={**os.environ, "EDGEKIT_CACHE": str(self.cache)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

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
def checked(
    here: Path,
    edgekit_command: Callable[..., subprocess.CompletedProcess[str]],
    edgekit_program: Path,
    snapshot: Any,
) -> Checked:
    return Checked(edgekit_command, edgekit_program, here, snapshot)


def error_lines(text: str) -> str:
    """From the first `error:` line on: what was said of the error, progress left out."""
    lines = text.splitlines(keepends=True)
    starts = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    return "".join(lines[starts[0] :]) if starts else ""
