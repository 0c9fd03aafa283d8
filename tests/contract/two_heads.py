"""The model that every step and format is tried on: convolutions of three kinds, a matrix product, two outputs.

It has no batch norm, so that an exact step has nothing to fold and the number of parameters stays what it is.
"""

from __future__ import annotations

import torch
from torch import nn

INPUTS = {"image": (1, 3, 16, 20)}


class TwoHeads(nn.Module):
    """A score for each of 10 classes, and the map it comes from, whose layout a converter may change."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 10)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.relu(self.depthwise(torch.relu(self.stem(image))))
        found = self.pointwise(features)
        return self.head(found.mean((2, 3))), found


def build() -> nn.Module:
    """The model with weights of seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TwoHeads().eval()
