"""`edgekit doctor`: each stack and toolchain, found where, which version, what is missing and the command that gets it;
and the programs of others that edgekit uses where they are installed.

What a stack needs is what its steps and formats say they need; which extra of edgekit brings it is what edgekit's own
metadata say. No library of any stack is imported.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from edgekit.cli.apps import JsonOption
from edgekit.cli.terminal import answer, answer_json, pairs, table


@dataclass(frozen=True)
class Package:
    """A distribution that a stack needs; ``version`` and ``path`` are None where it is not installed."""

    name: str
    version: str | None
    path: str | None
    command: str | None


def doctor(
    stacks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STACK]...", help="Only these; then what is missing ends with exit 3."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Show each stack and toolchain: found where, which version, what is missing and the command that installs it.

    Programs of others (a device's own compiler) are shown too; none of them is needed.

    \b
    Examples:
      edgekit doctor
      edgekit doctor openvino litert
    """
    needs = find_needs()
    chosen = _choose(stacks or [], needs)
    report = {name: [find_package(distribution) for distribution in needs[name]] for name in chosen}
    toolchains = _toolchains(chosen if stacks else None)
    programs = [] if stacks else find_programs()
    missing = _missing(report, toolchains)
    if as_json:
        answer_json({**_document(report, toolchains, missing), "programs": programs})
    else:
        answer(_text(report, toolchains, programs, missing))
    return 3 if stacks and missing else 0


def find_needs() -> dict[str, list[str]]:
    """{stack: the distributions that its steps and formats require}, sorted."""
    from edgekit.formats import FORMATS
    from edgekit.steps import STEPS

    needs: dict[str, set[str]] = {}
    for step in STEPS:
        needs.setdefault(step.stack, set()).update(step.requires)
        if step.toolchain:
            needs[step.stack] -= _toolchain_wheels(step.toolchain)
    for known in FORMATS:
        runtime = (known.runtime,) if known.runtime else ()
        needs.setdefault(known.stack, set()).update((*known.requires, *runtime))
    return {stack: sorted(needs[stack]) for stack in sorted(needs)}


def find_package(name: str) -> Package:
    """What importlib's metadata say of a distribution."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(name)
    except PackageNotFoundError:
        return Package(name, None, None, install_command(name))
    return Package(name, found.version, str(found.locate_file("")), None)


def find_programs() -> list[dict[str, str | None]]:
    """{name, path (None: not on PATH), version (None: not told), use, get, source} of each program of others."""
    from edgekit.devices.programs import load_programs

    return [
        {
            "name": program.name,
            "path": None if (found := program.find()) is None else str(found),
            "version": program.version(),
            "use": program.use,
            "get": program.get,
            "source": program.source,
        }
        for program in load_programs().values()
    ]


def install_command(name: str) -> str:
    """The pip command that brings a distribution: through the smallest of edgekit's extras that holds it."""
    from edgekit.installation import install_command as install_extra

    extras = [(len(members), extra) for extra, members in _extras().items() if _normal(name) in members]
    if not extras:
        return f"pip install {name}"
    return install_extra(min(extras)[1])


def _extras() -> dict[str, set[str]]:
    """{extra: normalized names of the distributions in it}, from edgekit's own metadata."""
    from importlib.metadata import PackageNotFoundError, requires

    from edgekit.installation import DISTRIBUTION

    try:
        lines = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        lines = []
    extras: dict[str, set[str]] = {}
    for line in lines:
        name = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if name and extra and _normal(name[0]) != DISTRIBUTION:
            extras.setdefault(extra[1], set()).add(_normal(name[0]))
    return extras


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _toolchain_wheels(name: str) -> set[str]:
    from edgekit.toolchains import get_manifest

    return {wheel.name for wheel in get_manifest(name).wheels}


def _choose(names: list[str], needs: dict[str, list[str]]) -> list[str]:
    from edgekit.errors import UnknownName
    from edgekit.registry import did_you_mean

    for name in names:
        if name not in needs:
            raise UnknownName(
                f"no stack is called `{name}`{did_you_mean(name, needs)}",
                remedy=f"the stacks are {', '.join(needs)}",
                code="unknown_stack",
            )
    return names or list(needs)


def _toolchains(stacks: list[str] | None) -> list[dict[str, Any]]:
    """Every toolchain, or those that the named stacks use."""
    from edgekit.steps import STEPS
    from edgekit.toolchains import find_whole, load_manifests

    used = {step.toolchain for step in STEPS if stacks is None or step.stack in stacks}
    found = []
    for name, manifest in load_manifests().items():
        if stacks is None or name in used:
            place = find_whole(manifest)
            found.append(
                {
                    "name": name,
                    "version": manifest.version,
                    "installed": place is not None,
                    "path": None if place is None else str(place),
                    "command": None if place else f"edgekit toolchain install {name}",
                }
            )
    return found


def _missing(report: dict[str, list[Package]], toolchains: list[dict[str, Any]]) -> list[dict[str, str]]:
    missing = {
        package.name: package.command or "" for packages in report.values() for package in packages if package.command
    }
    missing.update({toolchain["name"]: toolchain["command"] for toolchain in toolchains if toolchain["command"]})
    return [{"name": name, "command": command} for name, command in missing.items()]


def _environment() -> dict[str, Any]:
    import os
    import platform

    import edgekit
    from edgekit.engine.settings import default_cache
    from edgekit.toolchains import folder

    return {
        "edgekit": edgekit.__version__,
        "python": platform.python_version(),
        "interpreter": sys.executable,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "cache": str(default_cache()),
        "toolchains": str(folder()),
    }


def _document(
    report: dict[str, list[Package]], toolchains: list[dict[str, Any]], missing: list[dict[str, str]]
) -> dict[str, Any]:
    stacks = [
        {
            "name": name,
            "complete": all(package.version for package in packages),
            "packages": [vars(package) for package in packages],
        }
        for name, packages in report.items()
    ]
    return {
        "schema": "edgekit.doctor/1",
        "environment": _environment(),
        "stacks": stacks,
        "toolchains": toolchains,
        "missing": missing,
    }


def _text(
    report: dict[str, list[Package]],
    toolchains: list[dict[str, Any]],
    programs: list[dict[str, str | None]],
    missing: list[dict[str, str]],
) -> str:
    rows = [
        (stack if index == 0 else "", package.name, package.version or "missing", package.path or package.command or "")
        for stack, packages in report.items()
        for index, package in enumerate(packages)
    ]
    rows += [
        (
            "toolchain",
            found["name"],
            found["version"] if found["installed"] else "missing",
            found["path"] or found["command"],
        )
        for found in toolchains
    ]
    facts = [(name, str(value)) for name, value in _environment().items()]
    parts = [pairs(facts), table(("stack", "package", "version", "where, or the command that gets it"), rows)]
    parts += ["\n".join(_program_lines(program)) for program in programs]
    if missing:
        commands = list(dict.fromkeys(entry["command"] for entry in missing))
        parts.append(
            "\n  ".join([f"{len(missing)} missing: {', '.join(entry['name'] for entry in missing)}", *commands])
        )
    else:
        parts.append("nothing is missing")
    return "\n\n".join(parts)


def _program_lines(program: dict[str, str | None]) -> list[str]:
    """``edgetpu_compiler: not on PATH (not needed; ...)`` and how to get it."""
    if program["path"] is not None:
        version = program["version"] or "of a version that it does not tell"
        return [f"{program['name']} {version}: {program['path']} ({program['use']})"]
    return [f"{program['name']}: not on PATH (not needed; where it is, {program['use']})", f"  {program['get']}"]
