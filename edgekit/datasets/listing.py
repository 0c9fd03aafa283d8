"""``labels.csv``: which pictures of a folder are samples, and the label of each.

A label is a class index (a whole number from 0) or a class name. All lines say the same kind: one odd cell would
otherwise turn every index into a name, and the sorted names renumber the classes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.datasets.source import inside, repeated
from edgekit.errors import InputError

LISTING = "labels.csv"
_INDEX = re.compile(r"[0-9]+")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)
#: A class index beyond this is no class of any model, and would not fit the 64-bit numbers that labels are stored in.
MAX_INDEX = 2**31 - 1


@dataclass(frozen=True)
class Row:
    """One line of the listing, counted from 1 as an editor does."""

    line: int
    file: str
    label: str


@dataclass(frozen=True)
class Listing:
    """The pictures, the class index of each, and the class names in the order of the indices (None: only indices).
    ``named``: that order is only the sorted names of the listing itself."""

    files: list[Path]
    labels: list[int]
    classes: tuple[str, ...] | None
    named: bool


def read_listing(folder: Path, classes: tuple[str, ...] | None) -> Listing:
    """The ``labels.csv`` of a folder, with the columns ``file`` and ``label``; ``classes`` from a labels file.

    Raises:
        InputError: with the line: not such a table, a picture that is missing or stands twice, an empty label, one
            that is no class index among class indices, or one that ``classes`` do not name.
    """
    path = folder / LISTING
    rows = _read_rows(path)
    for row in rows:
        if not row.label:
            what = f"has no label for {row.file}" if row.file else "has neither a file nor a label here"
            raise _refuse(path, row.line, what, "write its label, or remove the line")
    files = _find_files(folder, path, rows)
    if classes is not None and (any(_INDEX.fullmatch(name) for name in classes) or _all_named(rows, classes)):
        return Listing(files, _places(path, rows, classes), classes, named=False)
    if _are_indices(path, rows):
        return Listing(files, [_index(path, row, classes) for row in rows], classes, named=False)
    ordered = tuple(sorted({row.label for row in rows})) if classes is None else classes
    return Listing(files, _places(path, rows, ordered), ordered, named=classes is None)


def _read_rows(path: Path) -> list[Row]:
    """The lines that are not blank, labels without blanks around them.

    Raises:
        InputError: unreadable, no table with both columns, a line of another length, or no lines.
    """
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    rows: list[Row] = []
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            start, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _read_header(path, start, cells)
                continue
            if len(cells) > len(header) and any(cells[len(header) :]):
                raise _refuse(
                    path,
                    start,
                    f"has {len(cells)} cells where the first line has {len(header)}",
                    'put a name that holds a comma between quotes: "a, b.png",3',
                )
            said = dict(zip(header, cells, strict=False))
            rows.append(Row(start, said.get("file", ""), said.get("label", "").strip()))
    except csv.Error as error:
        raise _refuse(path, line, f"cannot be read: {error}", "see to the quotes there") from error
    if header is None or not rows:
        raise InputError(f"{path} lists no pictures", where=str(path), code="empty_data")
    return rows


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if b"\0" not in content:
            return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InputError(
            f"{path} cannot be read: {reason}",
            where=str(path),
            remedy="save it as UTF-8 text that may be read",
            code="unreadable_labels",
        ) from error
    line = content[: content.index(b"\0")].count(b"\n") + 1
    raise _refuse(path, line, "holds a byte of zero, so it is not text in UTF-8", "save it as UTF-8 text")


def _read_header(path: Path, line: int, cells: Sequence[str]) -> list[str]:
    """The names of the columns.

    Raises:
        InputError: not ``file`` and ``label`` once each.
    """
    header = [cell.strip() for cell in cells]
    if header.count("file") != 1 or header.count("label") != 1:
        columns = ", ".join(header) or "(none)"
        raise InputError(
            f"{path} has the columns {columns}, not `file` and `label`",
            where=f"{path}:{line}",
            remedy="begin it with the line file,label",
            code="unreadable_labels",
        )
    return header


def _find_files(folder: Path, path: Path, rows: Sequence[Row]) -> list[Path]:
    files: dict[Path, Row] = {}
    for row in rows:
        if not row.file:
            raise _refuse(path, row.line, "names no file", "write the picture's name, or remove the line")
        file = inside(folder, row.file, path)
        if not file.is_file():
            what = f"lists {row.file}, which is not there"
            raise _refuse(path, row.line, what, "correct the name, or remove the line", "missing_file")
        first = files.setdefault(file, row)
        if first is not row:
            raise _refuse(
                path,
                row.line,
                f"lists {row.file} a second time, first in line {first.line}"
                + ("" if first.label == row.label else f" (with the label `{first.label}`, here `{row.label}`)"),
                "remove one of the lines",
            )
    return list(files)


def _all_named(rows: Sequence[Row], classes: Sequence[str]) -> bool:
    return {row.label for row in rows} <= set(classes)


def _are_indices(path: Path, rows: Sequence[Row]) -> bool:
    """Whether every label is a class index; False where every one is a name.

    Raises:
        InputError: some are numbers and some names (the line is the first of the rarer kind), or numbers that are no
            class indices.
    """
    numbers = [row for row in rows if _NUMBER.fullmatch(row.label)]
    names = [row for row in rows if not _NUMBER.fullmatch(row.label)]
    if numbers and names:
        odd, others = (names, numbers) if len(names) <= len(numbers) else (numbers, names)
        kind, other = ("a name", "numbers") if odd is names else ("a number", "names")
        raise _refuse(
            path,
            odd[0].line,
            f"has the label `{odd[0].label}`, {kind}; {other} stand elsewhere, as `{others[0].label}` in line "
            f"{others[0].line}",
            "write class indices in every line, or class names in every line",
        )
    for row in numbers:
        if not _INDEX.fullmatch(row.label):
            kind = "negative" if row.label.startswith("-") else "not a whole number"
            raise _refuse(
                path,
                row.line,
                f"has the label `{row.label}`, {kind}, so no class index",
                "write class indices as 0, 1, 2, ..., and leave out pictures without a class",
            )
    return bool(numbers)


def _index(path: Path, row: Row, classes: Sequence[str] | None) -> int:
    highest = MAX_INDEX if classes is None else len(classes) - 1
    if len(row.label.lstrip("0")) > len(str(MAX_INDEX)) or int(row.label) > highest:
        named = "" if classes is None else f": the labels file names {len(classes)} classes, 0 to {highest}"
        what = f"has the label {row.label}, which is no class index{named}"
        raise _refuse(path, row.line, what, "correct the label there", "classes_differ")
    return int(row.label)


def _places(path: Path, rows: Sequence[Row], classes: Sequence[str]) -> list[int]:
    """The class index of each label by its name.

    Raises:
        InputError: ``classes`` do not have it, or have it twice.
    """
    place = {name: index for index, name in enumerate(classes)}
    twice = repeated(classes)
    for row in rows:
        what = f"has the label `{row.label}`, which "
        if row.label not in place:
            what += f"is not among the {len(classes)} labels"
            remedy = "use the names of the labels file, or class indices in every line"
            raise _refuse(path, row.line, what, remedy, "classes_differ")
        if row.label in twice:
            what += "two classes of the labels file are called"
            raise _refuse(path, row.line, what, "write class indices in every line", "classes_differ")
    return [place[row.label] for row in rows]


def _refuse(path: Path, line: int, what: str, remedy: str, code: str = "unreadable_labels") -> InputError:
    return InputError(f"{path} {what}", where=f"{path}:{line}", remedy=remedy, code=code)
