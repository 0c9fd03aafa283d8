"""A child process that converts ONNX files with the toolchain onnx2tf, as the worker of that stack would.

    python onnx2tf_main.py JOBS.json

JOBS.json is a list of {"path": ..., "folder": ..., "options": {...}, "without": ["tensorflow"]}. The last line that it
prints is a JSON list with, per job, the produced file and io or the error, and what the conversion did that it should
not: connections and child processes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def convert(job: dict[str, Any]) -> dict[str, Any]:
    from edgekit.artifact import Artifact, hash_files
    from edgekit.errors import EdgekitError
    from edgekit.formats import FORMATS, Declared
    from edgekit.steps import STEPS, Context

    path, folder = Path(job["path"]), Path(job["folder"])
    folder.mkdir(parents=True)
    artifact = Artifact(path, "onnx", *hash_files([path]), FORMATS.get("onnx").read_io(path, Declared()))
    step = STEPS.get("onnx_to_tflite")
    hidden = {name: sys.modules.get(name) for name in job.get("without", [])}
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: the import fails
    try:
        produced = step.run(Context(folder, threads=2), artifact, step.options(**job.get("options", {})))
    except EdgekitError as error:
        return {"error": error.to_dict(), "left": sorted(entry.name for entry in folder.glob("*.tflite"))}
    finally:
        for name, module in hidden.items():
            sys.modules.pop(name)
            if module is not None:
                sys.modules[name] = module
    return {"path": str(produced.path), "io": produced.io.to_dict(), "notes": list(produced.notes)}


def main() -> None:
    from edgekit.toolchains import require

    sys.modules["torch"] = None  # type: ignore[assignment]  # as in the worker
    sys.path.append(str(require("onnx2tf")))
    seen: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("socket.connect", "subprocess.Popen", "os.system"):
            seen.append(f"{event} {arguments[:2]}")

    sys.addaudithook(watch)
    answers = []
    for job in json.loads(Path(sys.argv[1]).read_text()):
        seen.clear()
        answers.append({**convert(job), "seen": list(seen)})
    answers_line = json.dumps(answers) + "\n"
    os.write(1, answers_line.encode())


main()
