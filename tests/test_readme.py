"""What README.md and docs/ say: the two commands, and every example that is marked as one is run as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
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
