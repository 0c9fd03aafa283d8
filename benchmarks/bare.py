"""A file in its own runtime with nothing around it, one inference after the other.

    python benchmarks/bare.py FILE THREADS SAMPLES

prints the seconds that it took to load FILE (.onnx, .tflite, .xml) and to run it that often on seeded noise. The
runtime has its defaults for that many threads, with two exceptions. OpenVINO is told to answer soon, which for one
inference at a time is the fastest, and to compute in float32 as a measurement does: on some processors it would take
16-bit floats, which is another computation.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def main() -> None:
    path, threads, samples = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    load = {".onnx": _onnx, ".tflite": _tflite, ".xml": _openvino}[path.suffix](threads)
    began = time.perf_counter()
    infer = load(path)
    for _ in range(samples):
        infer()
    sys.stdout.write(f"{time.perf_counter() - began}\n")


# Each imports its runtime first: neither side counts that.


def _onnx(threads: int) -> Callable[[Path], Callable[[], object]]:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in edgekit
    import onnxruntime

    def load(path: Path) -> Callable[[], object]:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feeds = {entry.name: _array(entry.shape, np.float32) for entry in session.get_inputs()}
        return lambda: session.run(None, feeds)

    return load


def _tflite(threads: int) -> Callable[[Path], Callable[[], object]]:
    from ai_edge_litert.interpreter import Interpreter

    def load(path: Path) -> Callable[[], object]:
        interpreter = Interpreter(str(path), num_threads=threads)
        interpreter.allocate_tensors()
        feeds = [(entry["index"], _array(entry["shape"], entry["dtype"])) for entry in interpreter.get_input_details()]
        outputs = [entry["index"] for entry in interpreter.get_output_details()]

        def infer() -> object:
            for index, array in feeds:
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            return [interpreter.get_tensor(index) for index in outputs]

        return infer

    return load


def _openvino(threads: int) -> Callable[[Path], Callable[[], object]]:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }

    def load(path: Path) -> Callable[[], object]:
        request = openvino.Core().compile_model(str(path), "CPU", settings).create_infer_request()
        feeds = {entry.any_name: _array(entry.shape, np.float32) for entry in request.model_inputs}
        return lambda: request.infer(feeds)

    return load


def _array(shape: object, dtype: type) -> np.ndarray:
    """Seeded noise of that shape and type, as a picture's prepared values would be spread."""
    noise = np.random.default_rng(0).uniform(-1, 1, [int(size) for size in shape])  # type: ignore[attr-defined]
    if np.issubdtype(dtype, np.integer):
        return (noise * 127).astype(dtype)
    return noise.astype(dtype)


if __name__ == "__main__":
    main()
