"""The recipe language: both forms, every rule, every mistake with its line and column."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.devices import load_profiles
from edgekit.errors import InputError, RecipeError
from edgekit.recipe import Recipe, load_mapping, load_recipe

PROFILES = load_profiles()

SHORTEST = """\
edgekit: 1
model: lite0.pt2
preprocess: {preset: efficientnet-lite, size: 224}
data: photos/
task: classification
targets: [coral, android-cpu, openvino-cpu]
"""

EVERYTHING = """\
edgekit: 1
name: lite0
vars: {root: ./imagenet}
model:
  file: ../samples/net.py:build
  options: {width: 1.0, classes: 1000}
  weights: {path: weights.safetensors, get: "pip install 'edgekit-ml[samples]'"}
  inputs: {image: {shape: [1, 3, 224, 224], layout: NCHW}}
  requires: [efficientnet-lite-pytorch]
preprocess:
  - resize: {short_side: 256, interpolation: bicubic}
  - crop: {center: 224}
  - normalize: {mean: 127.0, std: 128.0}
data:
  evaluate: {path: "${root}/val"}
  calibrate: {path: "${root}/calib", samples: 200, seed: 0}
task: {name: classification, labels: labels.txt, label_offset: 1}
gates: {max_drop: 1.0, min_agreement: 96%}
steps: [torch_to_onnx, {onnx_simplify: {gates: {min_sqnr_db: 80}}}]
targets:
  coral:           {options: {tflite_int8: {io: uint8, gates: {min_sqnr_db: 12}}}, gates: {max_drop: 2.0}}
  android-cpu:     {precision: [fp16, int8]}
  openvino-cpu:
  cheap-phone:     {target: android-cpu, precision: int8}
"""


def write(folder: Path, text: str, name: str = "lite0.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def mistakes(path: Path, *overrides: str) -> list[str]:
    """All mistakes of a recipe, `LINE:COLUMN: message` (or `--set PATH: message`)."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides, profiles=PROFILES)
    assert caught.value.exit_code == 2
    return [str(item).removeprefix(f"{path}:") for item in caught.value.mistakes]


def test_the_shortest_form(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, SHORTEST))
    assert recipe.name == "lite0"
    assert recipe.model.file == str(tmp_path / "lite0.pt2")
    assert recipe.data is not None
    assert recipe.data.split is not None
    assert recipe.data.split.path == str(tmp_path / "photos")
    assert recipe.task is not None
    assert recipe.task.name == "classification"
    assert list(recipe.targets) == ["coral", "android-cpu", "openvino-cpu"]
    assert recipe.preprocess == [
        {"resize": {"short_side": 256, "interpolation": "bicubic"}},
        {"crop": {"center": 224}},
        {"normalize": {"mean": 127.0, "std": 128.0}},
    ]


def test_the_full_form(tmp_path: Path) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    recipe = load_recipe(write(folder, EVERYTHING))
    assert recipe.model.file == f"{tmp_path}/samples/net.py:build"
    assert recipe.model.options == {"width": 1.0, "classes": 1000}
    assert recipe.model.weights is not None
    assert recipe.model.weights.path == f"{folder}/weights.safetensors"
    assert recipe.model.inputs["image"].shape == [1, 3, 224, 224]
    assert recipe.data is not None
    assert recipe.data.evaluate is not None
    assert recipe.data.calibrate is not None
    assert recipe.data.evaluate.path == f"{folder}/imagenet/val"
    assert (recipe.data.calibrate.path, recipe.data.calibrate.samples) == (f"{folder}/imagenet/calib", 200)
    assert recipe.task is not None
    assert (recipe.task.labels, recipe.task.options) == (f"{folder}/labels.txt", {"label_offset": 1})
    assert recipe.gates == {"max_drop": 1.0, "min_agreement": 0.96}
    assert [(use.step, use.gates) for use in recipe.steps] == [
        ("torch_to_onnx", {}),
        ("onnx_simplify", {"min_sqnr_db": 80.0}),
    ]
    coral = recipe.targets["coral"]
    assert coral.options["tflite_int8"].options == {"io": "uint8"}
    assert coral.options["tflite_int8"].gates == {"min_sqnr_db": 12.0}
    assert coral.gates == {"max_drop": 2.0}
    assert recipe.targets["openvino-cpu"].precision == []
    assert (recipe.targets["cheap-phone"].target, recipe.targets["cheap-phone"].precision) == ("android-cpu", ["int8"])


