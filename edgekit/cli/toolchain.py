"""`edgekit toolchain list|install`: pinned wheels in folders of their own."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.apps import JsonOption, command_group
from edgekit.cli.terminal import answer, answer_json, note, table

app = command_group(
    """List or install the toolchains that live in folders of their own.

\b
Examples:
  edgekit toolchain list
  edgekit toolchain install onnx2tf
"""
)


@app.command("list")
def list_toolchains(as_json: JsonOption = False) -> int:
    """List the toolchains: version, and where each is installed.

    \b
    Example:
      edgekit toolchain list
    """
    from edgekit.toolchains import find_whole, load_manifests

    found = [(manifest, find_whole(manifest)) for manifest in load_manifests().values()]
    if as_json:
        toolchains = [
            {
                "name": manifest.name,
                "version": manifest.version,
                "installed": place is not None,
                "path": None if place is None else str(place),
            }
            for manifest, place in found
        ]
        answer_json({"schema": "edgekit.toolchains/1", "toolchains": toolchains})
        return 0
    rows = [
        (
            manifest.name,
            manifest.version,
            str(place) if place else f"not installed: edgekit toolchain install {manifest.name}",
            f"{manifest.title} ({manifest.purpose})",
        )
        for manifest, place in found
    ]
    answer(table(("toolchain", "version", "installed", "what it is for"), rows))
    return 0


@app.command("install")
def install_toolchain(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Toolchains, as in `toolchain list`.")],
    as_json: JsonOption = False,
) -> int:
    """Install toolchains: one pip command each, with required hashes, into a folder of its own.

    \b
    Example:
      edgekit toolchain install onnx2tf
    """
    from edgekit.toolchains import find_whole, get_manifest, install

    manifests = [get_manifest(name) for name in names]
    installed = []
    for manifest in manifests:
        if find_whole(manifest) is None:
            note(f"installing {manifest.name} {manifest.version} ...")
        place = install(manifest.name)
        installed.append({"name": manifest.name, "version": manifest.version, "installed": True, "path": str(place)})
        if not as_json:
            answer(str(place))
    if as_json:
        answer_json({"schema": "edgekit.toolchains/1", "toolchains": installed})
    return 0
