"""Preprocessing words: what each takes, their order and units, presets and what they stand for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.documents import Node, read_text
from edgekit.errors import Mistake
from edgekit.recipe.preprocess import PRESETS, expand_preset, input_size, spell_out


def spelled(text: str, size: Any = None) -> tuple[Any, list[str]]:
    tree, mistakes = read_text(text, "r.yaml")
    words = spell_out(tree, size, mistakes)
    return words.plain(), [str(item).removeprefix("r.yaml:") for item in mistakes]


# Independent of edgekit: what the libraries that these networks come from do at 224 pixels.
PUBLISHED = {
    "imagenet": [  # torchvision's reference: resize 256, centre crop 224, ToTensor, Normalize
        {"resize": {"short_side": 256, "interpolation": "bilinear"}},
        {"crop": {"center": 224}},
        {"scale": {"divide": 255.0}},
        {"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
    ],
    "inception": [  # TF-slim's evaluation: central 87.5 %, resize bilinear, (x / 255 - 0.5) * 2
        {"crop": {"fraction": 0.875}},
        {"resize": {"size": 224, "interpolation": "bilinear"}},
        {"normalize": {"mean": 127.5, "std": 127.5}},
    ],
    "efficientnet-lite": [  # the authors' preprocessing: crop of 224 / 256, bicubic, (x - 127) / 128
        {"resize": {"short_side": 256, "interpolation": "bicubic"}},
        {"crop": {"center": 224}},
        {"normalize": {"mean": 127.0, "std": 128.0}},
    ],
    "yolo": [{"letterbox": {"size": 224, "fill": 114}}, {"scale": {"divide": 255.0}}],
    "none": [],
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_stand_for_what_is_published(name: str) -> None:
    assert expand_preset(name, 224) == PUBLISHED[name]
    assert spelled(f"{{preset: {name}, size: 224}}") == (PUBLISHED[name], [])
    assert spelled(f"{{preset: {name}}}", 224) == (PUBLISHED[name], [])
    assert spelled(name, 224) == (PUBLISHED[name], [])


def test_sizes_of_efficientnet_lite() -> None:
    # Lite1 in the table of pretrained weights: resize 274, crop 240.
    assert expand_preset("efficientnet-lite", 240)[0]["resize"]["short_side"] == 274


@given(st.integers(1, 1000), st.integers(1, 1000), st.sampled_from(["imagenet", "efficientnet-lite"]))
@settings(max_examples=60, deadline=None)
def test_a_preset_never_crops_more_than_it_resized_to(height: int, width: int, name: str) -> None:
    words = expand_preset(name, [height, width])
    assert words[0]["resize"]["short_side"] >= max(height, width)
    assert words[1] == {"crop": {"center": [height, width]}}


@given(st.sampled_from(PRESETS), st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_an_expansion_is_words_that_are_accepted_as_they_are(name: str, size: int) -> None:
    import json

    words = expand_preset(name, size)
    assert spelled(json.dumps(words)) == (words, [])


def test_without_a_size_a_preset_waits_for_the_model() -> None:
    assert spelled("{preset: imagenet}") == ([{"preset": {"name": "imagenet", "size": None}}], [])
    assert spelled("{preset: none}") == ([], [])
    with pytest.raises(ValueError, match="needs the size"):
        expand_preset("imagenet", None)


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (None, None),
        ({}, None),
        ({"x": {"shape": [1, 3, 224, 224]}}, 224),
        ({"x": {"shape": [1, 3, 240, 320], "layout": "NCHW"}}, [240, 320]),
        ({"x": {"shape": [1, 96, 96, 3], "layout": "NHWC"}}, 96),
        ({"x": {"shape": [1, 10]}}, None),
        ({"x": {"shape": [1, 10]}, "y": {"shape": [1, 1, 28, 28]}}, 28),
        ({"x": {"shape": [1, 3, 8, 8]}, "y": {"shape": [1, 1, 28, 28]}}, None),
        ({"x": {"layout": "NCHW"}}, None),
    ],
)
def test_the_size_of_the_only_picture_that_is_declared(inputs: Any, expected: Any) -> None:
    assert input_size(inputs) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[resize: {short_side: 256}]", [{"resize": {"short_side": 256, "interpolation": "bilinear"}}]),
        (
            "[resize: {size: [240, 320], interpolation: lanczos}]",
            [{"resize": {"size": [240, 320], "interpolation": "lanczos"}}],
        ),
        ("[resize: {long_side: 512}]", [{"resize": {"long_side": 512, "interpolation": "bilinear"}}]),
        ("[letterbox: {size: 640}]", [{"letterbox": {"size": 640, "fill": 114}}]),
        ("[letterbox: {size: [320, 640], fill: [1, 2, 3]}]", [{"letterbox": {"size": [320, 640], "fill": [1, 2, 3]}}]),
        ("[crop: {fraction: 87.5%}]", [{"crop": {"fraction": 0.875}}]),
        ("[crop: {center: [2, 3]}]", [{"crop": {"center": [2, 3]}}]),
        (
            "[letterbox: {size: 8, fill: [1, 2, 3]}, color: {order: gray}]",
            [
                {"letterbox": {"size": 8, "fill": [1, 2, 3]}},
                {"color": {"order": "gray"}},
            ],
        ),
        (
            "[color: {order: gray}, normalize: {mean: 127}]",
            [{"color": {"order": "gray"}}, {"normalize": {"mean": 127, "std": 1.0}}],
        ),
        (
            "[scale: {divide: 255}, normalize: {mean: 0.5, std: [0.5]}]",
            [{"scale": {"divide": 255}}, {"normalize": {"mean": 0.5, "std": [0.5]}}],
        ),
        ("[normalize: {mean: [123, 117, 104]}]", [{"normalize": {"mean": [123, 117, 104], "std": 1.0}}]),
        ("[normalize: {mean: 0, std: 255}]", [{"normalize": {"mean": 0, "std": 255}}]),
        ("[]", []),
    ],
)
def test_words_are_completed(text: str, expected: Any) -> None:
    assert spelled(text) == (expected, [])


NO_SCALE = "the means of `normalize` lie in 0..1 and the pixels in 0..255: a `scale: {divide: 255}` is missing"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("3", "1:1: `preprocess` is a preset (imagenet, "),
        ("{preset: imagnet}", "1:10: `preset` cannot be `imagnet`"),
        ("{preset: imagenet, sise: 3}", "1:20: unknown key `sise`; did you mean `size`?"),
        ("{preset: imagenet, size: 0}", "1:26: `size` is in pixels"),
        ("{preset: imagenet, size: [1, 2, 3]}", "1:26: `size` is one number or [height, width]"),
        (
            "[resize: {short_side: 256, size: 224}]",
            "1:10: `resize` takes exactly one of short_side, size and long_side",
        ),
        ("[resize: {}]", "1:10: `resize` takes exactly one of"),
        ("[resize: {short_side: 0}]", "1:23: `short_side` is in pixels"),
        ("[resize: {size: 20000}]", "1:17: `size` is in pixels, 1 to 16384"),
        ("[resize: {size: 8, interpolation: cubic}]", "1:35: `interpolation` cannot be `cubic`; it is one of nearest"),
        ("[crop: {center: 5, fraction: 0.5}]", "1:8: `crop` takes exactly one of center and fraction"),
        ("[crop: {fraction: 87.5}]", "1:19: `fraction` is a share: write 87.5% or 0.875, not 87.5"),
        ("[crop: {fraction: 0}]", "1:19: `fraction` must be more than 0"),
        ("[letterbox: {size: 8, fill: 256}]", "1:29: `fill` is a level 0..255"),
        ("[letterbox: {size: 8, fill: [1, 2]}]", "1:29: `fill` is a level 0..255"),
        ("[color: {order: brg}]", "1:17: `order` cannot be `brg`; it is one of rgb, bgr, gray; did you mean"),
        ("[scale: {divide: 0}]", "1:18: `divide` must be more than 0"),
        ("[scale: {divide: .inf}]", "1:18: `divide`"),
        ("[normalize: {mean: 1, std: 0}]", "1:28: `std` must be more than 0"),
        (
            "[normalize: {mean: [1, 2], std: 1}]",
            "1:20: `mean` is one number, or one for each of 1 or 3 channels, not 2",
        ),
        ("[normalize: {mean: .nan}]", "1:20: `mean` must be finite"),
        ("[resize: {size: a}]", "1:17: `size` must be a whole number or a list, not `a`"),
        ("[normalize: {mean: true}]", "1:20: `mean` must be a number or a list, not true"),
        ("[normalize: {std: 1}]", "1:13: this lacks `mean`"),
        ("[normalise: {mean: 1}]", "1:2: no preprocessing word is called `normalise`; did you mean `normalize`?"),
        ("[scale: {divide: 255}, crop: {center: 8}]", "1:24: `crop` works on pixels and must come before `scale`"),
        ("[scale: {divide: 255}, scale: {divide: 255}]", "1:24: `scale` stands here a second time"),
        ("[color: {order: gray}, normalize: {mean: [1, 2, 3]}]", "1:42: `mean` has 3 values, gray has one"),
        ("[color: {order: gray}, letterbox: {size: 8, fill: [1, 2, 3]}]", "1:51: `fill` has 3 values, gray has one"),
        ("[scale: {divide: 1.0e-40}]", "1:18: `divide` is 1e-40, which float32 does not have"),
        ("[scale: {divide: 1.0e+39}]", "1:18: `divide` is 1e+39, which float32 does not have"),
        ("[normalize: {mean: 0, std: 1.0e-60}]", "1:28: `std` is 1e-60, which float32 does not have"),
        ("[normalize: {mean: [1, 2, 1.0e+300]}]", "1:20: `mean` is 1e+300, which float32 does not have"),
        ("[imagenet, color: {order: gray}]", "1:2: a preset is no word of a list; it stands alone"),
        ("[{preset: imagenet, size: 8}]", "1:2: a preset is no word of a list; it stands alone"),
        ("{scale: {divide: 255}}", "1:2: words stand in a list: write `- scale: {...}`"),
        ("[normalize: {mean: 0.5, std: 0.5}]", f"1:2: {NO_SCALE}"),
        ("[normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}]", f"1:2: {NO_SCALE}"),
    ],
)
def test_mistakes(text: str, told: str) -> None:
    _, mistakes = spelled(text)
    assert any(line.startswith(told) for line in mistakes), mistakes


def test_a_word_keeps_the_places_of_its_options() -> None:
    tree, mistakes = read_text("- resize:\n    short_side: 256\n", "r.yaml")
    words: Node = spell_out(tree, None, mistakes)
    assert words.nearest((0, "resize", "short_side")).line == 2
    assert words.nearest((0, "resize", "interpolation")).line == 2


def test_a_mean_that_scale_would_make_is_told_only_where_no_scale_stands() -> None:
    found: list[Mistake] = []
    tree, _ = read_text("[scale: {divide: 127.5}, normalize: {mean: 0.5}]", "r.yaml")
    spell_out(tree, None, found)
    assert found == []
