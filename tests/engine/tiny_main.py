"""A run of a tiny plan in a process of its own: ``python tiny_main.py FOLDER '[[id, parent, options], ...]' [OUT]``.

Prints a line when the first step is under way and, at the end, the exit code and the nodes as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from conftest import Tiny

from edgekit.engine.events import Event, Progress, Started
from edgekit.engine.run import run_plan


def main() -> None:
    folder, nodes = Path(sys.argv[1]), json.loads(sys.argv[2])
    tiny = Tiny(folder)
    out = folder / (sys.argv[3] if len(sys.argv) > 3 else "out")

    def listen(event: Event) -> None:
        if isinstance(event, Progress) or (isinstance(event, Started) and event.kind == "step"):
            say({"at": event.task})

    result = run_plan(tiny.plan(*[tuple(node) for node in nodes]), tiny.settings(out=out, evaluate=False), listen)
    say(
        {
            "exit_code": result.exit_code,
            "error": result.error,
            "nodes": {node.node: [node.status, node.reason, node.error] for node in result.nodes},
            "outputs": {o.output: o.artifact and o.artifact.sha256 for o in result.outputs},
        }
    )


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
