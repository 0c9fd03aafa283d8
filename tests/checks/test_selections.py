"""Detectors with NMS in the graph: outputs of another length for every picture, measured at what NMS reads.

The oracle is ONNX Runtime on the same file with that made an output by hand, and a pairing of detections written here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from edgekit.artifact import Artifact, hash_files
from edgekit.checks import records
from edgekit.checks.measure import compute_reference, measure
from edgekit.formats import FORMATS, Declared
from edgekit.numerics.sqnr import sqnr_db

COUNT = 24
TASK = {"name": "detection", "options": {"min_score": 0.5}}
Make = Callable[..., Artifact]


@pytest.fixture
def make(load_test_module: Callable[[str], ModuleType], tmp_path: Path) -> Make:
    """Writes ``postprocessing.NAME(**options)``; the artifact as a source."""
    networks = load_test_module("postprocessing")

    def write(name: str = "detections", **options: Any) -> Artifact:
        path = tmp_path / f"{name}-{'-'.join(map(str, options.values()))}.onnx"
        onnx.save(getattr(networks, name)(**options), path)
        io = FORMATS.get("onnx").read_io(path, Declared())
        return Artifact(path, "onnx", *hash_files([path]), io)

    return write


@pytest.fixture
def samples() -> list[dict[str, np.ndarray]]:
    draw = np.random.default_rng(3)
    return [{"image": draw.normal(size=(1, 3, 32, 32)).astype(np.float32)} for _ in range(COUNT)]


def run(artifact: Artifact, samples: list[dict[str, np.ndarray]], *kinds: int | str) -> list[list[np.ndarray]]:
    """Per sample, the model's outputs; with ``kinds`` (0, 1) what NMS reads at these places."""
    model = onnx.load(artifact.path)
    nms = next(node for node in model.graph.node if node.op_type == "NonMaxSuppression")
    names = [nms.input[int(kind)] for kind in kinds] or [value.name for value in model.graph.output]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if kinds)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [session.run(names, sample) for sample in samples]


def shared(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """2 * pairs / all of two lists (boxes, scores, labels), one loop after the other."""

    def area(box: np.ndarray) -> float:
        return float(max(0, box[2] - box[0]) * max(0, box[3] - box[1]))

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        both = area(np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])]))
        return both / (area(a) + area(b) - both)

    free = set(range(len(second[0])))
    pairs = 0
    for place in sorted(range(len(first[0])), key=lambda place: -first[1][place]):
        fitting = {other: overlap(first[0][place], second[0][other]) for other in free}
        fitting = {other: figure for other, figure in fitting.items() if first[2][place] == second[2][other]}
        best = max(fitting, key=lambda other: fitting[other], default=None)
        if best is not None and fitting[best] >= 0.5:
            free.remove(best)
            pairs += 1
    return 2 * pairs / (len(first[0]) + len(second[0]))


def test_figures(make: Make, samples: list[dict[str, np.ndarray]], tmp_path: Path) -> None:
    source, noisy = make(), make(noise=0.05)
    lengths = {len(found[1]) for found in run(source, samples)}
    assert len(lengths) > 3, "every picture has another number of detections"
    info = compute_reference(source, samples, tmp_path / "ref", task=TASK)
    assert [(each["name"], each["file"]) for each in info["outputs"]] == [
        ("boxes", None),
        ("scores", None),
        ("labels", None),
    ]
    assert [each["shape"] for each in info["entries"]] == [[80, 4], [1, 5, 80]]
    assert info["decides"] and not info["labelled"]
    found = measure(noisy, samples, tmp_path / "ref", tmp_path / "out", task=TASK)
    exact, own = (run(artifact, samples, 0, 1) for artifact in (source, noisy))
    expected = [
        sqnr_db(np.stack([row[place] for row in exact]), np.stack([row[place] for row in own])) for place in (0, 1)
    ]
    assert found.sqnr_db == pytest.approx(min(expected), abs=1e-4)
    shares = [shared(a, b) for a, b in zip(run(noisy, samples), run(source, samples), strict=True)]
    assert 0.5 < np.mean(shares) < 1
    assert found.agreement == pytest.approx(np.mean(shares))
    low, high = found.agreement_interval or (1.0, 0.0)
    assert low < np.mean(shares) < high
    same = measure(source, samples, tmp_path / "ref", tmp_path / "same", task=TASK)
    assert (same.sqnr_db, same.agreement) == (200.0, 1.0)


