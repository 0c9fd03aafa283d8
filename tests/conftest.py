"""What all tests share: data outside the repository, edgekit's cache, the installed command, the small networks.

Test data lie in the folder that ``EDGEKIT_TEST_DATA`` names (``../shared/data`` beside the repository by default). A
test whose data, toolchain or program is absent is skipped with the reason; ``--require=NAME`` or
``EDGEKIT_TEST_REQUIRE=NAME,NAME`` turns that skip into a failure. NAME is the first folder of the data (``ilsvrc_val``,
``cifar10``, ``models``), a toolchain (``onnx2tf``) or what the test calls it (``tf25``).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Protocol

import pytest

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # tests import onnxruntime themselves
REPOSITORY = Path(__file__).resolve().parents[1]
NETWORKS = Path(__file__).with_name("networks.py")


class Require(Protocol):
    def __call__(self, name: str, reason: str) -> NoReturn: ...


class EdgekitCommand(Protocol):
    def __call__(
        self,
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        action="append",
        default=[],
        metavar="NAME",
        help="fail instead of skipping where NAME (test data, toolchain, program) is absent; repeatable",
    )


@pytest.fixture(scope="session")
def require(request: pytest.FixtureRequest) -> Require:
    """Call it when NAME is absent: it skips the test with the reason, or fails it where NAME is required."""
    named = [*request.config.getoption("--require"), os.environ.get("EDGEKIT_TEST_REQUIRE", "")]
    required = {name.strip() for text in named for name in text.split(",") if name.strip()}

    def absent(name: str, reason: str) -> NoReturn:
        if name in required:
            pytest.fail(f"`{name}` is required: {reason}", pytrace=False)
        pytest.skip(f"{name}: {reason}")

    return absent


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Where the test data lie (it need not exist)."""
    named = os.environ.get("EDGEKIT_TEST_DATA")
    return Path(named).resolve() if named else (REPOSITORY.parent / "shared" / "data").resolve()


@pytest.fixture(scope="session")
def shared_data(data_folder: Path, require: Require) -> Callable[[str], Path]:
    """``shared_data("models/x.npz")``: the path of a file or folder of the test data; skips where it is absent."""

    def find(name: str) -> Path:
        path = data_folder / name
        if not path.exists():
            require(Path(name).parts[0], f"no {name} in {data_folder} (EDGEKIT_TEST_DATA)")
        return path

    return find


@pytest.fixture(scope="session")
def ilsvrc_val(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 850 ImageNet validation pictures and labels.csv (file,label)."""
    return _unpack(shared_data("ilsvrc_val/ilsvrc_val.tar"), tmp_path_factory.mktemp("ilsvrc_val"))


@pytest.fixture(scope="session")
def ilsvrc_calib(shared_data: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 470 ImageNet pictures and labels.csv, none of them in ``ilsvrc_val``."""
    return _unpack(shared_data("ilsvrc_calib/ilsvrc_calib.tar"), tmp_path_factory.mktemp("ilsvrc_calib"))


@pytest.fixture(scope="session", autouse=True)
def edgekit_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache that all tests of a session share; what a user's shell says to edgekit is out of the way.

    ``EDGEKIT_TOOLCHAINS`` stays as it is: toolchains are installed once, before the tests.
    """
    cache = tmp_path_factory.mktemp("edgekit-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEKIT_CACHE", str(cache))
        for name in ("EDGEKIT_TARGETS", "EDGEKIT_OFFLINE", "EDGEKIT_JOBS"):
            patch.delenv(name, raising=False)
        yield cache


@pytest.fixture(scope="session")
def onnx2tf(require: Require) -> Path:
    """The folder of the installed toolchain onnx2tf; skips where it is not installed."""
    from edgekit.toolchains.install import find

    return find("onnx2tf") or require("onnx2tf", "edgekit toolchain install onnx2tf")


@pytest.fixture(scope="session")
def edgekit_program() -> Path:
    """The installed command of the interpreter that runs the tests."""
    program = Path(sysconfig.get_path("scripts")) / "edgekit"
    assert program.exists(), f"edgekit is not installed beside {sys.executable}: pip install -e '.[all,test]'"
    return program


@pytest.fixture(scope="session")
def edgekit_command(edgekit_program: Path, edgekit_environment: Path) -> EdgekitCommand:
    """``edgekit_command("run", recipe, cwd=tmp_path)``: runs the installed command in a child process, without a
    terminal and with nothing on standard input. ``env`` adds variables (None removes one). The caller judges the exit
    code."""

    def call(
        *arguments: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "160"}
        for name, value in (env or {}).items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value
        command = [str(edgekit_program), *(str(argument) for argument in arguments)]
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return call


@pytest.fixture(scope="session")
def networks_file() -> Path:
    """tests/networks.py, to be named in recipes as ``FILE:FACTORY``."""
    return NETWORKS


@pytest.fixture(scope="session")
def networks() -> ModuleType:
    """tests/networks.py, imported (and torch with it)."""
    return _load(NETWORKS)


@pytest.fixture(scope="session")
def load_test_module() -> Callable[[str], ModuleType]:
    """``load_test_module("postprocessing")``: tests/postprocessing.py, imported."""
    return lambda name: _load(REPOSITORY / "tests" / f"{name}.py")


@pytest.fixture(scope="session")
def load_sample() -> Callable[[str], ModuleType]:
    """``load_sample("digits")``: samples/digits.py, imported."""
    return lambda name: _load(REPOSITORY / "samples" / f"{name}.py")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests stand in."""
    return REPOSITORY


def _load(file: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"edgekit_{file.parent.name}_{file.stem}", file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    labels = next(folder.rglob("labels.csv"))
    return labels.parent
