"""What evaluation costs beside the bare runtime: the same measure jobs as in a run, taken one by one.

A run in ``work`` has made the artifacts, prepared the pictures and computed the source's outputs; their places are
read from its cache. Each output is then measured again and again in a worker of the engine's, in alternation with the
bare runtime in a process of its own, both with all cores: bare, ours, bare, ours, ..., bare. Each of ours stands
against the mean of its two neighbours, so that what else runs on the machine meets both alike; the figure is the
median of those ratios. Both sides count the loading of the file.
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
    """The evaluation jobs of the run whose cache is ``cache`` and whose report is ``report``."""

    def __init__(self, cache: Path, report: dict[str, Any], work: Path, threads: int) -> None:
        self._entries = [(path.parent, json.loads(path.read_text())) for path in cache.glob("entries/*/*/entry.json")]
        self._work, self._threads = work, threads
        self.samples: int = report["data"]["evaluate"]["samples"]
        self._task = {"name": "classification", "options": {}}

    def compare(self, sha256: str, pairs: int) -> Throughput:
        """The artifact with that hash."""
        artifact = next(made for made in self._artifacts() if made["sha256"] == sha256)
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

    def _artifacts(self) -> list[dict[str, Any]]:
        made = [(folder, entry["result"]["artifact"]) for folder, entry in self._entries if entry["kind"] == "step"]
        return [{**artifact, "path": str(folder / "files" / artifact["path"])} for folder, artifact in made]

    def _folder(self, kind: str) -> Path:
        """The only entry of a kind: a cache of one run has one."""
        return next(folder / "files" for folder, entry in self._entries if entry["kind"] == kind)