@pytest.mark.parametrize("text", [SHORTEST, EVERYTHING])
def test_spelled_out_it_says_the_same(tmp_path: Path, text: str) -> None:
    recipe = load_recipe(write(tmp_path, text))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = load_recipe(write(elsewhere, recipe.to_yaml(), "recipe.resolved.yaml"))
    assert again.model_dump(exclude={"vars"}) == recipe.model_dump(exclude={"vars"})
    assert again.sha256 == recipe.sha256
    assert again.to_yaml() == recipe.to_yaml()


def test_the_hash_is_of_what_is_said_not_of_how(tmp_path: Path) -> None:
    first = load_recipe(write(tmp_path, SHORTEST))
    other = SHORTEST.replace("data: photos/", "data: {path: ./photos}  # the same").replace("task: c", 'task:   "c', 1)
    assert load_recipe(write(tmp_path, other.replace("classification\n", 'classification"\n'))).sha256 == first.sha256
    assert load_recipe(write(tmp_path, SHORTEST.replace("size: 224", "size: 192"))).sha256 != first.sha256


IN_A_CHECKOUT = """\
edgekit: 1
name: digits
model:
  file: ../samples/digits.py:build
  weights: {path: ../samples/digits.safetensors, get: make weights}
data:
  evaluate: {path: ../../data/val}
  calibrate: {path: calib}
task: {name: classification, labels: labels.txt}
preprocess: [{scale: {divide: 255}}]
targets: [openvino-cpu]
"""


def test_the_hash_is_the_same_wherever_the_checkout_lies(tmp_path: Path) -> None:
    hashes = set()
    for place in ("a", "b/c/d", "work/main"):
        folder = tmp_path / place / "recipes"
        folder.mkdir(parents=True)
        hashes.add(load_recipe(write(folder, IN_A_CHECKOUT)).sha256)
        absolute = IN_A_CHECKOUT.replace("path: calib", f"path: {folder}/calib")
        hashes.add(load_recipe(write(folder, absolute)).sha256)
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("digits.py:build", "digits.py:build_wide"),
        ("../samples/digits.py", "../samples2/digits.py"),
        ("../samples/digits.py", "samples/digits.py"),
        ("../samples/digits.safetensors", "../samples/best/digits.safetensors"),
        ("../../data/val", "../data/val"),
        ("../../data/val", "/data/val"),
        ("path: calib", "path: calib2"),
        ("labels: labels.txt", "labels: ../labels.txt"),
        ("name: digits", "name: digits2"),
        ("divide: 255", "divide: 127.5"),
    ],
)
def test_every_change_of_what_is_said_changes_the_hash(tmp_path: Path, old: str, new: str) -> None:
    assert old in IN_A_CHECKOUT
    first = load_recipe(write(tmp_path, IN_A_CHECKOUT)).sha256
    assert load_recipe(write(tmp_path, IN_A_CHECKOUT.replace(old, new))).sha256 != first


def test_far_paths_are_what_they_are(tmp_path: Path) -> None:
    """Data outside the checkout stay the same data when the checkout moves, at whatever depth."""
    text = IN_A_CHECKOUT.replace("../../data/val", "/nowhere/imagenet/val")
    hashes = set()
    for place in ("a/b/recipes", "a/b/c/d/recipes"):
        (tmp_path / place).mkdir(parents=True)
        hashes.add(load_recipe(write(tmp_path / place, text)).sha256)
    assert len(hashes) == 1


def test_weights_of_a_package_are_said_by_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = IN_A_CHECKOUT.replace("{path: ../samples/digits.safetensors,", "{package: some_weights, path: a.npz,")
    hashes = set()
    for place in ("one", "two/three/four/five"):
        package = tmp_path / place / "some_weights"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(package.parent))
            recipe = load_recipe(write(tmp_path, text))
            assert recipe.model.weights is not None and recipe.model.weights.path == str(package / "a.npz")
            hashes.add(recipe.sha256)
    assert len(hashes) == 1


