"""What a profile may say: facts with sources, strict keys, places of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from edgekit.devices import load_profiles, validate_profile
from edgekit.devices import profile as profile_module
from edgekit.errors import RecipeError

GOOD = """\
name: board
title: A board
family: test
formats: {value: [onnx], source: "its manual, p. 3"}
precisions:
  fp16:
    weights: {value: float16, source: manual}
    activations: {unknown: "the manual and its errata"}
    io: {value: [float32], source: manual}
routes:
  fp16: [torch_to_onnx, {onnx_fp16: {exclude: [Softmax]}}]
"""

# (what is replaced, by what, line, column, message)
MISTAKES = [
    ("title: A board", "titel: A board", 2, 1, "unknown key `titel`; did you mean `title`?"),
    ("family: test\n", "", 1, 1, "this lacks `family`"),
    ("title: A board", "title: [a]", 2, 8, "`title` must be text, not a list"),
    ('{value: [onnx], source: "its manual, p. 3"}', "[onnx]", 4, 10, "`formats` must be a map, not a list"),
    (', source: "its manual, p. 3"', "", 4, 10, "a fact needs its `source` beside `value`"),
    ("{value: [onnx], source", "{sauce", 4, 11, "unknown key `sauce`; did you mean `source`?"),
    ("{unknown: ", "{value: int8, unknown: ", 8, 18, "a fact is either {value, source} or {unknown"),
    ("{value: float16, source: manual}", "{source: manual}", 7, 14, "a fact is {value, source}, or {unknown"),
    ("[onnx], source", "onnx, source", 4, 18, "`value` must be a list, not `onnx`"),
    ("  fp16: [torch", "  fp61: [torch", 1, 1, "`routes` has fp61, which `precisions` does not describe"),
    ("[torch_to_onnx, {onnx_fp16: {exclude: [Softmax]}}]", "[]", 10, 1, "`routes` needs at least one precision"),
    ("{onnx_fp16: {exclude: [Softmax]}}", "{a: {}, b: {}}", 11, 25, "a step is its name, or {name: {option: value}}"),
    ('source: "its manual, p. 3"', 'source: " "', 4, 34, "`source` is blank"),
    ("the manual and its errata", " ", 8, 28, "`unknown` is blank"),
    ('source: "its manual, p. 3"', "source: x", 4, 34, "`source` names no page, document or measurement: `x`"),
    ('source: "its manual, p. 3"', "source: 42-7", 4, 34, "`source` names no page, document or measurement: `42-7`"),
    (
        'source: "its manual, p. 3"',
        "source: TODO find a source",
        4,
        34,
        "`source` names no page, document or measurement",
    ),
    ('source: "its manual, p. 3"', "source: manual (TBD)", 4, 34, "`source` names no page, document or measurement"),
    (
        'source: "its manual, p. 3"',
        "source: Common knowledge",
        4,
        34,
        "`source` names no page, document or measurement",
    ),
    ('source: "its manual, p. 3"', '"source": "to be found"', 4, 36, "`source` names no page, document or measurement"),
    ("the manual and its errata", "FIXME search the forum", 8, 28, "`unknown` names no page, document or measurement"),
    ("the manual and its errata", "TODO", 8, 28, "`unknown` names no page, document or measurement: `TODO`"),
    ("routes:", "memory: {total_bytes: {value: 0, source: manual}}\nroutes:", 10, 31, "`value` must be more than 0"),
    ("routes:", "shapes: {max_rank: {value: -1, source: manual}}\nroutes:", 10, 28, "`value` must be more than 0"),
    ("name: board", "name: bord", 1, 7, "`name` must be `board`, as the file is called"),
]


@pytest.mark.parametrize(("old", "new", "line", "column", "message"), MISTAKES)
def test_mistakes_have_their_place(tmp_path: Path, old: str, new: str, line: int, column: int, message: str) -> None:
    path = tmp_path / "board.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        validate_profile(path)
    told = [(item.line, item.column, item.message[: len(message)]) for item in caught.value.mistakes]
    assert (line, column, message) in told
    assert {item.file for item in caught.value.mistakes} == {str(path)}


@pytest.mark.parametrize("listed", ["supported", "refused"])
def test_operators_that_do_not_exist_are_refused(tmp_path: Path, listed: str) -> None:
    path = tmp_path / "board.yaml"
    named = "operators: {%s: {value: [%s], source: manual}}\n"
    known = "CONV_2D, Conv, LSTM, STFT, TFLite_Detection_PostProcess, SOFTMAX, Convolution, FakeQuantize, my_operator"
    path.write_text(GOOD + named % (listed, known))
    validate_profile(path)
    path.write_text(GOOD + named % (listed, "ADD, CONV_3X, SOFTMAXX, Convv, LSTMM, HardSwsh, Softmax"))
    with pytest.raises(RecipeError) as caught:
        validate_profile(path)
    (mistake,) = caught.value.mistakes
    assert mistake.line == 12
    assert "no operator is called `CONV_3X`; did you mean `CONV_3D`?" in mistake.message
    assert "`SOFTMAXX`; did you mean `SOFTMAX`?" in mistake.message
    assert "`Convv`; did you mean `Conv`?" in mistake.message
    assert "`LSTMM`; did you mean `LSTM`?" in mistake.message
    assert "`HardSwsh`; did you mean `HardSwish`?" in mistake.message


def test_the_names_of_operators_are_those_of_the_formats() -> None:
    """All that the installed ONNX and LiteRT have: what they gain is added to the list."""
    onnx, schema = pytest.importorskip("onnx"), pytest.importorskip("ai_edge_litert.schema_py_generated")
    stored = YAML(typ="safe").load(Path(profile_module.__file__).with_name("operators.yaml"))
    every = {one.name for one in onnx.defs.get_all_schemas_with_history() if one.domain == ""}
    assert every <= set(stored["onnx"])
    assert {name for name in vars(schema.BuiltinOperator) if not name.startswith("_")} <= set(stored["tflite"])
    assert all(len(names) == len(set(names)) for names in stored.values())


def test_what_a_profile_says(tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(GOOD)
    profile = validate_profile(path)
    assert profile.formats.value == ["onnx"]
    assert profile.formats.source == "its manual, p. 3"
    assert not profile.precisions["fp16"].activations.known
    assert profile.default_precision == "fp16"
    assert [(use.step, use.options) for use in profile.routes["fp16"]] == [
        ("torch_to_onnx", {}),
        ("onnx_fp16", {"exclude": ["Softmax"]}),
    ]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(GOOD.replace("title:", "titel:").replace("weights:", "wieghts:"))
    with pytest.raises(RecipeError) as caught:
        validate_profile(path)
    assert [item.line for item in caught.value.mistakes] == [1, 2, 6, 7]


def test_edgekits_own_profiles_hold_what_the_four_targets_need() -> None:
    profiles = load_profiles()
    routes = {
        name: {kind: [use.step for use in route] for kind, route in profiles[name].routes.items()} for name in profiles
    }
    front = ["torch_to_onnx", "onnx_simplify"]
    assert routes["coral"] == {"int8": [*front, "onnx_to_tflite", "tflite_int8"]}
    assert routes["android-cpu"] == {
        "fp16": [*front, "onnx_to_tflite", "tflite_fp16"],
        "int8": [*front, "onnx_to_tflite", "tflite_int8"],
    }
    assert routes["openvino-cpu"] == {
        "fp16": [*front, "onnx_to_openvino", "openvino_fp16"],
        "int8": [*front, "onnx_to_openvino", "openvino_int8"],
    }
    assert routes["onnxruntime-cpu"] == {"fp16": [*front, "onnx_fp16"], "int8": [*front, "onnx_int8"]}


@pytest.mark.parametrize("name", list(load_profiles()))
def test_every_value_of_edgekits_own_profiles_has_a_source_or_says_what_was_searched(name: str) -> None:
    """Independent of the schema: walks the written file and looks at every leaf that is not edgekit's own."""
    profiles = load_profiles()
    own = {"name", "title", "family", "routes"}
    bare = []

    def walk(value: object, path: tuple[str, ...]) -> None:
        if isinstance(value, dict):
            if value.get("source") or value.get("unknown"):
                return
            for key, child in value.items():
                walk(child, (*path, key))
        elif isinstance(value, list):
            for child in value:
                walk(child, path)
        else:
            bare.append(path)

    for key, value in profiles.tree(name).plain().items():
        if key not in own:
            walk(value, (key,))
    # Names that are edgekit's: its rule sets and toolchains; what a handover or a figure is called.
    allowed = {("operators", "rules"), ("toolchain", "needs"), ("handover", "title"), ("handover", "command")}
    allowed |= {("handover", "precisions"), ("handover", "step")}
    allowed |= {("reference", word) for word in ("model", "metric", "unit", "conditions")}
    assert set(bare) <= allowed
