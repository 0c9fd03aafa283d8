"""Every kind of source, and what is wrong with damaged ones."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.datasets.open import open_source
from edgekit.datasets.pictures import decode
from edgekit.datasets.source import Source, read_labels_file
from edgekit.errors import AbsentError, InputError


def open_at(path: Path, tmp_path: Path, **options: object) -> Source:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return open_source(path, scratch=scratch, **options)  # type: ignore[arg-type]


def labels_of(source: Source) -> list:
    return [source.read(index)[1] for index in range(len(source))]


def test_a_folder_per_class_sorted_by_name(tmp_path: Path, draw) -> None:
    for place, name in enumerate(["zebra", "ant", "bee/deep"]):
        draw(tmp_path / "data" / name / "1.png", place)
        draw(tmp_path / "data" / name / "0.png", 10 + place)
    (tmp_path / "data" / "ant" / "notes.txt").write_text("not a picture")
    source = open_at(tmp_path / "data", tmp_path)
    assert source.classes == ("ant", "bee", "zebra")
    assert source.named
    assert labels_of(source) == [0, 0, 1, 1, 2, 2]
    assert list(source.ids) == [
        "ant/0.png", "ant/1.png", "bee/deep/0.png", "bee/deep/1.png", "zebra/0.png", "zebra/1.png",
    ]  # fmt: skip


def test_class_order_of_a_labels_file(tmp_path: Path, draw) -> None:
    draw(tmp_path / "data" / "ant" / "0.png", 0)
    draw(tmp_path / "data" / "zebra" / "0.png", 1)
    (tmp_path / "data" / "labels.txt").write_text("zebra\nyak\nant\n")
    source = open_at(tmp_path / "data", tmp_path)
    assert labels_of(source) == [2, 0]
    assert not source.named
    given = open_at(tmp_path / "data", tmp_path, classes=("ant", "zebra"))
    assert labels_of(given) == [0, 1]
    with pytest.raises(InputError, match=r"1 of the 2 class folders .* `zebra`") as caught:
        open_at(tmp_path / "data", tmp_path, classes=("ant", "yak"))
    assert caught.value.word == "classes_differ"


def test_a_flat_folder_has_no_labels(tmp_path: Path, draw) -> None:
    for name in ("b.JPG", "a.png", ".hidden.png"):
        draw(tmp_path / "data" / name, 1)
    source = open_at(tmp_path / "data", tmp_path)
    assert (list(source.ids), source.labelled, labels_of(source)) == (["a.png", "b.JPG"], False, [None, None])


def test_labels_csv_with_indices_or_names(tmp_path: Path, draw) -> None:
    for number in range(3):
        draw(tmp_path / "data" / f"{number}.png", number)
    listing = tmp_path / "data" / "labels.csv"
    listing.write_text("label,file\n7,2.png\n0,0.png\n")
    source = open_at(tmp_path / "data", tmp_path)
    assert (list(source.ids), labels_of(source), source.classes) == (["2.png", "0.png"], [7, 0], None)
    listing.write_text("file,label\n0.png,dog\n1.png,cat\n2.png,dog\n")
    source = open_at(tmp_path / "data", tmp_path)
    assert (labels_of(source), source.classes, source.named) == ([1, 0, 1], ("cat", "dog"), True)
    source = open_at(tmp_path / "data", tmp_path, classes=("dog", "cow", "cat"))
    assert (labels_of(source), source.named) == ([0, 2, 0], False)
    with pytest.raises(InputError, match=r"`cat`, which is not among the 2 labels") as caught:
        open_at(tmp_path / "data", tmp_path, classes=("dog", "cow"))
    assert caught.value.where == f"{listing}:3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,class\na.png,1\n", "not `file` and `label`"),
        ("file,label\n", "lists no pictures"),
        ("file,label\nmissing.png,1\n", "missing.png, which is not there"),
        ("file,label\n../../secret.png,1\n", "outside its folder"),
        ("file,label\n/etc/hostname,1\n", "outside its folder"),
        ("\udcff".encode("utf-8", "surrogateescape").decode("latin-1") + "\x00", "labels.csv"),
    ],
)
def test_labels_csv_that_is_wrong(tmp_path: Path, draw, text: str, message: str) -> None:
    draw(tmp_path / "data" / "a.png", 0)
    (tmp_path / "data" / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        open_at(tmp_path / "data", tmp_path)


def test_folders_that_hold_nothing_or_everything(tmp_path: Path, draw) -> None:
    with pytest.raises(InputError, match="there are no data") as caught:
        open_at(tmp_path / "missing", tmp_path)
    assert (caught.value.word, caught.value.exit_code) == ("missing_data", 2)
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(InputError, match="there are no pictures"):
        open_at(tmp_path / "empty", tmp_path)
    draw(tmp_path / "both" / "a.png", 0)
    draw(tmp_path / "both" / "cat" / "a.png", 1)
    with pytest.raises(InputError, match="holds both pictures"):
        open_at(tmp_path / "both", tmp_path)
    (tmp_path / "data.txt").write_text("x")
    with pytest.raises(InputError, match="no kind of data"):
        open_at(tmp_path / "data.txt", tmp_path)
    (tmp_path / "data.npz").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        open_at(tmp_path / "data.npz", tmp_path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_of_arrays(tmp_path: Path, save) -> None:
    x = np.arange(4 * 6).reshape(4, 2, 3).astype(np.float32)
    save(tmp_path / "d.npz", x=x, y=np.array([1, 0, 2, 1], np.uint8), classes=np.array(["a", "b", "c"]))
    source = open_at(tmp_path / "d.npz", tmp_path)
    assert (len(source), source.ids[3], source.classes) == (4, "d.npz[3]", ("a", "b", "c"))
    assert labels_of(source) == [1, 0, 2, 1]
    np.testing.assert_array_equal(source.read(2)[0], x[2])


def test_npz_of_jpegs(tmp_path: Path, draw) -> None:
    files = [draw(tmp_path / f"{number}.jpg", number).read_bytes() for number in range(3)]
    offsets = np.cumsum([0, *map(len, files)])
    packed = np.frombuffer(b"".join(files), np.uint8)
    np.savez(tmp_path / "d.npz", jpeg=packed, offsets=offsets, labels=[2, 0, 1], classes=["a", "b", "c"])
    source = open_at(tmp_path / "d.npz", tmp_path)
    assert [source.read(index) for index in range(3)] == list(zip(files, [2, 0, 1], strict=True))
    np.savez(tmp_path / "bad.npz", jpeg=packed, offsets=offsets + 1, labels=[2, 0, 1])
    with pytest.raises(InputError, match="do not divide"):
        open_at(tmp_path / "bad.npz", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jpeg": np.zeros(6)}, "is float64 with rows of"),
        ({"jpeg": np.zeros((6, 2), np.uint8)}, "is uint8 with rows of"),
        ({"offsets": np.array(["0", "6"])}, "do not divide its 6 bytes"),
        ({"offsets": np.array([0.0, 6.0])}, "do not divide its 6 bytes"),
        ({"offsets": np.array(3)}, "do not divide its 6 bytes"),
        ({"classes": np.array("abc")}, r"`classes` in .* has the shape \[\]"),
        ({"classes": np.array([["a"], ["b"]])}, r"`classes` in .* has the shape \[2, 1\]"),
        ({"labels": np.zeros(1, [("a", "i4"), ("b", "i4")])}, "a table with the columns a, b"),
    ],
)
def test_npz_members_that_are_something_else(tmp_path: Path, changes: dict, message: str) -> None:
    members = {"jpeg": np.zeros(6, np.uint8), "offsets": np.array([0, 6]), "labels": np.array([0])}
    np.savez(tmp_path / "d.npz", **{**members, **changes})
    with pytest.raises(InputError, match=message):
        open_at(tmp_path / "d.npz", tmp_path)


def test_npz_for_several_inputs(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", tokens=np.arange(6).reshape(3, 2), mask=np.ones((3, 2)))
    source = open_at(tmp_path / "d.npz", tmp_path, inputs=("tokens", "mask"))
    content, label = source.read(1)
    assert (sorted(content), content["tokens"].tolist(), label) == (["mask", "tokens"], [2, 3], None)
    with pytest.raises(InputError, match="but not `x`"):
        open_at(tmp_path / "d.npz", tmp_path, inputs=("tokens", "other"))


def test_npz_that_is_hostile_or_damaged(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    np.savez(path, x=np.array([print, None], dtype=object))
    with pytest.raises(InputError, match="pickled"):
        open_at(path, tmp_path)
    np.savez(path, x=np.zeros((3, 2)), y=np.zeros(2))
    with pytest.raises(InputError, match="different numbers of rows"):
        open_at(path, tmp_path)
    np.savez(path, x=np.random.default_rng(0).random((50, 50)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"not a readable .npz"):
        open_at(path, tmp_path)
    path.write_bytes(whole[:5000] + b"\0" * 100 + whole[5100:])
    with pytest.raises(InputError, match=r"not a readable .npz"):  # the archive's checksum
        open_at(path, tmp_path)
    path.write_text("no archive")
    with pytest.raises(InputError, match=r"not a readable .npz"):
        open_at(path, tmp_path)


def coco(tmp_path: Path, draw, **changes: object) -> Path:
    draw(tmp_path / "set" / "images" / "a.jpg", 0)
    draw(tmp_path / "set" / "b.jpg", 1)
    data: dict = {
        "images": [{"id": 9, "file_name": "b.jpg"}, {"id": 3, "file_name": "a.jpg"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"image_id": 9, "category_id": 18, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0},
            {"image_id": 9, "category_id": 1, "bbox": [0, 0, 2, 2]},
        ],
    }
    data.update(changes)
    path = tmp_path / "set" / "instances.json"
    path.write_text(json.dumps(data))
    return path


def test_coco(tmp_path: Path, draw) -> None:
    source = open_at(coco(tmp_path, draw), tmp_path)
    assert (list(source.ids), source.classes) == (["a.jpg", "b.jpg"], ("person", "dog"))
    none, boxes = labels_of(source)
    assert none == []
    assert boxes[0] == {"category": 1, "bbox": [1.0, 2.0, 3.0, 4.0], "area": 12.0, "iscrowd": 0}
    assert boxes[1]["category"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"image_id": 4, "category_id": 1, "bbox": [0, 0, 1, 1]}]}, "not a COCO"),
        ({"images": [{"id": 1, "file_name": "../../x.jpg"}], "annotations": []}, "outside its folder"),
        ({"images": [{"id": 1, "file_name": "gone.jpg"}], "annotations": []}, "neither beside it nor in images"),
        ({"images": [], "annotations": []}, "lists no pictures"),
        ({"images": [{"id": 1, "file_name": "a\0.jpg"}], "annotations": []}, "a byte of zero in its name"),
        ({"categories": 3}, "not a COCO"),
    ],
)
def test_coco_that_is_wrong(tmp_path: Path, draw, changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_at(coco(tmp_path, draw, **changes), tmp_path)


def test_real_coco(tmp_path: Path, shared_data) -> None:
    """COCO128 as its README counts it: 128 pictures, 929 boxes and 10 crowd regions, 80 categories."""
    import tarfile

    with tarfile.open(shared_data("detection/coco128.tar")) as tar:
        tar.extractall(tmp_path / "coco", filter="data")
    source = open_at(next((tmp_path / "coco").rglob("instances.json")), tmp_path)
    boxes = [box for label in labels_of(source) for box in label]
    assert (len(source), len(source.classes or ())) == (128, 80)
    assert [sum(box["iscrowd"] == crowd for box in boxes) for crowd in (0, 1)] == [929, 10]


FACTORY = """
import numpy as np
class Digits:
    classes = ["zero", "one"]
    def __init__(self, count): self.count = count
    def __len__(self): return self.count
    def __getitem__(self, index):
        if index == 4: raise KeyError("no digit 4")
        return np.full((2, 2, 3), index, np.uint8), np.int64(index % 2)
