"""The repository's recipes, through the installed command: what they make, what they measure, how they fail."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ALL_OUTPUTS = {
    "coral/int8",
    "android-cpu/fp16",
    "android-cpu/int8",
    "openvino-cpu/fp16",
    "openvino-cpu/int8",
    "onnxruntime-cpu/fp16",
    "onnxruntime-cpu/int8",
}
EXACT = {"torch_to_onnx", "onnx_simplify", "onnx_to_tflite", "onnx_to_openvino"}

#: recorded by every process of a run that starts Python with this sitecustomize: the frameworks it looks for
SITECUSTOMIZE = """
import os, sys

class Record:
    @staticmethod
    def find_spec(name, path=None, target=None):
        with open(os.environ["RECORD_IMPORTS"], "a") as file:
            file.write(f"{os.getpid()} {name}\\n")

sys.meta_path.insert(0, Record)
"""
FRAMEWORKS = {"torch", "tensorflow", "onnx", "onnxruntime", "onnx2tf", "openvino", "nncf", "ai_edge_litert", "onnxsim"}


@dataclass(frozen=True)
class Run:
    """A finished run: the process, its output folder and report, and the arguments to do it again."""

    done: subprocess.CompletedProcess[str]
    out: Path
    arguments: list[str]

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.out / "report.json").read_text())

    def node(self, id: str) -> dict[str, Any]:
        return next(node for node in self.report["nodes"] if node["id"] == id)


@pytest.fixture(scope="module")
def recipes(repository: Path) -> Path:
    return repository / "recipes"


@pytest.fixture(scope="module")
def run_recipe(
    edgekit_command: Callable[..., subprocess.CompletedProcess[str]],
    recipes: Path,
    tmp_path_factory: pytest.TempPathFactory,
    onnx2tf: Path,
) -> Callable[..., Run]:
    def run(name: str, *settings: str) -> Run:
        folder = tmp_path_factory.mktemp(name)
        flags = [part for setting in settings for part in ("--set", setting)]
        arguments = ["run", str(recipes / f"{name}.yaml"), *flags, "--out", str(folder / "out")]
        done = edgekit_command(*arguments, cwd=folder, timeout=1200)
        return Run(done, folder / "out", arguments)

    return run


@pytest.fixture(scope="module")
def quickstart(run_recipe: Callable[..., Run], edgekit_environment: Path) -> Run:
    return run_recipe("quickstart")


@pytest.fixture(scope="module")
def lite0(run_recipe: Callable[..., Run], ilsvrc_val: Path, ilsvrc_calib: Path) -> Run:
    return run_recipe("efficientnet_lite0", f"data.evaluate.path={ilsvrc_val}", f"data.calibrate.path={ilsvrc_calib}")


@pytest.fixture(scope="module")
def resnet8(run_recipe: Callable[..., Run], shared_data: Callable[[str], Path]) -> Run:
    return run_recipe(
        "resnet8_cifar10",
        f"model.weights.path={shared_data('models/cifar10_resnet8.npz')}",
        f"data.evaluate.path={shared_data('cifar10/cifar10_test.npz')}",
        f"data.calibrate.path={shared_data('cifar10/cifar10_train.npz')}",
    )


def check_run(run: Run, outputs: set[str], samples: int) -> None:
    """Every output passes; every node was measured on all samples, the exact ones to 60 dB; all files lie there."""
    assert run.done.returncode == 0, run.done.stdout + run.done.stderr
    report = run.report
    assert report["schema"] == "edgekit.report/1" and report["exit_code"] == 0
    assert {output["output"] for output in report["outputs"]} == outputs
    assert {output["verdict"] for output in report["outputs"]} == {"pass"}
    assert report["data"]["evaluate"]["samples"] == samples and report["data"]["calibrate"]["samples"] == 200
    for node in report["nodes"]:
        measurement = node["measurement"]
        assert measurement["samples"] == samples and measurement["data"] == "evaluate", node["id"]
        assert not (node["step"] in EXACT and measurement["sqnr_db"] < 60), node["id"]
        assert measurement["value"] is not None and measurement["agreement"] > 0.9 and measurement["runtime"]
        assert node["artifact"]["bytes"] > 0 and node["seconds"] >= 0
    for output in report["outputs"]:
        made = run.out / output["artifact"]["path"]
        assert made.is_file() and made.stem == f"{report['recipe']['name']}-{output['output'].replace('/', '-')}"
        assert made.with_name(made.stem + ".edgekit.json").is_file()
    suites = ElementTree.parse(run.out / "junit.xml").getroot()
    assert not suites.findall(".//failure") and not suites.findall(".//error") and suites.findall(".//testcase")
    assert (run.out / "summary.md").stat().st_size and (run.out / "recipe.resolved.yaml").stat().st_size
    last = run.done.stdout.strip().splitlines()[-1]
    assert f"{len(outputs)} of {len(outputs)} pass" in last and "exit 0" in last


def test_quickstart(quickstart: Run) -> None:
    check_run(quickstart, ALL_OUTPUTS, 1200)
    assert quickstart.report["source"]["measurement"]["value"] >= 0.98


def test_quickstart_once_more(
    quickstart: Run, edgekit_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """Nothing changed: all nodes come from the cache, one process does it all, and it imports no framework."""
    assert quickstart.done.returncode == 0
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    record = tmp_path / "imports.txt"
    env = {"PYTHONPATH": str(tmp_path), "RECORD_IMPORTS": str(record)}
    done = edgekit_command(*quickstart.arguments, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert {node["status"] for node in quickstart.report["nodes"]} == {"cached"}
    imported = {line.split()[1].split(".")[0] for line in record.read_text().splitlines()}
    assert "edgekit" in imported and not imported & FRAMEWORKS
    assert len({line.split()[0] for line in record.read_text().splitlines()}) == 1, "no worker was started"


def test_the_same_input_gives_the_same_files(
    quickstart: Run, edgekit_command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    arguments = [*quickstart.arguments[:-1], str(tmp_path / "again"), "--no-cache", "--no-eval"]
    assert edgekit_command(*arguments, cwd=tmp_path).returncode == 0
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    hashes = [
        {node["id"]: node["artifact"]["sha256"] for node in report["nodes"]} for report in (quickstart.report, again)
    ]
    assert hashes[0] == hashes[1]
    assert {node["status"] for node in again["nodes"]} == {"done"}


def test_the_common_prefix_runs_once(quickstart: Run) -> None:
    steps = [node["step"] for node in quickstart.report["nodes"]]
    assert [steps.count(name) for name in sorted(EXACT)] == [1, 1, 1, 1]
    assert set(quickstart.node("onnx_simplify")["outputs"]) == ALL_OUTPUTS


def test_efficientnet_lite0(lite0: Run) -> None:
    check_run(lite0, ALL_OUTPUTS - {"android-cpu/int8"}, 850)
    right = round(lite0.report["source"]["measurement"]["value"] * 850)
    assert abs(right - 702) <= 2
    sizes = {output["output"]: output["artifact"]["bytes"] / 1e6 for output in lite0.report["outputs"]}
    assert all(9.0 < size < 9.6 for name, size in sizes.items() if name.endswith("fp16")), sizes
    assert all(4.5 < size < 5.5 for name, size in sizes.items() if name.endswith("int8")), sizes


def test_resnet8_cifar10(resnet8: Run) -> None:
    check_run(resnet8, ALL_OUTPUTS, 2000)
    right = round(resnet8.report["source"]["measurement"]["value"] * 2000)
    assert abs(right - 1516) <= 2


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet8_cifar10"])
def test_data_that_are_not_named(name: str, recipes: Path, tmp_path: Path, edgekit_command: Callable) -> None:
    done = edgekit_command("run", recipes / f"{name}.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "data.evaluate" in done.stderr and "data.calibrate" in done.stderr and f"{name}.yaml:" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_there(
    recipes: Path, tmp_path: Path, edgekit_command: Callable, shared_data: Callable[[str], Path]
) -> None:
    data = [f"data.evaluate.path={shared_data('cifar10/cifar10_test.npz')}"]
    data += [f"data.calibrate.path={shared_data('cifar10/cifar10_train.npz')}"]
    flags = [part for setting in [*data, f"model.weights.path={tmp_path / 'w.npz'}"] for part in ("--set", setting)]
    done = edgekit_command("run", recipes / "resnet8_cifar10.yaml", *flags, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "w.npz" in done.stderr and "python samples/fetch_resnet8.py" in done.stderr


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("model.requires=[edgekit-absent-network]", "edgekit-absent-network"),
        ("model.weights.package=edgekit_absent_weights", "edgekit_absent_weights"),
    ],
)
def test_package_that_is_not_there(
    setting: str,
    named: str,
    recipes: Path,
    ilsvrc_calib: Path,
    ilsvrc_val: Path,
    tmp_path: Path,
    edgekit_command: Callable,
) -> None:
    settings = [f"data.evaluate.path={ilsvrc_val}", f"data.calibrate.path={ilsvrc_calib}", setting]
    flags = [part for setting in settings for part in ("--set", setting)]
    done = edgekit_command("run", recipes / "efficientnet_lite0.yaml", *flags, cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "do: pip install " in done.stderr and named in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["quickstart", "lite0", "resnet8"])
def test_readme_tells_the_same(name: str, repository: Path, request: pytest.FixtureRequest) -> None:
    """The README's table of this recipe, line by line: sizes within 2 %, top-1 within a point, SQNR within 2 dB."""
    report = request.getfixturevalue(name).report
    text = (repository / "README.md").read_text()
    table = text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
    rows = {cells[1].strip("` "): cells[2:-1] for line in table.splitlines() if len(cells := line.split("|")) > 3}
    units = {"kB": 1e3, "MB": 1e6}
    for output in report["outputs"]:
        size, value, _, _, sqnr = (cell.split() for cell in rows[output["output"]])
        node = next(
            node
            for node in report["nodes"]
            if node["artifact"] and node["artifact"]["sha256"] == output["artifact"]["sha256"]
        )
        assert float(size[0]) * units[size[1]] == pytest.approx(output["artifact"]["bytes"], rel=0.02)
        assert float(value[0]) == pytest.approx(100 * node["measurement"]["value"], abs=1.0)
        assert float(sqnr[0]) == pytest.approx(node["measurement"]["sqnr_db"], abs=2.0)