def test_decisions_are_kept_one_after_the_other(
    make: Make, samples: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """On disk, so that memory does not grow with the samples."""
    source = make()
    compute_reference(source, samples, tmp_path / "ref", task=TASK)
    kept = records.Reference(tmp_path / "ref")
    _, decisions = kept.read(0, COUNT)
    assert decisions is not None
    for own, (boxes, scores, _) in zip(decisions, run(source, samples), strict=True):
        order = np.argsort(-scores, kind="stable")
        np.testing.assert_allclose(own[:, :4], boxes[order], rtol=1e-6)
        np.testing.assert_allclose(own[:, 4], scores[order], rtol=1e-6)


def test_a_padded_list_is_not_compared_number_by_number(
    make: Make, samples: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """Two scores that change places would otherwise count as wrong boxes."""
    source, noisy = make(padded=20), make(padded=20, noise=0.01)
    compute_reference(source, samples, tmp_path / "ref", task=TASK)
    found = measure(noisy, samples, tmp_path / "ref", tmp_path / "out", task=TASK)
    rows = [np.stack([row[0] for row in run(artifact, samples)]) for artifact in (source, noisy)]
    exact, own = (run(artifact, samples, 0, 1) for artifact in (source, noisy))
    assert found.sqnr_db == pytest.approx(
        min(sqnr_db(np.stack([r[k] for r in exact]), np.stack([r[k] for r in own])) for k in (0, 1)), abs=1e-4
    )
    assert found.sqnr_db > sqnr_db(*rows) + 10
    assert found.agreement is not None and found.agreement > 0.9


def test_what_is_not_selected_is_compared_as_ever(
    make: Make, samples: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """Of the outputs `chosen`, `boxes` and `scores` the last are those of all anchors."""
    source = make("detector_with_nms")
    info = compute_reference(source, samples, tmp_path / "ref")
    assert {each["name"]: each["file"] is not None for each in info["outputs"]} == {
        "chosen": False,
        "boxes": False,
        "scores": True,
    }
    found = measure(source, samples, tmp_path / "ref", tmp_path / "out")
    assert found.sqnr_db == 200.0
    assert found.agreement is None


def test_sizes_that_change_without_a_known_selection(
    make: Make, samples: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    """As of a format that does not tell what it selects from: nothing is compared, and the figure is not made up."""
    source = make()
    model = onnx.load(source.path)
    for node in model.graph.node:  # a node that the search does not know, which runs all the same
        if node.op_type == "NonMaxSuppression":
            body = onnx.helper.make_function(
                "own", "Choose", list(node.input), list(node.output), [node], list(model.opset_import)
            )
            model.functions.append(body)
            model.opset_import.append(onnx.helper.make_opsetid("own", 1))
            node.CopyFrom(onnx.helper.make_node("Choose", list(node.input), list(node.output), domain="own"))
            break
    path = tmp_path / "own.onnx"
    onnx.save(model, path)
    hidden = Artifact(path, "onnx", *hash_files([path]), source.io)
    info = compute_reference(hidden, samples, tmp_path / "ref", task=TASK)
    assert [each["shape"] for each in info["outputs"]] == [[None, 4], [None], [None]]
    assert [each["file"] for each in info["outputs"]] == [None] * 3 and info["entries"] == []
    found = measure(source, samples, tmp_path / "ref", tmp_path / "out", task=TASK)
    assert (found.sqnr_db, found.agreement) == (None, 1.0)
    compute_reference(source, samples, tmp_path / "told", task=TASK)
    found = measure(hidden, samples, tmp_path / "told", tmp_path / "out", task=TASK)
    assert (found.sqnr_db, found.agreement) == (None, 1.0), "nor is the other way round"
    told = json.loads((tmp_path / "told" / "reference.json").read_text())
    assert len(records.compared_columns(told)) == 2


def test_nothing_found_anywhere_is_no_agreement(
    make: Make, samples: list[dict[str, np.ndarray]], tmp_path: Path
) -> None:
    task = {"name": "detection", "options": {"min_score": 2}}
    assert not compute_reference(make(), samples, tmp_path / "ref", task=task)["decides"]
    assert measure(make(), samples, tmp_path / "ref", tmp_path / "out", task=task).agreement is None
