"""`edgekit eval` and `edgekit compare`: model files measured on samples, in their own runtimes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.apps import JsonOption
from edgekit.cli.flag_groups import with_group
from edgekit.cli.model_flags import (
    EvaluateOption,
    Flags,
    LabelsOption,
    PreprocessOption,
    RecipeOption,
    ShapeOption,
    TaskOption,
    WeightsOption,
)
from edgekit.cli.provenance import calibration_note, target_of, target_text
from edgekit.cli.run import SetOption
from edgekit.cli.terminal import answer, answer_json, note, pairs, table
from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.artifact import Artifact
    from edgekit.checks.compared import Compared
    from edgekit.checks.measurement import Measurement
    from edgekit.cli.measuring import Measuring, Samples
    from edgekit.recipe import Recipe

DataOption = Annotated[str | None, typer.Option("--data", metavar="PATH", help="The samples; the same as --evaluate.")]
WORST = 5
FAR_DB = 40.0


@dataclass(frozen=True)
class JudgeFlags:
    """What `eval` and `compare` share: the samples, how they are fed, and what the outputs mean. ``weights`` are those
    of the first model that is named; ``shape`` holds for both."""

    data: DataOption = None
    evaluate: EvaluateOption = None
    preprocess: PreprocessOption = None
    task: TaskOption = None
    labels: LabelsOption = None
    recipe: RecipeOption = None
    weights: WeightsOption = None
    shape: ShapeOption = None
    set_: SetOption = None
    as_json: JsonOption = False

    def flags(self, model: str) -> Flags:
        if self.data is not None and self.evaluate is not None:
            raise InputError("--data and --evaluate say the same here: the samples", remedy="give one", code="usage")
        return Flags(
            model=model,
            recipe=self.recipe,
            weights=self.weights,
            shape=tuple(self.shape or ()),
            preprocess=self.preprocess,
            evaluate=self.data or self.evaluate,
            labels=self.labels,
            task=self.task,
            overrides=tuple(self.set_ or ()),
        )


@with_group(JudgeFlags)
def evaluate(
    group: JudgeFlags,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file, or file.py:NAME.")],
    reference: Annotated[
        str | None, typer.Option("--reference", metavar="MODEL", help="Compare with this model, sample by sample.")
    ] = None,
    reference_weights: Annotated[
        Path | None,
        typer.Option("--reference-weights", metavar="FILE", help="Weights for a --reference that file.py:NAME builds."),
    ] = None,
) -> int:
    """Measure a model file on samples, in its own runtime: the task's metric with its interval, and latency here.

    With --reference also the share of equal decisions and the SQNR. A reference that is the recipe's model is built as
    that says; --shape holds for both models.

    \b
    Examples:
      edgekit eval model.tflite --data val/ --preprocess imagenet --task classification
      edgekit eval model.tflite --data val.npz --reference net.py:build --reference-weights net.pt --shape x=1x3x32x32
      edgekit eval coral/lite0-coral-int8.tflite --recipe lite0.yaml --reference lite0.onnx
    """
    from edgekit.cli.jobs import Jobs
    from edgekit.cli.judged import Other, fit_shapes, read_both, read_recipe_model
    from edgekit.cli.measuring import Measuring, task_job
    from edgekit.cli.progress import show_progress

    given = group.flags(model)
    if reference_weights is not None and reference is None:
        raise InputError("--reference-weights without --reference", remedy="name the model too", code="usage")
    other = None if reference is None else Other(reference, "--reference-weights", reference_weights)
    with scratch() as folder, show_progress() as listen, Jobs(listen) as jobs:
        flags = fit_shapes(jobs, given, other)
        loaded = measuring_recipe(flags, folder)
        if loaded.data is None:
            raise InputError(
                "no samples: give --data PATH, or --recipe FILE", remedy="edgekit eval --help", code="usage"
            )
        measuring = Measuring(jobs, folder, task_job(loaded))
        if other is None:
            base = artifact = read_recipe_model(jobs, loaded)
        else:
            artifact, base = read_both(jobs, loaded, given, other)
        samples = measuring.samples(loaded, base)
        place, seen = measuring.reference(base, samples)
        found = measurement_of(seen)
        if reference is not None:
            found = compare_best(measuring, loaded, base, artifact, samples, place).measurement
        remarks = [chance_note(found, seen), calibration_note(model, samples)]
    told = target_of(model)
    found = replace(found, simulated=told["simulated"])
    if group.as_json:
        answer_json(evaluation(model, artifact, found, told["target"]))
    else:
        text = evaluation_text(
            model, artifact, found, samples.info, compared=reference is not None, target=told["target"]
        )
        answer(text)
    for remark in filter(None, remarks):
        note(remark)
    return 0


@with_group(JudgeFlags)
def compare(
    group: JudgeFlags,
    first: Annotated[str, typer.Argument(metavar="A", help="The model to compare with: file, or file.py:NAME.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The model that is judged: file, or file.py:NAME.")],
    second_weights: Annotated[
        Path | None, typer.Option("--weights-b", metavar="FILE", help="Weights for B, if file.py:NAME builds it.")
    ] = None,
) -> int:
    """Compare two model files sample by sample: SQNR of each output, equal decisions, the samples that differ most.

    Without samples, 8 seeded random ones are used. --weights are those of A, --shape holds for both. A model that
    file.py:NAME builds and that is given no --shape has the inputs of the other one.

    \b
    Examples:
      edgekit compare model.onnx model.tflite
      edgekit compare lite0.onnx coral/lite0-coral-int8.tflite --recipe lite0.yaml
      edgekit compare net.onnx net.py:build --weights-b net.safetensors
    """
    from edgekit.cli.jobs import Jobs
    from edgekit.cli.judged import Other, fit_shapes, read_both
    from edgekit.cli.measuring import Measuring, task_job
    from edgekit.cli.progress import show_progress

    given, named = group.flags(first), Other(second, "--weights-b", second_weights)
    with scratch() as folder, show_progress() as listen, Jobs(listen) as jobs:
        flags = fit_shapes(jobs, given, named)
        loaded = measuring_recipe(flags, folder, (second,))
        measuring = Measuring(jobs, folder, task_job(loaded))
        base, other = read_both(jobs, loaded, given, named)
        samples = measuring.samples(loaded, base)
        place, seen = measuring.reference(base, samples)
        compared = compare_best(measuring, loaded, base, other, samples, place)
        document = comparison((first, base, measurement_of(seen)), (second, other, compared), sample_ids(samples))
        document["a"].update(target_of(first))
        document["b"].update(target_of(second))
        remarks = [calibration_note(model, samples) for model in (first, second)]
    if group.as_json:
        answer_json(document)
    else:
        answer(comparison_text(document))
        if samples.info is None and (document["sqnr_db"] or FAR_DB) < FAR_DB:
            note("random samples say little of a quantized model, whose ranges fit real ones: give --data, or --recipe")
    for remark in filter(None, dict.fromkeys(remarks)):
        note(remark)
    return 0


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        yield Path(folder)


def measuring_recipe(flags: Flags, folder: Path, others: tuple[str, ...] = ()) -> Recipe:
    """The recipe of the samples, preprocessing and task alone: its targets and steps play no part. What no flag says is
    told by the sidecar of the model, or else of ``others``; class names in a sidecar go to a file in ``folder``."""
    from edgekit.cli.model_flags import make_recipe, read_sidecar
    from edgekit.devices import load_profiles

    told = next((model for model in (flags.model, *others) if model and read_sidecar(Path(model))), None)
    flags, sections = replace(flags, sidecar_of=told), {}
    if told is not None and flags.recipe is None and flags.labels is None:
        sidecar = read_sidecar(Path(told))
        if sidecar.get("labels") and (flags.task or sidecar.get("task")):
            names = folder / "labels.txt"
            names.write_text("".join(f"{label}\n" for label in sidecar["labels"]), encoding="utf-8")
            sections["task.labels"] = str(names.absolute())
    return make_recipe(flags, sections, load_profiles())


def compare_best(
    measuring: Measuring, recipe: Recipe, base: Artifact, other: Artifact, samples: Samples, reference: Path
) -> Compared:
    """Compare under the arrangement of axes that fits; where there are several, a few samples tell which."""
    from edgekit.checks.arrangements import Side, arrange, arrangements, outer_io
    from edgekit.cli.model_flags import read_sidecar

    first, second = (Side(outer_io(one), one.path, read_sidecar(one.path)) for one in (base, other))
    ways = arrangements(first, second)
    chosen = ways[0] if len(ways) == 1 else measuring.choose(recipe, base, other, ways)
    return measuring.compare(arrange(other, chosen), samples, reference)


def chance_note(found: Measurement, seen: dict[str, Any]) -> str | None:
    """That a model does hardly better than guessing, for which `run` refuses a source model. ``seen``: what running
    the model that is compared with told of the labels."""
    from edgekit.checks.gates import chance_reached
    from edgekit.engine.judging import chance_text

    if not chance_reached(found, seen["chance"]):
        return None
    text = chance_text(found, seen["chance"], seen["chance_of"])
    return f"note: the model is {text}; check the preprocessing and the order of the labels"


def measurement_of(seen: dict[str, Any]) -> Measurement:
    from edgekit.checks.measurement import Measurement

    return Measurement.from_dict(seen["measurement"])


def sample_ids(samples: Samples) -> list[str] | None:
    """Where each sample came from; None for random ones."""
    import json

    if samples.info is None:
        return None
    index = Path(samples.job["folder"]) / samples.job["role"] / "index.json"
    return list(json.loads(index.read_text(encoding="utf-8"))["ids"])


def evaluation(model: str, artifact: Artifact, found: Measurement, target: str | None = None) -> dict[str, Any]:
    """The document ``edgekit.eval/1``; ``target`` is the output that the file's sidecar names."""
    said = found.to_dict()
    return {
        "schema": "edgekit.eval/1",
        "model": model,
        "format": artifact.format,
        "bytes": artifact.bytes,
        "tail": None if artifact.tail is None else artifact.tail.path.name,
        "target": target,
        **{
            name: said[name]
            for name in (
                "samples",
                "metric",
                "value",
                "interval",
                "share",
                "latency_ms",
                "drop_points",
                "drop_points_interval",
                "agreement",
                "agreement_interval",
                "sqnr_db",
                "selected_from",
                "runtime",
                "simulated",
            )
        },
    }


