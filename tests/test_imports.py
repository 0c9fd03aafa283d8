"""The walls of the house: which package may import which, nothing heavy at a module's top, a light command.

Edges are those of the source text, read with ``ast``; what stands under ``if TYPE_CHECKING`` binds nothing and is left
out.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FRAMEWORKS = frozenset(
    {"torch", "safetensors", "onnx", "onnxscript", "onnxsim", "onnxruntime", "onnxconverter_common", "onnx2tf"}
    | {"tensorflow", "keras", "ai_edge_litert", "litert_quantizer", "flatbuffers", "openvino", "nncf"}
    | {"mlxtend", "sklearn", "pandas"}
)

CORE = frozenset({"errors", "artifact", "graph", "registry", "installation"})
WRITTEN = frozenset({"documents", "validation"})  # reading what people write: YAML with places, pydantic with mistakes
NUMERICS = CORE | {"numerics"}
DATASETS = CORE | {"datasets"}
TASKS = CORE | {"tasks"}
FORMATS = NUMERICS | {"formats"}
DEVICES = CORE | WRITTEN | {"devices"}
CHECKS = FORMATS | DATASETS | TASKS | {"checks"}
STEPS = FORMATS | DATASETS | {"steps"}
RECIPE = STEPS | TASKS | DEVICES | {"recipe", "checks.gates"}
PLAN = RECIPE | {"plan", "planning"}
ENGINE = CORE | {"engine", "plan", "toolchains", "checks.gates", "checks.measurement"}
WORKER = ENGINE | PLAN | CHECKS
REPORT = CORE | {"checks", "engine.events", "engine.files", "engine.results", "plan"}

#: what a package (or a module, which goes first) may import of edgekit
MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "graph": CORE,
    "installation": frozenset(),
    "artifact": CORE,
    "registry": CORE,
    "documents": frozenset({"errors"}),
    "validation": CORE | WRITTEN,
    "numerics": NUMERICS,
    "datasets": DATASETS,
    "tasks": TASKS,
    "formats": FORMATS,
    "devices": DEVICES,
    "devices.rules.edgetpu": DEVICES | {"formats.tflite_versions"},  # which versions TensorFlow 2.5 parses
    "checks": CHECKS,
    "steps": STEPS,
    "steps.convert.tflite_to_edgetpu": STEPS | {"devices.edgetpu_compiler", "devices.external"},  # it runs that program
    "recipe": RECIPE,
    "plan": PLAN,
    "planning": PLAN,
    "engine": ENGINE,
    "engine.worker": WORKER,
    "engine.jobs": WORKER,
    "toolchains": frozenset({"errors", "toolchains"}) | WRITTEN,
    "report": REPORT | {"report"},
    "bundle": REPORT | {"bundle"},
}

#: what may stand at the top of a module from outside the standard library
THIRD_PARTY: dict[str, frozenset[str]] = {
    "documents": frozenset({"ruamel"}),
    "validation": frozenset({"pydantic"}),
    "numerics": frozenset({"numpy", "scipy"}),
    "datasets": frozenset({"numpy", "pydantic"}),
    "tasks": frozenset({"numpy", "pydantic"}),
    "formats": frozenset({"numpy"}),
    "devices": frozenset({"pydantic", "ruamel"}),
    "checks": frozenset({"numpy", "scipy"}),
    "checks.gates": frozenset(),
    "checks.measurement": frozenset(),
    "steps": frozenset({"numpy", "pydantic"}),
    "recipe": frozenset({"pydantic", "ruamel"}),
    "planning": frozenset({"pydantic"}),
    "engine": frozenset({"filelock", "platformdirs", "psutil"}),
    "engine.jobs": frozenset({"numpy", "filelock", "platformdirs", "psutil"}),
    "toolchains": frozenset({"pydantic", "ruamel", "platformdirs"}),
    "report": frozenset({"jinja2"}),
    "bundle": frozenset({"jinja2"}),
    "cli": frozenset({"typer", "rich"}),
}


@dataclass(frozen=True)
class Import:
    module: str  # where it stands: "engine.pool"
    name: str  # what is imported: "edgekit.plan.Plan", "numpy"
    line: int
    top: bool  # runs when the module is imported


MODULES = {
    ".".join(path.relative_to(ROOT / "edgekit").with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "edgekit").rglob("*.py"))
    if path.relative_to(ROOT / "edgekit").parts[:2] != ("bundle", "runners")
}


@pytest.mark.parametrize("module", [name for name in MODULES if name != "__init__"])
def test_imports_follow_the_table(module: str) -> None:
    broken = [
        f"{MODULES[module]}:{found.line}: {module} may not import {found.name}"
        for found in _imports(module)
        if found.name.startswith("edgekit.") and not _allowed(module, found)
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("module", list(MODULES))
def test_top_of_module_is_light(module: str) -> None:
    allowed = _lookup(THIRD_PARTY, module) or frozenset()
    outside = [found for found in _imports(module) if found.top and not found.name.startswith("edgekit")]
    broken = [
        f"{MODULES[module]}:{found.line}: {found.name} at the top of {module}"
        for found in outside
        if (name := found.name.split(".")[0]) not in sys.stdlib_module_names
        and (name in FRAMEWORKS or name not in allowed)
    ]
    assert not broken, "\n".join(broken)


def test_cli_imports_the_rest_inside_functions() -> None:
    broken = [
        f"{MODULES[module]}:{found.line}: {found.name} at the top"
        for module in MODULES
        if module.split(".")[0] == "cli"
        for found in _imports(module)
        if found.top and found.name.startswith("edgekit.") and found.name.split(".")[1] not in ("cli", "errors")
    ]
    assert not broken, "\n".join(broken)


def test_only_the_child_imports_the_worker() -> None:
    heavy = ("edgekit.engine.worker", "edgekit.engine.jobs")
    broken = [
        f"{MODULES[module]}:{found.line}: {found.name}"
        for module in MODULES
        if module.startswith("engine.") and module not in ("engine.worker", "engine.jobs")
        for found in _imports(module)
        if found.name.startswith(heavy)
    ]
    assert not broken, "\n".join(broken)


def test_the_walk_sees_a_wrong_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from edgekit.cli import main\ndef late():\n    import torch\ntry:\n    import onnx\nexcept E: ...\n"
    )
    monkeypatch.setitem(MODULES, "numerics.wrong", wrong)
    with pytest.raises(AssertionError, match=r"wrong\.py:1: numerics\.wrong may not import edgekit\.cli"):
        test_imports_follow_the_table("numerics.wrong")
    with pytest.raises(AssertionError, match=r"wrong\.py:5: onnx at the top") as caught:
        test_top_of_module_is_light("numerics.wrong")
    assert "torch" not in str(caught.value)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_start_of_the_command_is_light(arguments: list[str]) -> None:
    program = """
