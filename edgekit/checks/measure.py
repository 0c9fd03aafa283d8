"""Measures an artifact against the source model, sample by sample, in the artifact's own runtime.

The source's outputs are computed once (``compute_reference``); every artifact is compared with them (``measure``).
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import Artifact
from edgekit.checks.comparing import Comparer
from edgekit.checks.feeding import SampleSequence
from edgekit.checks.measurement import Interval, Latency, Measurement
from edgekit.checks.records import REFERENCE, Records, Reference, ReferenceWriter
from edgekit.checks.statistics import bootstrap, wilson
from edgekit.checks.walk import Progress, Seen, Walk
from edgekit.datasets.stored import StoredSamples
from edgekit.errors import InputError
from edgekit.numerics.sqnr import decibels
from edgekit.tasks import Task, make_task


def compute_reference(
    artifact: Artifact,
    samples: SampleSequence,
    out: Path,
    *,
    task: Any = None,
    threads: int = 1,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Run the source model over the samples and keep its raw outputs, decisions and scores in ``out``.

    ``task`` is a ``plan.TaskUse``, the same as a dict, or None (outputs are then only compared). ``samples`` are stored
    ones, or a list of synthetic ones.

    Returns:
        what ``ReferenceWriter.info`` says, and {labelled, chance (what guessing or a constant answer scores, or None),
        chance_of (which of them), measurement: the source's own, as a dict}; also written to ``out/reference.json``.

    Raises:
        InputError: the outputs or labels do not fit the task, or an output is NaN or infinite.
        StepError: the runtime failed.
    """
    started = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    walk = Walk(artifact, threads)
    # One run beforehand: it tells the real shapes, and the runtime's first call is slower than the rest.
    first = walk.run_one(samples[0])
    judge = _make_task(task, samples)
    fit_task(judge, {name: array.shape for name, array in first.outputs.items()}, samples)
    records = Records(len(samples))
    labels = _labels_of(samples)
    with ReferenceWriter(
        out, len(samples), first.outputs, first.entries, behind=walk.behind, varying=judge.varying
    ) as writer:
        for seen in walk.run_all(samples, progress):
            for name, array in (*seen.outputs.items(), *seen.entries.items()):
                _refuse_nonfinite(name, array, _name_of(samples, seen.index))
            decision = judge.decide(seen.outputs)
            writer.append(seen.outputs, seen.entries, decision)
            records.seconds[seen.index] = seen.seconds
            if decision is not None:
                records.add_decision(seen.index, decision)
            _add_score(records, judge, seen, decision, labels)
    if labels is not None and records.scores is None and judge.metric is not None:
        raise InputError(
            f"the labels of the evaluation data are not what the task `{judge.name}` takes",
            where="data",
            remedy="name the task that fits the data, or `compare` to leave labels aside",
            code="labels_do_not_fit",
        )
    records.save(out, decides=writer.decides)
    info = {
        **writer.info(),
        "labelled": records.scores is not None,
        **_chance(judge, labels if records.scores is not None else None),
        "measurement": _summarize(records, None, judge, samples, walk, False, False, 0, started).to_dict(),
    }
    (out / REFERENCE).write_text(json.dumps(info, indent=1))
    return info


def measure(
    artifact: Artifact,
    samples: SampleSequence,
    reference: Path,
    out: Path,
    *,
    task: Any = None,
    threads: int = 1,
    seed: int = 0,
    simulated: bool = False,
    progress: Progress = lambda done, total: None,
) -> Measurement:
    """Run an artifact over the samples that ``reference`` (a folder of ``compute_reference``) was made on, and compare.

    Outputs are compared number by number, but for those behind a selection (NMS, TopK), in whose place stands what is
    selected from: see ``checks.records``. Per-sample figures go to ``out/records.npz``. ``seed`` is the bootstrap's;
    ``simulated`` says that this runtime is not the device's own. An output that is NaN or infinite counts as wrong,
    agrees with nothing and gives the lowest SQNR.

    Raises:
        InputError: other samples than the reference's.
        StepError: the runtime failed, or an output has another shape than the source's.
    """
    started = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    known = Reference(reference)
    if len(known) != len(samples):
        raise InputError(f"{len(samples)} samples, but the source was run on {len(known)}", where=str(reference))
    judge = _make_task(task, samples)
    fit_task(judge, known.shapes(), samples)
    walk = Walk(artifact, threads)
    walk.run_one(samples[0])
    records = Records(len(samples), len(known.columns))
    records.compared = True
    labels = _labels_of(samples)
    decides = bool(known.info["decides"])
    comparer = Comparer(known, records, judge, walk.behind)
    for seen in walk.run_all(samples, progress):
        records.seconds[seen.index] = seen.seconds
        decision = judge.decide(seen.outputs)
        comparer.add(seen, decision)
        _add_score(records, judge, seen, decision, labels)
    comparer.flush()
    records.save(out, decides=decides)
    found = _summarize(records, known.scores, judge, samples, walk, decides, simulated, seed, started)
    compared = zip(known.columns, records.columns, strict=True)
    return dataclasses.replace(
        found, selected_from=tuple(column["name"] for column, held in compared if held and column["entry"])
    )


