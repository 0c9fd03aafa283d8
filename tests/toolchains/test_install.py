"""Installing a toolchain with the real pip, from a folder of wheels instead of an index."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edgekit.errors import AbsentError
from edgekit.toolchains import Manifest, find, folder, require
from edgekit.toolchains.install import MARKER, find_manifest, find_whole, install_manifest


@pytest.fixture(autouse=True)
def toolchains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for toolchains, and a pip that looks for wheels in a folder only."""
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "toolchains"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("PIP_USER", "1")  # a setting that --target cannot be combined with
    (tmp_path / "wheels").mkdir()
    return tmp_path / "toolchains"


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Of two wheels; one of them says that it needs another Python and a library that does not exist."""
    hashes = [write_wheel(tmp_path / "wheels", "tool_a"), write_wheel(tmp_path / "wheels", "tool_b")]
    wheels = [
        {"name": name, "version": "1.0", "sha256": [value]}
        for name, value in zip(("tool-a", "tool-b"), hashes, strict=True)
    ]
    return make_manifest(wheels)


def make_manifest(wheels: list[dict[str, object]]) -> Manifest:
    written = {"name": "tool", "version": "1.0", "title": "t", "purpose": "nothing", "python": "3.11", "wheels": wheels}
    return Manifest.model_validate(written)


def write_wheel(place: Path, name: str) -> str:
    """A wheel that holds one module; its SHA-256."""
    information = f"{name}-1.0.dist-info"
    path = place / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "VALUE = 1\n")
        wheel.writestr(
            f"{information}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Python: >=4\nRequires-Dist: nosuchlibrary\n",
        )
        wheel.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{information}/RECORD", f"{name}.py,,10\n{information}/METADATA,,\n{information}/WHEEL,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def visible(place: Path) -> list[str]:
    """What lies in the folder, without locks and logs."""
    return sorted(entry.name for entry in place.iterdir() if entry.is_dir()) if place.exists() else []


def test_it_is_installed_complete_and_found(toolchains: Path, manifest: Manifest):
    assert find_manifest(manifest) is None
    place = install_manifest(manifest)
    assert place == find_manifest(manifest) == toolchains / manifest.folder_name
    assert visible(toolchains) == [manifest.folder_name]
    code = f"import sys; sys.path.append({str(place)!r}); import tool_a, tool_b; assert tool_a.VALUE == 1"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_second_time_nothing_is_done(manifest: Manifest, monkeypatch: pytest.MonkeyPatch):
    first = install_manifest(manifest)
    before = (first / MARKER).stat().st_mtime_ns
    monkeypatch.setenv("PIP_FIND_LINKS", "/nowhere")
    assert install_manifest(manifest) == first
    assert (first / MARKER).stat().st_mtime_ns == before


def test_two_at_once_are_both_right(toolchains: Path, manifest: Manifest):
    with ThreadPoolExecutor(2) as pool:
        places = list(pool.map(install_manifest, [manifest, manifest]))
    assert places[0] == places[1] == find_manifest(manifest)
    assert visible(toolchains) == [manifest.folder_name]


def test_a_wheel_with_another_hash_is_not_installed(toolchains: Path, tmp_path: Path, manifest: Manifest):
    with zipfile.ZipFile(tmp_path / "wheels" / "tool_b-1.0-py3-none-any.whl", "a") as wheel:
        wheel.writestr("tool_b_more.py", "import os\n")
    with pytest.raises(AbsentError, match=r"(?i)hash") as error:
        install_manifest(manifest)
    assert error.value.exit_code == 3
    assert error.value.log is not None and "--require-hashes" in Path(error.value.log).read_text()
    assert visible(toolchains) == []
    assert find_manifest(manifest) is None


def test_a_missing_wheel_is_told_with_pips_own_words(toolchains: Path, tmp_path: Path, manifest: Manifest):
    (tmp_path / "wheels" / "tool_b-1.0-py3-none-any.whl").unlink()
    with pytest.raises(AbsentError, match=r"No matching distribution found for tool-b==1\.0"):
        install_manifest(manifest)
    assert visible(toolchains) == []


def test_what_a_killed_installation_left_is_not_found_and_is_removed(toolchains: Path, manifest: Manifest):
    left = toolchains / ".tool-abandoned" / "content" / "tool_a"
    left.mkdir(parents=True)
    assert find_manifest(manifest) is None
    install_manifest(manifest)
    assert visible(toolchains) == [manifest.folder_name]


def test_a_damaged_or_outdated_one_is_installed_again(toolchains: Path, tmp_path: Path, manifest: Manifest):
    place = install_manifest(manifest)
    (place / MARKER).write_text(json.dumps({"manifest_sha256": "of another manifest"}))
    assert find_manifest(manifest) is None
    (place / "older.py").touch()
    install_manifest(manifest)
    assert find_manifest(manifest) == place
    assert not (place / "older.py").exists()
    (place / "tool_a-1.0.dist-info").rename(place / "gone")
    assert find_manifest(manifest) is None
    assert install_manifest(manifest) == place
    assert visible(toolchains) == [manifest.folder_name]


@pytest.mark.parametrize("damage", ["missing", "cut short"])
def test_one_that_lost_a_file_is_installed_again(manifest: Manifest, damage: str):
    place = install_manifest(manifest)
    module = next(path for path in place.rglob("*.py") if path.stat().st_size)
    content = module.read_bytes()
    if damage == "missing":
        module.unlink()
    else:
        module.write_bytes(content[:-1])
    assert find_whole(manifest) is None
    assert install_manifest(manifest) == find_whole(manifest) == place
    assert module.read_bytes() == content


def test_offline_it_is_an_error_that_says_what_to_do(
    toolchains: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    with pytest.raises(AbsentError, match="EDGEKIT_OFFLINE") as error:
        install_manifest(manifest)
    assert error.value.exit_code == 3
    assert not toolchains.exists()
    monkeypatch.setenv("EDGEKIT_OFFLINE", "0")
    place = install_manifest(manifest)
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    assert install_manifest(manifest) == place


def test_without_pip_the_remedy_installs_it_recorded_output(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho '{sys.executable}: No module named pip' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(AbsentError, match="No module named pip") as error:
        install_manifest(manifest)
    assert error.value.remedy == f"{program} -m ensurepip --upgrade"


def test_a_folder_that_cannot_be_made(tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGEKIT_TOOLCHAINS", str(tmp_path / "file" / "toolchains"))
    with pytest.raises(AbsentError, match="no folder for toolchains") as error:
        install_manifest(manifest)
    assert "EDGEKIT_TOOLCHAINS" in (error.value.remedy or "")


def test_an_absent_one_names_the_command(toolchains: Path):
    assert find("onnx2tf") is None
    with pytest.raises(AbsentError, match=r"onnx2tf 2\.6\.9 is not installed") as error:
        require("onnx2tf")
    assert error.value.remedy == "edgekit toolchain install onnx2tf"
    assert error.value.exit_code == 3


def test_without_the_variable_it_is_the_platforms_data_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("EDGEKIT_TOOLCHAINS")
    assert folder().parts[-2:] == ("edgekit", "toolchains")
    assert "cache" not in str(folder().relative_to(Path.home())).lower()
