"""ONNX Runtime on the CPU, as every part of edgekit opens it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import StepError


class OnnxSession:
    """An ONNX Runtime session; results in the model's order of outputs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = [output.name for output in session.get_outputs()]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))


def open_session(model: Path | bytes, threads: int) -> Any:
    """An ONNX Runtime session on the CPU with that many threads, for a file or serialized model.

    Between runs its threads do not spin, since several workers share the machine; within one they do, or each operator
    would have to wake them. Raises StepError if ONNX Runtime refuses the model.
    """
    import onnxruntime

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
        raise StepError(
            f"ONNX Runtime refuses the model: {' '.join(str(error).split())[:300]}",
            where=None if isinstance(model, bytes) else str(model),
            remedy="an operator it names is not one that ONNX Runtime runs on the CPU",
            code="runtime_refused",
        ) from error
