"""Reads and writes OpenVINO IR (a pair of .xml and .bin), and imports OpenVINO without its telemetry."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from edgekit.errors import InputError


def import_openvino() -> Any:
    """The openvino package. openvino and nncf send usage statistics over the network unless openvino_telemetry
    cannot be imported (they then use stubs of their own); edgekit never uses the network unasked."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def weights_file(path: Path) -> Path:
    """The .bin beside an IR's .xml.

    Raises:
        InputError: it is not there.
    """
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise InputError(
            f"{path} needs its weights in {weights.name}, which is not beside it",
            where=str(weights),
            remedy="put the .bin of the same name into the same folder",
            code="missing_file",
        )
    return weights


def read_model(path: Path) -> Any:
    """The ov.Model in an IR.

    Raises:
        InputError: truncated, not an IR, without its .bin, or with a document type (which IR never has, and which
            could name entities outside the file).
    """
    weights = weights_file(path)
    text = path.read_bytes()
    if re.search(rb"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise InputError(
            f"{path} declares a document type, which no OpenVINO IR does; it was not opened",
            where=str(path),
            code="hostile_xml",
        )
    openvino = import_openvino()
    try:
        return openvino.Core().read_model(path, weights)
    except RuntimeError as error:
        raise InputError(
            f"{path} is truncated, or not an OpenVINO IR: {reason(error)}", where=str(path), code="unreadable_model"
        ) from error


def write_model(model: Any, path: Path, *, half: bool) -> None:
    """Write the pair ``path`` (.xml) and .bin; ``half`` stores constants as float16 (computed in the device's
    precision).

    What says nothing of the function (where it was converted from, with which versions) is left out, so that an equal
    model gives equal bytes.
    """
    openvino = import_openvino()
    for key in ("conversion_parameters", "Runtime_version", "nncf", "optimum"):
        if key in model.rt_info:
            del model.rt_info[key]
    openvino.save_model(model, path, compress_to_fp16=half)


def name_of(port: Any) -> str:
    """The name of an input or output port: the first of its tensor names, else its node's."""
    names = sorted(port.get_names())
    return names[0] if names else str(port.get_node().get_friendly_name())


def reason(error: Exception) -> str:
    """OpenVINO's message without the places in its source: the last line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"(Exception from|Check '.*' failed at)", line)]
    return (telling or lines or [type(error).__name__])[-1][:300]
