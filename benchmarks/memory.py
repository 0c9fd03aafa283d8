"""Peak memory of the EfficientNet-Lite0 recipe: ``python benchmarks/memory.py --evaluate FOLDER --calibrate FOLDER``.

The highest resident size of any one process of the run (read from the kernel's own high-water mark every 50 ms), for
200 and 800 calibration pictures, and for 200 and 800 evaluation pictures. Limits: 2.5 GB, and 10 % between 200 and 800.
Where the number of calibration pictures is varied, the two folders change places: only the first need hold 800 pictures
(give it labels; the second needs labels too). Ends with 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent))
import lite0

LIMIT_BYTES, LIMIT_GROWTH = 2.5e9, 0.10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluate", type=Path, required=True, help="a folder of at least 800 labelled pictures")
    parser.add_argument("--calibrate", type=Path, required=True, help="a folder of at least 200 other pictures")
    arguments = parser.parse_args()
    many, few = arguments.evaluate.resolve(), arguments.calibrate.resolve()
    missed = False
    for role, folders in (("calibrate", (few, many)), ("evaluate", (many, few))):
        low, high = (peak(*folders, **_counts(role, count)) for count in (200, 800))
        growth = high / low - 1
        missed |= max(low, high) > LIMIT_BYTES or growth > LIMIT_GROWTH
        sys.stdout.write(
            f"{role}: 200 pictures {low / 1e9:.2f} GB, 800 pictures {high / 1e9:.2f} GB, {growth:+.1%} "
            f"(limits {LIMIT_BYTES / 1e9} GB, {LIMIT_GROWTH:+.0%})\n"
        )
        sys.stdout.flush()
    return int(missed)


def peak(evaluate: Path, calibrate: Path, *, evaluate_samples: int, calibrate_samples: int) -> int:
    """Bytes: the highest high-water mark among the run's processes."""
    with tempfile.TemporaryDirectory(prefix="edgekit-memory-") as folder:
        counts = [f"data.evaluate.samples={evaluate_samples}", f"data.calibrate.samples={calibrate_samples}"]
        settings = [part for count in counts for part in ("--set", count)]
        command = lite0.command(evaluate, calibrate, Path(folder) / "out", *settings)
        process = subprocess.Popen(
            command,
            env=lite0.environment(Path(folder) / "cache"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        highest = 0
        while process.poll() is None:
            highest = max(highest, _highest(process.pid))
            time.sleep(0.05)
        if process.returncode not in (0, 1):
            sys.exit(f"{' '.join(command)} ended with {process.returncode}")
        return highest


def _counts(role: str, count: int) -> dict[str, int]:
    return {"evaluate_samples": 200, "calibrate_samples": 200, f"{role}_samples": count}


def _highest(pid: int) -> int:
    """The highest VmHWM among a process and its descendants, in bytes."""
    marks = [0]
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        for process in processes:
            status = Path(f"/proc/{process.pid}/status").read_text()
            marks += [int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        pass  # it ended meanwhile
    return max(marks)


if __name__ == "__main__":
    sys.exit(main())
