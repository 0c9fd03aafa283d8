"""Samples per second of a file in its own runtime with nothing around it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def measure_bare(path: Path, threads: int, samples: int, passes: int = 2) -> float:
    """Samples per second of ``path`` (.onnx, .tflite, .xml), one at a time: the best pass. As in a measurement,
    the time to load the file is part of it."""
    load = {".onnx": _onnx, ".tflite": _tflite, ".xml": _openvino}[path.suffix]
    seconds = []
    for _ in range(passes):
        began = time.perf_counter()
        infer = load(path, threads)
        for _ in range(samples):
            infer()
        seconds.append(time.perf_counter() - began)
    return samples / min(seconds)


def _onnx(path: Path, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = {entry.name: _array(entry.shape, np.float32) for entry in session.get_inputs()}
    return lambda: session.run(None, feeds)


def _tflite(path: Path, threads: int) -> Callable[[], object]:
    from ai_edge_litert.interpreter import Interpreter

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


def _openvino(path: Path, threads: int) -> Callable[[], object]:
    import openvino

    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(str(path), "CPU", hints).create_infer_request()
    feeds = {entry.any_name: _array(entry.shape, np.float32) for entry in request.model_inputs}
    return lambda: request.infer(feeds)


def _array(shape: object, dtype: type) -> np.ndarray:
    """Seeded noise of that shape and type, as a picture's prepared values would be spread."""
    noise = np.random.default_rng(0).uniform(-1, 1, [int(size) for size in shape])  # type: ignore[attr-defined]
    if np.issubdtype(dtype, np.integer):
        return (noise * 127).astype(dtype)
    return noise.astype(dtype)
