"""`--set PATH=VALUE`: dotted paths, list items by number or name, null, quoted keys, places and paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.devices import load_profiles
from edgekit.documents import read_text
from edgekit.errors import InputError, Mistake, RecipeError
from edgekit.recipe import load_recipe
from edgekit.recipe.overrides import apply_override, split_override

PROFILES = load_profiles()

RECIPE = """\
edgekit: 1
model: {file: net.py:build, options: {width: 1, "a.b": 2}}
preprocess:
  - resize: {short_side: 256}
  - crop: {center: 224}
data: {calibrate: {path: calib}}
steps: [torch_to_onnx, {onnx_simplify: {}}]
targets: [coral, android-cpu]
gates: {max_drop: 1.0}
"""


def changed(*overrides: str, text: str = RECIPE) -> Any:
    """The written recipe as plain data after the changes."""
    tree, _ = read_text(text, "r.yaml")
    mistakes: list[Mistake] = []
    for override in overrides:
        apply_override(tree, override, mistakes)
    assert mistakes == []
    return tree.plain()


def refused(override: str, text: str = RECIPE) -> str:
    tree, _ = read_text(text, "r.yaml")
    mistakes: list[Mistake] = []
    apply_override(tree, override, mistakes)
    (mistake,) = mistakes
    return str(mistake)


@pytest.mark.parametrize(
    ("override", "section", "expected"),
    [
        ("gates.max_drop=2.5", "gates", {"max_drop": 2.5}),
        ("gates.min_agreement=96%", "gates", {"max_drop": 1.0, "min_agreement": "96%"}),
        ("gates={min_sqnr_db: 20}", "gates", {"min_sqnr_db": 20}),
        ("gates=null", "gates", None),
        ("gates.max_drop=null", "gates", {}),
        ("task.name=classification", "task", {"name": "classification"}),
        ("data.evaluate.path=val", "data", {"calibrate": {"path": "calib"}, "evaluate": {"path": "val"}}),
        ("model.options.width=off", "model", {"file": "net.py:build", "options": {"width": "off", "a.b": 2}}),
        ('model.options."a.b"=3', "model", {"file": "net.py:build", "options": {"width": 1, "a.b": 3}}),
        ("model.options.'a.b'=null", "model", {"file": "net.py:build", "options": {"width": 1}}),
        ('model.options."x=y"=1', "model", {"file": "net.py:build", "options": {"width": 1, "a.b": 2, "x=y": 1}}),
        ("steps.torch_to_onnx.opset=17", "steps", [{"torch_to_onnx": {"opset": 17}}, {"onnx_simplify": {}}]),
        (
            "steps.onnx_simplify.gates.min_sqnr_db=70",
            "steps",
            ["torch_to_onnx", {"onnx_simplify": {"gates": {"min_sqnr_db": 70}}}],
        ),
        ("steps.0=onnx_simplify", "steps", ["onnx_simplify", {"onnx_simplify": {}}]),
        ("steps.1=null", "steps", ["torch_to_onnx"]),
        ("steps.onnx_simplify=null", "steps", ["torch_to_onnx"]),
        ("steps.torch_to_onnx={opset: 18}", "steps", [{"torch_to_onnx": {"opset": 18}}, {"onnx_simplify": {}}]),
        ("steps=[a, b]", "steps", ["a", "b"]),
        (
            "preprocess.resize.interpolation=bicubic",
            "preprocess",
            [{"resize": {"short_side": 256, "interpolation": "bicubic"}}, {"crop": {"center": 224}}],
        ),
        ("preprocess.1.crop.center=192", "preprocess", [{"resize": {"short_side": 256}}, {"crop": {"center": 192}}]),
        ("targets.coral.gates.max_drop=2", "targets", [{"coral": {"gates": {"max_drop": 2}}}, "android-cpu"]),
        (
            "targets.android-cpu.precision=[fp16, int8]",
            "targets",
            ["coral", {"android-cpu": {"precision": ["fp16", "int8"]}}],
        ),
        ("name=a=b", "name", "a=b"),
        ("name='null'", "name", "null"),
    ],
)
def test_changes(override: str, section: str, expected: Any) -> None:
    assert changed(override).get(section) == expected


def test_later_ones_see_what_earlier_ones_did() -> None:
    assert changed("data=null", "data.evaluate.path=a", "data.evaluate.path=b")["data"] == {"evaluate": {"path": "b"}}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("gates.max_dorp=null", "--set gates.max_dorp: there is no `max_dorp` to remove; did you mean `max_drop`?"),
        (
            "gatse.max_drop=null",
            "--set gatse.max_drop: there is no `gatse` to remove anything from; did you mean `gates`?",
        ),
        ("steps.2=a", "--set steps.2: the list has 2 items, counted from 0, and no item 2"),
        (
            "steps.onnx_simplfy.x=1",
            "--set steps.onnx_simplfy.x: the list has no item `onnx_simplfy`; did you mean `onnx_simplify`?",
        ),
        (
            "targets.openvino-cpu.precision=int8",
            "--set targets.openvino-cpu.precision: the list has no item `openvino-cpu`",
        ),
        ("gates.max_drop.x=1", "--set gates.max_drop.x: `gates.max_drop` is a plain value in the recipe (at r.yaml:9)"),
        ("gates.max_drop.x.y=1", "--set gates.max_drop.x.y: `gates.max_drop` is a plain value"),
        ("gates={a: b", "--set gates: not YAML:"),
        ("gates=!!python/none 1", "--set gates: the tag `"),
        ("gates={a: 1, a: 2}", "--set gates: the key `a` stands here twice"),
    ],
)
def test_what_does_not_fit(override: str, told: str) -> None:
    assert refused(override).startswith(told)


@pytest.mark.parametrize("section", ["data", "model", "task"])
def test_nothing_goes_below_a_section_that_is_plain_text(section: str) -> None:
    text = f"edgekit: 1\n{section}: plain\n"
    assert refused(f"{section}.evaluate.path=x", text) == (
        f"--set {section}.evaluate.path: `{section}` is a plain value in the recipe (at r.yaml:2), not a map: "
        f"set `{section}` itself"
    )


@pytest.mark.parametrize(
    "text", ["", "gates", "gates.max_drop", "=1", ".a=1", "a.=1", "a..b=1", 'a."b=1', "a=", "a= ", 'a"b"=1']
)
def test_what_is_no_path_and_value(text: str) -> None:
    with pytest.raises(InputError) as caught:
        split_override(text)
    assert caught.value.exit_code == 2
    assert f"--set {text}" in caught.value.message
    assert caught.value.remedy is not None


_KEYS = st.text(st.characters(exclude_characters="\"'", exclude_categories=("Cc", "Cs")), min_size=1, max_size=6)


@given(st.lists(_KEYS, min_size=1, max_size=4), st.text(min_size=1).filter(str.strip))
@settings(max_examples=150, deadline=None)
def test_any_key_can_be_reached_when_it_is_quoted(keys: list[str], value: str) -> None:
    assert split_override(".".join(f'"{key}"' for key in keys) + "=" + value) == (keys, value)


@given(st.lists(_KEYS, min_size=1, max_size=4, unique=True), st.integers())
@settings(max_examples=100, deadline=None)
def test_what_was_set_is_there_and_null_takes_it_away(keys: list[str], value: int) -> None:
    path = ".".join(f'"{key}"' for key in keys)
    found: Any = changed(f"{path}={value}", text="other: 1\n")
    for key in keys:
        found = found[key]
    assert found == value
    removed: Any = changed(f"{path}={value}", f"{path}=null", text="other: 1\n")
    for key in keys[:-1]:
        removed = removed[key]
    assert keys[-1] not in removed


def test_mistakes_in_a_value_name_the_flag(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    overrides = [
        "gates.max_drop=-1",
        "stepz=3",
        "targets.coral.options.tflite_int8.io=uint9",
        "data.calibrate={pth: x}",
        "preprocess.crop.center=0",
    ]
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides, profiles=PROFILES)
    told = [str(item) for item in caught.value.mistakes]
    assert [line.split(": ")[0] for line in told] == [
        "--set data.calibrate",
        "--set data.calibrate",
        "--set gates.max_drop",
        "--set preprocess.crop.center",
        "--set stepz",
        "--set targets.coral.options.tflite_int8.io",
    ]
    assert "unknown key `stepz`; did you mean `steps`?" in told[4]


def test_paths_on_the_command_line_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, folder = tmp_path / "work", tmp_path / "recipes"
    work.mkdir()
    folder.mkdir()
    monkeypatch.chdir(work)
    path = folder / "r.yaml"
    path.write_text('edgekit: 1\nvars: {root: data}\nmodel: a.onnx\ndata: {evaluate: {path: "${root}/val"}}\n')
    recipe = load_recipe(
        path,
        ["data.calibrate.path=calib", "task.name=classification", "task.labels=l.txt", "model=b.onnx"],
        profiles=PROFILES,
    )
    assert recipe.data is not None
    assert recipe.data.calibrate is not None
    assert recipe.data.evaluate is not None
    assert recipe.task is not None
    assert recipe.data.calibrate.path == str(work / "calib")
    assert recipe.data.evaluate.path == str(folder / "data/val")
    assert recipe.task.labels == str(work / "l.txt")
    assert recipe.model.file == str(work / "b.onnx")


def test_paths_through_variables_stay_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    path = tmp_path / "r.yaml"
    path.write_text('edgekit: 1\nvars: {root: data}\nmodel: a.onnx\ndata: {evaluate: {path: "${root}/val"}}\n')
    for root, expected in (("other", f"{tmp_path}/other/val"), ("/srv/imagenet", "/srv/imagenet/val")):
        recipe = load_recipe(path, [f"vars.root={root}", "data.calibrate.path=${root}/calib"], profiles=PROFILES)
        assert recipe.data is not None
        assert recipe.data.evaluate is not None
        assert recipe.data.calibrate is not None
        assert recipe.data.evaluate.path == expected
        assert recipe.data.calibrate.path == expected.replace("val", "calib")
