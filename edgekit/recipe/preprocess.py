"""Preprocessing as data: the words, what each takes, the presets, and the rules of their order.

Pictures start as RGB 0..255, height x width x channels, uint8. Words that move pixels come first, then ``scale`` and
``normalize``. What is stored and travels on is a list of plain maps, every option spelled out:
``[{"resize": {"short_side": 256, "interpolation": "bicubic"}}, {"crop": {"center": 224}}, ...]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edgekit.documents import Node, from_plain
from edgekit.errors import Mistake
from edgekit.recipe.shares import parse_share
from edgekit.registry import did_you_mean
from edgekit.validation import Written, check

MAX_SIDE = 16384

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
Size = int | list[int]
PRESETS = ("imagenet", "inception", "efficientnet-lite", "yolo", "none")
#: What stands in a preset until the size of the model's input is known.
UNSIZED = "preset"


def _check_size(name: str, value: Size | None) -> Size | None:
    sides = [] if value is None else value if isinstance(value, list) else [value]
    if isinstance(value, list) and len(value) != 2:
        raise ValueError(f"`{name}` is one number or [height, width]")
    if any(not 0 < side <= MAX_SIDE for side in sides):
        raise ValueError(f"`{name}` is in pixels, 1 to {MAX_SIDE}")
    return value


def _check_single(name: str, value: float) -> float:
    """A number that float32, in which samples are computed, has too (IEEE 754: the normal numbers of binary32)."""
    if not 2.0**-126 <= abs(value) < 2.0**128:
        raise ValueError(f"`{name}` is {value}, which float32 does not have (1.2e-38 to 3.4e+38)")
    return value


class Resize(Written):
    """Scale so that the short or the long side has so many pixels (keeping the aspect), or to an exact size."""

    short_side: int | None = None
    size: Size | None = None
    long_side: int | None = None
    interpolation: Interpolation = "bilinear"

    @field_validator("short_side", "size", "long_side")
    @classmethod
    def _pixels(cls, value: Any, info: ValidationInfo) -> Any:
        return _check_size(str(info.field_name), value)

    @model_validator(mode="after")
    def _one_of(self) -> Resize:
        if [self.short_side, self.size, self.long_side].count(None) != 2:
            raise ValueError("`resize` takes exactly one of short_side, size and long_side")
        return self


class Letterbox(Written):
    """Fit into ``size`` keeping the aspect and fill the rest: one grey level 0..255 or [r, g, b]."""

    size: Size
    fill: int | list[int] = 114

    @field_validator("size")
    @classmethod
    def _pixels(cls, value: Size) -> Size | None:
        return _check_size("size", value)

    @field_validator("fill")
    @classmethod
    def _levels(cls, fill: int | list[int]) -> int | list[int]:
        levels = fill if isinstance(fill, list) else [fill]
        if (isinstance(fill, list) and len(fill) != 3) or any(not 0 <= level <= 255 for level in levels):
            raise ValueError("`fill` is a level 0..255 or [r, g, b]")
        return fill


class Crop(Written):
    """Keep the middle: ``center`` pixels (one number or [height, width]), or a ``fraction`` of each side."""

    center: Size | None = None
    fraction: float | None = None

    @field_validator("center")
    @classmethod
    def _pixels(cls, value: Size | None) -> Size | None:
        return _check_size("center", value)

    @field_validator("fraction", mode="before")
    @classmethod
    def _share(cls, value: Any) -> Any:
        share = parse_share("fraction", value)
        if share == 0:
            raise ValueError("`fraction` must be more than 0")
        return share

    @model_validator(mode="after")
    def _one_of(self) -> Crop:
        if (self.center is None) == (self.fraction is None):
            raise ValueError("`crop` takes exactly one of center and fraction")
        return self


class Color(Written):
    """The order of the channels that the model reads; ``gray`` makes one channel (ITU-R 601 luma)."""

    order: Literal["rgb", "bgr", "gray"]


class Scale(Written):
    """Divide every value."""

    divide: float = Field(gt=0, allow_inf_nan=False)

    @field_validator("divide")
    @classmethod
    def _usable(cls, value: float) -> float:
        return _check_single("divide", value)


class Normalize(Written):
    """Subtract ``mean`` and divide by ``std``, each one number or one per channel, in the units the word receives."""

    mean: float | list[float]
    std: float | list[float] = 1.0

    @field_validator("mean", "std")
    @classmethod
    def _usable(cls, value: float | list[float], info: ValidationInfo) -> float | list[float]:
        name = info.field_name
        values = value if isinstance(value, list) else [value]
        if isinstance(value, list) and len(value) not in (1, 3):
            raise ValueError(f"`{name}` is one number, or one for each of 1 or 3 channels, not {len(value)}")
        if not all(math.isfinite(number) for number in values):
            raise ValueError(f"`{name}` must be finite")
        if name == "std" and any(number <= 0 for number in values):
            raise ValueError("`std` must be more than 0")
        for number in values:
            if number != 0:
                _check_single(str(name), number)
        return value


class Preset(Written):
    """A usual way of preparing pictures; ``size`` (pixels, or [height, width]) defaults to the model's input."""

    preset: Literal["imagenet", "inception", "efficientnet-lite", "yolo", "none"]
    size: Size | None = None

    @field_validator("size")
    @classmethod
    def _pixels(cls, value: Size | None) -> Size | None:
        return _check_size("size", value)


