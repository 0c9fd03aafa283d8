"""The torch format: three kinds of file, what they say of themselves, and that none of them runs as code."""

from __future__ import annotations

import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from edgekit.artifact import Artifact, Build
from edgekit.errors import AbsentError, InputError
from edgekit.formats import FORMATS, Declared, find_format
from edgekit.formats.runner import open_runner
from edgekit.formats.torch_load import first_line, name_outputs, order_inputs

ArtifactAt = Callable[..., Artifact]


@pytest.mark.parametrize("name", ["detector.pt2", "detector.pt"])
def test_a_file_computes_what_its_module_does(
    files: Path, name: str, networks: ModuleType, artifact_at: ArtifactAt
) -> None:
    path = files / name
    assert find_format(path).name == "torch"
    artifact = artifact_at(path, "torch", shapes=networks.INPUTS["detector"])
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    found = open_runner(artifact, 1).run({"image": image})
    with torch.no_grad():
        boxes, scores = networks.detector()(torch.from_numpy(image))
    np.testing.assert_allclose(found["output_0"], boxes.numpy(), atol=1e-6)
    np.testing.assert_allclose(found["output_1"], scores.numpy(), atol=1e-6)
    assert [tensor.layout for tensor in artifact.io.inputs] == ["NCHW"]
    assert [tensor.shape for tensor in artifact.io.outputs] == [(1, 320, 4), (1, 320, 5)]


def test_an_exported_program_needs_no_declaration(files: Path, artifact_at: ArtifactAt) -> None:
    artifact = artifact_at(files / "detector.pt2", "torch")
    assert [(tensor.name, tensor.shape, tensor.dtype) for tensor in artifact.io.inputs] == [
        ("image", (1, 3, 64, 64), "float32")
    ]


def test_a_free_size_must_be_declared(tmp_path: Path, artifact_at: ArtifactAt) -> None:
    class Pool(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3))

    batch, side = torch.export.Dim("batch"), torch.export.Dim("side")
    program = torch.export.export(Pool(), (torch.randn(2, 3, 9, 8),), dynamic_shapes=({0: batch, 2: side},))
    torch.export.save(program, tmp_path / "pool.pt2")
    with pytest.raises(InputError, match="free sizes"):
        artifact_at(tmp_path / "pool.pt2", "torch")
    artifact = artifact_at(tmp_path / "pool.pt2", "torch", shapes={"x": (1, 3, 12, 8)})
    assert artifact.io.inputs[0].shape == (1, 3, 12, 8)
    with pytest.raises(InputError, match="not 1x4x12x8"):
        artifact_at(tmp_path / "pool.pt2", "torch", shapes={"x": (1, 4, 12, 8)})


@pytest.mark.parametrize("name", ["detector.pt"])
def test_inputs_must_be_declared_where_the_file_does_not_say(files: Path, name: str) -> None:
    with pytest.raises(InputError) as raised:
        FORMATS.get("torch").read_io(files / name, Declared())
    assert raised.value.word == "inputs_not_declared"


def test_a_wrong_declaration_says_that_the_model_does_not_run(files: Path) -> None:
    with pytest.raises(InputError, match="does not run on image 1x4x64x64") as raised:
        FORMATS.get("torch").read_io(files / "detector.pt", Declared({"image": (1, 4, 64, 64)}))
    assert raised.value.exit_code == 2
    assert ":int64" in str(raised.value.remedy) and "dtype" in str(raised.value.remedy)
    # TorchScript's own text begins with where it happened.
    assert "RuntimeError: Given groups=1" in raised.value.message


