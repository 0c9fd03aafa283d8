"""`edgekit run` on a tiny recipe, through the installed command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgekit.artifact import IO, Tensor
from edgekit.cli.plans import absences
from edgekit.cli.run import refuse_model
from edgekit.devices import load_profiles
from edgekit.errors import InputError
from edgekit.planning.build import build_plan
from edgekit.recipe import load_recipe
from edgekit.report.schema import REPORT

from ..junit_rules import faults

Command = Callable[..., subprocess.CompletedProcess[str]]


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_output_for_readers(tiny_run: Any, snapshot: Any) -> None:
    snapshot("run.out.txt", tiny_run.done.stdout)


def test_last_line(tiny_run: Any) -> None:
    last = tiny_run.done.stdout.splitlines()[-1]
    assert last.startswith("2 of 2 pass; ")
    assert last.endswith("; exit 0; report edgekit-out/tiny/report.json")


def test_progress_is_on_standard_error(tiny_run: Any) -> None:
    assert "s] onnx_int8: " in tiny_run.done.stderr
    assert "evaluate: 60 samples, prepared input from" in tiny_run.done.stderr
    assert "\x1b" not in tiny_run.done.stderr + tiny_run.done.stdout


def test_what_lies_in_the_output_folder(tiny_run: Any) -> None:
    stems = ("tiny-onnxruntime-cpu-fp16", "tiny-onnxruntime-cpu-int8")
    made = {f"onnxruntime-cpu/{stem}.{suffix}" for stem in stems for suffix in ("onnx", "edgekit.json")}
    reports = {"report.json", "junit.xml", "summary.md", "recipe.resolved.yaml", ".edgekit-out.json"}
    assert files_below(tiny_run.out) == made | reports | {"steps/onnx_simplify.onnx"} | {
        name for name in files_below(tiny_run.out) if name.startswith("logs/")
    }


def test_a_sidecar_says_whose_layout_it_is(tiny_run: Any) -> None:
    """``shape`` is the file's, the layout beside it the source model's; those of older files are still read."""
    sidecars = list(tiny_run.out.rglob("*.edgekit.json"))
    assert len(sidecars) == 2
    for sidecar in sidecars:
        told = json.loads(sidecar.read_text())
        assert "source_layout" in told["io"]["inputs"][0]
        assert "layout" not in told["io"]["inputs"][0]
        assert "layout" in told["feed"][0]
    io = IO((Tensor("x", "x", (1, 8, 8, 3), "int8", (0, 2, 3, 1), layout="NCHW"),), ())
    older = io.to_dict()
    newer = {"inputs": [{**older["inputs"][0], "source_layout": "NCHW"}], "outputs": []}
    del newer["inputs"][0]["layout"]
    assert IO.from_dict(older) == IO.from_dict(newer) == io


def test_report_follows_its_schema(tiny_run: Any) -> None:
    report = json.loads((tiny_run.out / "report.json").read_text())
    jsonschema.Draft202012Validator(REPORT).validate(report)
    assert report["source"]["measurement"]["value"] == pytest.approx(57 / 60)
    assert report["data"]["evaluate"]["samples"] == 60
    assert report["data"]["calibrate"]["samples"] == 20
    for output in report["outputs"]:
        file = tiny_run.out / output["artifact"]["path"]
        assert file.stat().st_size == output["artifact"]["bytes"]


def test_the_other_views_tell_the_same(tiny_run: Any) -> None:
    suite = ElementTree.parse(tiny_run.out / "junit.xml").getroot()[0]
    assert (suite.get("name"), suite.get("failures"), suite.get("errors")) == ("tiny", "0", "0")
    assert faults((tiny_run.out / "junit.xml").read_text()) == []
    names = {case.get("name") for case in suite.iter("testcase")}
    assert {"onnx_simplify", "onnx_fp16", "onnx_int8", "max_drop", "min_agreement", "min_sqnr_db"} <= names
    assert (tiny_run.out / "summary.md").read_text().startswith("## tiny: 2 of 2 pass\n")


def test_the_resolved_recipe_makes_the_same(tiny_run: Any, edgekit_command: Command, tmp_path: Path) -> None:
    resolved = tiny_run.out / "recipe.resolved.yaml"
    again = edgekit_command("run", resolved, "--out", tmp_path / "out", "--json", cwd=tmp_path)
    report, first = json.loads(again.stdout), json.loads((tiny_run.out / "report.json").read_text())
    assert {node["status"] for node in report["nodes"]} == {"cached"}
    assert report["recipe"]["sha256"] == first["recipe"]["sha256"]
    assert [o["artifact"]["sha256"] for o in report["outputs"]] == [o["artifact"]["sha256"] for o in first["outputs"]]


def test_a_second_run_starts_no_worker_and_imports_no_framework(tiny: Any, tiny_run: Any, tmp_path: Path) -> None:
    program = (
        "import json, sys\nfrom edgekit.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "run", str(tiny.recipe), "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    loaded = {name.split(".")[0] for name in modules}
    assert not loaded & {"torch", "tensorflow", "onnx", "onnxruntime", "openvino", "nncf", "ai_edge_litert", "rich"}
    told = [line for line in done.stderr.splitlines() if line.startswith("[") and "]:" not in line][:-1]
    assert told and all(": cached" in line for line in told), "no worker was started"


def test_same_input_same_report(tiny: Any, edgekit_command: Command, tiny_run: Any, tmp_path: Path) -> None:
    """Two runs from the cache differ in their times and nothing else."""
    reports = []
    for name in ("one", "two"):
        done = edgekit_command("run", tiny.recipe, "--json", "--out", tmp_path / name)
        report = json.loads(done.stdout)
        del report["started"], report["seconds"]
        for node in report["nodes"]:
            del node["started"], node["seconds"]
        reports.append(report)
    assert reports[0] == reports[1]


def test_a_missed_gate(tiny: Any, edgekit_command: Command, tiny_run: Any, tmp_path: Path, snapshot: Any) -> None:
    done = edgekit_command(
        "run", tiny.recipe, "-S", "targets.onnxruntime-cpu.gates.max_bytes=10", "--out", "out", cwd=tmp_path
    )
    assert done.returncode == 1
    snapshot("run.missed.txt", done.stdout, {tiny.folder: "TINY"})
    assert "rejected/tiny-onnxruntime-cpu-int8.onnx" in done.stdout
    assert not list((tmp_path / "out" / "onnxruntime-cpu").glob("*.onnx"))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {(output["verdict"], output["exit_code"]) for output in report["outputs"]} == {("fail", 1)}
    assert faults((tmp_path / "out" / "junit.xml").read_text()) == []
    failures = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()[0].findall("testcase/failure")
    assert len(failures) == 2
    assert "limit 10 B, fail\nlost at onnx_fp16\nnext: edgekit inspect " in str(failures[0].text)


def test_the_next_command_runs(tiny: Any, edgekit_command: Command, tiny_run: Any, tmp_path: Path) -> None:
    """What a failure proposes is a command that works as it is printed."""
    import shlex

    gates = "gates.min_sqnr_db=60"
    done = edgekit_command("run", tiny.recipe, "-t", "onnxruntime-cpu/int8", "-S", gates, "-o", "out", cwd=tmp_path)
    (line,) = (line for line in done.stdout.splitlines() if "next: " in line)
    words = shlex.split(line.split("next: ")[1])
    assert words[0] == "edgekit"
    then = edgekit_command(*words[1:], cwd=tmp_path)
    assert then.returncode == 0, then.stderr
    assert "agreement" in then.stdout


def test_strict_and_no_eval(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("run", tiny.recipe, "--no-eval", "--json", "--out", tmp_path / "a")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert {output["verdict"] for output in report["outputs"]} == {"not_measured"}
    assert {node["measurement"] for node in report["nodes"]} == {None}
    strict = edgekit_command("run", tiny.recipe, "--no-eval", "--strict", "--out", tmp_path / "b")
    assert strict.returncode == 6
    assert "2 not measured" in strict.stdout.splitlines()[-1]
    assert "--strict" in strict.stdout


def test_one_target(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("run", tiny.recipe, "--target", "onnxruntime-cpu/fp16", "--json", "--out", tmp_path / "out")
    assert [output["output"] for output in json.loads(done.stdout)["outputs"]] == ["onnxruntime-cpu/fp16"]


def test_reports_elsewhere(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    options = ["--report", "junit=ci/edgekit.xml", "--report", "json=ci/report.json", "--report", "markdown"]
    done = edgekit_command("run", tiny.recipe, *options, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert ElementTree.parse(tmp_path / "ci" / "edgekit.xml").getroot().tag == "testsuites"
    report = json.loads((tmp_path / "ci" / "report.json").read_text())
    for output in report["outputs"]:
        assert (tmp_path / "ci" / output["artifact"]["path"]).is_file()
    assert (tmp_path / "summary.md").read_text() == (tmp_path / "out" / "summary.md").read_text()


def test_dry_run(tiny: Any, edgekit_command: Command, tmp_path: Path, snapshot: Any) -> None:
    done = edgekit_command("run", tiny.recipe, "--dry-run", "-S", "gates.min_agreement=90%", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    snapshot("run.dry.txt", done.stdout, {tiny.folder: "TINY"})
    assert not files_below(tmp_path)


def test_dry_run_says_what_is_not_installed(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    nothing = {"EDGEKIT_TOOLCHAINS": str(tmp_path / "none")}
    words = ["run", tiny.recipe, "--dry-run", "-S", "targets=[android-cpu]"]
    done = edgekit_command(*words, cwd=tmp_path, env=nothing)
    assert done.returncode == 0
    assert "note: the toolchain onnx2tf is not installed: edgekit toolchain install onnx2tf" in done.stderr


def test_absent_distributions_are_named(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = build_plan(load_recipe(tiny.recipe), load_profiles())
    assert absences(plan) == []
    traits = replace(plan.nodes[0].traits, requires=("no-such-dist",), programs=("no-such-program",))
    plan = replace(plan, nodes=(replace(plan.nodes[0], traits=traits), *plan.nodes[1:]))
    assert absences(plan) == [
        "no-such-dist is not installed: pip install no-such-dist",
        "no-such-program is not on PATH: edgekit doctor says how to get it",
    ]


@pytest.mark.parametrize(
    ("given", "model"),
    [("model.onnx", "model.onnx"), ("net.py", "net.py:NAME"), ("net.py:build", "net.py:build")],
)
def test_a_model_is_no_recipe(given: str, model: str, tmp_path: Path) -> None:
    for name in ("model.onnx", "net.py"):
        (tmp_path / name).touch()
    path = tmp_path / given
    with pytest.raises(InputError) as raised:
        refuse_model(path)
    assert raised.value.message == f"{path} is a model, not a recipe"
    assert f"edgekit init {tmp_path / model}" in str(raised.value.remedy)


def test_run_refuses_a_model(tiny: Any, edgekit_command: Command) -> None:
    done = edgekit_command("run", "model.onnx", cwd=tiny.folder)
    assert done.returncode == 2
    assert "do: edgekit convert model.onnx" in done.stderr


def test_dry_run_as_json(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("run", tiny.recipe, "--dry-run", "--json", cwd=tmp_path)
    plan = json.loads(done.stdout)
    assert plan["schema"] == "edgekit.plan/1"
    assert [node["id"] for node in plan["nodes"]] == ["onnx_simplify", "onnx_fp16", "onnx_int8"]
    assert {"id", "step", "options", "parent", "outputs"} <= set(plan["nodes"][0])
    assert [output["output"] for output in plan["outputs"]] == ["onnxruntime-cpu/fp16", "onnxruntime-cpu/int8"]


def test_unknown_report(tiny: Any, edgekit_command: Command, tmp_path: Path) -> None:
    done = edgekit_command("run", tiny.recipe, "--report", "html", cwd=tmp_path)
    assert done.returncode == 2
    assert "no report is called `html`" in done.stderr
    assert not files_below(tmp_path)


def test_a_run_over_an_older_one(tiny: Any, edgekit_command: Command, tiny_run: Any, tmp_path: Path) -> None:
    """A good file of an older run does not stay where a newer one failed; what is not edgekit's stays."""
    out = tmp_path / "out"
    shutil.copytree(tiny_run.out, out)
    (out / "notes.txt").write_text("mine")
    gates = "targets.onnxruntime-cpu.gates.max_bytes=10"
    done = edgekit_command("run", tiny.recipe, "-S", gates, "--out", out)
    assert done.returncode == 1
    assert not list((out / "onnxruntime-cpu").glob("*.onnx"))
    assert (out / "notes.txt").read_text() == "mine"