WORDS: dict[str, type[Written]] = {
    "resize": Resize,
    "letterbox": Letterbox,
    "crop": Crop,
    "color": Color,
    "scale": Scale,
    "normalize": Normalize,
}
_PIXEL_WORDS = ("resize", "letterbox", "crop", "color")

Word = dict[str, dict[str, Any]]


def expand_preset(name: str, size: Size | None) -> list[Word]:
    """The words that a preset stands for, for an input of ``size`` (one side, or [height, width]).

    Raises:
        ValueError: no such preset, or no size where the preset needs one.
    """
    if name == "none":
        return []
    if name not in PRESETS:
        raise ValueError(f"no preset is called `{name}`{did_you_mean(name, PRESETS)}")
    if size is None:
        raise ValueError(f"the preset `{name}` needs the size of the model's input")
    short_side = round((max(size) if isinstance(size, list) else size) / 0.875)
    unit = [{"scale": {"divide": 255.0}}]
    if name == "imagenet":
        statistics = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
        return [*_resize_and_crop(short_side, size, "bilinear"), *unit, {"normalize": statistics}]
    if name == "inception":
        resize = {"size": size, "interpolation": "bilinear"}
        return [{"crop": {"fraction": 0.875}}, {"resize": resize}, {"normalize": {"mean": 127.5, "std": 127.5}}]
    if name == "efficientnet-lite":
        return [*_resize_and_crop(short_side, size, "bicubic"), {"normalize": {"mean": 127.0, "std": 128.0}}]
    return [{"letterbox": {"size": size, "fill": 114}}, *unit]


def _resize_and_crop(short_side: int, size: Size, interpolation: str) -> list[Word]:
    return [{"resize": {"short_side": short_side, "interpolation": interpolation}}, {"crop": {"center": size}}]


def input_size(inputs: dict[str, Any] | None) -> Size | None:
    """The height and width of the only picture-like input (four axes) that a recipe declares; one number if equal."""
    sizes = []
    for declared in (inputs or {}).values():
        shape = declared.get("shape") if isinstance(declared, dict) else None
        if isinstance(shape, list) and len(shape) == 4 and all(isinstance(side, int) for side in shape):
            sizes.append(shape[1:3] if declared.get("layout") == "NHWC" else shape[2:4])
    if len(sizes) != 1:
        return None
    height, width = sizes[0]
    return height if height == width else [height, width]


def spell_out(node: Node, size: Size | None, mistakes: list[Mistake]) -> Node:
    """What a recipe says of preprocessing as a list of complete words. A preset whose size is not known yet stays one
    item: ``{"preset": {"name": NAME, "size": None}}``. A plain text is the name of a preset."""
    if isinstance(node.value, str):
        named = Node({}, node.place, flag=node.flag)
        named.set("preset", node)
        node = named
    if isinstance(node.value, dict):
        word = next((name for name in node.value if name in WORDS), None)
        if word is not None and "preset" not in node.value:
            said = f"words stand in a list: write `- {word}: {{...}}`, each on a line of its own"
            mistakes.append(node.key_place(word).mistake(said))
            return Node([], node.place)
        return _spell_out_preset(node, size, mistakes)
    if not isinstance(node.value, list):
        presets = ", ".join(PRESETS)
        mistakes.append(node.place.mistake(f"`preprocess` is a preset ({presets}), or a list of words"))
        return Node([], node.place)
    words: list[Node] = []
    for item in node.value:
        word = _spell_out_word(item, mistakes)
        if word is not None:
            words.append(word)
    if len(words) == len(node.value):
        check_order(words, mistakes)
    return Node(words, node.place)


