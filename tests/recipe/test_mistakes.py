"""Every mistake with its line and column; whatever is written ends in a recipe or in mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.errors import InputError, RecipeError
from edgekit.recipe import load_recipe

from .written import EVERYTHING, PROFILES, mistakes, write

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
    ("model:\n", "model: 3\nmodell:\n", "4:8", "`model` must be a path or a map, not 3"),
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
    ('evaluate: {path: "${root}/val"}', "evaluate: [val]", "15:13", "`evaluate` must be a path or a map, not a list"),
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