import json, sys
sys.argv = ["edgekit", *json.loads(sys.argv[1])]
from edgekit.cli.main import main
try:
    main()
except SystemExit as stop:
    code = stop.code or 0
else:
    code = 0
sys.stderr.write(json.dumps([code, sorted(sys.modules)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)], capture_output=True, text=True, check=True, timeout=60
    )
    code, modules = json.loads(done.stderr)
    assert code == 0
    loaded = {name.split(".")[0] for name in modules}
    assert not loaded & (FRAMEWORKS | {"pydantic", "pydantic_core", "numpy", "scipy", "ruamel", "PIL", "rich"})


def test_no_file_holds_more_than_one_thing() -> None:
    long = {str(path): len(path.read_text().splitlines()) for path in MODULES.values()}
    assert not {path: lines for path, lines in long.items() if lines > 500}
    vague = [path for path in MODULES.values() if path.stem in ("utils", "helpers", "common", "base", "misc")]
    assert not vague


def _allowed(module: str, found: Import) -> bool:
    target = found.name.removeprefix("edgekit.")
    own = module.split(".")[0]
    if target.split(".")[0] == own or own in ("cli", "__main__"):
        return True
    allowed = _lookup(MAY_IMPORT, module)
    assert allowed is not None, f"{module}: the table says nothing of it"
    return target == "__version__" or any(target == entry or target.startswith(entry + ".") for entry in allowed)


def _lookup(table: dict[str, frozenset[str]], module: str) -> frozenset[str] | None:
    """The entry of the module, else of the nearest package above it."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if (found := table.get(".".join(parts[:end]))) is not None:
            return found
    return None


def _imports(module: str) -> Iterator[Import]:
    tree = ast.parse(MODULES[module].read_text())
    yield from _walk(tree.body, module, top=True)


def _walk(body: list[ast.stmt], module: str, *, top: bool) -> Iterator[Import]:
    for statement in body:
        if isinstance(statement, ast.Import):
            yield from (Import(module, name.name, statement.lineno, top) for name in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.level == 0, f"{module}:{statement.lineno}: a relative import"
            for name in statement.names:
                yield Import(module, f"{statement.module}.{name.name}", statement.lineno, top)
        elif isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            yield from _walk(statement.orelse, module, top=top)
        else:
            inner_top = top and not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
            for field in ("body", "orelse", "finalbody"):
                yield from _walk(getattr(statement, field, []), module, top=inner_top)
            for part in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
                yield from _walk(part.body, module, top=inner_top)