def digits(count=3):
    return Digits(count)
def wrong(): return 7
def bare(): return [np.zeros(3)]
def leave():
    raise SystemExit(3)
def late(): return [(np.zeros(3), None), (np.zeros(3), 1)]
def ragged(): return [([[1], [1, 2]], 1)]
class Named(list):
    pass
def counted():
    samples = Named([(np.zeros(3), 1)])
    samples.classes = 10
    return samples
def spelled():
    samples = Named([(np.zeros(3), 1)])
    samples.classes = "0123456789"
    return samples
"""


def test_a_python_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FACTORY)
    source = open_at(path, tmp_path, factory="digits", options={"count": 4})
    assert (len(source), source.ids[1], source.classes) == (4, "mine.py:digits[1]", ("zero", "one"))
    assert labels_of(source) == [0, 1, 0, 1]
    source = open_at(path, tmp_path, factory="digits", options={"count": 5})
    with pytest.raises(InputError, match="KeyError: 'no digit 4'") as caught:
        source.read(4)
    assert caught.value.where == f"{path}:8"


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        ("gone", {}, "has no function `gone`"),
        ("wrong", {}, "returned int, not a sequence"),
        ("bare", {}, r"not \(picture, label or None\)"),
        ("digits", {"count": 0}, "returned no samples"),
        ("digits", {"number": 3}, "TypeError.*number"),
        ("leave", {}, "SystemExit"),
        ("ragged", {}, r"ragged\[0\] is no array"),
        ("counted", {}, "`classes` of .* is 10, not a list"),
        ("spelled", {}, "`classes` of .* is '0123456789', not a list"),
    ],
)
def test_a_python_file_that_is_wrong(tmp_path: Path, factory: str, options: dict, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FACTORY)
    with pytest.raises(InputError, match=message):
        open_at(path, tmp_path, factory=factory, options=options)


def test_labels_that_begin_late_are_not_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FACTORY)
    source = open_at(path, tmp_path, factory="late")
    with pytest.raises(InputError, match=r"late\[1\] has a label, and the first sample has none"):
        source.read(1)


def test_a_python_file_that_does_not_load(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import numpy\nimport no_such_package\n")
    with pytest.raises(AbsentError, match="`no_such_package`, which is not installed") as caught:
        open_at(path, tmp_path, factory="digits")
    assert caught.value.where == f"{path}:2"


def encoded(mode: str, kind: str, size: tuple[int, int] = (6, 4), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 0).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("P", "GIF"), ("RGBA", "PNG"), ("1", "TIFF"), ("RGB", "BMP"), ("CMYK", "JPEG")]
)
def test_pictures_become_rgb(mode: str, kind: str) -> None:
    picture = decode(encoded(mode, kind), "name")
    assert (picture.shape, picture.dtype) == ((4, 6, 3), np.uint8)


def test_pictures_that_cannot_be_read() -> None:
    jpeg = encoded("RGB", "JPEG", (200, 200))
    for damaged, message in [
        (jpeg[: len(jpeg) // 2], "truncated"),
        (b"GARBAGE" * 10, "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (encoded("I;16", "PNG"), "more than 8 bits"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            decode(damaged, "folder/name.jpg")
        assert caught.value.word == "unreadable_image"
        assert "folder/name.jpg" in caught.value.message


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_that_unpacks_to_an_attack() -> None:
    bomb = encoded("1", "PNG", (12000, 10000))
    assert len(bomb) < 50_000
    with pytest.raises(InputError, match="12000x10000 pixels"):
        decode(bomb, "bomb.png")


def test_labels_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("cat\n\n dog \n")
    assert read_labels_file(path) == ("cat", "dog")
    path.write_text("cat\x0bx\r\ndo\u2028g\n")
    assert read_labels_file(path) == ("cat\x0bx", "do\u2028g")
    path.write_text("cat\0\ndog\n")
    with pytest.raises(InputError, match="a byte of zero"):
        read_labels_file(path)
    for text in ("", "\n\n"):
        path.write_text(text)
        with pytest.raises(InputError, match="is empty"):
            read_labels_file(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_labels_file(path)
