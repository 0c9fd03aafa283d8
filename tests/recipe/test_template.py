"""What `edgekit init` writes: YAML that loads once every ??? is filled in."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.devices import load_profiles
from edgekit.errors import RecipeError
from edgekit.recipe import load_recipe
from edgekit.recipe.template import render

PROFILES = load_profiles()


def test_each_open_value_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(render("net.py:build", ["coral"], profiles=PROFILES))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, profiles=PROFILES)
    lines = path.read_text().splitlines()
    told = caught.value.mistakes
    assert len(told) == sum("???" in line and not line.lstrip().startswith("#") for line in lines) == 5
    for mistake in told:
        assert lines[mistake.line - 1][mistake.column - 1 :].startswith("???")
        assert "not filled in" in mistake.message


def test_filled_in_it_is_a_recipe(tmp_path: Path) -> None:
    text = render("net.py:build", ["coral", "android-cpu"], profiles=PROFILES)
    for value in ("net.npz", "[1, 3, 224, 224]", "imagenet", "photos", "classification"):
        head, mark, tail = text.partition(": ???")
        assert mark
        text = f"{head}: {value}{tail}"
    path = tmp_path / "net.yaml"
    path.write_text(text)
    recipe = load_recipe(path, profiles=PROFILES)
    assert {name: entry.precision for name, entry in recipe.targets.items()} == {
        "coral": ["int8"],
        "android-cpu": ["fp16", "int8"],
    }
    assert recipe.model.inputs["input"].shape == [1, 3, 224, 224]
    assert [next(iter(word)) for word in recipe.preprocess] == ["resize", "crop", "scale", "normalize"]
    assert recipe.gates == {}


def test_what_could_be_read_is_filled_in(tmp_path: Path) -> None:
    inputs = {"pixel values": {"shape": [1, 224, 224, 3], "layout": "NHWC", "dtype": "float32"}, "1": {"shape": [1, 4]}}
    text = render(
        "my model.onnx",
        ["openvino-cpu"],
        inputs=inputs,
        data="a: b",
        preprocess="none",
        task="compare",
        profiles=PROFILES,
    )
    assert not [line for line in text.splitlines() if "???" in line and not line.startswith("#")]
    path = tmp_path / "net.yaml"
    path.write_text(text)
    recipe = load_recipe(path, profiles=PROFILES)
    assert recipe.model.file == str(tmp_path / "my model.onnx")
    assert recipe.model.inputs["pixel values"].layout == "NHWC"
    assert recipe.model.inputs["1"].shape == [1, 4]
    assert recipe.data is not None
    assert recipe.data.split is not None
    assert recipe.data.split.path == str(tmp_path / "a: b")


def test_a_dynamic_shape_is_for_the_user_to_say(tmp_path: Path) -> None:
    text = render("net.onnx", [], inputs={"x": {"shape": [None, 3, 224, 224]}})
    assert "      shape: ???\n" in text
    assert "targets:\n  - ???\n" in text


def test_the_gates_in_the_comment_are_the_defaults() -> None:
    from edgekit.checks.gates import DEFAULT_GATES

    (line,) = [line for line in render("a.onnx", []).splitlines() if line.startswith("# gates:")]
    assert line == "# gates: {max_drop: 1.0, min_agreement: 95%, min_sqnr_db: 10}"
    assert DEFAULT_GATES == {"max_drop": 1.0, "min_agreement": 0.95, "min_sqnr_db": 10.0}
