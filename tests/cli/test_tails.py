"""Post-processing cut off a detector, from the recipe to the finished file for Coral and back in by its sidecar."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgekit.numerics.sqnr import sqnr_db

Command = Callable[..., subprocess.CompletedProcess[str]]
NAMES = ("whole", "cut")
ENTRY = "coral"

RECIPE = """\
edgekit: 1
name: {name}
model: {name}.onnx
preprocess: none
data:
  evaluate: {{path: evaluate.npz}}
  calibrate: {{path: calibrate.npz}}
task: compare
gates: {{min_sqnr_db: 0}}
steps: [{steps}]
targets: [{targets}]
"""


@dataclass(frozen=True)
class Made:
    """Two runs of one detector for Coral: ``whole`` and, with onnx_cut_tail, ``cut``."""

    folder: Path

    def file(self, name: str, suffix: str) -> Path:
        return self.folder / name / ENTRY / f"{name}-{ENTRY}-int8.{suffix}"

    def report(self, name: str) -> dict[str, Any]:
        return dict(json.loads((self.folder / name / "report.json").read_text()))

    def sidecar(self, name: str) -> dict[str, Any]:
        return dict(json.loads(self.file(name, "edgekit.json").read_text()))


@pytest.fixture(scope="module")
def made(
    onnx2tf: Path,
    edgekit_command: Command,
    load_test_module: Callable[[str], ModuleType],
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    import onnx

    folder = tmp_path_factory.mktemp("tails")
    draw = np.random.default_rng(0)
    for role, count in (("evaluate", 24), ("calibrate", 24)):
        np.savez(folder / f"{role}.npz", x=draw.standard_normal((count, 3, 32, 32)).astype(np.float32))
    model = load_test_module("postprocessing").detector(grow="Sigmoid")
    for name, steps in zip(NAMES, ("onnx_simplify", "onnx_simplify, onnx_cut_tail"), strict=True):
        onnx.save(model, folder / f"{name}.onnx")
        recipe = folder / f"{name}.yaml"
        recipe.write_text(RECIPE.format(name=name, steps=steps, targets=ENTRY))
        done = edgekit_command("run", recipe, "--out", folder / name)
        assert done.returncode == 0, done.stderr
    return Made(folder)


def samples(made: Made) -> np.ndarray:
    with np.load(made.folder / "evaluate.npz") as stored:
        return np.asarray(stored["x"])


def run_onnx(path: Path, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def run_as_told(made: Made, name: str, sample: np.ndarray) -> np.ndarray:
    """The detections, by the published file alone and what its sidecar says of it: as somebody's own program would."""
    from ai_edge_litert.interpreter import Interpreter

    told = made.sidecar(name)
    run = Interpreter(str(made.file(name, "tflite"))).get_signature_runner()
    (feed,) = told["feed"]
    scale, zero = feed["quantization"]["scale"][0], feed["quantization"]["zero_point"][0]
    (permutation,) = [tensor["permutation"] for tensor in told["io"]["inputs"]]
    numbers = np.clip(np.round(sample.transpose(permutation) / scale) + zero, -128, 127).astype(np.int8)
    results = run(**{feed["name"]: numbers})
    raw = {}
    for tensor in told["io"]["outputs"]:
        scale, zero = tensor["quantization"]["scale"][0], tensor["quantization"]["zero_point"][0]
        real = (results[tensor["name"]].astype(np.float32) - zero) * np.float32(scale)
        axes = tensor["permutation"]
        raw[tensor["source_name"]] = real if axes is None else real.transpose(np.argsort(axes))
    if told["tail"] is None:
        return raw["detections"]
    feeds = {tensor["name"]: np.ascontiguousarray(raw[tensor["source_name"]]) for tensor in told["tail"]["inputs"]}
    return run_onnx(made.file(name, "tail.onnx"), feeds)["detections"]


def test_boxes_and_scores_have_scales_of_their_own(made: Made) -> None:
    whole, cut = (made.sidecar(name)["io"]["outputs"] for name in NAMES)
    assert len(whole) == 1
    assert [tensor["shape"][-1] for tensor in cut] == [4, 4, 5, 5]
    scales = [tensor["quantization"]["scale"][0] for tensor in cut]
    assert len(set(scales)) == 4
    assert max(scales) < whole[0]["quantization"]["scale"][0], "one scale has to reach from scores to pixels"