@pytest.mark.parametrize("name", ["detector.pt2", "detector.pt"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_truncated(files: Path, name: str, share: float, tmp_path: Path) -> None:
    whole = (files / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError):
        find_format(path).read_io(path, Declared({"image": (1, 3, 64, 64)}))


def test_a_renamed_file_is_told_by_its_content(files: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((files / "detector.pt2").read_bytes())
    with pytest.raises(InputError, match="holds a model in the format torch"):
        find_format(path)


# --- names of outputs -------------------------------------------------------------------------------------------------


def test_names_of_outputs() -> None:
    a, b, c = torch.zeros(1), torch.zeros(2), torch.zeros(3)
    pair = namedtuple("pair", "boxes scores")
    assert list(name_outputs(a)) == ["output"]
    assert list(name_outputs((a,))) == ["output"]
    assert list(name_outputs([a, b])) == ["output_0", "output_1"]
    assert list(name_outputs((a, (b, [c])))) == ["output_0", "output_1", "output_2"]
    assert list(name_outputs({"boxes": a, "levels": [b, c]})) == ["boxes", "levels_0", "levels_1"]
    assert list(name_outputs(pair(a, b))) == ["boxes", "scores"]
    assert list(name_outputs((a, None))) == ["output"]


@pytest.mark.parametrize("result", [None, (), 3, (torch.zeros(1), "text")])
def test_what_is_no_tensor_is_refused(result: Any) -> None:
    with pytest.raises(InputError):
        name_outputs(result)


def test_order_of_inputs() -> None:
    assert order_inputs(["mask", "image"], ["image", "mask"]) == ("image", "mask")
    assert order_inputs(["b", "a"], ["x", "y"]) == ("b", "a")
    assert order_inputs(["mask", "image"], ["image", "mask", "threshold"]) == ("image", "mask")


# --- a Python file ----------------------------------------------------------------------------------------------------

TWO_INPUTS = """
import torch
from neighbour import FACTOR

class Net(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = torch.nn.Linear(4, width)
        self.norm = torch.nn.BatchNorm1d(width)
    def forward(self, left, right):
        return {"difference": self.norm(self.linear(left - right * FACTOR))}

def build(width=3):
    return Net(width)

def broken():
    raise ValueError("no luck")

def wrong():
    return 7
"""


@pytest.fixture
def python_file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text("FACTOR = 2.0\n")
    path = tmp_path / "net.py"
    path.write_text(TWO_INPUTS)
    return path


def declared(*names: str) -> Declared:
    return Declared(dict.fromkeys(names, (1, 4)))


def test_inputs_go_by_the_names_of_the_call(python_file: Path, artifact_at: ArtifactAt) -> None:
    shapes = {"right": (1, 4), "left": (1, 4)}
    artifact = artifact_at(python_file, "torch", shapes=shapes, build=Build("build", {"width": 2}))
    assert [tensor.name for tensor in artifact.io.inputs] == ["left", "right"]
    runner = open_runner(artifact, 1)
    left, right = np.ones((1, 4), np.float32), np.full((1, 4), 0.5, np.float32)
    zero = runner.run({"left": np.zeros((1, 4), np.float32), "right": np.zeros((1, 4), np.float32)})
    np.testing.assert_array_equal(runner.run({"left": left, "right": right})["difference"], zero["difference"])


def test_the_folder_does_not_stay_importable(python_file: Path) -> None:
    before = list(sys.path)
    FORMATS.get("torch").read_io(python_file, declared("left", "right"), Build("build"))
    assert sys.path == before
    assert "neighbour" not in sys.modules


def test_neighbours_of_another_model_are_not_taken(python_file: Path, tmp_path: Path) -> None:
    read = FORMATS.get("torch").read_io
    read(python_file, declared("left", "right"), Build("build"))
    other = tmp_path / "other" / "net.py"
    other.parent.mkdir()
    other.write_text(TWO_INPUTS)
    (other.parent / "neighbour.py").write_text("raise ValueError('the other one')\n")
    with pytest.raises(InputError, match="the other one"):
        read(other, declared("left", "right"), Build("build"))


def test_random_weights_are_the_same_every_time(python_file: Path, artifact_at: ArtifactAt) -> None:
    artifact = artifact_at(python_file, "torch", shapes={"left": (1, 4), "right": (1, 4)}, build=Build("build"))
    sample = {"left": np.ones((1, 4), np.float32), "right": np.zeros((1, 4), np.float32)}
    first, second = (open_runner(artifact, 1).run(sample)["difference"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("biuld", "did you mean `build`"),
        ("broken", "raised ValueError: no luck"),
        ("wrong", "returned a int, not a torch.nn.Module"),
    ],
)
def test_mistakes_in_the_factory(python_file: Path, factory: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FORMATS.get("torch").read_io(python_file, declared("left", "right"), Build(factory))


def test_the_line_that_raised_is_named(python_file: Path) -> None:
    with pytest.raises(InputError) as raised:
        FORMATS.get("torch").read_io(python_file, declared("left", "right"), Build("broken"))
    line = TWO_INPUTS.splitlines().index('    raise ValueError("no luck")') + 1
    assert raised.value.where == f"{python_file}:{line}"


def test_wrong_options(python_file: Path) -> None:
    with pytest.raises(InputError, match="unexpected keyword argument"):
        FORMATS.get("torch").read_io(python_file, declared("left", "right"), Build("build", {"widht": 3}))


def test_a_missing_distribution_is_absent(tmp_path: Path) -> None:
    path = tmp_path / "needs.py"
    path.write_text("import a_package_that_nobody_has\n")
    with pytest.raises(AbsentError, match="a_package_that_nobody_has") as raised:
        FORMATS.get("torch").read_io(path, declared("x"), Build("build"))
    assert raised.value.exit_code == 3


# --- weights ----------------------------------------------------------------------------------------------------------


def save_weights(state: dict[str, torch.Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    elif path.suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in state.items()})
    else:
        torch.save(state, path)
    return path


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    shapes = {"linear.weight": (3, 4), "linear.bias": (3,), "norm.weight": (3,), "norm.bias": (3,)}
    found = {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    return {**found, "norm.running_mean": torch.zeros(3), "norm.running_var": torch.ones(3)}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".pth"])
def test_weights_of_every_kind(
    python_file: Path, state: dict[str, torch.Tensor], suffix: str, artifact_at: ArtifactAt
) -> None:
    """num_batches_tracked is absent, as it is in files that were not written by PyTorch."""
    weights = save_weights(state, python_file.with_suffix(suffix))
    shapes = {"left": (1, 4), "right": (1, 4)}
    artifact = artifact_at(python_file, "torch", shapes=shapes, build=Build("build", {}, weights))
    x = np.arange(4, dtype=np.float32)[None]
    found = open_runner(artifact, 1).run({"left": x, "right": np.zeros_like(x)})["difference"]
    linear = x @ state["linear.weight"].numpy().T + state["linear.bias"].numpy()
    expected = linear / np.sqrt(1 + 1e-5) * state["norm.weight"].numpy() + state["norm.bias"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_weights_of_another_architecture_are_named(python_file: Path, state: dict[str, torch.Tensor]) -> None:
    state = {**state, "linear.weight": torch.zeros(5, 4), "head.weight": torch.zeros(1)}
    del state["norm.bias"]
    weights = save_weights(state, python_file.with_suffix(".safetensors"))
    with pytest.raises(InputError) as raised:
        FORMATS.get("torch").read_io(python_file, declared("left", "right"), Build("build", {}, weights))
    message = raised.value.message
    assert "1 missing (norm.bias)" in message
    assert "1 unexpected (head.weight)" in message
    assert "linear.weight 5x4 instead of 3x4" in message
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "kind"), [("detector.pt2", "an exported program"), ("detector.pt", "a TorchScript program")]
)
def test_a_program_is_no_weights(python_file: Path, files: Path, name: str, kind: str) -> None:
    with pytest.raises(InputError, match=f"is {kind}, not weights") as raised:
        FORMATS.get("torch").read_io(python_file, declared("left", "right"), Build("build", {}, files / name))
    assert "state_dict" in str(raised.value.remedy)


def test_long_texts_are_cut_between_words() -> None:
    said = first_line(ValueError("word " * 100 + "\nmore"))
    assert said.endswith("word ...")
    assert len(said) <= 204


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_truncated_weights(python_file: Path, state: dict[str, torch.Tensor], suffix: str) -> None:
    weights = save_weights(state, python_file.with_suffix(suffix))
    weights.write_bytes(weights.read_bytes()[:-200])
    with pytest.raises(InputError) as raised:
        FORMATS.get("torch").read_io(python_file, declared("left", "right"), Build("build", {}, weights))
    assert raised.value.word == "unreadable_weights"


def test_nan_in_weights_is_found(python_file: Path, state: dict[str, torch.Tensor], artifact_at: ArtifactAt) -> None:
    state["norm.bias"][1] = float("nan")
    weights = save_weights(state, python_file.with_suffix(".safetensors"))
    shapes = {"left": (1, 4), "right": (1, 4)}
    artifact = artifact_at(python_file, "torch", shapes=shapes, build=Build("build", {}, weights))
    assert FORMATS.get("torch").find_nan(artifact) == "norm.bias"


# --- description ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["detector", "segmentation", "pixel_shuffle", "transformer", "audio"])
def test_macs_and_parameters(name: str, torch_source: Callable[[str], Artifact], networks: ModuleType) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    artifact = torch_source(name)
    graph = FORMATS.get("torch").describe(artifact)
    module = networks.build(name)
    images = [torch.zeros(shape) for shape in networks.INPUTS[name].values()]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(*images)
    assert graph.macs == counter.get_total_flops() // 2
    assert graph.params == sum(parameter.numel() for parameter in module.parameters())
    produced = {index for operator in graph.operators for index in operator.outputs}
    assert set(graph.outputs) <= produced
