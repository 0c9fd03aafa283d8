"""Steps as ``--step`` takes them: what is written for one is read as it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.cli.step_flags import parse_steps, step_text
from edgekit.errors import InputError

WORDS = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=12)
PLAIN = st.none() | st.booleans() | st.integers(-9999, 9999) | WORDS
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))


@settings(deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), VALUES, max_size=3))
def test_what_is_written_is_read(options: dict[str, Any]) -> None:
    written = {"onnx_fix_shapes": options}
    assert parse_steps([step_text(written)]) == (written,)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("onnx_fix_shapes", {}),
        ("onnx_fix_shapes:batch=4", {"batch": 4}),
        (
            "onnx_fix_shapes:shapes={image: [1, 3, 8, 8], b: [1]},batch=2",
            {"shapes": {"image": [1, 3, 8, 8], "b": [1]}, "batch": 2},
        ),
        ("onnx_fix_shapes:a='x,y',b=off,c=", {"a": "x,y", "b": "off", "c": None}),
    ],
)
def test_what_people_write(text: str, options: dict[str, Any]) -> None:
    assert parse_steps([text]) == ({"onnx_fix_shapes": options},)


@pytest.mark.parametrize(
    "text", ["onnx_fix_shape", "onnx_fix_shapes:batch", "onnx_fix_shapes:=4", "onnx_fix_shapes:a=[1"]
)
def test_what_is_no_step(text: str) -> None:
    with pytest.raises(InputError):
        parse_steps([text])
