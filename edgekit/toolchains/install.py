"""Puts a toolchain's wheels into a folder of their own, and finds them there.

    DATA/toolchains/
        onnx2tf-2.6.9-cp311/              what a worker appends to sys.path; only ever complete
            .edgekit-toolchain.json       the marker, written last, with the manifest's hash
        .onnx2tf.lock  onnx2tf-install.log
        .onnx2tf-XXXX/                    an installation that is running (or was killed: the next one removes it)

It is one pip command; nothing is built, and nothing is installed that has another hash than the manifest says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution
from pathlib import Path

import platformdirs

from edgekit.errors import AbsentError
from edgekit.toolchains.manifest import Manifest, Wheel, get_manifest

MARKER = ".edgekit-toolchain.json"
_LAST_LINES = 3


def folder() -> Path:
    """Where toolchains are kept: ``EDGEKIT_TOOLCHAINS``, else the platform's data folder (never inside the cache)."""
    chosen = os.environ.get("EDGEKIT_TOOLCHAINS")
    if chosen:
        return Path(chosen).expanduser().resolve()
    return Path(platformdirs.user_data_dir("edgekit", appauthor=False)) / "toolchains"


def find(name: str) -> Path | None:
    """The folder of an installed toolchain, or None if it is not installed, incomplete or of another manifest.

    Raises:
        UnknownName: edgekit knows no toolchain of that name.
    """
    return find_manifest(get_manifest(name))


def find_manifest(manifest: Manifest) -> Path | None:
    """As ``find``, for a manifest."""
    place = folder() / manifest.folder_name
    return place if _is_complete(place, manifest) else None


def find_whole(manifest: Manifest) -> Path | None:
    """As ``find_manifest``, having looked for every file that pip wrote, with its size: not to be done before each use,
    but where somebody asks what is wrong with it."""
    place = find_manifest(manifest)
    return place if place is not None and all(_is_whole(place, wheel) for wheel in manifest.wheels) else None


def require(name: str) -> Path:
    """The folder of an installed toolchain.

    Raises:
        AbsentError: it is not installed; the remedy is the command that installs it.
    """
    place = find(name)
    if place is None:
        manifest = get_manifest(name)
        raise AbsentError(
            f"the toolchain {name} {manifest.version} is not installed ({manifest.purpose} needs it)",
            where=str(folder()),
            remedy=f"edgekit toolchain install {name}",
            code="toolchain_absent",
        )
    return place


def install(name: str) -> Path:
    """Install a toolchain, unless it is there already and whole, and return its folder.

    Safe to run several times at once. A failed or killed installation leaves no folder that ``find`` would return.

    Raises:
        AbsentError: offline, no pip, or pip failed (its last lines and its log are in the error).
        UnknownName: edgekit knows no toolchain of that name.
    """
    return install_manifest(get_manifest(name))


def install_manifest(manifest: Manifest) -> Path:
    """As ``install``, for a manifest."""
    if (place := find_whole(manifest)) is not None:
        return place
    if os.environ.get("EDGEKIT_OFFLINE", "") not in ("", "0"):
        raise AbsentError(
            f"the toolchain {manifest.name} {manifest.version} is not here, and EDGEKIT_OFFLINE forbids to fetch it",
            where=str(folder()),
            remedy=f"unset EDGEKIT_OFFLINE, or copy {manifest.folder_name} from another machine into {folder()}",
            code="offline",
        )
    with _lock(manifest.name):
        return find_whole(manifest) or _install(manifest)


def _install(manifest: Manifest) -> Path:
    home = folder()
    for abandoned in home.glob(f".{manifest.name}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{manifest.name}-", dir=home))
    try:
        _run_pip(manifest, work, home / f"{manifest.name}-install.log")
        content = work / "content"
        marker = {"name": manifest.name, "version": manifest.version, "manifest_sha256": manifest.sha256}
        (content / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
        place = home / manifest.folder_name
        if place.exists():  # of an older manifest, or damaged: out of the way first, so that the rename is atomic
            place.rename(work / "replaced")
        content.rename(place)
        return place
    finally:
        shutil.rmtree(work, ignore_errors=True)


def pip_command(manifest: Manifest, target: Path, requirements: Path) -> list[str]:
    """The one command. ``--no-deps`` and ``--ignore-requires-python``: the environment's own libraries serve."""
    return [
        *(sys.executable, "-m", "pip", "install", "--target", str(target), "--requirement", str(requirements)),
        *("--require-hashes", "--no-deps", "--ignore-requires-python", "--only-binary=:all:"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar=off"),
    ]


def _run_pip(manifest: Manifest, work: Path, log: Path) -> None:
    requirements = work / "requirements.txt"
    requirements.write_text(manifest.requirements, encoding="utf-8")
    command = pip_command(manifest, work / "content", requirements)
    with log.open("w", encoding="utf-8") as output:
        output.write(f"$ {' '.join(command)}\n{manifest.requirements}")
        output.flush()
        environment = {**os.environ, "PIP_USER": "0"}  # a user's setting that --target cannot be combined with
        code = subprocess.run(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
        ).returncode
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()
    if code != 0:
        no_pip = any("No module named pip" in line for line in said)
        raise AbsentError(
            f"pip could not install the toolchain {manifest.name} {manifest.version}: {_last_words(said)}",
            where=str(folder()),
            remedy=f"{sys.executable} -m ensurepip --upgrade"
            if no_pip
            else f"edgekit toolchain install {manifest.name}",
            log=str(log),
            code="install_failed",
        )


def _last_words(lines: list[str]) -> str:
    """What pip said last, without its progress and notes; its errors if it marked any."""
    spoken = [line.strip() for line in lines if line.strip() and not line.lower().startswith(("[notice]", "warning:"))]
    errors = [line for line in spoken if line.lower().startswith("error")]
    return "; ".join((errors or spoken)[-_LAST_LINES:])


def _is_complete(place: Path, manifest: Manifest) -> bool:
    try:
        marker = json.loads((place / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    same = isinstance(marker, dict) and marker.get("manifest_sha256") == manifest.sha256
    return same and all((place / wheel.metadata_folder).is_dir() for wheel in manifest.wheels)


def _is_whole(place: Path, wheel: Wheel) -> bool:
    """Whether all that the wheel's record lists is there; what Python compiled (of no listed size) does not count."""
    try:
        listed = Distribution.at(place / wheel.metadata_folder).files or []
        return all(
            (place / file).stat().st_size == file.size
            for file in listed
            if file.size is not None and ".." not in file.parts  # programs go to a folder beside it
        )
    except (OSError, ValueError):
        return False


@contextmanager
def _lock(name: str) -> Iterator[None]:
    from filelock import FileLock

    home = folder()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AbsentError(
            f"no folder for toolchains can be made at {home}: {error.strerror}",
            where=str(home),
            remedy="set EDGEKIT_TOOLCHAINS to a folder that can be written",
            code="install_failed",
        ) from error
    with FileLock(home / f".{name}.lock"):
        yield
