"""What a device's rules make of models before and after the steps that cure them, through the real converter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from onnx import helper

from edgekit.artifact import Artifact
from edgekit.formats.matching import synthetic_samples
from edgekit.formats.runner import open_runner
from edgekit.toolchains import find

from ..onnx_models import Node, apply, integers, mapped_on_coral, node, numbers, save, to_tflite

FIRST, LAST = node("Conv", "x", "w", "c"), node("Conv", "a", "v", "y")
ENLARGED = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def turned(given: str, order: list[int], made: str) -> list[Node]:
    """Reshape to `high`, transpose, reshape to `low`."""
    return [
        node("Reshape", given, "high", "r"),
        node("Transpose", "r", "t", perm=order),
        node("Reshape", "t", "low", made),
    ]


def attention() -> tuple[list[Node], tuple[int, ...], dict[str, np.ndarray]]:
    """A layer norm, and the attention of its rows to each other in two heads."""
    nodes = [
        *[node("LayerNormalization", "x", "scale", "bias", "n"), node("Reshape", "n", "heads", "h")],
        *[node("Transpose", "h", "a", perm=[0, 2, 1, 3]), node("Transpose", "h", "b", perm=[0, 2, 3, 1])],
        *[node("MatMul", "a", "b", "s"), node("Mul", "s", "quarter", "q"), node("Softmax", "q", "w", axis=-1)],
        *[node("MatMul", "w", "a", "m"), node("Transpose", "m", "t", perm=[0, 2, 1, 3])],
        *[node("Reshape", "t", "rows", "r"), node("Add", "r", "x", "y")],
    ]
    constants = {"scale": 1 + 0.2 * numbers(32), "bias": 0.2 * numbers(32), "quarter": np.float32(0.25)}
    return nodes, (1, 24, 32), {**constants, "heads": integers(1, 24, 2, 16), "rows": integers(1, 24, 32)}


def sources(folder: Path) -> dict[str, tuple[Artifact, list[str]]]:
    """{case: (model, the steps that cure it)}."""
    picture = {"w": numbers(24, 3, 1, 1), "v": numbers(4, 24, 1, 1)}
    small = {"w": numbers(24, 3, 1, 1), "v": numbers(4, 6, 1, 1)}
    cases: dict[str, tuple[list[Node], tuple[int, ...], dict[str, np.ndarray], list[str]]] = {
        "dilated 1-D": (
            [
                node("Conv", "x", "w", "c", dilations=[2]),
                node("Sigmoid", "c", "s"),
                node("Mul", "c", "s", "a"),
                node("Conv", "a", "v", "b", strides=[2], group=8),
                node("ReduceMean", "b", "m", axes=[2], keepdims=0),
                node("Gemm", "m", "g", "y"),
            ],
            (1, 4, 400),
            {"w": numbers(8, 4, 5), "v": numbers(8, 1, 3), "g": numbers(8, 5)},
            ["onnx_widen_1d"],
        ),
        "detector's head": (
            [FIRST, *turned("c", [0, 1, 3, 4, 2], "h"), node("Sigmoid", "h", "y")],
            (1, 3, 13, 13),
            {"w": numbers(255, 3, 1, 1), "high": integers(1, 3, 85, 13, 13), "low": integers(1, 507, 85)},
            ["onnx_lower_rank"],
        ),
        "channel shuffle": (
            [FIRST, node("Concat", "c", "c", "d", axis=1), *turned("d", [0, 2, 1, 3, 4], "a"), LAST],
            (1, 3, 56, 56),
            {
                "w": numbers(24, 3, 1, 1),
                "v": numbers(4, 48, 1, 1),
                "high": integers(1, 2, 24, 56, 56),
                "low": integers(1, 48, 56, 56),
            },
            ["onnx_convolve_shuffles"],
        ),
        "pixel shuffle": (
            [FIRST, node("DepthToSpace", "c", "a", blocksize=2, mode="CRD"), LAST],
            (1, 3, 64, 64),
            small,
            ["onnx_convolve_shuffles"],
        ),
        "pixel shuffle by transposes": (
            [FIRST, *turned("c", [0, 1, 4, 2, 5, 3], "a"), LAST],
            (1, 3, 14, 14),
            {**small, "high": integers(1, 6, 2, 2, 14, 14), "low": integers(1, 6, 28, 28)},
            ["onnx_lower_rank"],
        ),
        "large factor": (
            [FIRST, helper.make_node("Resize", ["c", "", "scales"], ["a"], name="resize", **ENLARGED), LAST],
            (1, 3, 33, 33),
            {**picture, "scales": np.array([1, 1, 8, 8], np.float32)},
            ["onnx_rewrite_resizes"],
        ),
        "large output": (
            [FIRST, helper.make_node("Resize", ["c", "", "scales"], ["a"], name="resize", **ENLARGED), LAST],
            (1, 3, 128, 128),
            {**picture, "scales": np.array([1, 1, 4, 4], np.float32)},
            ["onnx_rewrite_resizes"],
        ),
        "large output of few channels": (
            [helper.make_node("Resize", ["x", "", "scales"], ["a"], name="resize", mode="nearest"), LAST],
            (1, 3, 512, 512),
            {"v": numbers(4, 3, 1, 1), "scales": np.array([1, 1, 2, 2], np.float32)},
            ["onnx_rewrite_resizes"],
        ),
        "many classes": ([node("Gemm", "x", "w", "y")], (1, 4), {"w": numbers(4, 120_000)}, ["onnx_split_large"]),
        "linear layers of tokens": (
            [
                *[node("MatMul", "x", "w", "m"), node("Add", "m", "b", "a"), node("Relu", "a", "r")],
                *[node("MatMul", "r", "v", "n"), node("Add", "n", "x", "y")],
            ],
            (1, 16, 32),
            {"w": numbers(32, 48), "b": numbers(48), "v": numbers(48, 32)},
            ["onnx_convolve_products"],
        ),
        "attention": (*attention(), ["onnx_spread_products"]),
        "class token": (
            [node("Concat", "k", "x", "t", axis=1), node("Gather", "t", "i", "p", axis=1), node("Gemm", "p", "g", "y")],
            (1, 16, 32),
            {"k": numbers(1, 1, 32), "i": np.array(0), "g": numbers(32, 10)},
            ["onnx_pad_and_slice"],
        ),
        "large window": (
            [node("Conv", "x", "w", "y", strides=[4, 4])],
            (1, 3, 128, 128),
            {"w": numbers(8, 3, 64, 64)},
            ["onnx_split_large"],
        ),
        "large head": (
            [FIRST, node("Reshape", "c", "high", "r"), node("Transpose", "r", "y", perm=[0, 1, 3, 4, 2])],
            (1, 3, 26, 26),
            {"w": numbers(255, 3, 1, 1), "high": integers(1, 3, 85, 26, 26)},
            ["onnx_lower_rank", "onnx_split_large"],
        ),
    }  # fmt: skip
    return {
        name: (save(folder / f"{place}.onnx", nodes, shape, **constants), steps)
        for place, (name, (nodes, shape, constants, steps)) in enumerate(cases.items())
    }


def test_the_mapped_share_rises(tmp_path: Path, require: Callable[[str, str], None]) -> None:
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    given = sources(tmp_path)
    cured = {}
    for name, (source, steps) in given.items():
        made = source
        for step in steps:
            made = apply(step, made, tmp_path / f"{source.path.stem}-{step}")
        cured[name] = made
    paths = [each.path for name, (source, _) in given.items() for each in (source, cured[name])]
    shares = [mapped_on_coral(made) for made in to_tflite(paths, tmp_path)]
    before, after = (dict(zip(given, shares[start::2], strict=True)) for start in (0, 1))
    whole = {name: share for name, share in after.items() if name != "large head"}
    assert max(before.values()) < 0.7
    assert whole == dict.fromkeys(whole, 1.0)
    assert after["large head"] > 0.8, "its output has five axes"


def test_in_8_bit_integers(
    tmp_path: Path, require: Callable[[str, str], None], run_step: Callable[..., Artifact]
) -> None:
    """Quantized, shuffles only move the integers: half a step off by the rounding of the input. Interpolation
    by convolution adds half a step of the output and half a step of the weights' scale ((15 / 16)^2 / 127) for each of
    the four pixels, which are at most 127 steps."""
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    shape = (1, 24, 16, 16)
    shuffled = {"high": integers(1, 2, 12, 16, 16), "low": integers(*shape)}
    larger = helper.make_node("Resize", ["x", "", "scales"], ["y"], name="resize", **ENLARGED)
    given = {
        "channel": save(tmp_path / "c.onnx", turned("x", [0, 2, 1, 3, 4], "y"), shape, **shuffled),
        "pixel": save(tmp_path / "p.onnx", [node("DepthToSpace", "x", "y", blocksize=2)], shape),
        "bilinear": save(tmp_path / "b.onnx", [larger], shape, scales=np.array([1, 1, 8, 8], np.float32)),
    }
    steps = {"bilinear": "onnx_rewrite_resizes"}
    made = [apply(steps.get(name, "onnx_convolve_shuffles"), each, tmp_path / name) for name, each in given.items()]
    samples = synthetic_samples(given["pixel"].io, 8, 0)
    quantized = [run_step("tflite_int8", each, samples) for each in to_tflite([each.path for each in made], tmp_path)]
    off = {}
    for (name, source), cured in zip(given.items(), quantized, strict=True):
        step = max(tensor.quantization.scale[0] for tensor in (*cured.io.inputs, *cured.io.outputs))
        pairs = [(open_runner(each, 1).run(sample)["y"], sample) for each in (source, cured) for sample in samples]
        real, found = np.stack([y for y, _ in pairs[:8]]), np.stack([y for y, _ in pairs[8:]])
        off[name] = float(np.max(np.abs(real - found))) / step
    assert off["channel"] <= 0.51
    assert off["pixel"] <= 0.51
    assert off["bilinear"] <= 0.5 + 0.5 + 4 * 127 * 0.5 * (15 / 16) ** 2 / 127


def test_a_layer_norm_and_attention_in_8_bit_integers(
    tmp_path: Path, require: Callable[[str, str], None], run_step: Callable[..., Artifact], sqnr: Callable[..., float]
) -> None:
    """Products in between that are rounded to 8 bits cost a few decibels against a product summed up in 32 bits."""
    if find("onnx2tf") is None:
        require("onnx2tf", "the toolchain is not installed: edgekit toolchain install onnx2tf")
    nodes, shape, constants = attention()
    source = save(tmp_path / "source.onnx", nodes, shape, **constants)
    spread = apply("onnx_spread_products", source, tmp_path / "spread")
    samples = synthetic_samples(source.io, 16, 0)
    made = [run_step("tflite_int8", each, samples) for each in to_tflite([source.path, spread.path], tmp_path)]
    whole, summed = (sqnr(source, each, samples) for each in made)
    assert whole > 30
    assert summed > whole - 5
