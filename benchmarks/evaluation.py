"""What evaluation costs beside the bare runtime: the same measure jobs as in a run, taken one by one.

A run in ``work`` has made the artifacts (``out``, with their sidecars), prepared the pictures and computed the source's
outputs (the places of both are read from its ``cache``). Each output is then measured again and again in a worker of
the engine's, in alternation with the bare runtime in a process of its own, both with all cores: bare, ours, bare,
ours, ..., bare. Each of ours stands against the mean of its two neighbours, so that what else runs on the machine meets
both alike; the figure is the median of those ratios. Both sides count the loading of the file.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.engine.pool import Pool
from edgekit.formats import FORMATS

_BARE = Path(__file__).parent / "bare.py"


@dataclass(frozen=True)
class Throughput:
    """Samples per second (medians), and the median of the ratios of neighbours, ours / bare."""

    ours: float
    bare: float
    ratio: float


class Evaluation:
    """The evaluation jobs of the run in ``work`` whose report is ``report``."""

    def __init__(self, report: dict[str, Any], work: Path, threads: int) -> None:
        self._work, self._threads = work, threads
        self.samples: int = report["data"]["evaluate"]["samples"]
        self._task = {"name": "classification", "options": {}}

    def compare(self, published: dict[str, Any], pairs: int) -> Throughput:
        """A published artifact, as the report names it."""
        path = self._work / "out" / published["path"]
        sidecar = json.loads(path.with_suffix(".edgekit.json").read_text())
        artifact = {**published, "path": str(path), "io": sidecar["io"]}
        job = {
            "kind": "measure",
            "label": "measure",
            "artifact": artifact,
            "samples": {"folder": str(self._folder("prepare")), "role": "evaluate"},
            "reference": str(self._folder("reference")),
            "task": self._task,
            "seed": 0,
            "threads": self._threads,
            "out": str(self._work / "measured"),
            "log": str(self._work / "measured.log"),
        }
        with Pool(threads=self._threads, folder=self._work / "workers") as pool:
            stack = FORMATS.get(artifact["format"]).stack
            bare, ours = [self._bare(artifact["path"])], []
            for _ in range(pairs):
                ours.append(pool.call(stack, job)["measurement"]["seconds"])
                bare.append(self._bare(artifact["path"]))
        ratios = [(bare[place] + bare[place + 1]) / 2 / ours[place] for place in range(pairs)]
        return Throughput(
            self.samples / statistics.median(ours), self.samples / statistics.median(bare), statistics.median(ratios)
        )

    def _bare(self, path: str) -> float:
        command = [sys.executable, str(_BARE), path, str(self._threads), str(self.samples)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])

    def _folder(self, kind: str) -> Path:
        """The only entry of a kind: a cache of one run has one."""
        for path in self._work.glob("cache/entries/*/*/entry.json"):
            if json.loads(path.read_text())["kind"] == kind:
                return path.parent / "files"
        raise SystemExit(f"no {kind} in the cache of {self._work}")