def test_base_is_where_relative_paths_start(tmp_path: Path) -> None:
    elsewhere = tmp_path / "out"
    elsewhere.mkdir()
    first = load_recipe(write(tmp_path, SHORTEST))
    moved = load_recipe(write(elsewhere, SHORTEST + "base: ..\n"))
    assert (moved.base, moved.model, moved.data) == (str(tmp_path), first.model, first.data)
    assert (moved.sha256, first.base) == (first.sha256, str(tmp_path))
    with pytest.raises(RecipeError, match="base"):
        load_recipe(write(tmp_path, SHORTEST + "base: [a]\n"))


# (what is replaced in EVERYTHING, by what, LINE:COLUMN (empty: where the § stands), how the message begins)
MISTAKES: list[tuple[str, str, str, str]] = [
    ("edgekit: 1\n", "", "1:1", "this lacks `edgekit`"),
    ("edgekit: 1", "edgekit: 2", "1:10", "`edgekit` cannot be 2; it is one of 1"),
    ("edgekit: 1", "edgekit: '1'", "1:10", "`edgekit` cannot be `1`"),
    ("name: lite0", "name: a/b", "2:7", "`name` names a folder"),
    ("name: lite0", "nmae: lite0", "2:1", "unknown key `nmae`; did you mean `name`?"),
    ("vars: {root: ./imagenet}", "vars: {rot: ./imagenet}", "15:20", "`vars` has no `root`; did you mean `rot`?"),
    ("{root: ./imagenet}", "{root: [a]}", "15:20", "the variable `root` is a list, not text"),
    ("{root: ./imagenet}", '{root: "${HOME}"}', "3:14", "a variable cannot be made of other variables"),
    ("model:\n", "model: 3\nmodell:\n", "4:8", "`model` must be a map, not 3"),
    ("model:\n", "modell:\n", "4:1", "unknown key `modell`; did you mean `model`?"),
    ("model:\n", "modell:\n", "1:1", "this lacks `model`"),
    ("net.py:build", "net.py", "5:9", "`file` is a Python file: say which of its functions"),
    ("net.py:build", "net.py:a-b", "5:9", "`a-b` is not the name of a Python function"),
    ("net.py:build", "net.onnx", "4:1", "`options` is for a model that a Python file builds"),
    ("options: {width", "optoins: {width", "6:3", "unknown key `optoins`; did you mean `options`?"),
    ("path: weights.safetensors", "file: weights.safetensors", "7:3", "`weights` lacks `path`"),
    ("path: weights.safetensors", "path: ''", "7:19", "`path` is empty"),
    ("path: weights.safetensors", "path: 3", "7:19", "`path` must be text, not 3"),
    ("{width: 1.0", "{width: §.nan", "", "an option must be finite, not nan"),
    ("{width: 1.0", "{width: [1, §-.inf]", "", "an option must be finite, not -inf"),
    ("shape: [1, 3", "shape: §[1, 0", "", "`shape` is a list of sizes of at least 1"),
    ("shape: [1, 3", "shape: [1, §a", "", "`shape` must be a whole number, not `a`"),
    ("{shape: [1, 3, 224, 224]", "§{shape: [1, 3, 224]", "", "`shape` has 3 axes and `layout` NCHW has 4"),
    ("layout: NCHW", "layout: NWHC", "8:53", "`layout` cannot be `NWHC`; it is one of NCHW, NHWC"),
    ("[efficientnet-lite-pytorch]", "[torch>=2]", "9:13", "`requires` lists distributions by name"),
    ("- crop:", "- corp:", "12:5", "no preprocessing word is called `corp`; did you mean `crop`?"),
    ("- crop: {center: 224}", "- crop", "12:5", "a preprocessing word is {WORD: {...}}"),
    ("{center: 224}", "224", "12:11", "`crop` takes a map of center, fraction"),
    ("evaluate: {path", "evalute: {path", "15:3", "unknown key `evalute`; did you mean `evaluate`?"),
    ('evaluate: {path: "${root}/val"}', 'evaluate: "${root}/val"', "15:13", "`evaluate` must be a map, not "),
    ("samples: 200", "samples: §0", "", "`samples` must be at least 1, not 0"),
    ("samples: 200", "samples: §many", "", "`samples` must be a whole number, not `many`"),
    ("seed: 0", "seed: §-1", "", "`seed` must be at least 0, not -1"),
    ("  evaluate:", "  path: x\n  evaluate:", "14:1", "`data` has either `path`, which is split, or"),
    ("  evaluate:", "  split: {path: x}\n  evaluate:", "15:3", "unknown key `split`"),
    ("  evaluate:", "  pth: x\n  evaluate:", "15:3", "unknown key `pth`; did you mean `path`?"),
    (
        "name: classification,",
        "name: clasification,",
        "17:14",
        "no task is called `clasification`; did you mean `classification`?",
    ),
    ("label_offset: 1", "label_ofset: 1", "17:50", "unknown key `label_ofset`; did you mean `label_offset`?"),
    ("label_offset: 1", "label_offset: -1", "17:64", "`label_offset` must be at least 0, not -1"),
    ("max_drop: 1.0, min", "max_dorp: 1.0, min", "18:9", "no gate is called `max_dorp`; did you mean `max_drop`?"),
    ("max_drop: 1.0, min", "max_drop: -1, min", "18:19", "the limit of `max_drop` is -1"),
    ("max_drop: 1.0, min", "max_drop: .inf, min", "18:19", "the limit of `max_drop`"),
    ("max_drop: 1.0, min", "max_drop: .nan, min", "18:19", "the limit of `max_drop`"),
    ("max_drop: 1.0, min", "max_drop: 1%, min", "18:19", "`max_drop` is in points of the metric: write 1, not 1%"),
    ("max_drop: 1.0, min", "max_drop: a lot, min", "18:19", "`max_drop` must be a number, not `a lot`"),
    ("96%", "96", "18:39", "`min_agreement` is a share: write 96% or 0.96, not 96"),
    ("96%", "196%", "18:39", "`min_agreement` is a share and cannot be more than 100%"),
    ("96%", "-0.5", "18:39", "`min_agreement` is a share and cannot be negative"),
    ("96%", "true", "18:39", "`min_agreement` is a share: write it as 97.5% or 0.975, not true"),
    ("{max_drop: 1.0, min_agreement: 96%}", "[max_drop]", "18:8", "`gates` is a map"),
    ("[torch_to_onnx,", "[torch_to_onxx,", "19:9", "no step is called `torch_to_onxx`; did you mean `torch_to_onnx`?"),
    ("[torch_to_onnx,", "[{torch_to_onnx: {opest: 17}},", "19:26", "unknown key `opest`; did you mean `opset`?"),
    ("[torch_to_onnx,", "[{torch_to_onnx: {opset: high}},", "19:33", "`opset` must be a whole number, not `high`"),
    ("[torch_to_onnx,", "[{torch_to_onnx: {}, b: {}},", "19:9", "a step is its name, or {name: {option: value}}"),
    ("[torch_to_onnx,", "[torch_to_onnx, torch_to_onnx,", "19:24", "`torch_to_onnx` stands in `steps` twice"),
    ("[torch_to_onnx,", "[torch_to_onnx, tflite_fp16,", "19:24", "`tflite_fp16` takes tflite, but `torch_to_onnx`"),
    ("{min_sqnr_db: 80}", "{§min_sqnr: 80}", "", "no gate is called `min_sqnr`; did you mean `min_sqnr_db`?"),
    ("  coral:  ", "  corall: ", "21:3", "no target is called `corall`; did you mean `coral`?"),
    (
        "target: android-cpu",
        "target: android-cpv",
        "24:29",
        "no target is called `android-cpv`; did you mean `android-cpu`?",
    ),
    ("  cheap-phone:", "  §cheap phone:", "", "an entry of `targets` names a folder; `cheap phone` cannot be one"),
    ("  cheap-phone:", "  §steps:", "", "an entry of `targets` names a folder; `steps` cannot be one"),
    (
        "{precision: [fp16, int8]}",
        "{precisoin: [fp16, int8]}",
        "22:21",
        "unknown key `precisoin`; did you mean `precision`?",
    ),
    ("{precision: [fp16, int8]}", "{precision: [fp16, fp16]}", "22:32", "`precision` names one twice"),
    ("{precision: [fp16, int8]}", "{precision: 8}", "22:32", "`precision` must be a list, not 8"),
    ("{precision: [fp16, int8]}", "fp16", "22:20", "`android-cpu` must be a map, not `fp16`"),
    ("{tflite_int8: {io", "{tflite_int9: {io", "21:31", "no step is called `tflite_int9`; did you mean `tflite_int8`?"),
    (
        "{tflite_int8: {io: uint8",
        "{tflite_int8: {io: uint9",
        "21:49",
        "`io` cannot be `uint9`; it is one of int8, uint8, float32; did you mean `uint8`?",
    ),
    (
        "{tflite_int8: {io: uint8",
        "{§onnx_int8: {activations: uint8",
        "",
        "no output of `coral` comes through `onnx_int8`",
    ),
    ("gates: {max_drop: 2.0}", "gates: {max_drop: §-2.0}", "", "the limit of `max_drop` is -2"),
    ("name: lite0\n", "name: lite0\nname: lite0\n", "3:1", "the key `name` stands here twice, first in line 2"),
    ("name: lite0", "name: ???", "2:7", "`name` is not filled in"),
    ("samples: 200", "samples: §'???'", "", "`data.calibrate.samples` is not filled in"),
    ("samples: 200", "samples: ???", "16:", "a value is not filled in"),
]


