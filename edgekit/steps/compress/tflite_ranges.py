"""Ranges of a TensorFlow Lite model's activations over calibration samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from edgekit.errors import StepError
from edgekit.formats.tflite_flatbuffer import StoredModel, parse_model

#: {tensor name: (lowest, highest)}
Ranges = dict[str, tuple[float, float]]
Merge = Literal["minmax", "average"]
Mode = Literal["auto", "profiler", "tensors"]

_MODES = {"profiler": "CALIBRATION_PROFILER_BASED", "tensors": "CALIBRATION_PRESERVE_ALL_TENSORS"}


def collect_ranges(
    litert: SimpleNamespace,
    data: bytes,
    feeds: Iterable[Mapping[str, np.ndarray]],
    *,
    count: int,
    merge: Merge,
    mode: Mode,
    threads: int,
    progress: Callable[[int, int], None],
) -> Ranges:
    """The range of every float32 input and computed tensor of the model ``data`` (one signature, fixed shapes).

    ``feeds`` are {signature's input name: array}, read one by one: memory does not grow with their number. Each sample
    is calibrated by itself and merged here: the library's own merging is a moving average that forgets all but the last
    sixty samples or so, and depends on their order.

    Raises:
        StepError: a tensor is not a finite number on some sample, or the calibrator missed one.
    """
    model = parse_model(data)
    wanted = _computed_tensors(model)
    key = model.signatures[0].key
    dtypes = {name: model.main.tensors[index].dtype for name, index in model.signatures[0].inputs.items()}
    calibrate = _open(litert, data, "profiler" if mode == "auto" else mode, key, threads)
    merged: dict[str, tuple[float, float]] = {}
    for done, feed in enumerate(feeds, start=1):
        sample = {name: np.ascontiguousarray(array, dtypes[name]) for name, array in feed.items()}
        seen = calibrate(sample)
        if done == 1 and mode == "auto" and not wanted <= seen.keys():
            calibrate = _open(litert, data, "tensors", key, threads)
            seen = calibrate(sample)
        _check_sample(seen, wanted, done)
        for name in wanted:
            merged[name] = _merge(merged.get(name), seen[name], merge)
        progress(done, count)
    if merge == "average":
        return {name: (lowest / count, highest / count) for name, (lowest, highest) in merged.items()}
    return merged


def _merge(old: tuple[float, float] | None, new: tuple[float, float], merge: Merge) -> tuple[float, float]:
    if old is None:
        return new
    if merge == "average":  # sums; divided at the end
        return old[0] + new[0], old[1] + new[1]
    return min(old[0], new[0]), max(old[1], new[1])


def _open(
    litert: SimpleNamespace, data: bytes, mode: str, key: str, threads: int
) -> Callable[[Mapping[str, np.ndarray]], Ranges]:
    """A function that runs one sample and gives the ranges seen in it."""
    calibrator = litert.calibrator.Calibrator(
        data, num_threads=threads, mode=getattr(litert.calibrator.CalibrationMode, _MODES[mode])
    )
    recipe = litert.recipe_manager.RecipeManager()
    recipe.load_quantization_recipe(litert.recipe.static_wi8_ai8())

    def calibrate(sample: Mapping[str, np.ndarray]) -> Ranges:
        calibrator.reset_model_qsvs()
        calibrator.calibrate({key: [sample]}, recipe)
        return {name: _limits(seen) for name, seen in calibrator.get_model_qsvs().items() if "min" in seen}

    return calibrate


def _limits(seen: Mapping[str, Any]) -> tuple[float, float]:
    return float(np.min(seen["min"])), float(np.max(seen["max"]))


def _computed_tensors(model: StoredModel) -> set[str]:
    subgraph = model.main
    indices = {
        *subgraph.inputs,
        *(index for operator in subgraph.operators for index in operator.outputs if index >= 0),
    }
    return {subgraph.tensors[index].name for index in indices if subgraph.tensors[index].dtype == "float32"}


def _check_sample(seen: Ranges, wanted: set[str], place: int) -> None:
    missing = sorted(wanted - seen.keys())
    if missing:
        raise StepError(
            f"the calibrator saw nothing of the tensor `{missing[0]}`",
            where=missing[0],
            remedy="set the option calibration to tensors",
            code="not_calibrated",
        )
    wrong = sorted(name for name in wanted if not all(math.isfinite(value) for value in seen[name]))
    if wrong:
        raise StepError(
            f"the tensor `{wrong[0]}` holds NaN or infinity on calibration sample {place}",
            where=wrong[0],
            remedy="look at that sample, and at the weights of the layer",
            code="not_finite",
        )
