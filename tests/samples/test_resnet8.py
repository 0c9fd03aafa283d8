"""ResNet-8: the sample's network against the published file of the same weights, and the script that fetches them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.fixture(scope="module")
def pictures(shared_data: Callable[[str], Path]) -> tuple[np.ndarray, np.ndarray]:
    """The first 200 test pictures [200, 32, 32, 3] float32 0..255, and their labels."""
    from PIL import Image

    with np.load(shared_data("cifar10/cifar10_test.npz")) as data:
        jpeg, offsets, labels = data["jpeg"], data["offsets"], data["labels"]
    rows = [jpeg[offsets[index] : offsets[index + 1]].tobytes() for index in range(200)]
    return np.stack([np.asarray(Image.open(io.BytesIO(row)), np.float32) for row in rows]), labels[:200]


@pytest.fixture(scope="module")
def network(load_sample: Callable[[str], ModuleType]) -> ModuleType:
    return load_sample("resnet8_cifar10")


@pytest.fixture(scope="module")
def published(shared_data: Callable[[str], Path]) -> Path:
    return shared_data("models/cifar10_resnet8_float.tflite")


@pytest.fixture(scope="module")
def fetched(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the script makes of the published file."""
    out = tmp_path_factory.mktemp("resnet8") / "resnet8.npz"
    program = [sys.executable, str(SAMPLES / "fetch_resnet8.py"), "--file", str(published), "--out", str(out)]
    subprocess.run(program, check=True, timeout=60)
    return out


def test_fetched_weights_compute_what_the_published_file_does(
    network: ModuleType, pictures: tuple[np.ndarray, np.ndarray], published: Path, fetched: Path
) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(published), num_threads=2)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    theirs = []
    for picture in pictures[0]:
        interpreter.set_tensor(source, picture[None])
        interpreter.invoke()
        theirs.append(interpreter.get_tensor(target)[0])
    logits = compute(network, fetched, pictures[0])
    ours = np.exp(logits - logits.max(1, keepdims=True))
    np.testing.assert_allclose(ours / ours.sum(1, keepdims=True), np.stack(theirs), atol=1e-5)


def test_fetched_weights_equal_the_converted_keras_weights(
    network: ModuleType, pictures: tuple[np.ndarray, np.ndarray], fetched: Path, shared_data: Callable[[str], Path]
) -> None:
    """Two ways from the same training: the Keras file with batch norms, the TFLite file with folded ones."""
    unfolded = shared_data("models/cifar10_resnet8.npz")
    np.testing.assert_allclose(
        compute(network, fetched, pictures[0]), compute(network, unfolded, pictures[0]), atol=1e-4
    )


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(b"\x1c\x00\x00\x00TFL3")
    program = [
        sys.executable,
        str(SAMPLES / "fetch_resnet8.py"),
        "--file",
        str(other),
        "--out",
        str(tmp_path / "o.npz"),
    ]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "it is another model" in done.stderr
    assert not (tmp_path / "o.npz").exists()


def compute(network: ModuleType, weights: Path, pictures: np.ndarray) -> np.ndarray:
    """Logits of the sample's network with those weights."""
    import torch

    model = network.build().eval()
    with np.load(weights) as arrays:
        model.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays.files}, strict=True)
    with torch.inference_mode():
        return model(torch.from_numpy(pictures.transpose(0, 3, 1, 2))).numpy()
