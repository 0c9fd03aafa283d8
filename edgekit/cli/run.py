"""`edgekit run RECIPE`: load the recipe, plan, run, judge, report, exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.apps import JsonOption, TargetsDirOption
from edgekit.cli.terminal import answer, answer_json, note
from edgekit.errors import InputError

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-S", metavar="PATH=VALUE", help="Change a value of the recipe; VALUE is YAML. Repeatable."),
]
TargetOption = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="NAME[/PRECISION]", help="Make only this output. Repeatable."),
]
ReportOption = Annotated[
    list[str] | None,
    typer.Option(
        "--report", metavar="FORMAT[=PATH]", help="Also write the report there: json, junit or markdown. Repeatable."
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write. [default: edgekit-out/NAME]")
]
JobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        metavar="N",
        envvar="EDGEKIT_JOBS",
        show_envvar=True,
        help="Workers at once. [default: one a core]",
    ),
]
KeepGoingOption = Annotated[bool, typer.Option("--keep-going", help="Go on below an exact step that misses its gate.")]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Make everything anew, and keep none of it.")]
NoEvalOption = Annotated[bool, typer.Option("--no-eval", help="Make the files without measuring any.")]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="What was not measured, or is not settled by so few samples, ends with exit 6.")
]


def run(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe (YAML).")],
    target: TargetOption = None,
    set_: SetOption = None,
    out: OutOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, and where every option came from.")
    ] = False,
    keep_going: KeepGoingOption = False,
    no_cache: NoCacheOption = False,
    no_eval: NoEvalOption = False,
    strict: StrictOption = False,
    jobs: JobsOption = None,
    report: ReportOption = None,
    targets_dir: TargetsDirOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make every output of a recipe, measure after every step, judge, and report.

    The last line says what passed; report.json, junit.xml and summary.md lie in the output folder.

    \b
    Examples:
      edgekit run recipes/quickstart.yaml
      edgekit run lite0.yaml --target coral --set data.evaluate.path=imagenet/val
      edgekit run lite0.yaml --dry-run
      edgekit run lite0.yaml --strict --report junit=results/edgekit.xml
    """
    from edgekit.cli.execution import RESOLVED, Wishes, carry_out
    from edgekit.cli.plans import absences, plan_text
    from edgekit.devices import load_profiles
    from edgekit.planning.build import build_plan
    from edgekit.recipe import load_recipe
    from edgekit.report.document import plan_document
    from edgekit.report.write import check_request, parse_request

    refuse_model(recipe)
    views = tuple(parse_request(text) for text in report or ())
    profiles = load_profiles(targets_dir)
    loaded = load_recipe(recipe, set_ or (), profiles=profiles)
    plan = build_plan(loaded, profiles, select=target or (), evaluate=not no_eval)
    if dry_run:
        if as_json:
            answer_json(plan_document(plan))
        else:
            answer(plan_text(plan))
        for text in absences(plan):
            note(f"note: {text}")
        return 0
    for view in views:
        check_request(view)
    out = out or Path("edgekit-out") / plan.name
    wishes = Wishes(
        out=out,
        jobs=jobs,
        keep_going=keep_going,
        use_cache=not no_cache,
        evaluate=not no_eval,
        strict=strict,
        views=views,
        as_json=as_json,
        recipe=str(out / RESOLVED if set_ else recipe),
    )
    return carry_out(plan, loaded.to_yaml(), wishes).exit_code


def refuse_model(path: Path) -> None:
    """Refuse (InputError) a model file, or file.py:NAME, where a recipe is wanted, by its suffix."""
    from edgekit.formats import FORMATS

    file = Path(str(path).rpartition(":")[0]) if ".py:" in str(path) else path
    if file.is_file() and any(file.suffix.lower() in known.suffixes for known in FORMATS):
        model = f"{path}:NAME" if path.suffix.lower() == ".py" else path
        raise InputError(
            f"{path} is a model, not a recipe",
            where=str(path),
            remedy=f"edgekit convert {model} --to FORMAT, edgekit quantize {model} --target T, or edgekit init {model}",
            code="not_a_recipe",
        )
