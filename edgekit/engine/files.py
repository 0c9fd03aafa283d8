"""Writing files so that nobody sees half of one: beside, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_FICLONE = 0x40049409  # Linux: let two files share their blocks until one is changed


def write_atomically(file: Path, content: bytes) -> None:
    """Write beside, then rename: a reader sees the old content or the new, also when the disk fills up."""
    handle, name = _open_beside(file)
    try:
        with os.fdopen(handle, "wb") as beside:
            beside.write(content)
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        _name_file(error, file)
        raise


def copy_atomically(source: Path, target: Path) -> None:
    """Share the blocks with ``source`` where the file system can, else copy; beside, then renamed."""
    handle, name = _open_beside(target)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as written:
            if not _reflink(source, written.fileno()):
                with source.open("rb") as read:
                    shutil.copyfileobj(read, written, 1 << 20)
        beside.chmod(0o644)
        beside.replace(target)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        _name_file(error, target)
        raise


def check_writable(file: Path) -> None:
    """Make the folder of ``file``, and see that a file can be written there; nothing is left of it.

    Raises:
        OSError: not; its ``filename`` is ``file``, or the folder that cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = _open_beside(file)
    os.close(handle)
    Path(name).unlink()


def _open_beside(file: Path) -> tuple[int, str]:
    """(descriptor, name) of a fresh file in the folder of ``file``."""
    try:
        return tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    except OSError as error:
        _name_file(error, file)
        raise


def _name_file(error: BaseException, file: Path) -> None:
    """Let an error say which file could not be written (a write to an open file does not, and nobody knows the name
    of the one beside)."""
    if isinstance(error, OSError) and error.errno is not None:
        error.filename, error.filename2 = str(file), None


def _reflink(source: Path, target: int) -> bool:
    try:
        import fcntl

        with source.open("rb") as file:
            fcntl.ioctl(target, _FICLONE, file.fileno())
    except (ImportError, OSError):
        return False
    return True
