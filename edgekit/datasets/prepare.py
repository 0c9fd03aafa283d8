"""Reads the samples of a run, runs their preprocessing and stores them, so that every step reads the same prepared
arrays.

``out`` afterwards holds a folder per role with ``index.json``, an ``.npy`` per model input (pictures as 8-bit pixels
from before ``scale`` and ``normalize``) and the labels. Samples are read and decoded in threads, a few ahead of the
one that is written, so that memory does not grow with their number.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import Tensor, hash_value
from edgekit.datasets.labels import LabelWriter
from edgekit.datasets.open import open_source
from edgekit.datasets.pictures import check_header
from edgekit.datasets.preprocess import Word, channel_axis, split_words
from edgekit.datasets.rows import RowReader, RowWriter
from edgekit.datasets.sample import Prepared, prepare_sample, takes_integers
from edgekit.datasets.selection import check_disjoint, pick, split
from edgekit.datasets.source import Source, read_labels_file
from edgekit.datasets.stored import INDEX, Column
from edgekit.errors import EdgekitError, InputError, StepError

Progress = Callable[[int, int], None]
ROLES = ("calibrate", "evaluate")


def prepare(
    data: Any,
    inputs: Sequence[Tensor],
    task: Any,
    out: Path,
    *,
    roles: Sequence[str] = ROLES,
    seed: int = 0,
    threads: int = 1,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Prepare the samples of ``roles`` into ``out``, which must not exist or be empty; it appears whole or not at all.

    ``data`` is a ``plan.Data`` and ``task`` a ``plan.TaskUse`` (or None), or either as a dict; presets in
    ``preprocess`` are already expanded. ``inputs`` are the source model's. ``seed`` is added to that of a source that
    is sampled.

    Returns:
        {role: {samples, sha256, labelled, classes (number or None), input_range, ids: the first 5, note}}; ``sha256``
        covers contents, labels and preprocessing. A role that ``data`` does not give is left out.

    Raises:
        InputError: data missing, empty, unreadable, with NaN, of another shape than the model's, or shared by two
            roles.
        StepError: the disk is full.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        info = _prepare_roles(_plain(data), inputs, _plain(task), partial, roles, seed, threads, progress)
        if out.exists():
            out.rmdir()
        partial.rename(out)
        return info
    except OSError as error:
        raise _describe_os_error(error, out) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _prepare_roles(
    data: Mapping[str, Any],
    inputs: Sequence[Tensor],
    task: Mapping[str, Any],
    out: Path,
    roles: Sequence[str],
    seed: int,
    threads: int,
    progress: Progress,
) -> dict[str, Any]:
    labels = task.get("labels")
    classes = None if labels is None else read_labels_file(Path(labels))
    scratch = out / "scratch"
    scratch.mkdir()
    sources = {
        role: source for role, source in _open_roles(data, inputs, classes, scratch, seed).items() if role in roles
    }
    total = sum(len(source) for source in sources.values())
    done = 0
    results: dict[str, Any] = {}
    hashes: dict[str, list[str]] = {}
    for role, source in sources.items():
        if role == "calibrate":
            source = dataclasses.replace(source, labelled=False)
        before = done
        role_progress = lambda count, _, before=before: progress(before + count, total)  # noqa: E731
        results[role], hashes[role] = _prepare_role(
            source, inputs, data.get("preprocess") or (), out / role, threads, role_progress
        )
        done += len(source)
    check_disjoint(hashes, {role: source.ids for role, source in sources.items()})
    if data.get("split") is not None:
        for role in results:
            results[role]["note"] = (
                f"{len(sources[role])} of the samples at {data['split']['path']}, divided by content"
            )
    shutil.rmtree(scratch)
    return results


def _open_roles(
    data: Mapping[str, Any], inputs: Sequence[Tensor], classes: tuple[str, ...] | None, scratch: Path, seed: int
) -> dict[str, Source]:
    def open_one(where: Mapping[str, Any], role: str) -> Source:
        (scratch / role).mkdir()
        names = [tensor.name for tensor in inputs]
        source = open_source(
            Path(where["path"]),
            factory=where.get("factory"),
            options=where.get("options"),
            inputs=names,
            scratch=scratch / role,
            classes=None if role == "calibrate" else classes,
        )
        return pick(source, where.get("samples"), int(where.get("seed") or 0) + seed)

    if data.get("split") is not None:
        return split(open_one(data["split"], "split"), check_header)
    return {role: open_one(data[role], role) for role in ROLES if data.get(role) is not None}


#: How much of a sample's hash is kept to tell later whether another set has the same sample.
CONTENT_DIGITS = 16


def _prepare_role(
    source: Source, inputs: Sequence[Tensor], words: Sequence[Word], folder: Path, threads: int, progress: Progress
) -> tuple[dict[str, Any], list[str]]:
    """The role's summary, and the hash of every sample's decoded content."""
    folder.mkdir()
    head, tail = split_words(words)
    count = len(source)
    hashes: list[str] = []
    extremes = _Extremes()
    writers = {tensor.name: RowWriter(folder / f"input_{place}.npy", count) for place, tensor in enumerate(inputs)}
    labels = LabelWriter(folder, source)
    layouts = {tensor.name: tensor.layout for tensor in inputs}
    picture = False
    try:
        read = lambda index: prepare_sample(source, index, inputs, head, tail)  # noqa: E731
        for number, sample in enumerate(_ahead(read, count, threads)):
            for name, row in sample.rows.items():
                _append(writers[name], row, source.ids[number])
                extremes.add(name, row, channel_axis(layouts[name], row.ndim, picture=sample.picture))
            labels.add(number, sample.label)
            hashes.append(sample.content_sha256)
            picture = sample.picture
            progress(number + 1, count)
    finally:
        for writer in writers.values():
            writer.close()
        labels.close()
    index_inputs = [
        {
            "name": tensor.name,
            "file": f"input_{place}.npy",
            "dtype": _sample_dtype(tensor),
            "layout": tensor.layout,
            "picture": picture,
            "tail": tail,
        }
        for place, tensor in enumerate(inputs)
    ]
    sha256 = hash_value({"contents": hashes, "labels": labels.sha256(), "words": list(words), "inputs": index_inputs})
    index: dict[str, Any] = {
        "samples": count,
        "sha256": sha256,
        "inputs": index_inputs,
        "labels": labels.file,
        "class_names": source.classes,
        "named": source.named,
        "ids": list(source.ids),
        "contents": [digest[:CONTENT_DIGITS] for digest in hashes],
        "input_range": extremes.prepared(folder, index_inputs),
    }
    (folder / INDEX).write_text(json.dumps(index))
    summary = {
        "samples": count,
        "sha256": sha256,
        "labelled": labels.file is not None,
        "classes": None if source.classes is None else len(source.classes),
        "input_range": index["input_range"],
        "ids": index["ids"][:5],
    }
    return summary, hashes


class _Extremes:
    """The lowest and highest stored value of each input: for each channel, or (without an axis of channels) of all."""

    def __init__(self) -> None:
        self._ends: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, name: str, row: np.ndarray, axis: int | None) -> None:
        if axis is None:
            lowest, highest = np.asarray(row.min()), np.asarray(row.max())
        else:
            flat = np.moveaxis(row, axis, -1).reshape(-1, row.shape[axis])
            lowest, highest = flat.min(axis=0), flat.max(axis=0)
        if name in self._ends:
            lowest = np.minimum(lowest, self._ends[name][0])
            highest = np.maximum(highest, self._ends[name][1])
        self._ends[name] = (lowest, highest)

    def prepared(self, folder: Path, inputs: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
        """The range of all prepared inputs together."""
        ranges = []
        for entry in inputs:
            rows = RowReader(folder / entry["file"])
            column = Column(
                entry["name"], rows, entry["dtype"], entry["layout"], entry["picture"], tuple(entry["tail"])
            )
            ranges.append(column.value_range(*self._ends[entry["name"]]))
        return min(low for low, _ in ranges), max(high for _, high in ranges)


def _ahead(read: Callable[[int], Prepared], count: int, threads: int) -> Iterator[Prepared]:
    """The samples in order, read by ``threads`` threads, at most twice as many of them ahead."""
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="prepare")
    try:
        numbers = iter(range(count))
        waiting: list[Future[Prepared]] = [pool.submit(read, number) for number in islice(numbers, 2 * max(1, threads))]
        while waiting:
            sample = waiting.pop(0).result()
            waiting.extend(pool.submit(read, number) for number in islice(numbers, 1))
            yield sample
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _append(writer: RowWriter, row: np.ndarray, sample: str) -> None:
    try:
        writer.append(row)
    except ValueError as error:
        raise InputError(
            f"the sample {sample} is prepared to another shape or type than the first: {error}",
            where=sample,
            remedy="let `preprocess` bring every sample to one size",
            code="shape_differs",
        ) from error


def _sample_dtype(tensor: Tensor) -> str:
    """What a sample holds: real numbers (float32) wherever the model takes floats or quantized reals, else its
    integers."""
    return tensor.dtype if takes_integers(tensor) else "float32"


def _plain(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _describe_os_error(error: OSError, out: Path) -> EdgekitError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    named = error.filename
    if not full and isinstance(named, str) and not Path(named).is_relative_to(out.parent):
        return InputError(f"{named} cannot be read: {error.strerror}", where=named, code="unreadable_data")
    what = "the disk is full" if full else str(error)
    return StepError(
        f"preparing the samples failed: {what}",
        where=str(out),
        remedy="free space there, or move the cache (EDGEKIT_CACHE)" if full else None,
        code="disk_full" if full else "step_failed",
    )
