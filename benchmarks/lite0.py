"""The EfficientNet-Lite0 recipe as the benchmarks run it: through the installed command, on folders of pictures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "efficientnet_lite0.yaml"
EDGEKIT = Path(sysconfig.get_path("scripts")) / "edgekit"


def command(evaluate: Path, calibrate: Path, out: Path, *arguments: str) -> list[str]:
    """The command that runs the recipe on the two folders (absolute) and writes to ``out``."""
    data = ["--set", f"data.evaluate.path={evaluate}", "--set", f"data.calibrate.path={calibrate}"]
    return [str(EDGEKIT), "run", str(RECIPE), *data, "--out", str(out), *arguments]


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "EDGEKIT_CACHE": str(cache)}


def run(arguments: Sequence[str], env: dict[str, str] | None = None) -> float:
    """Seconds that the command takes; it must end with 0 or, where a gate is missed, 1."""
    began = time.perf_counter()
    done = subprocess.run(arguments, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(arguments)}\nended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - began


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "report.json").read_text())


def toolchain_folder() -> Path:
    """Where the toolchain onnx2tf is installed."""
    listing = subprocess.run([str(EDGEKIT), "toolchain", "list", "--json"], capture_output=True, text=True, check=True)
    entry = next(entry for entry in json.loads(listing.stdout)["toolchains"] if entry["name"] == "onnx2tf")
    if not entry["installed"]:
        sys.exit("the toolchain is not installed: edgekit toolchain install onnx2tf")
    return Path(entry["path"])