def evaluation_text(
    model: str,
    artifact: Artifact,
    found: Measurement,
    info: dict[str, Any] | None,
    *,
    compared: bool,
    target: str | None = None,
) -> str:
    """The same for a reader."""
    from edgekit.report import figures

    rows = [("model", f"{model} ({artifact.format}, {figures.size(artifact.bytes)})"), ("runtime", found.runtime)]
    device = target_text(target, found.simulated)
    if device is not None:
        rows.append(("target", device))
    rows.append(("samples", str(found.samples)))
    if info is not None and info.get("input_range"):
        low, high = info["input_range"]
        rows.append(("input", f"prepared samples reach from {low:.4g} to {high:.4g}"))
    if found.value is not None:
        rows.append((f"{found.metric} (95 %)", figures.metric(found.to_dict())))
    if compared:
        rows.append(("drop in points", figures.points(found.drop_points, found.drop_points_interval)))
        rows.append(("agreement", figures.share(found.agreement)))
        of = f" (of what is selected from: {', '.join(found.selected_from)})" if found.selected_from else ""
        rows.append(("SQNR", figures.decibels(found.sqnr_db) + of))
    if found.latency_ms is not None:
        latency = found.latency_ms
        rows.append(("latency here", f"{latency.median:.3g} ms (10 %: {latency.p10:.3g}, 90 %: {latency.p90:.3g})"))
    return pairs(rows)


