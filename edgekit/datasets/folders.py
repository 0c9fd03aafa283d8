"""Folders of pictures: one sub-folder per class, a ``labels.csv`` beside the pictures, or pictures alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.datasets.listing import LISTING, read_listing
from edgekit.datasets.pictures import read_bytes
from edgekit.datasets.source import Content, Source, read_labels_file, repeated
from edgekit.datasets.walk import find_pictures, is_picture, list_visible
from edgekit.errors import InputError


def open_folder(folder: Path, classes: tuple[str, ...] | None) -> Source:
    """The samples of a folder; ``classes`` from the task's labels file, else from the folder's own ``labels.txt``.

    Raises:
        InputError: no picture in it, pictures beside class folders, a class that the labels do not name, a folder or
            a link in it that cannot be followed, or a ``labels.csv`` that is not one.
    """
    visible = list_visible(folder)
    files = {path.name for path in visible if path.is_file()}
    if classes is None and "labels.txt" in files:
        classes = read_labels_file(folder / "labels.txt")
    if LISTING in files:
        listed = read_listing(folder, classes)
        return _of_files(folder, listed.files, listed.labels, listed.classes, named=listed.named)
    children = [path for path in visible if path.is_dir()]
    pictures = [path for path in visible if not path.is_dir() and is_picture(path)]
    in_classes = [(path, child.name) for child in children for path in find_pictures(child)]
    if pictures and in_classes:
        raise InputError(
            f"{folder} holds both pictures ({pictures[0].name}, ...) and folders of pictures ({children[0].name}, ...)",
            where=str(folder),
            remedy="keep one folder per class, or list the pictures in labels.csv (file,label)",
            code="mixed_folder",
        )
    if in_classes:
        return _open_classes(folder, [child.name for child in children], in_classes, classes)
    if pictures:
        return _of_files(folder, pictures, [None] * len(pictures), classes, named=False)
    raise InputError(
        f"there are no pictures in {folder}",
        where=str(folder),
        remedy="give a folder per class, a folder with labels.csv (file,label), or a folder of pictures",
        code="empty_data",
    )


def _open_classes(
    folder: Path, names: list[str], found: list[tuple[Path, str]], classes: tuple[str, ...] | None
) -> Source:
    """A label is the folder's place among the class names. A folder without pictures still counts as a class."""
    ordered = tuple(names) if classes is None else classes
    unknown = [name for name in names if name not in ordered]
    if unknown:
        raise InputError(
            f"{len(unknown)} of the {len(names)} class folders in {folder} are not among the {len(ordered)} labels, "
            f"such as `{unknown[0]}`",
            where=str(folder),
            remedy="make the folder names those of the labels file",
            code="classes_differ",
        )
    twice = [name for name in names if name in repeated(ordered)]
    if twice:
        raise InputError(
            f"two classes of the labels file are called `{twice[0]}`, and {folder / twice[0]} could be either",
            where=str(folder),
            remedy="list the pictures in labels.csv (file,label) with class indices",
            code="classes_differ",
        )
    place = {name: index for index, name in enumerate(ordered)}
    files = [path for path, _ in found]
    return _of_files(folder, files, [place[name] for _, name in found], ordered, named=classes is None)


def _of_files(
    folder: Path, files: list[Path], labels: list[Any], classes: tuple[str, ...] | None, *, named: bool
) -> Source:
    def read(index: int) -> tuple[Content, Any]:
        return read_bytes(files[index]), labels[index]

    ids = [path.relative_to(folder).as_posix() for path in files]
    return Source(folder, ids, read, labelled=labels[0] is not None, classes=classes, named=named)
