"""The command that installs one of edgekit's extras, in the way in which this edgekit was installed."""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "edgekit-ml"


def install_command(extra: str = "") -> str:
    """The pip command that adds an extra to this edgekit (empty: that installs edgekit itself anew).

    Where it was installed from is what pip wrote beside it (``direct_url.json``, PEP 610): a clone, a wheel, a
    repository; without that file, an index.
    """
    return command_from(_read_direct_url(), extra)


def command_from(origin: dict[str, Any] | None, extra: str) -> str:
    """The command for what ``direct_url.json`` says (None: there is none)."""
    part = f"[{extra}]" if extra else ""
    words = ["pip", "install", *([] if extra else ["--force-reinstall"])]
    if origin is None:
        return f"{' '.join(words)} {shlex.quote(DISTRIBUTION + part)}"
    url = str(origin["url"])
    if "dir_info" not in origin:
        vcs = origin.get("vcs_info")
        commit = f"@{vcs['commit_id']}" if vcs else ""
        where = f"{vcs['vcs']}+{url}{commit}" if vcs else url
        return f"{' '.join(words)} {shlex.quote(f'{DISTRIBUTION}{part} @ {where}')}"
    clone = Path(unquote(urlsplit(url).path))
    constraints = clone / "constraints.txt"
    words += ["-c", shlex.quote(str(constraints))] if constraints.is_file() else []
    words += ["-e"] if origin["dir_info"].get("editable") else []
    return f"{' '.join(words)} {shlex.quote(f'{clone}{part}')}"


def _read_direct_url() -> dict[str, Any] | None:
    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
        return None if text is None else dict(json.loads(text))
    except (metadata.PackageNotFoundError, ValueError):
        return None
