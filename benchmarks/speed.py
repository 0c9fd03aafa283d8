"""The EfficientNet-Lite0 recipe against a plain script that makes the same seven files, and the cost of evaluation.

    python benchmarks/speed.py --baseline plain_pipeline.py --evaluate imagenet/val --calibrate imagenet/calib

The recipe (nothing cached, --no-eval) and the script (`--calib FOLDER --out FOLDER --onnx2tf FOLDER`) take turns,
five times each; printed are the medians and their ratio (limit 0.7). Then the recipe runs once more with its artifacts
cached and evaluation on, and each output is measured in alternation with the bare runtime (``evaluation.py``; limit 0.9
for the slowest median ratio). Ends with 1 where a limit is missed. --only-evaluation leaves the script out, and needs
no --baseline; --work FOLDER keeps the cache there and begins with what is in it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import lite0
from evaluation import Evaluation


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, help="the plain script")
    parser.add_argument("--evaluate", type=Path, required=True, help="a folder of labelled pictures")
    parser.add_argument("--calibrate", type=Path, required=True, help="a folder of other pictures")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=5, help="how often each output is measured")
    parser.add_argument("--work", type=Path, help="a folder for the cache and the files, kept")
    parser.add_argument("--skip-evaluation", action="store_true")
    parser.add_argument("--only-evaluation", action="store_true")
    arguments = parser.parse_args()
    if arguments.baseline is None and not arguments.only_evaluation:
        parser.error("--baseline is needed, or --only-evaluation")
    with tempfile.TemporaryDirectory(prefix="edgekit-speed-") as folder:
        work = Path(folder) if arguments.work is None else arguments.work.resolve()
        ratio = 0.0 if arguments.only_evaluation else compare(arguments, work)
        slowest = 1.0 if arguments.skip_evaluation else evaluate(arguments, work)
    return int(ratio > 0.7 or slowest < 0.9)


def compare(arguments: argparse.Namespace, work: Path) -> float:
    """The ratio of the medians, recipe / script. Leaves the recipe's cache of the last round in ``work``."""
    onnx2tf = lite0.toolchain_folder()
    seconds: dict[str, list[float]] = {"recipe": [], "script": []}
    for round_ in range(arguments.times):
        for name in ("cache", "out", "plain"):
            shutil.rmtree(work / name, ignore_errors=True)
        script = [sys.executable, str(arguments.baseline), "--calib", str(arguments.calibrate)]
        seconds["script"].append(lite0.run([*script, "--out", str(work / "plain"), "--onnx2tf", str(onnx2tf)]))
        seconds["recipe"].append(lite0.run(_recipe(arguments, work, "--no-eval"), lite0.environment(work / "cache")))
        say(f"round {round_ + 1}: script {seconds['script'][-1]:.1f} s, recipe {seconds['recipe'][-1]:.1f} s")
    script_median, recipe_median = statistics.median(seconds["script"]), statistics.median(seconds["recipe"])
    ratio = recipe_median / script_median
    say(f"medians: script {script_median:.1f} s, recipe {recipe_median:.1f} s, ratio {ratio:.2f} (limit 0.7)")
    return ratio


def evaluate(arguments: argparse.Namespace, work: Path) -> float:
    """The lowest median ratio of throughputs, evaluation / bare runtime."""
    seconds = lite0.run(_recipe(arguments, work), lite0.environment(work / "cache"))
    report = lite0.report(work / "out")
    measured = [node for node in report["nodes"] if node["measurement"]]
    evaluation = Evaluation(report, work, os.cpu_count() or 1)
    samples = evaluation.samples
    say(f"evaluation of {len(measured)} files on {samples} pictures: {seconds:.1f} s with what was not cached")
    ratios = []
    for output in report["outputs"]:
        seen = evaluation.compare(output["artifact"], arguments.pairs)
        ratios.append(seen.ratio)
        name = output["output"]
        say(f"{name:22s} {seen.ours:7.0f} samples/s, bare runtime {seen.bare:7.0f}, ratio {seen.ratio:.2f}")
    say(f"slowest ratio {min(ratios):.2f} (limit 0.9)")
    return min(ratios)


def _recipe(arguments: argparse.Namespace, work: Path, *more: str) -> list[str]:
    return lite0.command(arguments.evaluate.resolve(), arguments.calibrate.resolve(), work / "out", *more)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
