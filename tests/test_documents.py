"""Reading YAML with places: what words mean, where they stand, what is refused before it can do harm."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.documents import MAX_BYTES, MAX_DEPTH, read_file, read_text
from edgekit.errors import InputError, RecipeError

# The tables of the core schema in the YAML 1.2.2 specification (10.2.1, 10.3.2); words that 1.1 read otherwise.
SCALARS: list[tuple[str, Any]] = [
    *[(text, None) for text in ("~", "null", "Null", "NULL", "")],
    *[(text, True) for text in ("true", "True", "TRUE")],
    *[(text, False) for text in ("false", "False", "FALSE")],
    *[(text, text) for text in ("off", "on", "yes", "no", "y", "n", "Off", "tRUE")],
    ("0", 0),
    ("-19", -19),
    ("+12", 12),
    ("0o14", 12),
    ("0xC", 12),
    ("014", 14),
    ("1_000", "1_000"),
    ("190:20:30", "190:20:30"),
    ("12:30", "12:30"),
    ("2026-11-22", "2026-11-22"),
    ("1e-3", 0.001),
    ("1E3", 1000.0),
    ("12e03", 12000.0),
    ("-2E+05", -200000.0),
    (".5", 0.5),
    ("0.", 0.0),
    ("-.inf", -math.inf),
    (".Inf", math.inf),
    ("'12'", "12"),
    ('"true"', "true"),
    ("97.5%", "97.5%"),
    ("1.2.3", "1.2.3"),
    ("???", "???"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[repr(text) for text, _ in SCALARS])
def test_words_mean_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = read_text(f"key: {text}\n", "a.yaml")[0].plain()["key"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(read_text("key: .nan", "a.yaml")[0].plain()["key"])


def _json_values() -> st.SearchStrategy[Any]:
    text = st.text(
        st.characters(codec="utf-8", exclude_characters="\x7f\x85", exclude_categories=("Cc", "Cs")), max_size=8
    )
    number = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False, width=32)
    leaf = st.none() | st.booleans() | number | text
    return st.recursive(
        leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=15
    )


@given(_json_values())
@settings(max_examples=150, deadline=None)
def test_json_is_read_as_json_reads_it(value: Any) -> None:
    tree, mistakes = read_text(json.dumps({"value": value}, ensure_ascii=False), "a.yaml")
    assert tree.plain() == {"value": value}
    assert mistakes == []


def test_every_value_and_key_has_its_place() -> None:
    tree, _ = read_text("model:\n  file: x.onnx\nsteps: [a, {b: 1}]\n", "a.yaml")
    assert tree.value["model"].key_place("file").line == 2
    assert tree.value["model"].key_place("file").column == 3
    file = tree.get("model", "file")
    assert file is not None
    assert (file.place.line, file.place.column) == (2, 9)
    inner = tree.get("steps", 1, "b")
    assert inner is not None
    assert (inner.place.line, inner.place.column) == (3, 16)
    assert str(inner.place) == "a.yaml:3"
    assert tree.nearest(("model", "weights", "path")).line == 2
    assert tree.get("model", "nothing") is None
    assert tree.get("steps", 2) is None


def test_a_key_that_stands_twice_is_told_and_the_first_kept() -> None:
    tree, mistakes = read_text("a: 1\nb: {c: 1, c: 2}\na: 3\n", "a.yaml")
    assert [str(mistake) for mistake in mistakes] == [
        "a.yaml:2:11: the key `c` stands here twice, first in line 2",
        "a.yaml:3:1: the key `a` stands here twice, first in line 1",
    ]
    assert tree.plain() == {"a": 1, "b": {"c": 1}}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read_text("1: a\ntrue: b\noff: c\n", "a.yaml")[0].plain() == {"1": "a", "true": "b", "off": "c"}


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['true']", "!env HOME", "!!binary aGk="])
def test_tags_are_refused_and_nothing_is_made_of_them(tag: str) -> None:
    _, mistakes = read_text(f"a: 1\nb: {tag}\n", "a.yaml")
    assert [(item.line, item.column) for item in mistakes] == [(2, 4)]
    assert "the tag" in mistakes[0].message


def test_aliases_are_copies() -> None:
    tree, _ = read_text("a: &x {b: 1}\nc: *x\n", "a.yaml")
    assert tree.plain() == {"a": {"b": 1}, "c": {"b": 1}}
    tree.value["a"].value["b"].value = 2
    assert tree.plain()["c"] == {"b": 1}


def _laughs(levels: int, width: int) -> str:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines)


REFUSED = {
    "billion laughs": (_laughs(12, 9), "alias bomb"),
    "quadratic": ("a: &a [" + "x, " * 3000 + "]\nb: [" + "*a, " * 3000 + "]", "alias bomb"),
    "deep by aliases": ("a0: &a0 [x]\n" + "\n".join(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 60)), "deep"),
    "deep lists": ("a: " + "[" * 4000 + "]" * 4000, "deep"),
    "deep maps": ("a: " + "{b: " * 200 + "}" * 200, "deep"),
    "many values": ("a: [" + "1," * 30000 + "]", "values"),
    "an anchor in itself": ("a: &a [*a]", "no anchor"),
    "an unknown anchor": ("a: *b", "no anchor"),
    "an alias as a key": ("a: &a b\n*a : c", "a key must be text"),
    "a list as a key": ("[a, b]: c", "a key must be text"),
    "a second document": ("a: 1\n---\nb: 2\n", "second document"),
    "nothing": ("# only a comment\n", "empty"),
    "not YAML": ("a: [1, 2\nb: 3\n", "not YAML"),
    "a variable in a map": ("a: {b: ${root}/val}\n", 'is quoted: {path: "${root}/val"}'),
    "a tab": ("a:\n\tb: 1\n", "not YAML"),
    "a control character": ("a: \x00b", "not YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_once_with_its_place(name: str) -> None:
    text, message = REFUSED[name]
    with pytest.raises(RecipeError) as caught:
        read_text(text, "a.yaml")
    assert caught.value.exit_code == 2
    (mistake,) = caught.value.mistakes
    assert message in mistake.message
    assert mistake.line >= 1
    assert mistake.column >= 1


def test_the_deepest_that_is_allowed() -> None:
    # The outer map counts one, so do the lists, and the scalar inside them.
    lists = MAX_DEPTH - 2
    tree, _ = read_text("a: " + "[" * lists + "1" + "]" * lists, "a.yaml")
    assert json.dumps(tree.plain()).count("[") == lists


def test_files_that_are_no_text(tmp_path: Path) -> None:
    big, latin, folder = tmp_path / "big.yaml", tmp_path / "latin.yaml", tmp_path / "folder.yaml"
    big.write_text("a: " + "x" * MAX_BYTES)
    latin.write_bytes("a: é".encode("latin-1"))
    folder.mkdir()
    for path, said in (
        (big, "larger than"),
        (latin, "UTF-8"),
        (folder, "is a folder"),
        (tmp_path / "none.yaml", "no file"),
    ):
        with pytest.raises(InputError, match=said) as caught:
            read_file(path)
        assert caught.value.exit_code == 2


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_file(path)[0].plain() == {"a": 1}