def _spell_out_preset(node: Node, size: Size | None, mistakes: list[Mistake]) -> Node:
    preset = check(Preset, node, mistakes=mistakes)
    if preset is None:
        return Node([], node.place)
    wanted = preset.size if preset.size is not None else size
    if wanted is None and preset.preset != "none":
        words: list[Any] = [{UNSIZED: {"name": preset.preset, "size": None}}]
    else:
        words = expand_preset(preset.preset, wanted)
    expanded = from_plain(words, node.place.file)
    for child in expanded.walk():
        child.place = node.place
    return expanded


def _spell_out_word(item: Node, mistakes: list[Mistake]) -> Node | None:
    named = isinstance(item.value, str) and item.value in PRESETS
    if named or (isinstance(item.value, dict) and "preset" in item.value):
        mistakes.append(item.place.mistake("a preset is no word of a list; it stands alone, as `preprocess: imagenet`"))
        return None
    if not isinstance(item.value, dict) or len(item.value) != 1:
        mistakes.append(item.place.mistake(f"a preprocessing word is {{WORD: {{...}}}} with one of {', '.join(WORDS)}"))
        return None
    name, options = next(iter(item.value.items()))
    if name not in WORDS:
        place = item.key_place(name)
        near = did_you_mean(name, WORDS) or f"; the words are {', '.join(WORDS)}"
        mistakes.append(place.mistake(f"no preprocessing word is called `{name}`{near}"))
        return None
    if not isinstance(options.value, dict):
        mistakes.append(options.place.mistake(f"`{name}` takes a map of {', '.join(WORDS[name].model_fields)}"))
        return None
    word = check(WORDS[name], options, mistakes=mistakes)
    if word is None:
        return None
    complete = {key: value for key, value in word.model_dump().items() if value is not None}
    filled = Node({}, item.place)
    filled.set(name, Node({}, options.place), item.key_place(name))
    for key, value in complete.items():
        written = options.get(key)
        child = from_plain(value, item.place.file)
        child.place = options.place if written is None else written.place
        filled.value[name].set(key, child, options.key_place(key))
    return filled


def check_order(words: list[Node], mistakes: list[Mistake]) -> None:
    """The rules that hold between words: pixels first, ``scale`` and ``normalize`` once each, units that fit."""
    seen: list[str] = []
    for word in words:
        name, options = next(iter(word.value.items()))
        place = word.key_place(name)
        arithmetic = [earlier for earlier in seen if earlier not in _PIXEL_WORDS]
        if name in _PIXEL_WORDS and arithmetic:
            mistakes.append(place.mistake(f"`{name}` works on pixels and must come before `{arithmetic[0]}`"))
        if name in seen and name in ("scale", "normalize", "color"):
            mistakes.append(place.mistake(f"`{name}` stands here a second time"))
        if name == "normalize":
            _check_units(options, seen, place.mistake, mistakes)
        seen.append(name)
    _check_gray(words, mistakes)


def _check_gray(words: list[Node], mistakes: list[Mistake]) -> None:
    """After `color: {order: gray}` there is one channel, to the end."""
    gray = False
    for word in words:
        (name, options), *_ = word.plain().items()
        gray = gray or (name == "color" and options["order"] == "gray")
        for key, values in options.items():
            per_channel = (name, key) in (("normalize", "mean"), ("normalize", "std"), ("letterbox", "fill"))
            if gray and per_channel and isinstance(values, list) and len(values) != 1:
                place = word.nearest((name, key))
                mistakes.append(place.mistake(f"`{key}` has {len(values)} values, gray has one"))


def _check_units(options: Node, seen: list[str], say: Callable[[str], Mistake], mistakes: list[Mistake]) -> None:
    mean = options.plain()["mean"]
    means = mean if isinstance(mean, list) else [mean]
    if "scale" not in seen and all(0 < value < 1 for value in means):
        mistakes.append(
            say("the means of `normalize` lie in 0..1 and the pixels in 0..255: a `scale: {divide: 255}` is missing")
        )