@pytest.mark.parametrize(
    ("old", "new", "where", "message"), MISTAKES, ids=[f"{row[3][:40]} {i}" for i, row in enumerate(MISTAKES)]
)
def test_mistakes_have_their_line_and_column(tmp_path: Path, old: str, new: str, where: str, message: str) -> None:
    assert EVERYTHING.count(old) == 1, "the test's own text"
    text = EVERYTHING.replace(old, new)
    if not where:
        before = text[: text.index("§")]
        where = f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}:"
    told = mistakes(write(tmp_path, text.replace("§", "")))
    assert any(line.startswith(where) and message in line for line in told), told


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = EVERYTHING
    for old, new in (
        ("bicubic", "cubic"),
        ("96%", "96"),
        ("uint8", "uint9"),
        ("coral: ", "corral:"),
        ("name: lite0", "nam: x"),
    ):
        text = text.replace(old, new)
    assert [line.split(": ")[0] for line in mistakes(write(tmp_path, text))] == [
        "2:1",
        "11:46",
        "18:39",
        "21:3",
        "21:49",
    ]


def test_a_value_that_is_not_filled_in_is_told_once(tmp_path: Path) -> None:
    text = "edgekit: 1\nmodel: ???\npreprocess:\n  preset: ???\ndata: ???\ntask: ???\ntargets:\n  - ???\n"
    told = mistakes(write(tmp_path, text))
    assert [line.split(": ")[0] for line in told] == ["2:8", "4:11", "5:7", "6:7", "8:5"]
    assert all("not filled in" in line for line in told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- a\n- b\n", "1:1: a recipe is a map; it begins with `edgekit: 1`"),
        ("just text", "1:1: a recipe is a map; it begins with `edgekit: 1`"),
        ("", "1:1: the file is empty"),
    ],
)
def test_what_is_no_map_at_all(tmp_path: Path, text: str, told: str) -> None:
    assert mistakes(write(tmp_path, text)) == [told]


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file at") as caught:
        load_recipe(tmp_path / "none.yaml")
    assert caught.value.word == "missing_file"


