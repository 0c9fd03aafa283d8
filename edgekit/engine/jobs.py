"""The jobs a worker runs: plain data in, plain data out. Only this module and ``worker`` import the heavy side.

    read_source    {file, format, factory, options, weights, inputs, sidecar}        -> {artifact, files}
    describe       {artifact}                                                        -> {graph}
    prepare_data   {data, io, roles, task, seed, out}                                -> what ``datasets.prepare`` says
    step           {step, options, artifact, samples, workdir, out, threads, seed}   -> {artifact, notes}
    reference      {artifact, samples, task, out, threads}                           -> what ``checks.measure`` says
    measure        {artifact, samples, reference, task, out, threads, seed}          -> {measurement}
    place          {artifact, compiled, device, precision}                           -> {placement}

``samples`` is {folder, role} of prepared data, or {synthetic: count, seed}, or None. Whatever a job writes goes below
``out``, a fresh folder of its own, and artifact paths in answers are relative to it.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.artifact import IO, Artifact, Build, hash_files, hash_value
from edgekit.engine.files import copy_atomically
from edgekit.engine.tails import hand_on
from edgekit.errors import BugError, InputError, StepError
from edgekit.graph import Graph

Job = dict[str, Any]
Answer = dict[str, Any]
ProgressTo = Callable[[int, int], None]


def run_job(job: Job, progress: ProgressTo = lambda done, total: None) -> Answer:
    """Run one job.

    Raises:
        EdgekitError: what the job itself raises; anything else is translated by ``faults.translate``.
    """
    kinds: dict[str, Callable[[Job, ProgressTo], Answer]] = {
        "read_source": _read_source,
        "describe": _describe,
        "prepare_data": _prepare_data,
        "step": _run_step,
        "reference": _compute_reference,
        "measure": _measure,
        "place": _place,
    }
    kind = job.get("kind")
    if kind not in kinds:
        raise BugError(f"no job is called `{kind}`")
    return kinds[kind](job, progress)


def _read_source(job: Job, progress: ProgressTo) -> Answer:
    """The source as an artifact whose io is read from the file (or from the module that its factory makes)."""
    from edgekit.formats import FORMATS, Declared, find_format
    from edgekit.formats.tail import attach_tail

    path = Path(job["file"])
    weights = job.get("weights")
    build = None
    if job.get("factory"):
        build = Build(job["factory"], dict(job.get("options") or {}), None if weights is None else Path(weights))
        known = FORMATS.get(job["format"])
    else:
        known = find_format(path)
    io = known.read_io(path, _declared(job.get("inputs") or {}, Declared), build)
    files = [] if build else known.files(path)
    sha256, size = _hash_build(path, build) if build else hash_files(files)
    artifact = attach_tail(Artifact(path, known.name, sha256, size, io, build), job.get("sidecar") or {})
    bad = known.find_nan(artifact)
    if bad is not None:
        raise InputError(
            f"the model's constant `{bad}` holds NaN or infinity",
            where=str(weights or path),
            remedy="train or export it again; a model with such weights computes nothing",
            code="nan_in_weights",
        )
    return {"artifact": artifact.to_dict(), "files": [str(file.relative_to(path.parent)) for file in files]}


def _hash_build(path: Path, build: Build) -> tuple[str, int]:
    """Of a module that a Python file makes: its source, its weights and its options."""
    sha256, size = hash_files([path])
    weights = (None, 0) if build.weights is None else hash_files([build.weights])
    return hash_value([sha256, weights[0], build.factory, build.options]), size + weights[1]


def _declared(inputs: dict[str, dict[str, Any]], make: Any) -> Any:
    def pick(word: str) -> dict[str, Any]:
        return {name: said[word] for name, said in inputs.items() if said.get(word) is not None}

    return make(
        shapes={name: tuple(shape) for name, shape in pick("shape").items()},
        layouts=pick("layout"),
        dtypes=pick("dtype"),
    )


def _describe(job: Job, progress: ProgressTo) -> Answer:
    from edgekit.formats import FORMATS

    artifact = Artifact.from_dict(job["artifact"])
    return {"graph": FORMATS.get(artifact.format).describe(artifact).to_dict()}


def _place(job: Job, progress: ProgressTo) -> Answer:
    from edgekit.devices.judge import judge_graph
    from edgekit.devices.latency import estimate
    from edgekit.devices.placement import Placement
    from edgekit.devices.profile import Profile
    from edgekit.devices.programs import read_compiled
    from edgekit.formats import FORMATS

    def describe(stored: dict[str, Any]) -> Graph:
        artifact = Artifact.from_dict(stored)
        return FORMATS.get(artifact.format).describe(artifact)

    def ask(predicted: Placement) -> Placement:
        return predicted if job["compiled"] is None else read_compiled(profile, predicted, describe(job["compiled"]))

    profile = Profile.model_validate(job["device"])
    graph = describe(job["artifact"])
    judgement = judge_graph(graph, profile, precision=job["precision"], ask=ask)
    latency = estimate(graph, profile, judgement.placement, precision=job["precision"])
    estimated = {} if latency is None else {"latency_estimate": latency.to_dict()}
    return {"placement": {**judgement.summary(), **estimated}}


def _run_step(job: Job, progress: ProgressTo) -> Answer:
    """Run the step in ``workdir``, then move what it produced to ``out``, the tail of what it read beside it."""
    from edgekit.steps import STEPS, Context

    step = STEPS.get(job["step"])
    artifact = Artifact.from_dict(job["artifact"])
    workdir = Path(job["workdir"])
    context = Context(
        workdir=workdir,
        samples=_open_samples(job.get("samples"), artifact.io),
        threads=job.get("threads", 1),
        seed=job.get("seed", 0),
        log=_log_to_stderr(),
        progress=progress,
    )
    produced = step.run(context, _lend(artifact, workdir.with_name("in")), step.options(**job["options"]))
    files = _files_of(step.produces, produced.path)
    missing = [file for file in files if not file.exists()]
    if missing or not files:
        raise StepError(
            f"the step {step.name} wrote no file at {produced.path}", where=job.get("label"), code="no_file"
        )
    sha256, size = hash_files(files)
    moved = _move(produced.path, files, Path(job["out"]))
    tail = hand_on(artifact, produced, Path(moved), Path(job["out"]), step.name)
    made = Artifact(Path(moved), step.produces, sha256, size, produced.io, tail=tail)
    return {"artifact": made.to_dict(), "notes": list(produced.notes)}


def _lend(artifact: Artifact, folder: Path) -> Artifact:
    """A copy of what a step reads, without its tail: some tools (onnx2tf) write into their input, which is in the cache
    or the user's."""
    artifact = replace(artifact, tail=None)
    if artifact.build is not None:
        return artifact
    folder.mkdir()
    if artifact.path.is_dir():
        shutil.copytree(artifact.path, folder / artifact.path.name)
    for file in () if artifact.path.is_dir() else _files_of(artifact.format, artifact.path):
        there = folder / file.relative_to(artifact.path.parent)
        there.parent.mkdir(parents=True, exist_ok=True)
        copy_atomically(file, there)
    return replace(artifact, path=folder / artifact.path.name)


