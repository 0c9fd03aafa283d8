"""What is proposed next where steps that remedies name change the model, find nothing in it, or fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifact import Artifact
from edgekit.cli.check import Checked, Question
from edgekit.cli.further import Further, Way, propose
from edgekit.cli.jobs import Jobs
from edgekit.cli.model_flags import Flags
from edgekit.cli.placement import check_document, check_text
from edgekit.devices import load_profiles
from edgekit.devices.judge import Judgement
from edgekit.devices.placement import Placed, Placement, Violation

from ..onnx_models import node, save


@pytest.fixture(scope="module")
def absolute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one Abs, which onnx_replace_activations writes with other operators."""
    from onnx import TensorProto, helper, save

    values = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 4]) for end in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", values[:1], values[1:])
    path = tmp_path_factory.mktemp("further") / "m.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def artifact(absolute: Path) -> Iterator[Artifact]:
    with Jobs() as jobs:
        yield jobs.read_model(absolute)


def ask(artifact: Artifact, *remedies: str, **limits: Any) -> tuple[Further, list[str | None]]:
    """(what is proposed, the remedies as they are marked)."""
    profile = load_profiles().find("ncs2")
    question = Question(Flags(model=str(artifact.path)), profile, profile.default_precision)
    told = (Placed(n, "Abs", "", "cpu", "", "rejected", "", text) for n, text in enumerate(remedies))
    with Jobs(**limits) as jobs:
        way = Way((), {"onnx": artifact})
        further, placement = propose(jobs, question, Placement("predicted", tuple(told)), "onnx", way)
    return further, [placed.remedy for placed in placement.operators]


def test_one_that_changes_the_model_and_one_that_finds_nothing(artifact: Artifact) -> None:
    further, remedies = ask(artifact, "onnx_replace_activations", "onnx_pool_means")
    assert further.command is not None and further.command.endswith("--step onnx_replace_activations")
    assert (further.idle, further.failed) == (("onnx_pool_means",), {})
    assert remedies == ["onnx_replace_activations", "onnx_pool_means (tried here: it finds nothing to rewrite)"]


def test_one_that_runs_out_of_time_has_failed(artifact: Artifact) -> None:
    further, remedies = ask(artifact, "onnx_replace_activations", time_limit_seconds=0.001)
    assert (further.command, further.idle, list(further.failed)) == (None, (), ["onnx_replace_activations"])
    assert "was still at work after 0.001 s and was ended" in further.failed["onnx_replace_activations"]
    assert "\n" not in further.failed["onnx_replace_activations"]
    assert remedies == ["onnx_replace_activations (tried here: it failed)"]


def test_one_that_refuses_the_model_has_failed(artifact: Artifact) -> None:
    further, remedies = ask(artifact, "onnx_lower_opset:opset=1", "onnx_pool_means")
    assert list(further.failed) == ["onnx_lower_opset:opset=1"]
    assert further.idle == ("onnx_pool_means",)
    assert remedies[0] == "onnx_lower_opset:opset=1 (tried here: it failed)"


def test_both_are_told_apart(artifact: Artifact) -> None:
    profile, placement = load_profiles().find("ncs2"), Placement("predicted", ())
    further = Further(None, ("onnx_pool_means",), {"onnx_widen_1d": "it ran out of time"})
    judgement = Judgement(profile.name, placement, (), assumed_quantized=False)
    checked = Checked("m.onnx", profile, "fp16", artifact.path, "onnx", judgement, further=further)
    lines = check_text(checked).splitlines()
    assert "tried here: onnx_pool_means finds nothing to rewrite in this model" in lines
    assert "tried here: onnx_widen_1d failed: it ran out of time" in lines
    document = check_document(checked)
    assert (document["idle"], document["failed"]) == (["onnx_pool_means"], {"onnx_widen_1d": "it ran out of time"})


@pytest.mark.parametrize(
    ("batch", "shape", "proposed"),
    [("N", "4x3x8x8", "1x3x8x8"), ("N", "x=4x3x8x8", "x=1x3x8x8"), (4, "4x3x8x8", None), (4, None, None)],
)
def test_a_batch_that_the_device_does_not_take(
    batch: int | str, shape: str | None, proposed: str | None, tmp_path: Path
) -> None:
    """Whatever else its remedies name: the same command for one picture, where the file leaves that free."""
    file = save(tmp_path / "m.onnx", [node("Abs", "x", "y")], (batch, 3, 8, 8)).path
    profile = load_profiles().find("coral")
    flags = Flags(model=str(file), shape=() if shape is None else (shape,))
    question = Question(flags, profile, profile.default_precision, ({"onnx_simplify": {}},))
    told = Placed(0, "Abs", "", "cpu", "", "rejected", "", "add the step onnx_replace_activations")
    placement = Placement("predicted", (told,), violations=(Violation("batch", "a batch of 4"),))
    with Jobs() as jobs:
        further, left = propose(jobs, question, placement, "onnx", Way())
    wanted = f"edgekit check {file} --shape {proposed} --target coral --step onnx_simplify" if proposed else None
    assert (further.command, further.idle) == (wanted, ()) and left == placement
