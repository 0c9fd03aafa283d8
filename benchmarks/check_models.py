"""`edgekit check` on four networks for four devices, to be read by eye: the whole text of each, then a table.

    python benchmarks/check_models.py                                  # all sixteen
    python benchmarks/check_models.py --model yolo --target coral      # one of them
    python benchmarks/check_models.py --brief                          # the table alone

EfficientNet-Lite0 needs the packages of ``edgekit-ml[samples]``, the TensorFlow Lite targets the toolchain onnx2tf. No
weights are fetched: where an operator runs does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
EDGEKIT = Path(sysconfig.get_path("scripts")) / "edgekit"
NETWORKS = Path(__file__).with_name("check_networks.py")
#: What is checked -> (the model as the command line names it, the shape of its input).
MODELS = {
    "efficientnet_lite0": (f"{REPOSITORY / 'samples' / 'efficientnet_lite0.py'}:build", "1x3x224x224"),
    "mobilenet_v3": (f"{NETWORKS}:mobilenet_v3", "1x3x224x224"),
    "yolo": (f"{NETWORKS}:yolo", "1x3x320x320"),
    "vit_tiny": (f"{NETWORKS}:vit_tiny", "1x3x224x224"),
}
TARGETS = ("coral", "jetson-nano", "ncs2", "android-gpu")
COLUMNS = ("model", "target", "exit", "verdict", "operators", "mapped", "MACs", "subgraphs", "rejected types")


def main() -> None:
    options = _options()
    rows = []
    with tempfile.TemporaryDirectory(prefix="edgekit-check-models-") as folder:
        for target in options.target or TARGETS:
            for model in options.model or MODELS:
                words = (*_words(model), "--target", target)
                if not options.brief:
                    sys.stdout.write(f"$ edgekit check {' '.join(words)}\n{_run(words, folder).stdout}\n")
                rows.append(_row(model, target, _run((*words, "--json"), folder)))
    widths = [max(len(row[place]) for row in (COLUMNS, *rows)) for place in range(len(COLUMNS))]
    for row in (COLUMNS, *rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _words(model: str) -> tuple[str, ...]:
    name, shape = MODELS[model]
    return name, "--shape", shape


def _run(words: tuple[str, ...], folder: str) -> subprocess.CompletedProcess[str]:
    """``edgekit check`` in ``folder``; anything but a judgement ends the benchmark."""
    done = subprocess.run([str(EDGEKIT), "check", *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 4):
        sys.exit(f"edgekit check {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done


def _row(model: str, target: str, done: subprocess.CompletedProcess[str]) -> tuple[str, ...]:
    found: dict[str, Any] = json.loads(done.stdout)
    totals = found["totals"]
    rejected = sorted({operator["type"] for operator in found["operators"] if operator["cause"] == "rejected"})
    return (
        model,
        target,
        str(done.returncode),
        found["verdict"],
        str(totals["operators"]),
        _share(totals["mapped_operators"]),
        _share(totals["mapped_macs"]),
        "?" if found["subgraphs"] is None else str(found["subgraphs"]),
        ", ".join(rejected) or "-",
    )


def _share(share: float | None) -> str:
    return "?" if share is None else f"{share:.1%}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=MODELS, help="only this one; repeatable")
    parser.add_argument("--target", action="append", metavar="NAME", help="instead of the four; repeatable")
    parser.add_argument("--brief", action="store_true", help="print the table alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
