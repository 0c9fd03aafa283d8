"""Preparing the samples of a run, and reading them back."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.artifact import Tensor
from edgekit.datasets.prepare import prepare
from edgekit.datasets.stored import open_samples
from edgekit.errors import InputError
from edgekit.graph import Quantization
from edgekit.plan import Data, DataSource, TaskUse

NORMALIZE = {"normalize": {"mean": 127.0, "std": 128.0}}


@pytest.fixture
def classes(tmp_path: Path, draw) -> Path:
    for name in ("cat", "dog"):
        for number in range(6):
            draw(tmp_path / "data" / name / f"{number}.png", hash_of(name, number))
    return tmp_path / "data"


def hash_of(name: str, number: int) -> int:
    return sum(name.encode()) * 100 + number


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def test_samples_come_back_in_the_models_layout(tmp_path: Path, classes: Path, picture_input) -> None:
    data = Data(preprocess=(NORMALIZE,), evaluate=DataSource(classes))
    info = prepare(data, picture_input, TaskUse("classification"), tmp_path / "out", roles=("evaluate",), threads=2)
    role = info["evaluate"]
    assert (role["samples"], role["labelled"], role["classes"]) == (12, True, 2)
    assert role["input_range"] == (-127 / 128, 1.0)
    samples = open_samples(tmp_path / "out", "evaluate")
    assert (len(samples), samples.classes, samples.ids[7]) == (12, ("cat", "dog"), "dog/1.png")
    assert samples.labels.tolist() == [0] * 6 + [1] * 6
    expected = ((pixels(classes / "dog" / "1.png").astype(np.float32) - 127) / 128).transpose(2, 0, 1)[None]
    assert samples[7]["image"].dtype == np.float32
    np.testing.assert_array_equal(samples[7]["image"], expected)
    assert [sample["image"].shape for sample in samples] == [(1, 3, 24, 20)] * 12
    assert np.load(tmp_path / "out" / "evaluate" / "input_0.npy", mmap_mode="r").dtype == np.uint8
    assert not (tmp_path / "out.partial").exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["evaluate"]


def test_layout_nhwc_and_one_channel(tmp_path: Path, classes: Path) -> None:
    inputs = (Tensor("x", "x", (1, 24, 20, 1), "float32", layout="NHWC"),)
    data = Data(preprocess=({"color": {"order": "gray"}}, {"scale": {"divide": 255.0}}), evaluate=DataSource(classes))
    prepare(data, inputs, None, tmp_path / "out", roles=("evaluate",))
    sample = open_samples(tmp_path / "out", "evaluate")[0]["x"]
    gray = np.asarray(Image.open(classes / "cat" / "0.png").convert("L"), np.float32) / np.float32(255)
    np.testing.assert_array_equal(sample, gray[None, :, :, None])


def test_a_quantized_or_integer_source_gets_what_it_takes(tmp_path: Path, classes: Path) -> None:
    quantized = Tensor("x", "x", (1, 24, 20, 3), "uint8", quantization=Quantization((1.0,), (0,)), layout="NHWC")
    plain = Tensor("x", "x", (1, 24, 20, 3), "uint8", layout="NHWC")
    for tensor, dtype in ((quantized, np.float32), (plain, np.uint8)):
        out = tmp_path / str(dtype)
        prepare(Data(evaluate=DataSource(classes)), (tensor,), None, out, roles=("evaluate",))
        sample = open_samples(out, "evaluate")[0]["x"]
        assert sample.dtype == dtype
        np.testing.assert_array_equal(sample[0], pixels(classes / "cat" / "0.png"))


def test_every_picture_of_a_split_is_looked_at(tmp_path: Path, classes: Path, picture_input) -> None:
    """Also those of the part that the run does not read."""
    out = tmp_path / "out"
    prepare(Data(split=DataSource(classes)), picture_input, None, out, roles=("evaluate",))
    used = set(open_samples(out, "evaluate").ids)
    for path in sorted(classes.rglob("*.png")):
        whole = path.read_bytes()
        path.write_bytes(b"\x89PNG\r\n\x1a\n no picture")
        with pytest.raises(InputError, match=f"{path.name} cannot be read"):
            prepare(Data(split=DataSource(classes)), picture_input, None, tmp_path / "again", roles=("evaluate",))
        path.write_bytes(whole)
    assert len(used) == 8


def test_a_split_divides_one_source(tmp_path: Path, classes: Path, picture_input) -> None:
    info = prepare(Data(split=DataSource(classes)), picture_input, None, tmp_path / "out")
    assert (info["calibrate"]["samples"], info["evaluate"]["samples"]) == (4, 8)
    assert not info["calibrate"]["labelled"]
    assert "divided by content" in info["evaluate"]["note"]
    ids = [open_samples(tmp_path / "out", role).ids for role in ("calibrate", "evaluate")]
    assert not set(ids[0]) & set(ids[1])
    assert open_samples(tmp_path / "out", "calibrate").labels is None


def test_the_hash_covers_contents_labels_and_preprocessing(tmp_path: Path, classes: Path, picture_input) -> None:
    def sha256(data: Data) -> str:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        return str(prepare(data, picture_input, None, tmp_path / "out", roles=("evaluate",))["evaluate"]["sha256"])

    data = Data(preprocess=(NORMALIZE,), evaluate=DataSource(classes))
    first = sha256(data)
    (classes / "cat" / "0.png").rename(classes / "cat" / "00.png")
    assert sha256(data) == first
    assert sha256(Data(preprocess=({"scale": {"divide": 2.0}},), evaluate=DataSource(classes))) != first
    (classes / "dog").rename(classes / "ant")
    assert sha256(data) != first


def test_calibration_samples_are_picked_with_the_seed(tmp_path: Path, classes: Path, picture_input) -> None:
    def ids(seed: int) -> list[str]:
        out = tmp_path / str(seed)
        data = Data(calibrate=DataSource(classes, samples=5, seed=seed))
        prepare(data, picture_input, None, out, roles=("calibrate",))
        return open_samples(out, "calibrate").ids

    assert len(ids(0)) == 5
    assert ids(1) != ids(2)


def test_roles_that_share_a_sample(tmp_path: Path, classes: Path, picture_input) -> None:
    """The same pixels in another file format are still the same sample."""
    other = tmp_path / "other"
    other.mkdir()
    Image.open(classes / "dog" / "3.png").save(other / "innocent.bmp")
    data = Data(evaluate=DataSource(classes), calibrate=DataSource(other))
    with pytest.raises(InputError, match=r"innocent.bmp \(calibrate\) is dog/3.png \(evaluate\)"):
        prepare(data, picture_input, None, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "other"]


def test_an_unreadable_picture_leaves_nothing_behind(tmp_path: Path, classes: Path, picture_input) -> None:
    whole = (classes / "dog" / "4.png").read_bytes()
    (classes / "dog" / "4.png").write_bytes(whole[:700])
    with pytest.raises(InputError, match=r"dog/4.png cannot be read"):
        prepare(Data(evaluate=DataSource(classes)), picture_input, None, tmp_path / "out", roles=("evaluate",))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_shape_that_the_model_does_not_take(tmp_path: Path, classes: Path) -> None:
    def error(shape: tuple[int, ...], words: tuple = ()) -> InputError:
        inputs = (Tensor("image", "image", shape, "float32", layout="NCHW"),)
        with pytest.raises(InputError) as caught:
            data = Data(preprocess=words, evaluate=DataSource(classes))
            prepare(data, inputs, None, tmp_path / "out", roles=("evaluate",))
        return caught.value

    found = error((1, 3, 32, 30), ({"crop": {"center": 20}},))
    assert "[3, 20, 20]" in found.message
    assert "[3, 32, 30]" in found.message
    assert found.remedy is not None
    assert "32x30 pixels" in found.remedy
    assert "gray" in (error((1, 1, 24, 20)).remedy or "")


def test_pictures_of_different_sizes_for_a_model_of_any_size(tmp_path: Path, draw) -> None:
    draw(tmp_path / "data" / "a.png", 0)
    draw(tmp_path / "data" / "b.png", 1, size=(22, 24))
    inputs = (Tensor("image", "image", (1, 3, None, None), "float32", layout="NCHW"),)
    with pytest.raises(InputError, match=r"b.png is prepared to another shape"):
        prepare(Data(evaluate=DataSource(tmp_path / "data")), inputs, None, tmp_path / "out", roles=("evaluate",))


def write_npz(folder: Path, **arrays: object) -> Data:
    np.savez(folder / "d.npz", **arrays)  # type: ignore[arg-type]
    return Data(evaluate=DataSource(folder / "d.npz"))


def test_arrays_pass_as_they_are(tmp_path: Path) -> None:
    audio = np.random.default_rng(0).normal(size=(3, 1, 50))
    inputs = (Tensor("audio", "audio", (1, 1, 50), "float32"),)
    data = write_npz(tmp_path, x=audio, y=np.array([[0], [2], [1]]))
    prepare(data, inputs, None, tmp_path / "out", roles=("evaluate",))
    samples = open_samples(tmp_path / "out", "evaluate")
    np.testing.assert_array_equal(samples[2]["audio"], audio[2][None].astype(np.float32))
    assert samples.labels.tolist() == [0, 2, 1]


def test_tokens_keep_their_integers(tmp_path: Path) -> None:
    inputs = (
        Tensor("tokens", "tokens", (1, 4), "int64"),
        Tensor("mask", "mask", (1, 4), "float32"),
    )
    data = write_npz(tmp_path, tokens=np.arange(8, dtype=np.int32).reshape(2, 4), mask=np.ones((2, 4), np.uint8))
    prepare(data, inputs, None, tmp_path / "out", roles=("evaluate",))
    sample = open_samples(tmp_path / "out", "evaluate")[1]
    assert (sample["tokens"].dtype, sample["tokens"].tolist()) == (np.int64, [[4, 5, 6, 7]])
    assert sample["mask"].dtype == np.float32


@pytest.mark.parametrize(
    ("arrays", "words", "message"),
    [
        ({"x": np.array([[1.0, np.nan]])}, (), "NaN or infinity"),
        ({"x": np.array([[1.0, np.inf]])}, (), "NaN or infinity"),
        ({"x": np.zeros((2, 3))}, (), r"\[3\] once read, but the model's `v` is \[2\]"),
        ({"x": np.zeros((2, 2))}, ({"resize": {"size": 3}},), "`resize` works on 8-bit pictures"),
        ({"x": np.array([["a", "b"]])}, (), "not numbers"),
        ({"x": np.zeros((3, 2)), "y": np.eye(3)}, (), "one-hot"),
        ({"x": np.zeros((3, 2)), "y": np.array([0, 1, -1])}, (), "is -1"),
        (
            {"x": np.zeros((3, 2)), "y": np.array([0, 1, 2]), "classes": np.array(["a", "b"])},
            (),
            "is 2, but the classes",
        ),
        ({"x": np.zeros((3, 2)), "y": np.array([0.5, 1, 2])}, (), "neither a class index"),
    ],
)
def test_arrays_that_are_wrong(tmp_path: Path, arrays: dict, words: tuple, message: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    data = Data(preprocess=words, evaluate=DataSource(tmp_path / "d.npz"))
    with pytest.raises(InputError, match=message):
        prepare(data, (Tensor("v", "v", (1, 2), "float32"),), None, tmp_path / "out", roles=("evaluate",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.npz"]


X3 = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("y", "message", "remedy"),
    [
        (np.array([0, -1, 1]), r"d.npz\[1\] is -1, and class indices count from 0", "leave out samples without"),
        (np.array(["0", "1", "2"]), r"d.npz\[0\] is the text `0`, and nothing gives", "as integers"),
        (np.array(["a", "b", "c"]), r"d.npz\[0\] is the text `a`, and nothing gives", "`classes` in an .npz"),
        (np.array([b"a", b"b", b"c"]), "is the text `a`, and nothing gives", "`classes` in an .npz"),
        (np.array([0, 1, 2**63], np.uint64), r"d.npz\[2\] is 9223372036854775808, which is no", "whole numbers from 0"),
        (np.array([0, 1, 1e300]), r"d.npz\[2\] is 1e\+300, which is no class index", "whole numbers from 0"),
        (np.array([0, -np.inf, 1]), r"d.npz\[1\] is -inf, which is no class index", "whole numbers from 0"),
        (np.array([0, np.nan, 1]), r"d.npz\[1\] is nan, neither", "whole numbers from 0"),
        (
            np.array([[0, 1], [2**32, 0], [1, 1]])[:, None],
            r"d.npz\[1\] is a map that holds 4294967296",
            "whole numbers",
        ),
    ],
)
def test_labels_that_are_none(tmp_path: Path, y: np.ndarray, message: str, remedy: str) -> None:
    data = write_npz(tmp_path, x=X3, y=y)
    with pytest.raises(InputError, match=message) as caught:
        prepare(data, (Tensor("v", "v", (1, 2), "float32"),), None, tmp_path / "out", roles=("evaluate",))
    assert remedy in (caught.value.remedy or "")


def test_a_whole_number_of_any_size_from_a_python_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def make():\n    return [([0.0, 1.0], 0), ([2.0, 3.0], 2**70)]\n")
    data = Data(evaluate=DataSource(tmp_path / "mine.py", factory="make"))
    with pytest.raises(InputError, match=r"make\[1\] is 1\.18\d*e\+21, which is no class index"):
        prepare(data, (Tensor("v", "v", (1, 2), "float32"),), None, tmp_path / "out", roles=("evaluate",))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("3, []", r"make\[1\] is a list of boxes, and those before it are none"),
        ("[{'category': 1}], 3", r"make\[1\] is no list of boxes, as those before"),
        ("[], [{'category': object()}]", r"make\[1\] holds what cannot be stored: .* object"),
        ("3, None", r"make\[1\] is missing"),
        ("3, np.zeros((2, 2))", r"make\[1\] is not like the others"),
    ],
)
def test_labels_of_several_kinds(tmp_path: Path, labels: str, message: str) -> None:
    code = "import numpy as np\ndef make():\n    first, second = " + labels
    (tmp_path / "mine.py").write_text(code + "\n    return [([0.0, 1.0], first), ([2.0, 3.0], second)]\n")
    data = Data(evaluate=DataSource(tmp_path / "mine.py", factory="make"))
    with pytest.raises(InputError, match=message):
        prepare(data, (Tensor("v", "v", (1, 2), "float32"),), None, tmp_path / "out", roles=("evaluate",))


def test_planes_for_a_word_that_takes_pictures(tmp_path: Path) -> None:
    data = write_npz(tmp_path, x=np.zeros((2, 3, 8, 8), np.uint8))
    words = Data(preprocess=({"resize": {"size": 4}},), evaluate=data.evaluate)
    inputs = (Tensor("image", "image", (1, 3, 4, 4), "float32", layout="NCHW"),)
    with pytest.raises(InputError, match=r"height x width x 1 or 3 channels, but the sample .* is uint8") as caught:
        prepare(words, inputs, None, tmp_path / "out", roles=("evaluate",))
    assert "x.transpose(0, 2, 3, 1)" in (caught.value.remedy or "")


def test_a_name_that_two_classes_have(tmp_path: Path) -> None:
    data = write_npz(
        tmp_path, x=X3, y=np.array(["dog", "crane", "dog"]), classes=np.array([b"crane", b"dog", b"crane"])
    )
    with pytest.raises(InputError, match="is `crane`, as two classes are called"):
        prepare(data, (Tensor("v", "v", (1, 2), "float32"),), None, tmp_path / "out", roles=("evaluate",))


def test_label_maps_and_boxes_come_back(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).integers(0, 5, (3, 6, 7))
    data = write_npz(tmp_path, x=np.zeros((3, 2)), y=maps)
    prepare(data, (Tensor("v", "v", (1, 2), "float32"),), None, tmp_path / "out", roles=("evaluate",))
    labels = open_samples(tmp_path / "out", "evaluate").labels
    np.testing.assert_array_equal(labels[2], maps[2])
    code = "def make():\n    return [([0.0, 1.0], [{'category': 1}]), ([2.0, 3.0], [])]\n"
    (tmp_path / "mine.py").write_text(code)
    data = Data(evaluate=DataSource(tmp_path / "mine.py", factory="make"))
    prepare(data, (Tensor("v", "v", (1, 2), "float32"),), None, tmp_path / "boxes", roles=("evaluate",))
    assert open_samples(tmp_path / "boxes", "evaluate").labels == [[{"category": 1}], []]


def test_progress_counts_all_roles(tmp_path: Path, classes: Path, picture_input) -> None:
    seen: list[tuple[int, int]] = []
    prepare(
        Data(split=DataSource(classes)),
        picture_input,
        None,
        tmp_path / "out",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(number, 12) for number in range(1, 13)]


def test_a_full_disk_is_a_step_error(tmp_path: Path, picture_input, draw) -> None:
    """A real limit on the size of files, in a child process."""
    import subprocess
    import sys

    for number in range(8):
        draw(tmp_path / "data" / f"{number}.png", number, size=(200, 240))
    code = f"""