def _targets(tmp_path: Path, targets: str) -> Recipe:
    return load_recipe(write(tmp_path, f"edgekit: 1\nmodel: a.onnx\ntargets: {targets}\n"))


def test_a_preset_by_its_name(tmp_path: Path) -> None:
    text = "edgekit: 1\nmodel: a.onnx\npreprocess: yolo\n"
    path = write(tmp_path, text)
    assert load_recipe(path).preprocess == [{"preset": {"name": "yolo", "size": None}}]
    assert load_recipe(path, ["preprocess=none"]).preprocess == []
    assert any("did you mean `yolo`?" in line for line in mistakes(path, "preprocess=yol"))


def test_targets_as_a_list_with_settings(tmp_path: Path) -> None:
    recipe = _targets(tmp_path, "[coral, {android-cpu: {precision: int8}}]")
    assert list(recipe.targets) == ["coral", "android-cpu"]
    assert recipe.targets["android-cpu"].precision == ["int8"]


@pytest.mark.parametrize(
    ("targets", "told"),
    [
        ("[coral, coral]", "3:18: `coral` stands in `targets` twice"),
        ("[coral, 3]", "3:18: an item of `targets` is a name, or {NAME: {...}}"),
        ("coral", "3:10: `targets` must be a map, not `coral`"),
        ("[corral]", "3:11: no target is called `corral`; did you mean `coral`?"),
    ],
)
def test_targets_that_are_none(tmp_path: Path, targets: str, told: str) -> None:
    assert mistakes(write(tmp_path, f"edgekit: 1\nmodel: a.onnx\ntargets: {targets}\n")) == [told]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("96%", 0.96), ("0.96", 0.96), ("1", 1.0), ("0", 0.0), ("100%", 1.0), ("97.5 %", 0.975), ("'97.5%'", 0.975)],
)
def test_a_share_in_percent_or_as_a_fraction(tmp_path: Path, value: str, expected: float) -> None:
    recipe = load_recipe(write(tmp_path, f"edgekit: 1\nmodel: a.onnx\ngates: {{min_agreement: {value}}}\n"))
    assert recipe.gates["min_agreement"] == pytest.approx(expected)


