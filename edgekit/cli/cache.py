"""`edgekit cache dir|show|clean`: the cache of finished steps and measurements."""

from __future__ import annotations

from typing import Any

from edgekit.cli.apps import JsonOption, command_group
from edgekit.cli.terminal import answer, answer_json, table

app = command_group(
    """Show or clean the cache of finished steps.

\b
Examples:
  edgekit cache show
  edgekit cache clean
"""
)


@app.command("dir")
def show_folder(as_json: JsonOption = False) -> int:
    """Print the cache's folder (`EDGEKIT_CACHE`, else the platform's).

    \b
    Example:
      edgekit cache dir
    """
    from edgekit.engine.settings import default_cache

    if as_json:
        answer_json({"schema": "edgekit.cache/1", "path": str(default_cache())})
    else:
        answer(str(default_cache()))
    return 0


@app.command("show")
def show_cache(as_json: JsonOption = False) -> int:
    """Show what lies in the cache: how many entries of which kind, and their size.

    \b
    Example:
      edgekit cache show
    """
    from edgekit.engine.cache import Cache
    from edgekit.engine.settings import default_cache
    from edgekit.report import figures

    found = Cache(default_cache()).show()
    if as_json:
        answer_json({"schema": "edgekit.cache/1", **_document(found)})
        return 0
    rows = [(kind, str(total["entries"]), figures.size(total["bytes"])) for kind, total in found["kinds"].items()]
    rows.append(("total", str(found["entries"]), figures.size(found["bytes"])))
    answer(f"{found['folder']}\n\n{table(('kind', 'entries', 'size'), rows)}")
    return 0


@app.command("clean")
def clean_cache(as_json: JsonOption = False) -> int:
    """Remove every entry of the cache; refused while a run is using it. Output folders are not touched.

    \b
    Example:
      edgekit cache clean
    """
    from edgekit.engine.cache import Cache
    from edgekit.engine.settings import default_cache
    from edgekit.report import figures

    removed = Cache(default_cache()).clean()
    if as_json:
        answer_json({"schema": "edgekit.cache/1", **_document(removed)})
    else:
        answer(f"removed {removed['entries']} entries, {figures.size(removed['bytes'])}, from {removed['folder']}")
    return 0


def _document(found: dict[str, Any]) -> dict[str, Any]:
    return {"path": found["folder"], **{key: found[key] for key in ("entries", "bytes", "kinds")}}
