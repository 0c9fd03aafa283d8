"""The wheel, built and installed elsewhere: the profiles travel inside, and the command works without the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(repository)], check=True, timeout=120)
    return next(folder.glob("edgekit_ml-*.whl"))


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel; its libraries are those that the tests run with
    (its site-packages is on the path, without its own editable edgekit, which a nested .pth would bring)."""
    environment = tmp_path_factory.mktemp("elsewhere") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=120)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120)
    site = next((environment / "lib").glob("python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def call(elsewhere: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command of the other environment, which must succeed."""
    path = os.pathsep.join([str(elsewhere), os.environ["PATH"]])
    done = subprocess.run(
        [str(elsewhere / "edgekit"), *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_wheel_holds_the_profiles_and_no_tests(wheel: Path, repository: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    profiles = {path.name for path in (repository / "targets").glob("*.yaml")}
    assert profiles and {Path(name).name for name in names if name.startswith("edgekit/_targets/")} == profiles
    assert {Path(name).parts[0] for name in names} == {
        "edgekit",
        wheel.name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }


def test_targets_list(elsewhere: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [str(elsewhere / "python"), "-c", "import edgekit; print(edgekit.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(elsewhere.parent)
    listing = json.loads(call(elsewhere, "targets", "list", "--json", cwd=tmp_path).stdout)
    assert {"coral", "android-cpu", "openvino-cpu", "onnxruntime-cpu"} <= {
        entry["name"] for entry in listing["targets"]
    }


def test_one_conversion(elsewhere: Path, networks_file: Path, tmp_path: Path) -> None:
    """From a torch network to ONNX, then that file loaded by ONNX Runtime here."""
    shutil.copy(networks_file, tmp_path / "networks.py")
    model = ["networks.py:classifier", "--shape", "image=1x3x16x16"]
    call(elsewhere, "convert", *model, "--to", "onnx", "--out", "made", cwd=tmp_path)
    import onnxruntime

    (made,) = (tmp_path / "made").rglob("*.onnx")
    session = onnxruntime.InferenceSession(str(made), providers=["CPUExecutionProvider"])
    assert [tensor.shape for tensor in session.get_inputs()] == [[1, 3, 16, 16]]
