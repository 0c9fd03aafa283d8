"""Whole runs of tiny plans, with real workers."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgekit.engine.events import Failed, Finished, Started
from edgekit.engine.results import NodeResult, RunResult
from edgekit.plan import Data, DataSource, Node, Output, StepTraits, TaskUse

if TYPE_CHECKING:
    from conftest import Tiny


def tiny_node(id: str, parent: str | None, options: dict, traits: StepTraits) -> Node:
    return Node(id, id.partition("@")[0], options, {}, parent, ("out/fp32",), traits=traits)


def nodes_of(result: RunResult) -> dict[str, NodeResult]:
    return {node.node: node for node in result.nodes}


def test_branches_in_two_workers_overlap_and_a_second_run_starts_none(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}), ("sleep", "copy", {"seconds": 1.0}), ("sleep_b", "copy", {"seconds": 1.0}))
    first = tiny.run(plan, evaluate=False)
    assert first.exit_code == 0
    one, two = nodes_of(first)["sleep"], nodes_of(first)["sleep_b"]
    assert one.seconds >= 1 <= two.seconds
    assert max(one.started, two.started) < min(one.started + one.seconds, two.started + two.seconds)
    assert all(node.reason == "new" for node in first.nodes)

    second = tiny.run(plan, evaluate=False)
    assert [node.status for node in second.nodes] == ["cached"] * 3
    assert not any(isinstance(event, Started) for event in tiny.events)
    made = [output.artifact.sha256 for output in second.outputs if output.artifact]
    assert made == [output.artifact.sha256 for output in first.outputs if output.artifact] and len(made) == 2


def test_one_worker_at_a_time_with_one_job(tiny: Tiny) -> None:
    plan = tiny.plan(("sleep", None, {"seconds": 0.3}), ("sleep_b", None, {"seconds": 0.3}))
    nodes = sorted(tiny.run(plan, evaluate=False, jobs=1).nodes, key=lambda node: node.started)
    assert nodes[0].started + nodes[0].seconds <= nodes[1].started + 0.002


def test_every_step_is_measured_and_the_output_judged(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}), ("shrink", "copy", {}), **tiny.data())
    result = tiny.run(plan)
    assert result.exit_code == 0 and result.error is None
    nodes = nodes_of(result)
    assert nodes["copy"].measurement is not None and nodes["copy"].measurement.sqnr_db == 200
    assert [verdict.gate for verdict in nodes["copy"].verdicts] == ["min_sqnr_db"]
    shrunk = nodes["shrink"].measurement
    # The weights 1.04, 2, 3, 4 lose 0.04 of the first; noise and signal worked out by hand on the same samples.
    x = np.load(tiny.folder / "evaluate.npz")["x"].astype(np.float64)
    signal = ((x * [1.04, 2, 3, 4]) ** 2).sum()
    noise = ((x * [0.04, 0, 0, 0]) ** 2).sum()
    assert shrunk is not None and shrunk.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=1e-3)
    (output,) = result.outputs
    assert (output.verdict, output.exit_code, output.rejected) == ("pass", 0, False)
    assert {verdict.gate: verdict.result for verdict in output.verdicts} == {
        "max_drop": "pass",
        "min_agreement": "pass",
        "min_sqnr_db": "pass",
    }
    assert result.source_measurement is not None and result.source_measurement.metric == "top1"
    assert result.data["evaluate"].samples == 200 and result.data["calibrate"].samples == 20
    kinds = Counter((event.kind, event.task) for event in tiny.events if isinstance(event, Finished))
    assert set(kinds.values()) == {1} and ("measure", "measure shrink") in kinds


def test_a_missed_gate_rejects_the_file_and_names_where_it_was_lost(tiny: Tiny) -> None:
    data = tiny.data()
    plan = tiny.plan(
        ("copy", None, {}), ("shrink@bad", "copy", {"flip": True}), ("sleep", "shrink@bad", {"seconds": 0.0}), **data
    )
    result = tiny.run(plan)
    (output,) = result.outputs
    assert (result.exit_code, output.exit_code, output.verdict, output.lost_at) == (1, 1, "fail", "shrink@bad")
    assert output.rejected and output.artifact is not None
    assert output.artifact.path == tiny.folder / "out/sleep/rejected/tiny-sleep-fp32.tiny"
    assert not list((tiny.folder / "out/sleep").glob("*.tiny"))
    assert nodes_of(result)["sleep"].status == "done"


def test_an_inexact_step_stops_its_branch_and_only_that(tiny: Tiny) -> None:
    plan = tiny.plan(
        ("copy", None, {"scale": 1.1}),
        ("sleep", "copy", {"seconds": 0.0}),
        ("copy_b", None, {}),
        ("sleep_b", "copy_b", {"seconds": 0.0}),
    )
    result = tiny.run(plan)
    nodes = nodes_of(result)
    assert (nodes["copy"].status, nodes["sleep"].status, nodes["sleep_b"].status) == ("done", "skipped", "done")
    assert nodes["sleep"].reason.startswith("copy missed min_sqnr_db 60")
    # 10 log10(1 / 0.1^2)
    assert nodes["copy"].measurement is not None
    assert nodes["copy"].measurement.sqnr_db == pytest.approx(20, abs=1e-3)
    assert nodes["copy"].measurement.data == "synthetic" and nodes["copy"].measurement.samples == 8
    outputs = {output.output: output for output in result.outputs}
    assert (outputs["sleep/fp32"].exit_code, outputs["sleep/fp32"].artifact) == (1, None)
    assert outputs["sleep/fp32"].lost_at == "copy"
    assert outputs["sleep_b/fp32"].exit_code == 0
    assert result.exit_code == 1

    going = tiny.run(plan, keep_going=True)
    (output,) = [output for output in going.outputs if output.output == "sleep/fp32"]
    assert nodes_of(going)["sleep"].status in ("done", "cached")
    assert output.rejected and (output.verdict, output.exit_code, output.lost_at) == ("fail", 1, "copy")


def test_an_exact_step_behind_one_that_loses_is_held_to_what_it_adds(tiny: Tiny) -> None:
    """By hand: shrink(0 decimals) makes [1, 2, 3, 4] of what it is given; the copies behind it add nothing, and 1 %."""
    data = tiny.data()
    plan = tiny.plan(
        ("shrink", None, {"decimals": 0}),
        ("copy", "shrink", {}),
        ("copy_b", "copy", {"scale": 1.01}),
        **data,
    )
    result = tiny.run(plan, keep_going=True)
    nodes = nodes_of(result)
    lost = nodes["shrink"].measurement
    assert lost is not None and lost.sqnr_db is not None and lost.sqnr_db < 60
    (held,) = [verdict for verdict in nodes["copy"].verdicts if verdict.gate == "min_sqnr_db"]
    assert held.result == "pass"
    assert held.limit == pytest.approx(-20 * np.log10(10 ** (-lost.sqnr_db / 20) + 1e-3))
    (missed,) = [verdict for verdict in nodes["copy_b"].verdicts if verdict.gate == "min_sqnr_db"]
    assert (missed.result, missed.limit) == ("fail", pytest.approx(held.limit, abs=1e-6))
    assert not nodes["shrink"].verdicts


def test_a_failed_step_leaves_other_branches_alone(tiny: Tiny) -> None:
    plan = tiny.plan(("crash", None, {"how": "exception"}), ("copy_b", "crash", {}), ("copy", None, {}), **tiny.data())
    result = tiny.run(plan)
    nodes = nodes_of(result)
    assert (nodes["crash"].status, nodes["copy_b"].status, nodes["copy"].status) == ("failed", "skipped", "done")
    assert nodes["copy_b"].reason == "crash failed"
    outputs = {output.output: output for output in result.outputs}
    assert (outputs["copy_b/fp32"].exit_code, outputs["copy_b/fp32"].verdict) == (5, "fail")
    assert (outputs["copy/fp32"].exit_code, result.exit_code) == (0, 5)
    skipped = [event for event in tiny.events if isinstance(event, Failed) and event.status == "skipped"]
    assert {event.task for event in skipped} == {"copy_b", "measure crash", "measure copy_b"}


def test_reasons_for_running_again(tiny: Tiny) -> None:
    data = tiny.data()
    steps = [("copy", None, {"scale": 1.0}), ("shrink", "copy", {"decimals": 1})]
    tiny.run(tiny.plan(*steps, **data), evaluate=False)
    changed = tiny.run(tiny.plan(steps[0], ("shrink", "copy", {"decimals": 2}), **data), evaluate=False)
    assert [node.reason for node in changed.nodes] == ["unchanged", "option decimals: 1 -> 2"]
    tiny.write_model([1.04, 2.0, 3.0, 5.0])
    changed = tiny.run(tiny.plan(*steps, **data), evaluate=False)
    assert [node.reason for node in changed.nodes] == ["parent changed", "option decimals: 2 -> 1; parent changed"]
    np.savez(tiny.folder / "calibrate.npz", x=np.ones((5, 4), np.float32), y=np.zeros(5, np.int64))
    changed = tiny.run(tiny.plan(*steps, **data), evaluate=False)
    assert [node.reason for node in changed.nodes] == ["unchanged", "calibration data changed"]
    anew = tiny.run(tiny.plan(*steps, **data), evaluate=False, use_cache=False)
    assert [(node.status, node.reason) for node in anew.nodes] == [("done", "the cache is not used")] * 2


def test_an_equal_result_leaves_what_follows_cached(tiny: Tiny) -> None:
    below = ("sleep", "copy", {"seconds": 0.0})
    tiny.run(tiny.plan(("copy", None, {"marker": "one"}), below))
    result = tiny.run(tiny.plan(("copy", None, {"marker": "two"}), below))
    assert [node.status for node in result.nodes] == ["done", "cached"]


def test_equal_nodes_run_once(tiny: Tiny) -> None:
    plan = tiny.plan(("sleep@one", None, {"seconds": 0.2}), ("sleep@two", None, {"seconds": 0.2}))
    result = tiny.run(plan, evaluate=False)
    assert sorted(node.status for node in result.nodes) == ["cached", "done"]
    assert len([event for event in tiny.events if isinstance(event, Started) and event.kind == "step"]) == 1


def test_without_evaluation_nothing_is_measured(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {"scale": 2.0}), ("shrink", "copy", {}), **tiny.data())
    result = tiny.run(plan, evaluate=False)
    assert result.exit_code == 0 and {node.measurement for node in result.nodes} == {None}
    assert {node.unmeasured for node in result.nodes} == {"not asked for (--no-eval)"}
    assert {verdict.result for node in result.nodes for verdict in node.verdicts} == {"not_measured"}
    assert [output.verdict for output in result.outputs] == ["not_measured"]
    assert "evaluate" not in result.data
    assert tiny.run(plan, evaluate=False, strict=True).exit_code == 6


def test_a_size_limit_is_judged_without_evaluation(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}))
    small = replace(plan, outputs=(replace(plan.outputs[0], gates={"max_bytes": 10.0}),))
    result = tiny.run(small, evaluate=False)
    assert (result.exit_code, result.outputs[0].verdict, result.outputs[0].lost_at) == (1, "fail", "copy")


def test_a_model_that_guesses_ends_the_run(tiny: Tiny) -> None:
    labels = np.random.default_rng(1).integers(0, 4, 100)
    x = np.random.default_rng(2).uniform(0.5, 1.5, (100, 4)).astype(np.float32)
    np.savez(tiny.folder / "guess.npz", x=x, y=labels)
    data = {"data": Data(evaluate=DataSource(tiny.folder / "guess.npz")), "task": TaskUse("classification")}
    plan = tiny.plan(("copy", None, {}), ("sleep_b", "copy", {"seconds": 100.0}), **data)
    result = tiny.run(plan)
    assert result.exit_code == 2 and result.error is not None and result.error["code"] == "at_chance"
    assert nodes_of(result)["sleep_b"].status == "skipped", "what still ran was ended"
    assert all(output.exit_code in (1, 2) and output.artifact is None for output in result.outputs)
    known = tiny.plan(("copy", None, {}), **data)
    known = replace(known, outputs=(replace(known.outputs[0], gates={"min_metric": 0.1}),))
    assert tiny.run(known).exit_code == 0


def test_a_limit_that_the_source_misses_is_lost_at_no_step(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}), ("shrink", "copy", {}), **tiny.data())
    source = tiny.run(plan).source_measurement
    assert source is not None and source.value is not None
    for limit, lost_at in ((min(1.0, source.value + 0.01), None), (source.value - 0.01, "shrink")):
        asked = replace(plan, outputs=(replace(plan.outputs[0], gates={"min_metric": limit, "max_bytes": 1.0}),))
        sized = tiny.run(asked).outputs[0]
        assert sized.lost_at == "shrink", "the size is the last node's"
        asked = replace(plan, outputs=(replace(plan.outputs[0], gates={"min_metric": limit}),))
        output = tiny.run(asked).outputs[0]
        assert output.lost_at == (lost_at if output.verdict == "fail" else None)


def test_a_model_that_always_answers_the_commonest_label_ends_the_run(tiny: Tiny) -> None:
    """60 % (50 .. 69) is well over 1 / 4, and says nothing: 60 of 100 labels are class 2."""
    labels = np.array([2] * 60 + [0] * 20 + [1] * 10 + [3] * 10)
    x = np.random.default_rng(2).uniform(0.0, 0.1, (100, 4)).astype(np.float32)
    x[:, 2] += 9.0
    np.savez(tiny.folder / "skewed.npz", x=x, y=labels)
    data = {"data": Data(evaluate=DataSource(tiny.folder / "skewed.npz")), "task": TaskUse("classification")}
    error = tiny.run(tiny.plan(("copy", None, {}), **data)).error
    assert error is not None and error["code"] == "at_chance" and "min_metric" in error["remedy"]
    assert "always answering the commonest label reaches 60.00%" in error["message"]


def test_labels_are_needed_by_a_gate_on_them(tiny: Tiny) -> None:
    np.savez(tiny.folder / "bare.npz", x=np.ones((5, 4), np.float32))
    plan = tiny.plan(("copy", None, {}), data=Data(evaluate=DataSource(tiny.folder / "bare.npz")))
    asked = replace(plan, outputs=(replace(plan.outputs[0], gates={"max_drop": 1.0}),))
    result = tiny.run(asked)
    assert result.exit_code == 2 and result.error is not None and result.error["code"] == "labels_needed"
    assert tiny.run(plan).exit_code == 0


@pytest.mark.parametrize("kind", ["missing", "empty", "truncated", "nan"])
def test_a_bad_model_is_exit_2_and_leaves_nothing(tiny: Tiny, kind: str) -> None:
    if kind == "missing":
        tiny.model.unlink()
    elif kind == "nan":
        tiny.write_model([1.0, None])
    else:
        tiny.model.write_text('{"weights": [1.0' if kind == "truncated" else "")
    result = tiny.run(tiny.plan(("copy", None, {}), ("copy_b", "copy", {})))
    assert result.exit_code == 2 and result.error is not None and result.error["exit_code"] == 2
    assert {node.status for node in result.nodes} == {"skipped"}
    assert [output.exit_code for output in result.outputs] == [2]
    left = [path for path in (tiny.folder / "out").rglob("*") if path.is_file() and path.suffix != ".log"]
    assert [path.name for path in left] == [".edgekit-out.json"]
    assert not list((tiny.folder / "cache").glob("entries/*/*")) and not list((tiny.folder / "cache/tmp").glob("*"))


def test_nan_in_the_data_is_exit_2(tiny: Tiny) -> None:
    x = np.ones((5, 4), np.float32)
    x[3, 2] = np.nan
    np.savez(tiny.folder / "nan.npz", x=x)
    plan = tiny.plan(("copy", None, {}), data=Data(evaluate=DataSource(tiny.folder / "nan.npz")))
    result = tiny.run(plan)
    assert result.exit_code == 2 and result.error is not None and "[3]" in str(result.error)


def test_an_absent_distribution_is_exit_3_before_any_worker(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}))
    plan = replace(plan, source=replace(plan.source, requires=("not-on-any-index-edgekit",)))
    result = tiny.run(plan)
    assert result.exit_code == 3 and result.error is not None
    assert result.error["remedy"] == "pip install not-on-any-index-edgekit"
    assert not any(isinstance(event, Started) for event in tiny.events)


def test_missing_weights_are_exit_3_with_their_command(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}))
    source = replace(plan.source, factory="build", weights=tiny.folder / "w.npz", weights_get="pip install 'w'")
    result = tiny.run(replace(plan, source=source))
    assert (result.exit_code, result.error and result.error["remedy"]) == (3, "pip install 'w'")


def test_an_absent_toolchain_is_exit_3_for_its_branch(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tiny.folder / "none"))
    traits = StepTraits("tiny", "tiny", "tiny-b", 1, toolchain="onnx2tf")
    plan = tiny.plan(tiny_node("copy_b", None, {}, traits=traits), ("copy", None, {}))
    result = tiny.run(plan, evaluate=False)
    nodes = nodes_of(result)
    assert (nodes["copy_b"].status, nodes["copy"].status, result.exit_code) == ("failed", "done", 3)
    assert nodes["copy_b"].error is not None
    assert nodes["copy_b"].error["remedy"] == "edgekit toolchain install onnx2tf"


def test_figures_of_a_device_that_runs_something_else_are_marked(tiny: Tiny) -> None:
    plan = tiny.plan(("copy", None, {}), **tiny.data())
    own, other = plan.outputs[0], replace(plan.outputs[0], name="tpu/fp32", entry="tpu", simulated=True)
    both = tiny.run(replace(plan, outputs=(own, other)))
    assert [o.measurement and o.measurement.simulated for o in both.outputs] == [False, True]
    assert both.nodes[0].measurement is not None and not both.nodes[0].measurement.simulated
    alone = tiny.run(replace(plan, outputs=(other,)))
    assert alone.nodes[0].measurement is not None and alone.nodes[0].measurement.simulated


def test_what_libraries_print_is_only_in_the_steps_log(tiny: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    result = tiny.run(tiny.plan(("copy", None, {"said": "chatter"}), ("copy_b", "copy", {})), evaluate=False)
    assert result.exit_code == 0
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    log = (tiny.folder / "out/logs/copy.log").read_text()
    assert log.splitlines() == ["chatter", "chatter from a program"] or sorted(log.splitlines()) == [
        "chatter",
        "chatter from a program",
    ]
    assert "chatter" not in (tiny.folder / "out/logs/copy_b.log").read_text()


def test_peak_memory_is_that_of_the_step(tiny: Tiny) -> None:
    plan = tiny.plan(("eat_memory", None, {"megabytes": 300}), ("copy_b", "eat_memory", {}))
    nodes = nodes_of(tiny.run(plan, evaluate=False))
    large, small = nodes["eat_memory"].peak_rss_bytes, nodes["copy_b"].peak_rss_bytes
    assert large is not None and small is not None
    assert large > 300e6 > small + 100e6, "the mark begins anew with each job"


def test_a_plain_sidecar_lies_beside_each_file(tiny: Tiny) -> None:
    tiny.run(tiny.plan(("copy", None, {}), **tiny.data()))
    sidecar = json.loads((tiny.folder / "out/copy/tiny-copy-fp32.edgekit.json").read_text())
    assert sidecar["schema"] == "edgekit.sidecar/1"
    assert sidecar["artifact"]["file"] == "tiny-copy-fp32.tiny"
    assert sidecar["feed"] == [{"name": "x", "shape": [1, 4], "dtype": "float32", "layout": None, "quantization": None}]
    assert sidecar["task"] == {"name": "classification", "options": {}}
    assert set(sidecar["data"]) == {"evaluate"}


def test_a_stack_keeps_its_worker_while_there_is_work(tiny: Tiny) -> None:
    plan = tiny.plan(("copy@1", None, {}), ("copy@2", "copy@1", {"marker": "b"}), ("copy@3", "copy@2", {"marker": "c"}))
    plan = replace(plan, outputs=(Output("x/fp32", "x", "tiny", "fp32", "copy@3"),))
    result = tiny.run(plan, evaluate=False)
    assert len({node.notes for node in result.nodes}) == 1 and "made by process" in result.nodes[0].notes[0]
