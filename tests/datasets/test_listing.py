"""labels.csv: what each line may say, and the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.datasets.listing import Listing, read_listing
from edgekit.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(60):
        (tmp_path / f"{number}.png").touch()
    (tmp_path / "a, b.png").touch()
    return tmp_path


def read(folder: Path, text: str | bytes, classes: tuple[str, ...] | None = None) -> Listing:
    (folder / "labels.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_listing(folder, classes)


def refused(folder: Path, text: str | bytes, classes: tuple[str, ...] | None = None) -> str:
    """`LINE: message` of the refusal."""
    with pytest.raises(InputError) as caught:
        read(folder, text, classes)
    path = folder / "labels.csv"
    assert (caught.value.exit_code, bool(caught.value.remedy)) == (2, True)
    assert caught.value.where is not None
    return f"{caught.value.where.removeprefix(f'{path}:')}: {caught.value.message.removeprefix(f'{path} ')}"


def test_one_odd_cell_among_many_does_not_renumber_the_others(folder: Path) -> None:
    rows = "".join(f"{number}.png,{number % 9}\n" for number in range(54))
    assert read(folder, f"file,label\n{rows}").labels == [number % 9 for number in range(54)]
    assert refused(folder, f"file,label\n{rows}54.png,\n") == "56: has no label for 54.png"
    assert refused(folder, f"file,label\n{rows}54.png\n") == "56: has no label for 54.png"
    said = refused(folder, f"file,label\n{rows}54.png,cat\n")
    assert said == "56: has the label `cat`, a name; numbers stand elsewhere, as `0` in line 2"


@pytest.mark.parametrize(
    ("rows", "line", "message"),
    [
        ("0.png,cat\n1.png,7\n2.png,dog\n", 3, "`7`, a number; names stand elsewhere, as `cat` in line 2"),
        ("0.png,1\n1.png,-1\n", 3, "`-1`, negative, so no class index"),
        ("0.png,1.0\n1.png,2.0\n", 2, "`1.0`, not a whole number"),
        ("0.png,nan\n1.png,2\n", 2, "`nan`, not a whole number"),
        ("0.png,1\n1.png,²\n", 3, "`²`, a name"),
        ("0.png,٣\n1.png,4\n", 2, "`٣`, a name"),
        ("0.png,99999999999999999999999\n", 2, "99999999999999999999999, which is no class index"),
        ("\n0.png,1\n\n\nx.png,2\n", 6, "x.png, which is not there"),
        ("0.png,1\n1.png,2\n0.png,3\n", 4, "0.png a second time, first in line 2 (with the label `1`, here `3`)"),
        ("0.png,1\n./0.png,1\n", 3, "./0.png a second time, first in line 2"),
        (",1\n", 2, "names no file"),
        (",\n0.png,1\n1.png,x\n", 4, "`x`, a name"),
        ("a, b.png,3\n", 2, "3 cells where the first line has 2"),
        ('0.png,"1\n1.png,2\n', 2, "unexpected end of data"),
        ('"0.png",1\n"1.\npng",2\n2.png,\n', 5, "no label for 2.png"),
        ("0.png,1\x00\n", 2, "a byte of zero"),
    ],
)
def test_the_line_that_is_wrong(folder: Path, rows: str, line: int, message: str) -> None:
    said = refused(folder, f"file,label\n{rows}")
    assert said.startswith(f"{line}: ")
    assert message in said


def test_text_that_is_no_table(folder: Path) -> None:
    assert "a byte of zero" in refused(folder, "file,label\n0.png,1\n".encode("utf-16-le"))
    assert "not text in UTF-8" in refused(folder, "file,label\n0.png,Käfer\n".encode("latin-1"))
    assert refused(folder, "\nfile;label\n0.png;1\n") == "2: has the columns file;label, not `file` and `label`"
    assert "columns file, label, label" in refused(folder, "file,label,label\n0.png,1,2\n")


def test_what_spreadsheets_write_is_read(folder: Path) -> None:
    """A byte-order mark, CR LF, blanks after commas, further and trailing columns, quotes, blank lines."""
    text = b'\xef\xbb\xbffile, label,split,\r\n"a, b.png", 3 ,test,\r\n\r\n1.png,02,train,,\r\n'
    listing = read(folder, text)
    assert ([path.name for path in listing.files], listing.labels) == (["a, b.png", "1.png"], [3, 2])
    names = read(folder, "file,label\n0.png,Wels\u2028x\n1.png,Aal\n")  # a line separator ends no line here
    assert (names.labels, names.classes, names.named) == ([1, 0], ("Aal", "Wels\u2028x"), True)


def test_labels_with_a_labels_file(folder: Path) -> None:
    rows = "file,label\n0.png,1\n1.png,0\n"
    assert read(folder, rows, ("cat", "dog")).labels == [1, 0]
    assert read(folder, rows, ("1", "0")).labels == [0, 1]  # the names of these classes are numbers
    assert refused(folder, "file,label\n0.png,1\n1.png,2\n", ("cat", "dog")).startswith(
        "3: has the label 2, which is no class index: the labels file names 2 classes, 0 to 1"
    )
    assert "`2`, which is not among the 2 labels" in refused(folder, "file,label\n0.png,1\n1.png,2\n", ("1", "0"))
    assert "`cow`, a name; numbers" in refused(folder, "file,label\n0.png,1\n1.png,cow\n", ("cat", "dog"))
    twice = ("crane", "dog", "crane")
    assert read(folder, "file,label\n0.png,dog\n", twice).labels == [1]
    assert "3: has the label `crane`, which two classes" in refused(
        folder, "file,label\n0.png,dog\n1.png,crane\n", twice
    )
