"""EfficientNet-Lite0: the network is one package, its ImageNet weights are another (``edgekit-ml[samples]``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def build() -> nn.Module:
    """The network: input [N, 3, 224, 224], output [N, 1000] logits in the order of the sorted synsets."""
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")
