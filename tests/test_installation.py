"""The command that adds an extra can be typed where edgekit came from a clone, a wheel, a repository or an index."""

from __future__ import annotations

import json
import shlex
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from edgekit.installation import DISTRIBUTION, command_from, install_command


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, "pip install 'edgekit-ml[onnx]'"),
        (
            {"url": "file:///w/edgekit_ml-1.0-py3-none-any.whl", "archive_info": {}},
            "pip install 'edgekit-ml[onnx] @ file:///w/edgekit_ml-1.0-py3-none-any.whl'",
        ),
        (
            {"url": "https://example.org/e.git", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
            "pip install 'edgekit-ml[onnx] @ git+https://example.org/e.git@0a1b'",
        ),
        ({"url": "file:///gone/edge%20kit", "dir_info": {}}, "pip install '/gone/edge kit[onnx]'"),
        ({"url": "file:///gone/edgekit", "dir_info": {"editable": True}}, "pip install -e '/gone/edgekit[onnx]'"),
    ],
)
def test_of_each_origin(origin: dict[str, Any] | None, expected: str) -> None:
    assert command_from(origin, "onnx") == expected


def test_a_clone_with_constraints(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").touch()
    origin = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
    words = shlex.split(command_from(origin, "tensorflow"))
    assert words == ["pip", "install", "-c", f"{tmp_path}/constraints.txt", "-e", f"{tmp_path}[tensorflow]"]


def test_of_this_installation() -> None:
    """A clone's path is that of a project which has the extra."""
    told = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    origin = {} if told is None else json.loads(told)
    if "dir_info" not in origin:
        pytest.skip("edgekit was not installed from a folder")
    clone, _, extra = shlex.split(install_command("tensorflow"))[-1].removesuffix("]").rpartition("[")
    assert clone == unquote(urlsplit(origin["url"]).path)
    project = tomllib.loads((Path(clone) / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    assert extra in project["optional-dependencies"]
