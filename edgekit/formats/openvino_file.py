"""Reads and writes OpenVINO IR (a pair of .xml and .bin), and imports OpenVINO without its telemetry."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgekit.errors import InputError
from edgekit.formats import AGAIN


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
            f"{path} is truncated, or not an OpenVINO IR: {reason(error)}",
            where=str(path),
            remedy=AGAIN,
            code="unreadable_model",
        ) from error


def write_model(model: Any, path: Path, *, half: bool, known: Iterable[str] = ()) -> None:
    """Write the pair ``path`` (.xml) and .bin; ``half`` stores constants as float16, the arithmetic is the processor's.

    What says nothing of the function (how it was converted) is left out, and nodes that OpenVINO called by a counter of
    the process (``Constant_71287``) are numbered in the order of the graph, so that an equal model gives equal bytes.
    ``known`` are names that stay as they are: those of the model it was made from.
    """
    openvino = import_openvino()
    for key in ("conversion_parameters", "Runtime_version", "nncf", "optimum"):
        if key in model.rt_info:
            del model.rt_info[key]
    _number_nodes(model, set(known))
    openvino.save_model(model, path, compress_to_fp16=half)


def _number_nodes(model: Any, known: set[str]) -> None:
    counted = {}
    nodes = list(model.get_ordered_ops())
    for index, node in enumerate(nodes):
        name = node.get_friendly_name()
        found = re.match(r"[A-Za-z]\w*?_\d+(?=$|/)", name)
        if found is not None and name not in known and found.group() not in known:
            counted[index] = f"{node.get_type_name()}_{index}" + name[found.end() :]
    taken = {node.get_friendly_name() for index, node in enumerate(nodes) if index not in counted}
    for index, name in counted.items():
        while name in taken:
            name += "_"
        taken.add(name)
        nodes[index].set_friendly_name(name)


def node_names(model: Any) -> list[str]:
    """The names of all nodes, constants included."""
    return [str(node.get_friendly_name()) for node in model.get_ordered_ops()]


def name_of(port: Any) -> str:
    """The name of an input or output port: the first of its tensor names, else that of the node that computes it."""
    names = sorted(port.get_names())
    if names:
        return str(names[0])
    node = port.get_node()
    if node.get_type_name() == "Result":
        node = node.input(0).get_source_output().get_node()
    return str(node.get_friendly_name())


def reason(error: Exception) -> str:
    """OpenVINO's message without the places in its source: the last line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not re.match(r"(Exception from|Check '.*' failed at)", line)]
    return (telling or lines or [type(error).__name__])[-1][:300]