def test_figures_against_the_joined_output(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the source's output, in its parts, by a program that reads nothing but the published files."""
    given = samples(made)[:12, None]
    expected = np.stack([run_onnx(made.folder / "whole.onnx", {"image": sample})["detections"] for sample in given])
    found = {name: np.stack([run_as_told(made, name, sample) for sample in given]) for name in NAMES}
    parts = {"boxes": slice(0, 4), "scores": slice(4, 9), "all": slice(0, 9)}
    figures = {
        (part, name): sqnr_db(expected[..., columns], found[name][..., columns])
        for part, columns in parts.items()
        for name in NAMES
    }
    with capsys.disabled():
        for part in parts:
            print(f"\n{part}: " + ", ".join(f"{name} {figures[part, name]:.1f} dB" for name in NAMES), end="")  # noqa: T201
    for part in parts:
        assert figures[part, "cut"] > figures[part, "whole"], part
    assert figures["scores", "cut"] > figures["scores", "whole"] + 10, "scores of 0..1 on a scale for pixels"


def test_edgekits_own_figures_are_of_the_source_s_outputs(made: Made) -> None:
    """The report's, against the same computed above it."""
    given = samples(made)[:, None]
    expected = np.stack([run_onnx(made.folder / "cut.onnx", {"image": sample})["detections"] for sample in given])
    found = np.stack([run_as_told(made, "cut", sample) for sample in given])
    (output,) = made.report("cut")["outputs"]
    assert output["measurement"]["sqnr_db"] == pytest.approx(sqnr_db(expected, found), abs=0.2)
    assert ", then onnxruntime" in output["measurement"]["runtime"]


@pytest.mark.parametrize(("model", "refused"), [("detector", "EXP"), ("classifier", "SOFTMAX")])
def test_the_mapped_share_rises(
    model: str,
    refused: str,
    made: Made,
    load_test_module: Callable[[str], ModuleType],
    edgekit_command: Command,
    tmp_path: Path,
) -> None:
    """Box decoding with exp, and a softmax over 20,000 classes: ``check`` names the step, and it is the cure."""
    import onnx

    networks = load_test_module("postprocessing")
    onnx.save(networks.classifier(20000) if model == "classifier" else networks.detector(), tmp_path / "net.onnx")
    for role in ("evaluate", "calibrate"):
        shutil.copy(made.folder / f"{role}.npz", tmp_path)
    done = edgekit_command("check", "net.onnx", "--target", "coral", "--json", cwd=tmp_path)
    checked = json.loads(done.stdout)
    causes = [one for one in checked["operators"] if one["type"] == refused]
    assert all(one["placement"] == "cpu" and "onnx_cut_tail" in one["remedy"] for one in causes) and causes
    assert checked["tail"] is None
    done = edgekit_command("check", "net.onnx", "--target", "coral", "--step", "onnx_cut_tail", "--json", cwd=tmp_path)
    cured = json.loads(done.stdout)
    assert cured["totals"]["mapped_operators"] == 1.0
    assert Path(cured["tail"]).name.endswith(".tail.onnx") and (tmp_path / cured["tail"]).is_file()
    recipe = tmp_path / "net.yaml"
    recipe.write_text(RECIPE.format(name="net", steps="onnx_simplify, onnx_cut_tail", targets="coral"))
    done = edgekit_command("run", recipe, "--no-eval", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (output,) = json.loads((tmp_path / "out" / "report.json").read_text())["outputs"]
    assert output["placement"]["mapped_operators"] == 1.0 > checked["totals"]["mapped_operators"]


def test_the_report_names_the_tail(made: Made) -> None:
    report = made.report("cut")
    (output,) = report["outputs"]
    told = output["artifact"]["tail"]
    content = (made.folder / "cut" / told["path"]).read_bytes()
    assert (told["sha256"], told["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
    steps = {node["id"]: node for node in report["nodes"]}
    assert steps["onnx_simplify"]["artifact"]["tail"] is None
    assert (made.folder / "cut" / steps["onnx_to_tflite"]["artifact"]["tail"]["path"]).read_bytes() == content
    (note,) = steps["onnx_cut_tail"]["notes"]
    assert "cut off for the host" in note and "Concat" in note
    assert all(steps[id]["measurement"]["sqnr_db"] > 60 for id in ("onnx_cut_tail", "onnx_to_tflite"))


def with_program(model: bytes, compiled: bytes) -> bytes:
    """The first operator of a compiled file in the place of all of a model's: the inputs and outputs stay."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    made, other = (schema.ModelT.InitFromPackedBuf(content, 0) for content in (model, compiled))
    (program,) = [one for one in other.subgraphs[0].operators if one.customOptions is not None][:1]
    made.operatorCodes = [other.operatorCodes[program.opcodeIndex]]
    program.opcodeIndex, program.intermediates = 0, None
    program.inputs, program.outputs = made.subgraphs[0].inputs, made.subgraphs[0].outputs
    made.subgraphs[0].operators = [program]
    builder = flatbuffers.Builder()
    builder.Finish(made.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_compiled_file_keeps_it(
    made: Made,
    compiler: Callable[..., dict[str, str | None]],
    shared_data: Callable[[str], Path],
    edgekit_command: Command,
    tmp_path: Path,
) -> None:
    """``compile: true`` with a recorded compiler, whose program is another network's: only the tail is looked at."""
    coral = shared_data("coral")
    log = (coral / "yolov5n-int8_640_edgetpu.log").read_text()
    text = f"Model compiled successfully in 9 ms.\n{log}\nCompilation succeeded!"
    compiled = tmp_path / "compiled.tflite"
    other = (coral / "yolov5n-int8_640_edgetpu.tflite").read_bytes()
    compiled.write_bytes(with_program(made.file("cut", "tflite").read_bytes(), other))
    env = compiler(text, compiled)
    recipe = made.folder / "compiled.yaml"
    steps = "onnx_simplify, onnx_cut_tail"
    recipe.write_text(
        RECIPE.format(name="cut", steps=steps, targets="coral").replace("[coral]", "{coral: {compile: true}}")
    )
    done = edgekit_command("run", recipe, "--out", tmp_path / "out", env=env)
    assert done.returncode == 0, done.stderr
    (output,) = json.loads((tmp_path / "out/report.json").read_text())["outputs"]
    assert output["artifact"]["format"] == "edgetpu"
    tail = tmp_path / "out" / output["artifact"]["tail"]["path"]
    assert tail.read_bytes() == made.file("cut", "tail.onnx").read_bytes()
    before = made.report("cut")["outputs"][0]["measurement"]
    assert output["measurement"]["sqnr_db"] == before["sqnr_db"], "the file's before the compiler, with the tail"


# --- finished files --------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Iterator[Path]:
    """The finished file in a folder of its own, with its tail and sidecar."""
    for file in made.file("cut", "tflite").parent.iterdir():
        shutil.copy(file, tmp_path)
    yield tmp_path / made.file("cut", "tflite").name


def test_inspect(copied: Path, made: Made, edgekit_command: Command) -> None:
    found = json.loads(edgekit_command("inspect", copied, "--json").stdout)
    assert found["tail"]["file"] == "cut-coral-int8.tail.onnx"
    assert [tensor["output"] for tensor in found["tail"]["inputs"]] == [tensor["name"] for tensor in found["outputs"]]
    assert [(tensor["name"], tensor["shape"]) for tensor in found["tail"]["outputs"]] == [("detections", [1, 80, 9])]
    text = edgekit_command("inspect", copied).stdout
    assert "cut-coral-int8.tail.onnx, to be run by onnxruntime" in text
    assert json.loads(edgekit_command("inspect", made.file("whole", "tflite"), "--json").stdout)["tail"] is None


def test_compare_and_eval(copied: Path, made: Made, edgekit_command: Command) -> None:
    reported = made.report("cut")["outputs"][0]["measurement"]["sqnr_db"]
    data = ("--data", made.folder / "evaluate.npz", "--preprocess", "none", "--json")
    found = json.loads(edgekit_command("compare", made.folder / "cut.onnx", copied, *data).stdout)
    assert [output["name"] for output in found["outputs"]] == ["detections"]
    assert found["sqnr_db"] == pytest.approx(reported, abs=0.01)
    assert found["b"]["tail"] == "cut-coral-int8.tail.onnx"
    found = json.loads(edgekit_command("eval", copied, "--reference", made.folder / "cut.onnx", *data).stdout)
    assert found["sqnr_db"] == pytest.approx(reported, abs=0.01)


def test_finished_files_with_one_another(copied: Path, made: Made, edgekit_command: Command, tmp_path: Path) -> None:
    """Both give the source's output: one by its tail, the other by itself."""
    np.savez(tmp_path / "last.npz", x=samples(made).transpose(0, 2, 3, 1))
    data = ("--data", tmp_path / "last.npz", "--preprocess", "none", "--json")
    found = json.loads(edgekit_command("compare", copied, copied, *data).stdout)
    assert found["sqnr_db"] == 200.0
    for pair in ((copied, made.file("whole", "tflite")), (made.file("whole", "tflite"), copied)):
        found = json.loads(edgekit_command("compare", *pair, *data).stdout)
        assert [output["name"] for output in found["outputs"]] == ["detections"]
        assert 25 < found["sqnr_db"] < 60


@pytest.mark.parametrize("command", ["inspect", "eval", "compare"])
def test_broken_tails(command: str, copied: Path, made: Made, edgekit_command: Command) -> None:
    tail, sidecar = (copied.with_name(f"cut-coral-int8.{suffix}") for suffix in ("tail.onnx", "edgekit.json"))
    data = ("--data", made.folder / "evaluate.npz", "--preprocess", "none")
    arguments = {"inspect": (copied,), "eval": (copied, *data), "compare": (made.folder / "cut.onnx", copied, *data)}
    told = json.loads(sidecar.read_text())
    content = tail.read_bytes()

    def refused(code: str) -> None:
        done = edgekit_command(command, *arguments[command], "--json")
        assert done.returncode == 2, done.stderr
        error = json.loads(done.stdout)["error"]
        assert error["code"] == code
        assert error["remedy"]

    tail.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    refused("tail_changed")
    tail.unlink()
    refused("tail_missing")
    outside = copied.parent.parent / "outside.onnx"
    outside.write_bytes(content)
    told["tail"]["file"] = "../outside.onnx"
    sidecar.write_text(json.dumps(told))
    refused("tail_outside")
