"""What README.md and docs/ say: the two commands, and every example that is marked as one is run as it stands there."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\S*)\n(.*?)^```", re.M | re.S)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fences(page: Path) -> list[tuple[str, str]]:
    return FENCE.findall(page.read_text())


def test_first_two_blocks_are_the_two_commands() -> None:
    blocks = fences(ROOT / "README.md")
    shells = [text for language, text in blocks if language in ("bash", "sh", "shell", "console")]
    assert [language for language, _ in blocks][:2] == ["bash", "bash"]
    install, test = shells[:2]
    assert re.search(r"pip install -c constraints\.txt '\.\[.+\]'", install)
    assert "edgekit toolchain install onnx2tf" in install and "edgekit run recipes/quickstart.yaml" in install
    assert re.search(r"pip install -c constraints\.txt -e '\.\[all,test\]'", test) and re.search(r"\bpytest\b", test)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page}: {target}"


def test_all_is_every_other_extra_and_constraints_pin_what_they_name() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (every,) = extras["all"]
    named = set(re.fullmatch(r"edgekit-ml\[(.*)\]", every)[1].split(","))  # type: ignore[index]
    assert named == set(extras) - {"all", "test"}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert all(re.fullmatch(r"[0-9a-z.]+", version) for version in pins.values())
    wanted = {re.split(r"[<>=~\[]", need)[0] for extra, needs in extras.items() if extra != "all" for need in needs}
    assert wanted <= set(pins)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_run(page: Path, tmp_path: Path, repository: Path, edgekit_program: Path, onnx2tf: Path) -> None:
    """Every `bash` block after a line `<!-- run -->` is run in order in a folder where recipes/ and samples/ lie."""
    blocks = re.findall(r"^<!-- run -->\n```bash\n(.*?)^```", page.read_text(), re.M | re.S)
    if not blocks:
        return
    for name in ("recipes", "samples", "tests"):
        (tmp_path / name).symlink_to(repository / name)
    path = os.pathsep.join([str(edgekit_program.parent), os.environ["PATH"]])
    for block in blocks:
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", block],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, f"{page.name}:\n{block}\n{done.stdout}{done.stderr}"


def test_example_step_registers_and_works(repository: Path, tmp_path: Path) -> None:
    """The file that docs/adding-a-step.md shows, imported and run on a model with two inputs named apart."""
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    from edgekit.artifact import IO, Artifact, Tensor
    from edgekit.steps import STEPS, Context

    page = (repository / "docs" / "adding-a-step.md").read_text()
    (source,) = re.findall(r"^<!-- step -->\n```python\n(.*?)^```", page, re.M | re.S)
    file = tmp_path / "onnx_short_names.py"
    file.write_text(source)
    specification = importlib.util.spec_from_file_location("documented_step", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["documented_step"] = module
    try:
        specification.loader.exec_module(module)
        step = STEPS.get("onnx_short_names")
    finally:
        del sys.modules["documented_step"]
        STEPS._entries.pop("onnx_short_names", None)

    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32) * 3, "a.very.long.name")
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", weight.name], ["y"])], "g", value[:1], value[1:], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    io = IO((Tensor("x", "x", (1, 4), "float32"),), (Tensor("y", "y", (1, 4), "float32"),))
    workdir = tmp_path / "work"
    workdir.mkdir()
    artifact = Artifact(tmp_path / "model.onnx", "onnx", "", 0, io)
    produced = step.run(Context(workdir), artifact, step.options())
    assert [tensor.name for tensor in onnx.load(produced.path).graph.initializer] == ["w0"]
    session = onnxruntime.InferenceSession(str(produced.path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.ones((1, 4), np.float32)})
    np.testing.assert_array_equal(found, np.full((1, 4), 3, np.float32))


def test_example_recipe_is_one(repository: Path, tmp_path: Path, edgekit_command: Callable) -> None:
    (text,) = [text for language, text in fences(repository / "README.md") if language == "yaml"]
    (tmp_path / "recipe.yaml").write_text(text)
    done = edgekit_command("recipe", "validate", "recipe.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
