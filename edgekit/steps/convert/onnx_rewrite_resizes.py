"""onnx -> onnx: enlarging that an accelerator refuses for its size or its factor, written so that it is taken.

A large output is made in slices of the channels, which do not know of each other, and joined. Where there are too few
channels for that, and for bilinear interpolation by a large factor, it becomes a transposed convolution: with weights
of 1 where pixels are repeated, else with those of the interpolation, behind a border of one pixel that repeats the
outermost ones. A single pixel that fills a picture does so in several goes, each by a factor that is taken. All of them
compute the same numbers.

Where the factor is not that of the sizes (6.02, by which 20 pixels become 120), runtimes that only know sizes compute
something else. It becomes two convolutions of one pixel, along the height and along the width, which hold the weights
of each pixel in each.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
from pydantic import Field, PositiveInt

from edgekit.steps import StepOptions
from edgekit.steps.convert.onnx_interpolation import multiply_pixels
from edgekit.steps.convert.onnx_rewriting import Scope, attribute_of, replace_nodes, rewriting_step

_CHANNELS = 4  # slices of channels are multiples of it, to which accelerators fill up
_WIDEST = 32  # channels of one transposed convolution, whose weights are the square of it
_MOST_WEIGHTS = 2_000_000


class Options(StepOptions):
    most_elements: PositiveInt = Field(
        2_097_152,
        description="an output with more elements (channels counted in fours) is made in parts; the Edge TPU takes "
        "less than 3,145,728, and that only if they divide evenly among its tiles",
    )
    most_factor: PositiveInt = Field(
        4,
        ge=2,
        description="bilinear enlargement by a larger whole factor becomes a transposed convolution, that of a single "
        "pixel several resizes by this factor at most",
    )


@rewriting_step("onnx_rewrite_resizes", version=6, options=Options, exact=True)
def onnx_rewrite_resizes(model: Any, options: Options) -> tuple[str, ...]:
    """Make large resizes in parts or by transposed convolution, and bilinear ones by a large factor so too."""
    done: Counter[str] = Counter()

    def rule(node: Any, scope: Scope) -> list[Any] | None:
        resize = _read(node, scope)
        if resize is None:
            made = multiply_pixels(node, scope)
            done["by a factor that its sizes do not tell, as convolutions"] += made is not None
            return made
        parts = math.ceil(resize.elements / options.most_elements)
        if resize.is_single and max(resize.factors) > options.most_factor and resize.fours >= parts:
            done["of a single pixel, in several goes"] += 1
            return resize.spread(options.most_factor, parts)
        if resize.interpolates and max(resize.factors) > options.most_factor:
            done["as transposed convolution"] += 1
            return resize.convolve(options.most_elements)
        if parts > 1 and resize.fours >= parts:
            done["in parts"] += 1
            return resize.divide(parts)
        if parts > 1 and (resize.interpolates or resize.repeats):
            done["as transposed convolution"] += 1
            return resize.convolve(options.most_elements)
        return None

    replace_nodes(model, {"Resize": rule})
    return tuple(f"{count} of Resize {how}" for how, count in sorted(done.items()) if count)


def _read(node: Any, scope: Scope) -> Resize | None:
    """The node as enlargement of [1, C, H, W] by whole factors (or any resize that leaves the channels alone, factors
    0), or None."""
    before, after = scope.shape(node.input[0]), scope.shape(node.output[0])
    if scope.opset < 13 or before is None or after is None or len(before) != 4 or len(after) != 4:
        return None
    if not all(before) or not all(after) or before[:2] != after[:2] or before[0] != 1:
        return None
    if attribute_of(node, "axes", None) is not None or not scope.is_float(node.input[0]):
        return None
    if not _is_told_by_sizes(node, scope, before, after):
        return None
    return Resize(node, scope, tuple(map(int, before[1:])), tuple(map(int, after[1:])))  # type: ignore[arg-type]


def _is_told_by_sizes(node: Any, scope: Scope, before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    """Whether the sizes of input and output say all of where each output lies. A factor of 6.02 makes 120 of 20 pixels
    as one of 6 does, and yet is counted with as it is."""
    if attribute_of(node, "coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return False
    if attribute_of(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        return False
    if len(node.input) < 3 or not node.input[2]:
        return True
    factors = scope.constants.get(node.input[2])
    if factors is None or factors.size == 0:
        return factors is not None
    return bool(np.array_equal(factors.reshape(-1).astype(np.float64) * before, after))


class Resize:
    """A resize from [1, C, H, W], with what may take its place."""

    def __init__(self, node: Any, scope: Scope, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        self.node, self.scope = node, scope
        self.channels, self.height, self.width = before
        self.tall, self.wide = after[1:]
        self.nodes: list[Any] = []
        whole = self.tall % self.height == 0 and self.wide % self.width == 0
        self.factors = (self.tall // self.height, self.wide // self.width) if whole else (0, 0)
        self.fours = math.ceil(self.channels / _CHANNELS)
        self.elements = self.tall * self.wide * self.fours * _CHANNELS
        self._mode = str(attribute_of(node, "mode", "nearest"))
        self._places = str(attribute_of(node, "coordinate_transformation_mode", "half_pixel"))

    @property
    def interpolates(self) -> bool:
        """Bilinear, each output in the middle of its share of an input: the weights repeat from pixel to pixel."""
        centred = self._places == "half_pixel" or (
            self._places == "pytorch_half_pixel" and min(self.tall, self.wide) > 1
        )
        smoothed = attribute_of(self.node, "antialias", 0)
        return self._mode == "linear" and centred and min(self.factors) >= 1 and not smoothed

    @property
    def is_single(self) -> bool:
        """One pixel, which every kind of interpolation repeats."""
        return self.height == self.width == 1 and self._mode in ("linear", "cubic")

    @property
    def repeats(self) -> bool:
        """Each pixel stands as often as the factors say."""
        rounding = str(attribute_of(self.node, "nearest_mode", "round_prefer_floor"))
        asked = (self._places, rounding) == ("asymmetric", "floor") or (
            self._places == "half_pixel" and rounding.startswith("round")
        )
        return self._mode == "nearest" and asked and min(self.factors) >= 1

    def spread(self, most_factor: int, parts: int) -> list[Any]:
        """The pixel in slices of its channels, each enlarged bilinearly by ``most_factor`` at most, again and again."""
        each = math.ceil(self.fours / parts) * _CHANNELS
        made = []
        for first in range(0, self.channels, each):
            last = min(first + each, self.channels)
            whole = last - first == self.channels
            name = self.node.input[0] if whole else self._slice(self.node.input[0], 1, first, last)
            tall = wide = 1
            while (tall, wide) != (self.tall, self.wide):
                tall, wide = min(tall * most_factor, self.tall), min(wide * most_factor, self.wide)
                name = self._add_resize(name, (1, last - first, tall, wide), mode="linear")
            made.append(name)
        return self._join(made, 1)

    def divide(self, parts: int) -> list[Any]:
        """Slices of the channels, each resized, joined again."""
        each = math.ceil(self.fours / parts) * _CHANNELS
        resized = []
        for first in range(0, self.channels, each):
            last = min(first + each, self.channels)
            part = self._slice(self.node.input[0], 1, first, last)
            resized.append(self._resize(part, last - first))
        return self._join(resized, 1)

    def convolve(self, most_elements: int) -> list[Any]:
        """Transposed convolutions of slices of the channels, where it interpolates behind a border, whose copy of the
        picture is small enough too."""
        window, pads = np.ones(self.factors), [0, 0]
        each = min(_WIDEST, self.channels)
        if self.interpolates:
            window = np.outer(*(_kernel(factor) for factor in self.factors))
            pads = [factor + factor // 2 if factor > 1 else 0 for factor in self.factors]
            fours = most_elements // (2 * _CHANNELS * self.height * self.width)
            each = min(each, max(fours, 1) * _CHANNELS)
        each = max(1, min(each, math.isqrt(_MOST_WEIGHTS // window.size)))
        made = []
        for first in range(0, self.channels, each):
            count = min(each, self.channels - first)
            part = self.node.input[0]
            part = part if count == self.channels else self._slice(part, 1, first, first + count)
            part = self._border(part) if self.interpolates else part
            weights = np.zeros((count, count, *window.shape), self.scope.dtype(self.node.input[0]))
            weights[range(count), range(count)] = window
            kept = self.scope.constant(weights, f"{self.node.output[0]}_weights")
            shape = {"kernel_shape": window.shape, "strides": self.factors, "pads": pads * 2}
            made.append(self._add("ConvTranspose", [part, kept], **shape))
        return self._join(made, 1)

    def _border(self, name: str) -> str:
        """The outermost rows and columns twice, along the axes that are enlarged. Put together as [height, width,
        channels], which no converter takes for a picture whose axes it has to move."""
        turned = self._add("Transpose", [name], perm=[0, 2, 3, 1])
        picture = self._add_batch("Squeeze", turned)
        for axis, size, factor in ((0, self.height, self.factors[0]), (1, self.width, self.factors[1])):
            if factor > 1:
                ends = self._slice(picture, axis, 0, 1), self._slice(picture, axis, size - 1, size)
                picture = self._add("Concat", [ends[0], picture, ends[1]], axis=axis)
        return self._add("Transpose", [self._add_batch("Unsqueeze", picture)], perm=[0, 3, 1, 2])

    def _add_batch(self, operator: str, name: str) -> str:
        if self.scope.opset < 13:
            return self._add(operator, [name], axes=[0])
        return self._add(operator, [name, self.scope.constant(np.array([0], np.int64), f"{name}_axes")])

    def _resize(self, name: str, channels: int) -> str:
        from onnx import helper

        kept = {each.name: helper.get_attribute_value(each) for each in self.node.attribute}
        kept.pop("keep_aspect_ratio_policy", None)
        return self._add_resize(name, (1, channels, self.tall, self.wide), **kept)

    def _add_resize(self, name: str, shape: tuple[int, ...], **attributes: Any) -> str:
        sizes = self.scope.constant(np.array(shape, np.int64), f"{name}_sizes")
        return self._add("Resize", [name, "", "", sizes], **attributes)

    def _slice(self, name: str, axis: int, first: int, last: int) -> str:
        ends = ((first, "first"), (last, "last"), (axis, "axis"))
        inputs = [self.scope.constant(np.array([value], np.int64), f"{name}_{stem}") for value, stem in ends]
        return self._add("Slice", [name, *inputs])

    def _join(self, names: list[str], axis: int) -> list[Any]:
        from onnx import helper

        if len(names) == 1:
            self.nodes[-1].output[0] = self.node.output[0]
            return self.nodes
        joined = helper.make_node("Concat", names, self.node.output[:1], name=self.node.name, axis=axis)
        return [*self.nodes, joined]

    def _add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        made = self.scope.new_name(f"{self.node.output[0]}_{operator.lower()}")
        self.nodes.append(helper.make_node(operator, inputs, [made], name=made, **attributes))
        return made


def _kernel(factor: int) -> np.ndarray:
    """The weights with which a pixel goes into its surroundings, 1 - |distance| in pixels; [1] for a factor of 1."""
    taps = np.arange(2 * factor - factor % 2)
    return 1 - np.abs((taps - factor // 2 + 0.5) / factor - 0.5)
