"""Both forms of a recipe, spelled out, and the hash of what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.errors import RecipeError
from edgekit.recipe import load_recipe

from .written import EVERYTHING, SHORTEST, write


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
