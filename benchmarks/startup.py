"""What edgekit costs where it has nothing to do: ``python benchmarks/startup.py [--limit 8]``.

`edgekit --help` against a bare Python, in 20 interleaved pairs, each timed from start to exit of the process: the
medians and the median of the ratios. Then the quickstart with nothing cached, and the median of five runs with nothing
changed. Ends with 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

EDGEKIT = str(Path(sysconfig.get_path("scripts")) / "edgekit")
QUICKSTART = Path(__file__).resolve().parents[1] / "recipes" / "quickstart.yaml"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--limit", type=float, default=8.0)
    parser.add_argument("--first-run", type=float, default=120.0)
    parser.add_argument("--second-run", type=float, default=1.5)
    arguments = parser.parse_args()
    edgekit = [EDGEKIT, "--help"]
    bare = [sys.executable, "-c", ""]
    measure(edgekit)  # compiles what is not compiled yet
    pairs = [(measure(bare), measure(edgekit)) for _ in range(arguments.pairs)]
    ratio = statistics.median(ours / python for python, ours in pairs)
    python, ours = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    sys.stdout.write(f"python -c '' {python:.0f} ms, edgekit --help {ours:.0f} ms\n")
    sys.stdout.write(f"median ratio {ratio:.2f} (limit {arguments.limit})\n")
    first, again = quickstart()
    sys.stdout.write(f"quickstart {first:.1f} s (limit {arguments.first_run:.0f}), ")
    sys.stdout.write(f"once more {again:.2f} s (limit {arguments.second_run})\n")
    return int(ratio > arguments.limit or first > arguments.first_run or again > arguments.second_run)


def quickstart() -> tuple[float, float]:
    """Seconds of its run with an empty cache, and of one that finds everything there."""
    with tempfile.TemporaryDirectory(prefix="edgekit-benchmark-") as folder:
        run = [EDGEKIT, "run", str(QUICKSTART), "--out", f"{folder}/out"]
        environment = {**os.environ, "EDGEKIT_CACHE": f"{folder}/cache"}
        return measure(run, environment), statistics.median(measure(run, environment) for _ in range(5))


def measure(command: list[str], environment: dict[str, str] | None = None) -> float:
    """Seconds that the command takes."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
