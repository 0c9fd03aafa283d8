"""ResNet-8 for CIFAR-10, the image classification network of MLPerf Tiny (``fetch_resnet8.py`` gets its weights)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

#: (input channels, output channels, kernel, stride) of the convolutions, in the order of the original Keras model. The
#: sixth and the ninth are shortcuts.
CONVOLUTIONS = (
    (3, 16, 3, 1),
    (16, 16, 3, 1),
    (16, 16, 3, 1),
    (16, 32, 3, 2),
    (32, 32, 3, 1),
    (16, 32, 1, 2),
    (32, 64, 3, 2),
    (64, 64, 3, 1),
    (32, 64, 1, 2),
)
NORMALIZED = (0, 1, 2, 3, 4, 6, 7)  # the convolutions that a batch norm follows
EPSILON = 1e-3


def build() -> nn.Module:
    """The network: input [N, 3, 32, 32] with pixels 0..255, output [N, 10] logits."""
    import torch
    from torch import nn
    from torch.nn import functional

    class ResNet8(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList([nn.Conv2d(*sizes, padding=_padding(sizes)) for sizes in CONVOLUTIONS])
            widths = [CONVOLUTIONS[index][1] for index in NORMALIZED]
            self.bns = nn.ModuleList([nn.BatchNorm2d(width, eps=EPSILON) for width in widths])
            self.fc = nn.Linear(64, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            x = self.convolve(0, image).relu()
            x = (x + self.convolve(2, self.convolve(1, x).relu())).relu()
            x = (self.convs[5](x) + self.convolve(4, self.convolve(3, x).relu())).relu()
            x = (self.convs[8](x) + self.convolve(7, self.convolve(6, x).relu())).relu()
            return self.fc(x.mean((2, 3)))

        def convolve(self, index: int, x: torch.Tensor) -> torch.Tensor:
            """A convolution and its batch norm. "Same" padding of stride 2 as TensorFlow has it: right and bottom."""
            if CONVOLUTIONS[index][2:] == (3, 2):
                x = functional.pad(x, (0, 1, 0, 1))
            return self.bns[NORMALIZED.index(index)](self.convs[index](x))

    return ResNet8()


def _padding(sizes: tuple[int, int, int, int]) -> int:
    return 1 if sizes[2:] == (3, 1) else 0
