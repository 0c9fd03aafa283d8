"""A published detector (FastestDet, trained on COCO) with NMS in its graph, from the recipe to finished files.

Its outputs have another length for every picture. The oracle is ONNX Runtime on the source with what NMS reads made
outputs by hand, the published files run as a program of one's own would, and a pairing of detections written here.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from PIL import Image

from edgekit.numerics.sqnr import sqnr_db

Command = Callable[..., subprocess.CompletedProcess[str]]
SIDE, CELLS, PICTURES = 352, 22, 16
RECIPE = """\
edgekit: 1
name: {name}
model: {model}.onnx
preprocess:
  - resize: {{size: [352, 352], interpolation: bilinear}}
  - color: {{order: bgr}}
  - scale: {{divide: 255}}
data: {{evaluate: {{path: evaluate}}, calibrate: {{path: calibrate}}}}
task: {{name: detection, min_score: 0.3}}
gates: {{min_agreement: 60%, min_sqnr_db: 5}}
steps: [{steps}]
targets: {targets}
"""


def with_nms(model: onnx.ModelProto, *, padded: bool) -> onnx.ModelProto:
    """Decoding as the network's authors do it, then NMS; boxes in pixels of the input. ``padded``: one output
    [1, 60, 6], empty rows of score -1; else ``boxes``, ``scores`` and ``labels``."""
    graph = model.graph

    def constant(values: Any) -> str:
        name = f"own_{len(graph.initializer)}"
        graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"own_{kind}_{len(graph.node)}_{place}" for place in range(outputs)]
        given = [each if isinstance(each, str) else constant(each) for each in inputs]
        graph.node.append(helper.make_node(kind, given, names, name=names[0], **attributes))
        return names if outputs > 1 else names[0]

    def real(*values: float) -> np.ndarray:
        return np.array(values, np.float32)

    rows = add("Transpose", add("Reshape", "758", np.array([1, 85, -1])), perm=[0, 2, 1])
    found, moves, sides, classes = add("Split", rows, outputs=4, axis=2, split=[1, 2, 2, 80])
    cell = np.stack(np.meshgrid(np.arange(CELLS), np.arange(CELLS)), 2).reshape(1, -1, 2).astype(np.float32)
    centres = add("Mul", add("Add", add("Tanh", moves), cell), real(SIDE / CELLS))
    halves = add("Mul", add("Sigmoid", sides), real(SIDE / 2))
    boxes = add("Concat", add("Sub", centres, halves), add("Add", centres, halves), axis=2)
    shares = add("Mul", add("Pow", found, real(0.6)), add("Pow", classes, real(0.4)))
    scores = add("Transpose", shares, perm=[0, 2, 1])
    chosen = add("NonMaxSuppression", boxes, scores, np.array([20]), real(0.45), real(0.25))
    labels, places = (add("Gather", chosen, np.array(column), axis=1) for column in (1, 2))
    own, best = add("Gather", add("Squeeze", boxes, axes=[0]), places, axis=0), add("GatherND", scores, chosen)
    del graph.output[:]
    outputs = {"boxes": (own, 1, ["K", 4]), "scores": (best, 1, ["K"]), "labels": (labels, 7, ["K"])}
    if padded:
        columns = [own, add("Unsqueeze", best, axes=[1]), add("Unsqueeze", add("Cast", labels, to=1), axes=[1])]
        empty = np.tile(real(0, 0, 0, 0, -1, 0), (60, 1))
        filled = add("Concat", add("Concat", *columns, axis=1), empty, axis=0)
        order = add("TopK", add("Gather", filled, np.array(4), axis=1), np.array([60]), outputs=2, axis=0)[1]
        outputs = {"detections": (add("Unsqueeze", add("Gather", filled, order), axes=[0]), 1, [1, 60, 6])}
    for name, (tensor, kind, shape) in outputs.items():
        graph.node.append(helper.make_node("Identity", [tensor], [name]))
        graph.output.append(helper.make_tensor_value_info(name, kind, shape))
    onnx.checker.check_model(model)
    return model


@dataclass(frozen=True)
class Made:
    folder: Path
    command: Command

    def run(self, name: str, model: str, steps: str, targets: str) -> dict[str, Any]:
        recipe = self.folder / f"{name}.yaml"
        recipe.write_text(RECIPE.format(name=name, model=model, steps=steps, targets=targets))
        done = self.command("run", recipe, "--out", self.folder / name)
        assert done.returncode == 0, done.stderr + done.stdout
        return dict(json.loads((self.folder / name / "report.json").read_text()))

    def pictures(self) -> list[np.ndarray]:
        """[1, 3, 352, 352] as the recipe prepares them."""
        found = []
        for path in sorted((self.folder / "evaluate").iterdir()):
            with Image.open(path) as picture:
                small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
            found.append(np.asarray(small, np.float32)[None, ..., ::-1].transpose(0, 3, 1, 2) / np.float32(255))
        return found


@pytest.fixture(scope="module")
def made(
    shared_data: Callable[[str], Path], edgekit_command: Command, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    folder = tmp_path_factory.mktemp("selections")
    for name, padded in (("lists", False), ("padded", True)):
        onnx.save(with_nms(onnx.load(shared_data("detection/FastestDet.onnx")), padded=padded), folder / f"{name}.onnx")
    with tarfile.open(shared_data("detection/coco128.tar")) as archive:
        pictures = sorted(name for name in archive.getnames() if name.endswith(".jpg"))[: 2 * PICTURES]
        for role, names in (("evaluate", pictures[:PICTURES]), ("calibrate", pictures[PICTURES:])):
            (folder / role).mkdir()
            for name in names:
                file = archive.extractfile(name)
                assert file is not None
                (folder / role / Path(name).name).write_bytes(file.read())
    return Made(folder, edgekit_command)


@pytest.fixture(scope="module")
def coral(made: Made, onnx2tf: Path) -> dict[str, Any]:
    return made.run("coral", "lists", "onnx_simplify, onnx_cut_tail", "[coral]")


Found = dict[str, np.ndarray]


def tapped(path: Path) -> tuple[Any, list[str]]:
    """(a session that also gives the boxes and scores that NMS reads, the names of its outputs)."""
    model = onnx.load(path)
    reads = next(node for node in model.graph.node if node.op_type == "NonMaxSuppression").input[:2]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in reads)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session, [*(output.name for output in session.get_outputs()[:-2]), *reads]


def run_tapped(session: Any, names: list[str], feeds: Found) -> Found:
    values = session.run(names, feeds)
    own = [*names[:-2], "all boxes", "all scores"]
    return dict(zip(own, values, strict=True))


def run_published(folder: Path, stem: str, pictures: list[np.ndarray]) -> list[Found]:
    """By the file for Coral, its sidecar and its tail alone."""
    from ai_edge_litert.interpreter import Interpreter

    told = json.loads((folder / f"{stem}.edgekit.json").read_text())
    run = Interpreter(str(folder / f"{stem}.tflite")).get_signature_runner()
    session, names = tapped(folder / told["tail"]["file"])
    (feed,), found = told["feed"], []
    for picture in pictures:
        scale, zero = feed["quantization"]["scale"][0], feed["quantization"]["zero_point"][0]
        numbers = np.clip(np.round(picture.transpose(0, 2, 3, 1) / scale) + zero, -128, 127).astype(np.int8)
        results, raw = run(**{feed["name"]: numbers}), {}
        for tensor in told["io"]["outputs"]:
            scale, zero = tensor["quantization"]["scale"][0], tensor["quantization"]["zero_point"][0]
            values = (results[tensor["name"]].astype(np.float32) - zero) * np.float32(scale)
            axes = tensor["permutation"]
            raw[tensor["source_name"]] = values if axes is None else values.transpose(np.argsort(axes))
        feeds = {each["name"]: np.ascontiguousarray(raw[each["source_name"]]) for each in told["tail"]["inputs"]}
        found.append(run_tapped(session, names, feeds))
    return found


def shared(first: Found, second: Found) -> float:
    """2 * pairs / all detections of a score of 0.3, the surest first."""

    def area(box: np.ndarray) -> float:
        return float(max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]))

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        both = area(np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])]))
        return both / (area(a) + area(b) - both)

    mine, free = (
        [place for place in np.argsort(-one["scores"]) if one["scores"][place] >= 0.3] for one in (first, second)
    )
    total, pairs = len(mine) + len(free), 0
    for place in mine:
        fitting = {
            other: overlap(first["boxes"][place], second["boxes"][other])
            for other in free
            if first["labels"][place] == second["labels"][other]
        }
        best = max(fitting, key=lambda other: fitting[other], default=None)
        if best is not None and fitting[best] >= 0.5:
            free.remove(best)
            pairs += 1
    return 2 * pairs / total if total else 1.0


def test_every_step_has_figures(coral: dict[str, Any], made: Made) -> None:
    nodes = {node["id"]: node for node in coral["nodes"]}
    for name in ("onnx_simplify", "onnx_cut_tail", "onnx_to_tflite"):
        measurement = nodes[name]["measurement"]
        assert measurement["sqnr_db"] > 60 and measurement["agreement"] == 1.0, name
        assert [verdict["result"] for verdict in nodes[name]["verdicts"]] == ["pass"]
    assert coral["source"]["measurement"]["samples"] == PICTURES
    assert "SQNR: of what the model selects from" in (made.folder / "coral" / "summary.md").read_text()


def test_figures_of_the_finished_file(coral: dict[str, Any], made: Made) -> None:
    """SQNR of what NMS reads, and the share of detections that pair."""
    session, names = tapped(made.folder / "lists.onnx")
    pictures = made.pictures()
    expected = [run_tapped(session, names, {"input.1": picture}) for picture in pictures]
    assert len({len(found["scores"]) for found in expected}) > 3
    found = run_published(made.folder / "coral" / "coral", "coral-coral-int8", pictures)
    (output,) = coral["outputs"]
    measurement = output["measurement"]
    by_hand = [
        sqnr_db(np.stack([row[part] for row in expected]), np.stack([row[part] for row in found]))
        for part in ("all boxes", "all scores")
    ]
    assert measurement["sqnr_db"] == pytest.approx(min(by_hand), abs=0.05)
    shares = [shared(a, b) for a, b in zip(found, expected, strict=True)]
    assert 0.6 < np.mean(shares) < 1
    assert measurement["agreement"] == pytest.approx(np.mean(shares), abs=0.01)


def test_compare_and_eval_of_the_finished_file(coral: dict[str, Any], made: Made, edgekit_command: Command) -> None:
    (output,) = coral["outputs"]
    file = made.folder / "coral" / output["artifact"]["path"]
    data = ("--recipe", made.folder / "coral.yaml", "--json")
    found = json.loads(edgekit_command("compare", made.folder / "lists.onnx", file, *data).stdout)
    for figure in ("sqnr_db", "agreement"):
        assert found[figure] == pytest.approx(output["measurement"][figure], abs=1e-6)
    assert len(output["measurement"]["selected_from"]) == 2
    assert found["b"]["selected_from"] == output["measurement"]["selected_from"]
    told = {each["name"]: each for each in found["outputs"]}
    assert all(told[name]["sqnr_db"] is None for name in ("boxes", "scores", "labels"))
    entries = [each for each in found["outputs"] if each.get("selected_from")]
    assert min(each["sqnr_db"] for each in entries) == pytest.approx(found["sqnr_db"]) and len(entries) == 2
    done = edgekit_command("compare", made.folder / "lists.onnx", file, *data[:-1])
    assert "selected from" in done.stdout
    found = json.loads(edgekit_command("eval", file, "--reference", made.folder / "lists.onnx", *data).stdout)
    assert found["agreement"] == pytest.approx(output["measurement"]["agreement"], abs=1e-6)


def test_the_cut_is_named_where_it_is_needed(made: Made, onnx2tf: Path, edgekit_command: Command) -> None:
    """TensorFlow Lite takes no outputs of changing size: told at once."""
    done = edgekit_command("convert", made.folder / "lists.onnx", "--to", "tflite", "--out", made.folder / "refused")
    assert done.returncode == 5
    assert "NonMaxSuppression" in done.stderr and "add the step onnx_cut_tail" in done.stderr


@pytest.mark.parametrize("target", ["coral", "android-gpu"])
def test_check_of_outputs_of_changing_size(made: Made, onnx2tf: Path, edgekit_command: Command, target: str) -> None:
    """A violation, and the command that cures it."""
    done = edgekit_command("check", made.folder / "lists.onnx", "--target", target, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"], found["verdict"]) == (4, 4, "violates")
    assert [violation["rule"] for violation in found["violations"]] == ["format"]
    assert "NonMaxSuppression" in found["violations"][0]["message"]
    assert {operator["placement"] for operator in found["operators"]} == {"not_known"}
    assert (found["steps"], found["totals"]["mapped_operators"]) == (["onnx_simplify"], None)
    command = shlex.split(found["next"])
    assert command[-2:] == ["--step", "onnx_cut_tail"]
    cured = json.loads(edgekit_command(*command[1:], "--json").stdout)
    assert (cured["violations"], cured["judged"]["format"]) == ([], "tflite")


def test_without_a_cut(made: Made) -> None:
    """NMS stays in the file; its order and length differ, what it reads does not."""
    targets = "{onnxruntime-cpu: {precision: fp16}, openvino-cpu: {precision: fp16}}"
    for model in ("lists", "padded"):
        report = made.run(f"{model}-fp16", model, "onnx_simplify", targets)
        for output in report["outputs"]:
            assert output["verdict"] == "pass"
            assert output["artifact"]["tail"] is None
            assert output["measurement"]["sqnr_db"] > 30
            assert output["measurement"]["agreement"] > 0.9
        (exact,) = [node for node in report["nodes"] if node["step"] == "onnx_to_openvino"]
        assert exact["verdicts"][0]["result"] == "pass" and exact["measurement"]["sqnr_db"] > 60
