"""Plans of tiny steps, and the means to run them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.engine.events import Event
from edgekit.engine.results import RunResult
from edgekit.engine.run import run_plan
from edgekit.engine.settings import Settings
from edgekit.engine.worker import load_module
from edgekit.plan import Data, DataSource, Node, Output, Plan, Source, TaskUse

TINY = Path(__file__).with_name("tiny_steps.py")

if "tiny_steps" not in sys.modules:
    load_module(TINY)


class Tiny:
    """A model, plans on it, and runs of them in one folder with one cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / "model.tiny"
        self.write_model([1.04, 2.0, 3.0, 4.0])
        self.events: list[Event] = []

    def write_model(self, weights: list[float | None]) -> None:
        self.model.write_text(json.dumps({"weights": weights}))

    def plan(self, *nodes: tuple[str, str | None, dict[str, Any]] | Node, **changes: Any) -> Plan:
        """Of (id, parent, options) each; the step is the id up to its ``@``. Each leaf is an output ``ID/fp32``."""
        made = [node if isinstance(node, Node) else tiny_node(*node) for node in nodes]
        parents = {node.parent for node in made}
        outputs = tuple(Output(f"{n.id}/fp32", n.id, "tiny", "fp32", n.id) for n in made if n.id not in parents)
        plan = Plan("tiny", "0" * 64, Source(self.model, "tiny"), tuple(made), outputs, None, None)
        return replace(plan, **changes)

    def data(self, samples: int = 200) -> dict[str, Any]:
        """Data and task for ``plan``: the largest of four products is the class, with noise in the labels."""
        generator = np.random.default_rng(0)
        sources = {}
        for role, count in (("evaluate", samples), ("calibrate", 20)):
            x = generator.uniform(0.5, 1.5, (count, 4)).astype(np.float32)
            y = np.argmax(x * [1.04, 2.0, 3.0, 4.0] + generator.normal(0, 0.3, (count, 4)), axis=1)
            path = self.folder / f"{role}.npz"
            if not path.exists():
                np.savez(path, x=x, y=y)
            sources[role] = DataSource(path)
        return {"data": Data(**sources), "task": TaskUse("classification")}

    def settings(self, **changes: Any) -> Settings:
        known = {"out": self.folder / "out", "cache": self.folder / "cache", "jobs": 2, "extra_modules": (str(TINY),)}
        return Settings(**{**known, **changes})

    def run(self, plan: Plan, **changes: Any) -> RunResult:
        self.events = []
        return run_plan(plan, self.settings(**changes), self.events.append)


def tiny_node(id: str, parent: str | None, options: dict[str, Any], **more: Any) -> Node:
    return Node(id, id.partition("@")[0], options, {}, parent, ("out/fp32",), **more)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return Tiny(tmp_path)
