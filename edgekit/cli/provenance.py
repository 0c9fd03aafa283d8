"""What the sidecar beside a model file tells of its figures: which device it is for, and what it was calibrated on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.cli.model_flags import read_sidecar

if TYPE_CHECKING:
    from edgekit.cli.measuring import Samples


def target_of(model: str) -> dict[str, Any]:
    """{target: ``coral/int8`` or None, simulated}: whether that device runs something else than this machine does, so
    that figures taken here are not its own. A target that no profile is called is believed as its sidecar says."""
    from edgekit.devices import load_profiles

    told = read_sidecar(Path(model))
    profile = load_profiles().get(told.get("target") or "")
    simulated = bool((told.get("measurement") or {}).get("simulated"))
    if profile is not None:
        simulated = simulated or profile.toolchain.compiler is not None
    return {"target": told.get("output"), "simulated": simulated}


def target_text(target: str | None, simulated: bool) -> str | None:
    """``coral/int8, simulated: measured here, ...``; None where nothing tells of a target."""
    from edgekit.report.terminal import SIMULATED

    return ", ".join(part for part in (target, SIMULATED if simulated else None) if part) or None


def calibration_note(model: str, samples: Samples) -> str | None:
    """What the file was calibrated on, as far as its sidecar tells, and whether ``samples`` are among that."""
    told = read_sidecar(Path(model)).get("calibration")
    if not isinstance(told, dict) or samples.info is None:
        return None
    text = f"{Path(model).name} was calibrated on {told['samples']} samples"
    index = Path(samples.job["folder"]) / samples.job["role"] / "index.json"
    here = json.loads(index.read_text(encoding="utf-8")).get("contents")
    if not told.get("contents") or not here:
        return text
    known = set(told["contents"])
    shared = sum(content in known for content in here)
    if not shared:
        return f"{text}, none of them among these"
    return f"{text}; {shared} of these {len(here)} are among them, which flatters its figures: evaluate on others"
