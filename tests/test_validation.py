"""From pydantic's complaints to edgekit's words: the place, the nearest name, unions and nested models."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from edgekit.documents import read_text
from edgekit.errors import Mistake, RecipeError
from edgekit.validation import Written, check, field_names, raise_mistakes


class Wheel(Written):
    size: int = Field(gt=0, le=30)
    kind: Literal["road", "gravel"] = "road"


class Bicycle(Written):
    name: str
    price: float = 1.0
    front: Wheel | None = None
    wheels: list[Wheel] = Field(default_factory=list)
    parts: dict[str, Wheel] = Field(default_factory=dict)
    extras: dict[str, str | int] = Field(default_factory=dict)


MISTAKES = [
    ("nmae: x", ["a.yaml:1:1: this lacks `name`", "a.yaml:1:1: unknown key `nmae`; did you mean `name`?"]),
    ("name: 3", ["a.yaml:1:7: `name` must be text, not 3"]),
    ("name: x\nprice: '3'", ["a.yaml:2:8: `price` must be a number, not `3`"]),
    ("name: x\nprice: true", ["a.yaml:2:8: `price` must be a number, not true"]),
    ("name: x\nwheels:\n  - size: 1.5", ["a.yaml:3:11: `size` must be a whole number, not 1.5"]),
    (
        "name: x\nwheels:\n  - size: 20\n    kind: gravle",
        ["a.yaml:4:11: `kind` cannot be `gravle`; it is one of road, gravel; did you mean `gravel`?"],
    ),
    ("name: x\nwheels: {size: 1}", ["a.yaml:2:9: `wheels` must be a list, not a map"]),
    (
        "name: x\nfront: {sise: 1}",
        ["a.yaml:2:1: `front` lacks `size`", "a.yaml:2:9: unknown key `sise`; did you mean `size`?"],
    ),
    ("name: x\nfront:\n  kind: road", ["a.yaml:2:1: `front` lacks `size`"]),
    ("name: x\nparts: {a: {size: 0}}", ["a.yaml:2:19: `size` must be more than 0, not 0"]),
    (
        "name: x\nparts: {a: {size: 31, b: 2}}",
        ["a.yaml:2:19: `size` must be at most 30, not 31", "a.yaml:2:23: unknown key `b`; known here: size, kind"],
    ),
    ("name: x\nparts: [a]", ["a.yaml:2:8: `parts` must be a map, not a list"]),
    (
        "name:\nprice: null",
        ["a.yaml:1:1: `name` must be text, not nothing", "a.yaml:2:8: `price` must be a number, not nothing"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES, ids=[text for text, _ in MISTAKES])
def test_mistakes_in_words(text: str, expected: list[str]) -> None:
    tree, mistakes = read_text(text, "a.yaml")
    assert check(Bicycle, tree, mistakes=mistakes) is None
    assert sorted(str(item) for item in mistakes) == expected


def test_a_union_of_plain_types_points_at_the_value() -> None:
    tree, mistakes = read_text("name: x\nextras:\n  int: [1]\n", "a.yaml")
    check(Bicycle, tree, mistakes=mistakes)
    assert {(item.line, item.column) for item in mistakes} == {(3, 8)}


def test_partial_leaves_out_what_is_missing() -> None:
    tree, _ = read_text("price: x", "a.yaml")
    mistakes: list[Mistake] = []
    check(Bicycle, tree, partial=True, mistakes=mistakes)
    assert [item.message for item in mistakes] == ["`price` must be a number, not `x`"]


def test_what_fits_is_the_model() -> None:
    tree, mistakes = read_text("name: x\nprice: 3\nwheels: [{size: 20}]", "a.yaml")
    bicycle = check(Bicycle, tree, mistakes=mistakes)
    assert bicycle is not None
    assert (bicycle.price, bicycle.wheels[0].size) == (3, 20)
    assert mistakes == []


def test_names_of_nested_fields() -> None:
    assert field_names(Bicycle, ("wheels", 0)) == ["size", "kind"]
    assert field_names(Bicycle, ("front",)) == ["size", "kind"]
    assert field_names(Bicycle, ("parts", "anything")) == ["size", "kind"]
    assert field_names(Bicycle, ("name",)) == []


def test_all_are_raised_once_in_the_order_of_the_file() -> None:
    twice = Mistake("b.yaml", 3, 1, "second")
    with pytest.raises(RecipeError) as caught:
        raise_mistakes([twice, Mistake("b.yaml", 2, 5, "unknown key `x`"), twice], "the recipe b.yaml")
    assert caught.value.message == "the recipe b.yaml has 2 mistakes"
    assert [str(item) for item in caught.value.mistakes] == ["b.yaml:2:5: unknown key `x`", "b.yaml:3:1: second"]
    assert (caught.value.where, caught.value.word, caught.value.exit_code) == ("b.yaml:2", "unknown_key", 2)
    raise_mistakes([], "nothing")


def test_a_flag_has_no_lines() -> None:
    assert str(Mistake("--set a.b", 0, 0, "wrong")) == "--set a.b: wrong"