import resource
from pathlib import Path
from edgekit.artifact import Tensor
from edgekit.datasets.prepare import prepare
from edgekit.errors import StepError
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
inputs = (Tensor("image", "image", (1, 3, 240, 200), "float32", layout="NCHW"),)
data = {{"evaluate": {{"path": {str(tmp_path / "data")!r}}}}}
try:
    prepare(data, inputs, None, Path({str(tmp_path / "out")!r}), roles=["evaluate"])
except StepError as error:
    print(error.word, error.exit_code, error.message)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("disk_full 5"), done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_prepared_samples_that_are_not_whole(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no prepared samples"):
        open_samples(tmp_path, "evaluate")


def test_memory_does_not_grow_with_the_number_of_samples(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        np.savez_compressed(tmp_path / "d.npz", x=np.zeros((count, 3, 100, 100), np.float32), y=np.zeros(count, int))
        tracemalloc.start()
        try:
            data = Data(evaluate=DataSource(tmp_path / "d.npz"))
            inputs = (Tensor("v", "v", (1, 3, 100, 100), "float32"),)
            prepare(data, inputs, None, tmp_path / str(count), roles=["evaluate"], threads=2)
            for _ in open_samples(tmp_path / str(count), "evaluate"):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    # 380 samples more are 46 MB; what may grow is a hash and a name for each.
    assert peak(400) - peak(20) < 1_000_000
