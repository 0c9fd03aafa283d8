"""ONNX Runtime on the CPU, as every part of edgekit opens it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import InputError, StepError

# What ONNX Runtime says of a model that is newer than itself.
_TOO_NEW = {
    "opset": re.compile(r"Opset (?P<own>\d+) is under development.* is till opset (?P<newest>\d+)", re.S),
    "IR version": re.compile(
        r"Unsupported model IR version: (?P<own>\d+), max\w* supported IR version: (?P<newest>\d+)"
    ),
}


class OnnxSession:
    """An ONNX Runtime session; results in the model's order of outputs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = [output.name for output in session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))


def import_onnxruntime() -> Any:
    """The onnxruntime package, which since 1.31 sends usage statistics over the network unless told not to before it is
    loaded."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def open_session(model: Path | bytes, threads: int) -> Any:
    """An ONNX Runtime session on the CPU with that many threads, for a file or serialized model.

    Between runs its threads do not spin, since several workers share the machine; within one they do, or each operator
    would have to wake them.

    Raises:
        InputError: the model is of a newer opset or IR version than this ONNX Runtime reads.
        StepError: ONNX Runtime refuses it for another reason.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = max(1, threads)
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no base class of their own
        where = None if isinstance(model, bytes) else str(model)
        for what, pattern in _TOO_NEW.items():
            told = pattern.search(str(error))
            if told is not None:
                raise refuse_version(where, what, int(told["own"]), int(told["newest"])) from error
        raise StepError(
            f"ONNX Runtime refuses the model: {' '.join(str(error).split())[:300]}",
            where=where,
            remedy="an operator it names is not one that ONNX Runtime runs on the CPU",
            code="runtime_refused",
        ) from error


def newest_opset() -> int:
    """The newest opset that ONNX Runtime reads, asked of itself with a model of the newest that the onnx package knows:
    the two are released apart."""
    import onnx
    from onnx import TensorProto, helper

    newest = int(onnx.defs.onnx_opset_version())
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "probe", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", newest)], ir_version=8)
    try:
        import_onnxruntime().InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # as in open_session
        told = _TOO_NEW["opset"].search(str(error))
        return newest if told is None else int(told["newest"])
    return newest


def refuse_version(where: str | None, what: str, own: int, newest: int) -> InputError:
    """The error for a model whose opset or IR version is too new."""
    return InputError(
        f"the model is of {what} {own}; the newest that is read here is {newest}",
        where=where,
        remedy=f"export it with {what} {newest} or older, or upgrade onnx and onnxruntime",
        code="too_new",
    )