def _files_of(format_name: str, path: Path) -> list[Path]:
    from edgekit.formats import FORMATS

    if not path.exists():
        return [path]
    if format_name in FORMATS:
        return FORMATS.get(format_name).files(path)
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _move(path: Path, files: list[Path], out: Path) -> str:
    """Move an artifact's files below ``out``; the artifact's path relative to it."""
    out.mkdir(parents=True, exist_ok=True)
    for item in [path] if path.is_dir() else files:
        shutil.move(item, out / item.name)
    return path.name


def _log_to_stderr() -> logging.Logger:
    """The steps' logger, writing to descriptor 2: the log file of the job that runs."""
    log = logging.getLogger("edgekit")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    return log.getChild("step")


def _open_samples(samples: dict[str, Any] | None, io: IO) -> Any:
    """The samples that a job names: stored ones, or synthetic ones for the *source's* io, given or of the artifact."""
    if samples is None:
        return None
    if "synthetic" in samples:
        from edgekit.formats.matching import synthetic_samples

        source_io = IO.from_dict(samples["io"]) if "io" in samples else io
        return synthetic_samples(source_io, samples["synthetic"], samples["seed"])
    from edgekit.datasets.stored import open_samples

    return open_samples(Path(samples["folder"]), samples["role"])


def _prepare_data(job: Job, progress: ProgressTo) -> Answer:
    from edgekit.datasets.prepare import prepare

    return dict(
        prepare(
            job["data"],
            IO.from_dict(job["io"]).inputs,
            job["task"],
            Path(job["out"]),
            roles=job["roles"],
            seed=job.get("seed", 0),
            threads=job.get("threads", 1),
            progress=progress,
        )
    )


def _compute_reference(job: Job, progress: ProgressTo) -> Answer:
    from edgekit.checks.measure import compute_reference

    artifact = Artifact.from_dict(job["artifact"])
    samples = _open_samples(job["samples"], artifact.io)
    return dict(
        compute_reference(
            artifact, samples, Path(job["out"]), task=job["task"], threads=job["threads"], progress=progress
        )
    )


def _measure(job: Job, progress: ProgressTo) -> Answer:
    from edgekit.checks.measure import measure

    artifact = Artifact.from_dict(job["artifact"])
    measurement = measure(
        artifact,
        _open_samples(job["samples"], artifact.io),
        Path(job["reference"]),
        Path(job["out"]),
        task=job["task"],
        threads=job["threads"],
        seed=job["seed"],
        progress=progress,
    )
    if "synthetic" in job["samples"]:
        measurement = replace(measurement, data="synthetic")
    return {"measurement": measurement.to_dict()}
