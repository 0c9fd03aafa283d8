"""torch_to_onnx: three kinds of source, two exporters, the names kept, and what it refuses."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import onnx
import pytest
import torch

from edgekit.artifact import Artifact, Build
from edgekit.errors import StepError
from edgekit.formats.matching import synthetic_samples
from edgekit.steps import STEPS, Context

RunStep = Callable[..., Artifact]
Source = Callable[..., Artifact]
Sqnr = Callable[..., float]

ODD = """
import torch

class Odd(torch.nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x)

class Transformed(torch.nn.Module):
    def forward(self, x):
        return {"spectrum": torch.fft.fft(x).real, "pair": (x * 2, x.sum())}

class Deaf(torch.nn.Module):
    def forward(self, x, unused):
        return x * 2
"""


ATTENTIVE = """
import torch
from torch.nn import functional

class Plain(torch.nn.Module):
    causal = False

    def forward(self, x):
        heads = x.reshape(1, 16, 4, 8).transpose(1, 2)
        return functional.scaled_dot_product_attention(heads, heads, heads, is_causal=self.causal)

class Causal(Plain):
    causal = True

class Fused(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attention = torch.nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]
"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    path = tmp_path / "odd.py"
    path.write_text(ODD)
    return path


@pytest.fixture(scope="module")
def files(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The detector as an exported program and as TorchScript."""
    folder = tmp_path_factory.mktemp("files")
    module, image = networks.detector(), torch.randn(networks.INPUTS["detector"]["image"])
    torch.export.save(torch.export.export(module, (image,)), folder / "detector.pt2")
    torch.jit.trace(module, image).save(str(folder / "detector.pt"))
    return {"exported": folder / "detector.pt2", "scripted": folder / "detector.pt"}


@pytest.mark.parametrize(
    ("kind", "exporter", "opset"),
    [
        ("module", "auto", 17),
        ("module", "dynamo", 18),
        ("exported", "auto", 17),
        ("exported", "dynamo", 18),
        ("scripted", "auto", 17),
    ],
)
def test_every_kind_of_source(
    kind: str,
    exporter: str,
    opset: int,
    files: dict[str, Path],
    networks: ModuleType,
    network: Callable[[str], Artifact],
    source: Source,
    run_step: RunStep,
    sqnr: Sqnr,
) -> None:
    shapes = networks.INPUTS["detector"]
    artifact = network("detector") if kind == "module" else source(files[kind], shapes)
    written = run_step("torch_to_onnx", artifact, exporter=exporter)
    model = onnx.load(written.path)
    assert [value.name for value in model.graph.input] == ["image"]
    assert [value.name for value in model.graph.output] == ["output_0", "output_1"]
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [opset]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert sqnr(network("detector"), written, synthetic_samples(artifact.io, 2, 0)) > 100


def test_the_same_model_gives_the_same_bytes(network: Callable[[str], Artifact], run_step: RunStep) -> None:
    artifact = network("transformer")
    first, second = (run_step("torch_to_onnx", artifact) for _ in range(2))
    assert first.sha256 == second.sha256
    model = onnx.load(first.path)
    assert model.producer_version == "" and model.doc_string == ""
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


def test_a_silently_changed_opset_is_refused(network: Callable[[str], Artifact], run_step: RunStep) -> None:
    """dynamo cannot write opset 13, and writes 18 without an error."""
    with pytest.raises(StepError, match="wrote opset 18 where 13 was asked for") as raised:
        run_step("torch_to_onnx", network("classifier"), exporter="dynamo", opset=13)
    assert raised.value.word == "opset_changed"
    written = run_step("torch_to_onnx", network("classifier"), opset=13)
    assert onnx.load(written.path).opset_import[0].version == 13


@pytest.mark.parametrize("exporter", ["auto", "torchscript", "dynamo"])
def test_an_unsupported_operator_is_named(odd: Path, source: Source, run_step: RunStep, exporter: str) -> None:
    artifact = source(odd, {"x": (3, 4)}, Build("Odd"))
    with pytest.raises(StepError) as raised:
        run_step("torch_to_onnx", artifact, exporter=exporter)
    assert "linalg_svd" in raised.value.message
    assert "linalg_svd" in (raised.value.where or "")
    assert raised.value.exit_code == 5
    assert "\n" not in raised.value.message and "\x1b" not in raised.value.message


def test_an_old_opset_does_not_hide_the_operator(odd: Path, source: Source, run_step: RunStep) -> None:
    """TorchScript's exporter lacks the operator, dynamo's the opset: the user can do something about the first."""
    artifact = source(odd, {"x": (3, 4)}, Build("Transformed"))
    with pytest.raises(StepError, match="fft") as raised:
        run_step("torch_to_onnx", artifact, opset=13)
    assert raised.value.word == "operator_refused"


def test_the_other_exporter_is_tried(
    odd: Path, source: Source, tmp_path: Path, sqnr: Sqnr, caplog: pytest.LogCaptureFixture
) -> None:
    """TorchScript's has no Fourier transform, dynamo's has; and the outputs of a dictionary keep their names."""
    artifact = source(odd, {"x": (3, 4)}, Build("Transformed"))
    step = STEPS.get("torch_to_onnx")
    (tmp_path / "work").mkdir()
    with caplog.at_level(logging.WARNING):
        produced = step.run(Context(tmp_path / "work"), artifact, step.options())
    assert produced.notes == ("the torchscript exporter refused the model; exported by dynamo",)
    assert "fft" in caplog.text
    names = ["spectrum", "pair_0", "pair_1"]
    assert [tensor.name for tensor in produced.io.outputs] == names
    assert [value.name for value in onnx.load(produced.path).graph.output] == names
    written = Artifact(produced.path, "onnx", "", 0, produced.io)
    assert sqnr(artifact, written, synthetic_samples(artifact.io, 2, 0)) > 100


def test_dynamo_does_not_take_torchscript(files: dict[str, Path], source: Source, run_step: RunStep) -> None:
    artifact = source(files["scripted"], {"image": (1, 3, 64, 64)})
    with pytest.raises(StepError, match="does not take TorchScript"):
        run_step("torch_to_onnx", artifact, exporter="dynamo")


def test_an_input_that_is_not_used_is_said(odd: Path, source: Source, run_step: RunStep) -> None:
    artifact = source(odd, {"x": (1, 4), "unused": (1, 4)}, Build("Deaf"))
    with pytest.raises(StepError, match="does not use its input `unused`"):
        run_step("torch_to_onnx", artifact)


@pytest.mark.parametrize("factory", ["Plain", "Fused"])
@pytest.mark.parametrize("opset", [13, 17])
def test_attention_at_old_opsets(
    tmp_path: Path, source: Source, run_step: RunStep, sqnr: Sqnr, factory: str, opset: int
) -> None:
    """PyTorch's exporter writes attention from opset 14 on, and its fused form not at all; TensorRT 8.2 reads 13."""
    (tmp_path / "attentive.py").write_text(ATTENTIVE)
    artifact = source(tmp_path / "attentive.py", {"x": (1, 16, 32)}, Build(factory))
    written = run_step("torch_to_onnx", artifact, opset=opset)
    assert onnx.load(written.path).opset_import[0].version == opset
    assert sqnr(artifact, written, synthetic_samples(artifact.io, 2, 0)) > 100
    assert torch.backends.mha.get_fastpath_enabled()


def test_causal_attention_at_old_opsets_is_refused(tmp_path: Path, source: Source, run_step: RunStep) -> None:
    """Its mask is made by Trilu, which opset 13 lacks; a mask that is given would do."""
    (tmp_path / "attentive.py").write_text(ATTENTIVE)
    artifact = source(tmp_path / "attentive.py", {"x": (1, 16, 32)}, Build("Causal"))
    with pytest.raises(StepError, match="causal attention cannot be written at opset 13") as raised:
        run_step("torch_to_onnx", artifact, opset=13)
    assert "attn_mask" in (raised.value.remedy or "")
    assert onnx.load(run_step("torch_to_onnx", artifact, opset=14).path).opset_import[0].version == 14