def _chance(task: Task, labels: Any) -> dict[str, Any]:
    """What is reached without looking at the samples (None without labels), and in which way: the better of two."""
    ways = {} if labels is None else {"guessing": task.chance(), "a constant answer": task.constant_answer(labels)}
    known = {way: figure for way, figure in ways.items() if figure is not None}
    best = max(known, key=lambda way: known[way], default=None)
    return {"chance": None if best is None else known[best], "chance_of": best}


def fit_task(task: Task, shapes: Mapping[str, tuple[int | None, ...]], samples: SampleSequence) -> None:
    """Refuse a model whose outputs, or samples whose labels, cannot be the task's (InputError)."""
    task.check_outputs(shapes)
    labels = _labels_of(samples)
    if isinstance(samples, StoredSamples) and isinstance(labels, np.ndarray):
        task.check_labels(int(labels.max()), named=samples.named)


def _make_task(task: Any, samples: SampleSequence) -> Task:
    if isinstance(task, Task):
        return task
    if dataclasses.is_dataclass(task) and not isinstance(task, type):
        task = dataclasses.asdict(task)
    use = task or {}
    classes = samples.classes if isinstance(samples, StoredSamples) else None
    return make_task(use.get("name"), use.get("options"), classes)


def _labels_of(samples: SampleSequence) -> Any:
    return samples.labels if isinstance(samples, StoredSamples) else None


def _name_of(samples: SampleSequence, index: int) -> str:
    return samples.ids[index] if isinstance(samples, StoredSamples) else f"{index} (synthetic)"


def _add_score(records: Records, task: Task, seen: Seen, decision: np.ndarray | None, labels: Any) -> None:
    if labels is None:
        return
    score = task.score(seen.outputs, decision, labels[seen.index])
    if score is not None:
        records.add_score(seen.index, score)


def _refuse_nonfinite(name: str, array: np.ndarray, sample: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            f"the source model's output `{name}` is NaN or infinite for sample {sample}",
            where=sample,
            remedy="check the model's weights and the preprocessing: nothing can be compared with this",
            code="nan_in_outputs",
        )


def _summarize(
    records: Records,
    source_scores: np.ndarray | None,
    task: Task,
    samples: SampleSequence,
    walk: Walk,
    decides: bool,
    simulated: bool,
    seed: int,
    started: float,
) -> Measurement:
    """The figures over all samples. ``decides`` is False for the source, which is not compared with itself."""
    value, interval = _value(records.scores, task, seed)
    drop, drop_interval = _drop(source_scores, records.scores, task, seed)
    agreement, agreement_interval = _agreement(records.agreement, task, seed) if decides else (None, None)
    milliseconds = np.percentile(records.seconds * 1e3, [50, 10, 90])
    return Measurement(
        metric=None if value is None else task.metric_name(),
        value=value,
        interval=interval,
        drop_points=drop,
        drop_points_interval=drop_interval,
        agreement=agreement,
        agreement_interval=agreement_interval,
        sqnr_db=_worst_sqnr(records) if records.compared else None,
        latency_ms=Latency(*(float(figure) for figure in milliseconds)),
        samples=len(samples),
        data="evaluate" if isinstance(samples, StoredSamples) else "synthetic",
        runtime=walk.runtime,
        simulated=simulated,
        seconds=time.perf_counter() - started,
        nonfinite=int(records.nonfinite.sum()),
        share=task.share and value is not None,
    )


def _value(scores: np.ndarray | None, task: Task, seed: int) -> tuple[float | None, Interval | None]:
    if scores is None:
        return None, None
    value = float(task.aggregate(scores.mean(axis=0)))
    if task.proportion:
        return value, wilson(float(scores.sum()), len(scores))
    return value, bootstrap(scores, task.aggregate, seed=seed)


def _drop(
    source: np.ndarray | None, scores: np.ndarray | None, task: Task, seed: int
) -> tuple[float | None, Interval | None]:
    """Source minus artifact, paired on the samples: in points of a share, else in the metric's unit."""
    if source is None or scores is None:
        return None, None
    columns = source.shape[1]
    unit = 100.0 if task.share else 1.0

    def difference(means: np.ndarray) -> np.ndarray:
        return unit * (task.aggregate(means[..., :columns]) - task.aggregate(means[..., columns:]))

    paired = np.concatenate([source, scores], axis=1)
    low, high = bootstrap(paired, difference, seed=seed)
    # 100 * (0.8 - 0.79) is a little over 1 in floating point, which a limit of 1.0 would not forgive.
    return round(float(difference(paired.mean(axis=0))), 9), (round(low, 9), round(high, 9))


def _agreement(shares: np.ndarray, task: Task, seed: int) -> tuple[float, Interval]:
    value = float(shares.mean())
    if task.single:
        return value, wilson(float(shares.sum()), len(shares))
    return value, bootstrap(shares[:, None], lambda means: means[..., 0], seed=seed)


def _worst_sqnr(records: Records) -> float | None:
    signal, noise = (figures[:, records.columns].sum(axis=0) for figures in (records.signal, records.noise))
    return min((decibels(float(s), float(n)) for s, n in zip(signal, noise, strict=True)), default=None)