def test_variables_keep_their_type_alone_and_become_text_within_one(tmp_path: Path) -> None:
    text = """\
edgekit: 1
vars: {width: 0.5, count: 50, deep: true}
model: {file: "net.py:build", options: {width: "${width}", tag: "w${width}-${deep}", deep: "${deep}"}}
data: {calibrate: {path: calib, samples: "${count}"}}
"""
    recipe = load_recipe(write(tmp_path, text))
    assert recipe.model.options == {"width": 0.5, "tag": "w0.5-true", "deep": True}
    assert recipe.data is not None
    assert recipe.data.calibrate is not None
    assert recipe.data.calibrate.samples == 50


def test_the_environment_is_never_read_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOS", "/photos")
    assert mistakes(write(tmp_path, 'edgekit: 1\nmodel: a.onnx\ndata: "${PHOTOS}"\n')) == [
        "3:7: `vars` has no `PHOTOS`; `vars` has none"
    ]


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, folder = tmp_path / "work", tmp_path / "recipes"
    work.mkdir()
    folder.mkdir()
    monkeypatch.chdir(work)
    text = (
        "edgekit: 1\nvars: {root: ../r}\nmodel: ../m/a.onnx\ndata: {path: data.py:read, options: {path: kept/as/is}}\n"
    )
    write(folder, text)
    recipe = load_recipe(Path("../recipes/lite0.yaml"))
    assert recipe.model.file == f"{tmp_path}/m/a.onnx"
    assert recipe.data is not None
    assert recipe.data.split is not None
    assert recipe.data.split.path == f"{folder}/data.py:read"
    assert recipe.data.split.options == {"path": "kept/as/is"}
    absolute = load_recipe(write(folder, "edgekit: 1\nmodel: /m/./a.onnx\n"))
    assert absolute.model.file == "/m/a.onnx"


def test_validation_runs_no_code_of_the_user(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "net.py").write_text(f"open({str(marker)!r}, 'w')\ndef build(): ...\n")
    load_recipe(write(tmp_path, "edgekit: 1\nmodel: net.py:build\ndata: net.py:build\ntargets: [coral]\n"))
    assert not marker.exists()


