"""Gets the weights of ResNet-8 for CIFAR-10: ``python samples/fetch_resnet8.py`` (Apache-2.0, MLCommons).

MLPerf Tiny publishes the trained network as a float TFLite file. Its weights are copied into an .npz under the names
that ``resnet8_cifar10.py`` uses. The converter that wrote the file had folded the batch norms into the convolutions, so
the batch norms of the .npz are identities: the function is the same.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import urllib.request
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import resnet8_cifar10

COMMIT = "25ecd962b8ba901a2f93af10697a359758f5b4ca"
FOLDER = "benchmark/training/image_classification/trained_models"
URL = f"https://github.com/mlcommons/tiny/raw/{COMMIT}/{FOLDER}/pretrainedResnet.tflite"
SHA256 = "b5c0046d6e0328b4956afd6baa29555a29b1f1c65bdd45aaed75b7cd484d9f79"
WEIGHTS = Path(__file__).with_name("resnet8_cifar10.npz")


def convert(model: bytes) -> dict[str, np.ndarray]:
    """The state dict of ``resnet8_cifar10.build()`` from the published float TFLite file."""
    convolutions, dense = _read_weights(model)
    state: dict[str, np.ndarray] = {"fc.weight": dense[0], "fc.bias": dense[1]}
    for index, (weight, bias) in enumerate(convolutions):
        state[f"convs.{index}.weight"] = np.ascontiguousarray(weight.transpose(0, 3, 1, 2))
        state[f"convs.{index}.bias"] = bias
    for index, convolution in enumerate(resnet8_cifar10.NORMALIZED):
        ones = np.ones(resnet8_cifar10.CONVOLUTIONS[convolution][1], np.float32)
        state[f"bns.{index}.weight"], state[f"bns.{index}.bias"] = ones, 0 * ones
        state[f"bns.{index}.running_mean"] = 0 * ones
        state[f"bns.{index}.running_var"] = ones - np.float32(resnet8_cifar10.EPSILON)
    return state


def _read_weights(model: bytes) -> tuple[list[tuple[np.ndarray, np.ndarray]], tuple[np.ndarray, np.ndarray]]:
    """(weight, bias) of the convolutions in order, and of the fully connected layer."""
    from ai_edge_litert import schema_py_generated as schema

    flat = schema.ModelT.InitFromPackedBuf(model, 0)
    graph = flat.subgraphs[0]

    def constant(index: int) -> np.ndarray:
        tensor = graph.tensors[index]
        return np.frombuffer(bytes(flat.buffers[tensor.buffer].data), np.float32).reshape(tensor.shape)

    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for operator in graph.operators:
        kind = flat.operatorCodes[operator.opcodeIndex].deprecatedBuiltinCode
        if kind in (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.FULLY_CONNECTED):
            found.setdefault(kind, []).append((constant(operator.inputs[1]), constant(operator.inputs[2])))
    return found[schema.BuiltinOperator.CONV_2D], found[schema.BuiltinOperator.FULLY_CONNECTED][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, help="the TFLite file, where it is here already")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    if arguments.file:
        model = arguments.file.read_bytes()
    else:
        with urllib.request.urlopen(URL, timeout=60) as answer:
            model = answer.read()
    found = hashlib.sha256(model).hexdigest()
    if found != SHA256:
        sys.exit(f"the file's SHA-256 is {found}, not {SHA256}: it is another model")
    np.savez_compressed(arguments.out, **convert(model))
    sys.stdout.write(f"wrote {arguments.out}\n")


if __name__ == "__main__":
    main()