def comparison(
    first: tuple[str, Artifact, Measurement], second: tuple[str, Artifact, Compared], ids: list[str] | None
) -> dict[str, Any]:
    """The document ``edgekit.compare/1``: ``a``, ``b``, the outputs, and the samples that differ most."""
    name_a, a, seen_a = first
    name_b, b, compared = second
    return {
        "schema": "edgekit.compare/1",
        "a": evaluation(name_a, a, seen_a),
        "b": evaluation(name_b, b, compared.measurement),
        "samples": compared.measurement.samples,
        "data": compared.measurement.data,
        "agreement": compared.measurement.agreement,
        "sqnr_db": compared.measurement.sqnr_db,
        "drop_points": compared.measurement.drop_points,
        "drop_points_interval": compared.measurement.drop_points_interval,
        "outputs": compared.outputs(),
        "worst": compared.worst(ids, WORST),
    }


def _told(output: dict[str, Any]) -> str:
    return f"{output['name']} (selected from)" if output.get("selected_from") else str(output["name"])


def comparison_text(document: dict[str, Any]) -> str:
    """The same for a reader."""
    from edgekit.report import figures
    from edgekit.report.terminal import SIMULATED

    a, b = document["a"], document["b"]
    rows = [
        ("model", a["model"], b["model"]),
        ("format", a["format"], b["format"]),
        ("size", figures.size(a["bytes"]), figures.size(b["bytes"])),
        ("latency here", *(figures.milliseconds(m["latency_ms"] and m["latency_ms"]["median"]) for m in (a, b))),
    ]
    if b["metric"]:
        rows.append((f"{b['metric']} (95 %)", figures.metric(a), figures.metric(b)))
    if a["target"] or b["target"]:
        rows.insert(1, ("target", *(m["target"] or figures.NONE for m in (a, b))))
    if a["simulated"] or b["simulated"]:
        rows.append(("figures", *("simulated" if m["simulated"] else figures.NONE for m in (a, b))))
    kind = "random samples" if document["data"] == "synthetic" else "samples"
    facts = [
        ("compared on", f"{document['samples']} {kind}"),
        ("drop in points", figures.points(document["drop_points"], document["drop_points_interval"])),
        ("agreement", figures.share(document["agreement"])),
        ("SQNR", figures.decibels(document["sqnr_db"])),
        *((f"  {_told(output)}", figures.decibels(output["sqnr_db"])) for output in document["outputs"]),
    ]
    facts = [(name, text) for name, text in facts if text != figures.NONE]
    same = {True: "same", False: "another", None: figures.NONE}
    worst = [
        (entry["sample"], figures.decibels(entry["sqnr_db"]), same[entry["same_decision"]])
        for entry in document["worst"]
    ]
    simulated = [SIMULATED] if a["simulated"] or b["simulated"] else []
    return "\n\n".join(
        [
            "\n".join([table(("", "A", "B"), rows), *simulated]),
            pairs(facts),
            table(("samples that differ most", "SQNR", "decision"), worst),
        ]
    )