def test_origins_name_the_line(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, EVERYTHING), ["targets.android-cpu.options.tflite_int8.io=uint8"])
    at: dict[str, Any] = {name: ("targets", name, "options", "tflite_int8", "options", "io") for name in recipe.targets}
    assert recipe.origin(at["coral"]) == "lite0.yaml:21"
    assert recipe.origin(at["android-cpu"]) == "--set"
    assert recipe.origin(at["openvino-cpu"]) == "default"


def test_a_recipe_made_of_flags(tmp_path: Path) -> None:
    mapping = {"model": "a.onnx", "targets": ["coral"], "data": {"calibrate": {"path": Path("calib")}}}
    recipe = load_mapping(mapping, base=tmp_path, label="the command line", overrides=["data.calibrate.samples=5"])
    assert recipe.model.file == str(tmp_path / "a.onnx")
    assert recipe.data is not None
    assert recipe.data.calibrate is not None
    assert (recipe.data.calibrate.path, recipe.data.calibrate.samples) == (str(tmp_path / "calib"), 5)
    assert load_recipe(write(tmp_path, recipe.to_yaml())).sha256 == recipe.sha256
    with pytest.raises(RecipeError) as caught:
        load_mapping({"model": "a.onnx", "target": ["coral"]}, base=tmp_path, label="the command line")
    assert [str(item) for item in caught.value.mistakes] == [
        "the command line: unknown key `target`; did you mean `targets`?"
    ]


@pytest.mark.parametrize("stem", ["my net (v2)", "...", "größe"])
def test_the_default_name_is_made_of_the_files_stem(tmp_path: Path, stem: str) -> None:
    recipe = load_recipe(write(tmp_path, "edgekit: 1\nmodel: a.onnx\n", f"{stem}.yaml"))
    assert recipe.name == {"my net (v2)": "my-net-v2", "...": "recipe", "größe": "gr-e"}[stem] or recipe.name


def test_weights_inside_an_installed_package(tmp_path: Path) -> None:
    text = "edgekit: 1\nmodel: {file: 'net.py:build', weights: {package: NAME, path: data/w.npz}}\n"
    import numpy

    recipe = load_recipe(write(tmp_path, text.replace("NAME", "numpy")), profiles=PROFILES)
    assert recipe.model.weights is not None
    assert recipe.model.weights.path == str(Path(numpy.__file__).parent / "data" / "w.npz")
    absent = load_recipe(write(tmp_path, text.replace("NAME", "no_such_package")), profiles=PROFILES)
    assert absent.model.weights is not None
    assert absent.model.weights.path.endswith("no_such_package/data/w.npz")
    assert mistakes(write(tmp_path, text.replace("NAME", "a-b"))) == ["2:50: `package` cannot be `a-b`"]


_SPANS = [match.span() for match in re.finditer(r"[^\s:,]+", EVERYTHING)]
_TOKENS = [
    "null",
    "[]",
    "{}",
    "-1",
    "true",
    "'???'",
    '"${root}"',
    '"${x}"',
    "a",
    "[a]",
    "{a: b}",
    "&x 1",
    ".nan",
    "1e400",
    "[[[]]]",
]
_CHANGE = st.tuples(st.sampled_from(_SPANS), st.sampled_from(_TOKENS))
_OVERRIDE = st.sampled_from(
    ["steps.0=null", "data=null", "model=3", "vars=[1]", "targets.coral=null", "task.name={a: b}", "preprocess=3"]
)


@given(st.lists(_CHANGE, min_size=1, max_size=3), st.lists(_OVERRIDE, max_size=1))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_written_ends_in_a_recipe_or_in_mistakes(
    tmp_path: Path, changes: list[tuple[tuple[int, int], str]], overrides: list[str]
) -> None:
    text = EVERYTHING
    for (begin, end), token in sorted(changes, reverse=True):
        text = text[:begin] + token + text[end:]
    try:
        recipe = load_recipe(write(tmp_path, text), overrides, profiles=PROFILES)
    except RecipeError as error:
        assert error.mistakes
        assert all(item.message and (item.line >= 1 or item.file.startswith("--set ")) for item in error.mistakes)
    else:
        assert load_recipe(write(tmp_path, recipe.to_yaml()), profiles=PROFILES).sha256 == recipe.sha256
