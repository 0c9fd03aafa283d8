"""Folders of pictures: one sub-folder per class, a ``labels.csv`` beside the pictures, or pictures alone."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from edgekit.datasets.pictures import is_picture, read_bytes
from edgekit.datasets.source import Content, Source, inside, read_labels_file
from edgekit.errors import InputError


def open_folder(folder: Path, classes: tuple[str, ...] | None) -> Source:
    """The samples of a folder; ``classes`` from the task's labels file, else from the folder's own ``labels.txt``.

    Raises:
        InputError: no picture in it, pictures beside class folders, a class that the labels do not name, or a
            ``labels.csv`` that is not one.
    """
    if classes is None and (folder / "labels.txt").is_file():
        classes = read_labels_file(folder / "labels.txt")
    if (folder / "labels.csv").is_file():
        return _open_listed(folder, classes)
    children = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith((".", "__")))
    pictures = sorted(child for child in folder.iterdir() if is_picture(child))
    in_classes = [(path, child.name) for child in children for path in sorted(child.rglob("*")) if is_picture(path)]
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
    place = {name: index for index, name in enumerate(ordered)}
    files = [path for path, _ in found]
    return _of_files(folder, files, [place[name] for _, name in found], ordered, named=classes is None)


def _open_listed(folder: Path, classes: tuple[str, ...] | None) -> Source:
    """``labels.csv`` with the columns ``file`` and ``label``: class names, else class indices."""
    listing = folder / "labels.csv"
    try:
        with listing.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not {"file", "label"} <= set(reader.fieldnames or ()):
                columns = ", ".join(reader.fieldnames or ()) or "(none)"
                raise InputError(
                    f"{listing} has the columns {columns}, not `file` and `label`",
                    where=f"{listing}:1",
                    remedy="begin it with the line file,label",
                    code="unreadable_labels",
                )
            rows = [(row["file"] or "", row["label"] or "") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{listing} cannot be read: {error}", where=str(listing), code="unreadable_labels") from error
    if not rows:
        raise InputError(f"{listing} lists no pictures", where=str(listing), code="empty_data")
    files = [inside(folder, name, listing) for name, _ in rows]
    for number, path in enumerate(files, start=2):
        if not path.is_file():
            raise InputError(
                f"{listing} lists {path.name}, which is not there",
                where=f"{listing}:{number}",
                remedy="correct the name, or remove the line",
                code="missing_file",
            )
    texts = [label.strip() for _, label in rows]
    by_name = classes is not None and set(texts) <= set(classes)
    if not by_name and all(text.isdigit() for text in texts):
        return _of_files(folder, files, [int(text) for text in texts], classes, named=False)
    ordered = tuple(sorted(set(texts))) if classes is None else classes
    place = {name: index for index, name in enumerate(ordered)}
    for number, text in enumerate(texts, start=2):
        if text not in place:
            raise InputError(
                f"the label `{text}` in {listing} is not among the {len(ordered)} labels",
                where=f"{listing}:{number}",
                remedy="use the names of the labels file, or class indices in every line",
                code="classes_differ",
            )
    return _of_files(folder, files, [place[text] for text in texts], ordered, named=classes is None)


def _of_files(
    folder: Path, files: list[Path], labels: list[Any], classes: tuple[str, ...] | None, *, named: bool
) -> Source:
    def read(index: int) -> tuple[Content, Any]:
        return read_bytes(files[index]), labels[index]

    ids = [path.relative_to(folder).as_posix() for path in files]
    return Source(folder, ids, read, labelled=labels[0] is not None, classes=classes, named=named)
