"""Which files of a folder are samples. Nothing that could be one is left out without a word: what is measured on half
of the pictures looks like any other figure."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import InputError

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
)
#: Pictures in formats that are not read here.
UNREAD = frozenset({".heic", ".heif", ".avif", ".jxl", ".jp2", ".j2k", ".tga"})
#: Folders that programs leave behind, beside those whose name begins with a dot.
_LEFT_BEHIND = frozenset({"__MACOSX", "__pycache__"})


def list_visible(folder: Path) -> list[Path]:
    """What lies in a folder, sorted by name, without what is hidden (`.ipynb_checkpoints`, `._x.png`, `.DS_Store`).

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
        for entry in entries[:1]:
            entry.lstat()  # the names of a folder can be read, and its files not
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be read: {error.strerror}",
            where=str(folder),
            remedy="give yourself the right to read and enter it, or move it out of the data",
            code="unreadable_data",
        ) from error
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name not in _LEFT_BEHIND]


def find_pictures(folder: Path) -> list[Path]:
    """All pictures in a folder and those below it, sorted. Links are followed; a folder that they reach a second time
    counts once.

    Raises:
        InputError: a folder that cannot be read, or a picture as ``is_picture`` refuses it.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        visible = list_visible(place)
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for path in visible:
            if path.is_dir():
                waiting.append(path)
            elif is_picture(path):
                found.append(path)
    return sorted(found)


def is_picture(path: Path) -> bool:
    """Whether a file's suffix is that of a picture.

    Raises:
        InputError: it is one of a format that is not read here, or a link that leads nowhere.
    """
    suffix = path.suffix.lower()
    if suffix in UNREAD:
        raise InputError(
            f"{path} is a picture in a format that is not read here",
            where=str(path),
            remedy="convert such pictures to PNG or JPEG, or move them out of the data",
            code="unreadable_image",
        )
    if suffix not in SUFFIXES:
        return False
    if path.is_symlink() and not path.exists():
        raise InputError(
            f"the picture {path} is a link to {path.readlink()}, which is not there",
            where=str(path),
            remedy="correct the link, or remove it",
            code="missing_file",
        )
    return path.is_file()
