"""Small torch networks with seeded weights, for tests: ``FILE:FACTORY`` in a recipe, or ``build(NAME)`` in a process.

Each factory takes nothing (or options with defaults) and returns a module in eval mode whose weights, and whose batch
norms' statistics, are the same every time. ``INPUTS`` gives each one's inputs, with a batch of 1: {factory: {input
name: shape}}.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

INPUTS: dict[str, dict[str, tuple[int, ...]]] = {
    "classifier": {"image": (1, 3, 16, 16)},
    "detector": {"image": (1, 3, 64, 64)},
    "segmentation": {"image": (1, 3, 48, 64)},
    "pixel_shuffle": {"image": (1, 3, 24, 24)},
    "transformer": {"image": (1, 3, 32, 32)},
    "audio": {"waveform": (1, 1, 1024)},
    "square_output": {"image": (1, 16, 16, 16)},
    "mobilenet_v2": {"image": (1, 3, 224, 224)},
}


def build(name: str) -> nn.Module:
    """The network of that name."""
    return globals()[name]()


class ConvBlock(nn.Sequential):
    """Convolution, batch norm, activation; "same" size for stride 1."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        act: type[nn.Module] = nn.ReLU,
    ) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), act())


class Classifier(nn.Module):
    """The smallest network that a classification recipe accepts: 10 classes."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(ConvBlock(3, 8, stride=2), ConvBlock(8, 16, stride=2))
        self.head = nn.Linear(16, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(image).mean((2, 3)))


class Detector(nn.Module):
    """A two-level feature pyramid with two outputs: boxes [1, N, 4] and scores [1, N, 5], both after a sigmoid."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.classes = classes
        self.stem = nn.Sequential(ConvBlock(3, 16, stride=2), ConvBlock(16, 24, stride=2))
        self.deep = nn.Sequential(ConvBlock(24, 32, stride=2), ConvBlock(32, 32))
        self.lateral = ConvBlock(24 + 32, 32, 1)
        self.boxes = nn.ModuleList([nn.Conv2d(32, 4, 3, padding=1) for _ in range(2)])
        self.scores = nn.ModuleList([nn.Conv2d(32, classes, 3, padding=1) for _ in range(2)])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shallow = self.stem(image)
        deep = self.deep(shallow)
        upper = functional.interpolate(deep, scale_factor=2.0, mode="nearest")
        levels = [self.lateral(torch.cat([shallow, upper], dim=1)), deep]
        boxes = [head(level).flatten(2).transpose(1, 2) for head, level in zip(self.boxes, levels, strict=True)]
        scores = [head(level).flatten(2).transpose(1, 2) for head, level in zip(self.scores, levels, strict=True)]
        return torch.cat(boxes, dim=1).sigmoid(), torch.cat(scores, dim=1).sigmoid()


class Segmentation(nn.Module):
    """An encoder and a decoder (transposed convolution, then a bilinear resize): class scores [1, 4, H, W]."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.first = ConvBlock(3, 16, stride=2)
        self.second = ConvBlock(16, 32, stride=2)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.join = ConvBlock(32, 16)
        self.head = nn.Conv2d(16, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        first = self.first(image)
        joined = self.join(torch.cat([first, self.up(self.second(first))], dim=1))
        return functional.interpolate(self.head(joined), size=image.shape[2:], mode="bilinear", align_corners=False)


class PixelShuffle(nn.Module):
    """Depthwise convolutions and a pixel shuffle: the picture at twice its size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(3, 24), ConvBlock(24, 24, groups=24), ConvBlock(24, 24, 1))
        self.tail = nn.Conv2d(24, 3 * 4, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.shuffle(self.tail(self.body(image)))


class AttentionBlock(nn.Module):
    """Layer norm, self-attention, layer norm, two-layer perceptron with GELU. Tokens are [1, T, width]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(self.before(tokens)).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(query @ key.transpose(-2, -1) * (width // self.heads) ** -0.5, dim=-1)
        tokens = tokens + self.merge((weights @ value).transpose(1, 2).reshape(batch, count, width))
        return tokens + self.mlp(self.between(tokens))


class Transformer(nn.Module):
    """A small vision transformer: 8x8 patches, two blocks, 10 classes."""

    def __init__(self, width: int = 32, classes: int = 10) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, stride=8)
        self.position = nn.Parameter(torch.randn(1, 16, width) * 0.1)
        self.blocks = nn.Sequential(AttentionBlock(width, 4), AttentionBlock(width, 4))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = self.patches(image).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(dim=1))


class Audio(nn.Module):
    """1-D convolutions over a waveform [1, 1, 1024]; 6 classes."""

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(1, 16, 9, stride=4, padding=4),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Conv1d(16, 32, 5, stride=2, padding=2),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.MaxPool1d(2),
        )
        self.head = nn.Linear(32, classes)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(waveform).mean(dim=2))


class SquareOutput(nn.Module):
    """[1, 16, 16, 16] in and out: no shape tells its layout."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvBlock(16, 16), nn.Conv2d(16, 16, 3, padding=1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise, project; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers: list[nn.Module] = [] if expand == 1 else [ConvBlock(inputs, hidden, 1, act=nn.ReLU6)]
        layers += [
            ConvBlock(hidden, hidden, stride=stride, groups=hidden, act=nn.ReLU6),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        ]
        self.body = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 1.0 for 224x224 and 1000 classes, as its paper's table 2 lists it."""

    #: expansion, output channels, repeats, stride of the first
    STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvBlock(3, 32, stride=2, act=nn.ReLU6)]
        channels = 32
        for expand, outputs, repeats, stride in self.STAGES:
            for index in range(repeats):
                layers.append(InvertedResidual(channels, outputs, stride if index == 0 else 1, expand))
                channels = outputs
        layers.append(ConvBlock(channels, 1280, 1, act=nn.ReLU6))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(image).mean((2, 3)))


def classifier(classes: int = 10) -> nn.Module:
    return _seeded(Classifier, classes)


def detector() -> nn.Module:
    return _seeded(Detector)


def segmentation() -> nn.Module:
    return _seeded(Segmentation)


def pixel_shuffle() -> nn.Module:
    return _seeded(PixelShuffle)


def transformer() -> nn.Module:
    return _seeded(Transformer)


def audio() -> nn.Module:
    return _seeded(Audio)


def square_output() -> nn.Module:
    return _seeded(SquareOutput)


def mobilenet_v2() -> nn.Module:
    return _seeded(MobileNetV2)


def _seeded(kind: type[nn.Module], *arguments: int) -> nn.Module:
    """The module with weights of seed 0, variance kept from layer to layer, and batch norms that do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = kind(*arguments).eval()
        for part in module.modules():
            if isinstance(part, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(part.weight)
            elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.7, 1.2)
                nn.init.uniform_(part.bias, -0.1, 0.3)
                nn.init.uniform_(part.running_mean, -0.1, 0.1)
                nn.init.uniform_(part.running_var, 0.7, 1.3)
    return module
