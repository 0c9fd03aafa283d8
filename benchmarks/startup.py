"""What `edgekit --help` costs against a bare Python: ``python benchmarks/startup.py [--limit 8]``.

20 interleaved pairs, each timed from start to exit of the process; prints the medians and the median of the ratios, and
ends with 1 where that is above the limit.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--limit", type=float, default=8.0)
    arguments = parser.parse_args()
    edgekit = [str(Path(sysconfig.get_path("scripts")) / "edgekit"), "--help"]
    bare = [sys.executable, "-c", ""]
    measure(edgekit)  # compiles what is not compiled yet
    pairs = [(measure(bare), measure(edgekit)) for _ in range(arguments.pairs)]
    ratio = statistics.median(ours / python for python, ours in pairs)
    python, ours = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    sys.stdout.write(f"python -c '' {python:.0f} ms, edgekit --help {ours:.0f} ms\n")
    sys.stdout.write(f"median ratio {ratio:.2f} (limit {arguments.limit})\n")
    return int(ratio > arguments.limit)


def measure(command: list[str]) -> float:
    """Seconds that the command takes."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
