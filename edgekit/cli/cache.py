"""`edgekit cache dir|show|clean`: the cache of finished steps and measurements."""

from __future__ import annotations

from edgekit.cli.apps import JsonOption, command_group
from edgekit.cli.terminal import answer, answer_json

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
