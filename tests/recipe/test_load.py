"""Values, variables, paths and names of a recipe that is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import RecipeError
from edgekit.recipe import Recipe, load_mapping, load_recipe, load_words

from .written import EVERYTHING, PROFILES, mistakes, write


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


def test_a_role_may_be_a_bare_path(tmp_path: Path) -> None:
    """The same recipe, so the same hash; from a variable, a Python file and the command line too."""
    full = load_recipe(write(tmp_path, EVERYTHING), profiles=PROFILES)
    short = EVERYTHING.replace('evaluate: {path: "${root}/val"}', "evaluate: ${root}/val")
    assert short != EVERYTHING
    recipe = load_recipe(write(tmp_path, short), profiles=PROFILES)
    assert recipe.data == full.data
    assert recipe.sha256 == full.sha256
    assert load_recipe(write(tmp_path, recipe.to_yaml()), profiles=PROFILES).sha256 == full.sha256
    text = "edgekit: 1\nmodel: a.onnx\ndata: {evaluate: ../d/u8.npz, calibrate: read.py:make}\n"
    data = load_recipe(write(tmp_path, text), profiles=PROFILES).data
    assert data is not None
    assert data.evaluate is not None
    assert data.calibrate is not None
    assert (data.evaluate.path, data.calibrate.path) == (f"{tmp_path.parent}/d/u8.npz", f"{tmp_path}/read.py:make")
    changed = load_recipe(write(tmp_path, text), ["data.evaluate=/srv/val"], profiles=PROFILES).data
    assert changed is not None
    assert changed.evaluate is not None
    assert changed.evaluate.path == "/srv/val"
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text), ["data.evaluate.samples=3"], profiles=PROFILES)
    assert "`data.evaluate` is a plain value in the recipe" in str(caught.value.mistakes[0])
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text.replace("../d/u8.npz", "read.py")), profiles=PROFILES)
    assert "3:18: `path` is a Python file: say which of its functions" in str(caught.value.mistakes[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "- scal: {divide: 255}\n- normalize: {mean: x}\n",
            ["1:3: no preprocessing word is called `scal`; did you mean `scale`?", "2:21: `mean` must be a number or"],
        ),
        ("- scale: {divide: 255}\n- resize: {size: 3}\n", ["2:3: `resize` works on pixels and must come before"]),
        ("preset: imagenetz\n", ["1:9: `preset` cannot be `imagenetz`"]),
        ('- scale:\n    divide: "${x}"\n', ["2:13: `vars` has no `x`"]),
        ("- scale:\n    divide: ???\n", ["2:13: `preprocess.0.scale.divide` is not filled in"]),
        ("- scale: {divide: 1, divide: 2}\n", ["1:22: the key `divide` stands here twice"]),
        ("edgekit: 1\npreprocess: []\n", ["2:1: this file holds what stands under `preprocess`, without that key"]),
        ("3\n", ["1:1: `preprocess` is a preset"]),
    ],
)
def test_mistakes_in_a_file_of_words(tmp_path: Path, text: str, said: list[str]) -> None:
    path = write(tmp_path, text, "words.yaml")
    with pytest.raises(RecipeError) as caught:
        load_words(path)
    found = [str(item).removeprefix(f"{path}:") for item in caught.value.mistakes]
    assert len(found) == len(said)
    assert all(item.startswith(start) for item, start in zip(found, said, strict=True)), found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- crop: {fraction: 87.5%}\n", [{"crop": {"fraction": "87.5%"}}]),
        ("preset: yolo\nsize: 320\n", {"preset": "yolo", "size": 320}),
        ("imagenet\n", "imagenet"),
        ("[]\n", []),
    ],
)
def test_a_file_of_words_is_read_as_it_is_written(tmp_path: Path, text: str, words: Any) -> None:
    assert load_words(write(tmp_path, text, "words.yaml")) == words


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
