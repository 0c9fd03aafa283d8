"""The networks that `edgekit check` is tried on, as people train them today: a phone classifier, a detector, a
transformer. Weights are seeded, since where an operator runs does not depend on them.

``tests/cli/test_check_models.py`` holds parameters and multiply-accumulates against the published counts.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Conv(nn.Sequential):
    """Convolution of "same" size (at stride 1), batch norm, activation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        act: type[nn.Module] = nn.SiLU,
    ) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), act())


# --- MobileNetV3 (Howard et al., 2019) -------------------------------------------------------------------------------


class SqueezeExcite(nn.Module):
    """Channels weighed by what a two-layer network makes of their means, through a hard sigmoid."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce, self.expand = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * functional.hardsigmoid(self.expand(functional.relu(self.reduce(self.pool(x)))))


class Bottleneck(nn.Module):
    """Expand, depthwise, squeeze and excite where the table says so, project; a shortcut where the shape stays."""

    def __init__(
        self, inputs: int, kernel: int, hidden: int, outputs: int, excite: bool, act: type[nn.Module], stride: int
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [] if hidden == inputs else [Conv(inputs, hidden, act=act)]
        layers.append(Conv(hidden, hidden, kernel, stride, groups=hidden, act=act))
        if excite:
            layers.append(SqueezeExcite(hidden, _round_channels(hidden / 4)))
        layers.append(Conv(hidden, outputs, act=nn.Identity))
        self.body = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class MobileNetV3(nn.Module):
    """MobileNetV3-Large 1.0 for 224x224 and 1000 classes: table 1 of the paper."""

    #: kernel, expanded channels, output channels, squeeze and excite, activation, stride
    ROWS = (
        (3, 16, 16, False, nn.ReLU, 1),
        (3, 64, 24, False, nn.ReLU, 2),
        (3, 72, 24, False, nn.ReLU, 1),
        (5, 72, 40, True, nn.ReLU, 2),
        (5, 120, 40, True, nn.ReLU, 1),
        (5, 120, 40, True, nn.ReLU, 1),
        (3, 240, 80, False, nn.Hardswish, 2),
        (3, 200, 80, False, nn.Hardswish, 1),
        (3, 184, 80, False, nn.Hardswish, 1),
        (3, 184, 80, False, nn.Hardswish, 1),
        (3, 480, 112, True, nn.Hardswish, 1),
        (3, 672, 112, True, nn.Hardswish, 1),
        (5, 672, 160, True, nn.Hardswish, 2),
        (5, 960, 160, True, nn.Hardswish, 1),
        (5, 960, 160, True, nn.Hardswish, 1),
    )

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [Conv(3, 16, 3, 2, act=nn.Hardswish)]
        channels = 16
        for kernel, hidden, outputs, excite, act, stride in self.ROWS:
            layers.append(Bottleneck(channels, kernel, hidden, outputs, excite, act, stride))
            channels = outputs
        layers.append(Conv(channels, 960, act=nn.Hardswish))
        self.features, self.pool = nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(960, 1280), nn.Hardswish(), nn.Linear(1280, 1000))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.pool(self.features(image)).flatten(1))


def _round_channels(wanted: float, divisor: int = 8) -> int:
    """The nearest multiple of 8 that is not below nine tenths of what is wanted."""
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * wanted else rounded


# --- A detector in the manner of YOLOv8-n (Ultralytics) ---------------------------------------------------------------


class Split(nn.Module):
    """Half of the channels go through a chain of residual pairs of convolutions; every stage is kept and joined."""

    def __init__(self, inputs: int, outputs: int, count: int, *, shortcut: bool) -> None:
        super().__init__()
        half = outputs // 2
        self.first, self.last = Conv(inputs, outputs), Conv((2 + count) * half, outputs)
        self.chain = nn.ModuleList(nn.Sequential(Conv(half, half, 3), Conv(half, half, 3)) for _ in range(count))
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = list(self.first(x).chunk(2, 1))
        for pair in self.chain:
            kept.append(kept[-1] + pair(kept[-1]) if self.shortcut else pair(kept[-1]))
        return self.last(torch.cat(kept, 1))


class Pyramid(nn.Module):
    """Three max-poolings of 5x5 one after the other, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.last = Conv(channels, channels // 2), Conv(channels * 2, channels)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = [self.first(x)]
        for _ in range(3):
            kept.append(self.pool(kept[-1]))
        return self.last(torch.cat(kept, 1))


class Head(nn.Module):
    """Boxes as a distribution over 16 distances to each side, and scores, at one level of the pyramid."""

    def __init__(self, channels: int, classes: int, bins: int) -> None:
        super().__init__()
        self.boxes = nn.Sequential(Conv(channels, 64, 3), Conv(64, 64, 3), nn.Conv2d(64, 4 * bins, 1))
        self.scores = nn.Sequential(Conv(channels, 80, 3), Conv(80, 80, 3), nn.Conv2d(80, classes, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.boxes(x), self.scores(x)], 1)


class Yolo(nn.Module):
    """80 classes at 320x320: [1, 84, 2100], boxes as centre and size in pixels, then scores. 3.2 M parameters."""

    BINS, CLASSES, STRIDES = 16, 80, (8, 16, 32)

    def __init__(self, size: int = 320) -> None:
        super().__init__()
        self.early = nn.Sequential(
            Conv(3, 16, 3, 2),
            Conv(16, 32, 3, 2),
            Split(32, 32, 1, shortcut=True),
            Conv(32, 64, 3, 2),
            Split(64, 64, 2, shortcut=True),
        )
        self.middle = nn.Sequential(Conv(64, 128, 3, 2), Split(128, 128, 2, shortcut=True))
        self.deep = nn.Sequential(Conv(128, 256, 3, 2), Split(256, 256, 1, shortcut=True), Pyramid(256))
        self.up = nn.ModuleList([Split(384, 128, 1, shortcut=False), Split(192, 64, 1, shortcut=False)])
        self.down = nn.ModuleList([Conv(64, 64, 3, 2), Conv(128, 128, 3, 2)])
        self.join = nn.ModuleList([Split(192, 128, 1, shortcut=False), Split(384, 256, 1, shortcut=False)])
        self.heads = nn.ModuleList(Head(channels, self.CLASSES, self.BINS) for channels in (64, 128, 256))
        anchors, strides = _grid(size, self.STRIDES)
        self.register_buffer("anchors", anchors, persistent=False)
        self.register_buffer("strides", strides, persistent=False)
        self.register_buffer("bins", torch.arange(self.BINS, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        early = self.early(image)
        middle = self.middle(early)
        deep = self.deep(middle)
        upper = self.up[0](torch.cat([functional.interpolate(deep, scale_factor=2.0, mode="nearest"), middle], 1))
        fine = self.up[1](torch.cat([functional.interpolate(upper, scale_factor=2.0, mode="nearest"), early], 1))
        centre = self.join[0](torch.cat([self.down[0](fine), upper], 1))
        coarse = self.join[1](torch.cat([self.down[1](centre), deep], 1))
        levels = [head(level).flatten(2) for head, level in zip(self.heads, (fine, centre, coarse), strict=True)]
        boxes, scores = torch.cat(levels, 2).split((4 * self.BINS, self.CLASSES), 1)
        return torch.cat([self._decode(boxes), scores.sigmoid()], 1)

    def _decode(self, boxes: torch.Tensor) -> torch.Tensor:
        count = boxes.shape[2]
        bins = boxes.view(1, 4, self.BINS, count).transpose(2, 1).softmax(1)
        near, far = functional.conv2d(bins, self.bins).view(1, 4, count).chunk(2, 1)
        low, high = self.anchors - near, self.anchors + far
        return torch.cat([(low + high) / 2, high - low], 1) * self.strides


def _grid(size: int, strides: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """The centres of all cells in cells, [1, 2, count], and their strides, [1, count]."""
    centres, steps = [], []
    for stride in strides:
        line = torch.arange(size // stride) + 0.5
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        centres.append(torch.stack([columns.flatten(), rows.flatten()]))
        steps.append(torch.full((1, rows.numel()), float(stride)))
    return torch.cat(centres, 1).unsqueeze(0), torch.cat(steps, 1)


# --- Vision transformer, "tiny" (Touvron et al., DeiT-Ti) -------------------------------------------------------------


class Block(nn.Module):
    """Layer norm, self-attention, layer norm, two-layer network with GELU."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        batch, count, width = tokens.shape
        qkv = self.qkv(self.before(tokens)).reshape(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        weights = (query * (width // self.heads) ** -0.5 @ key.transpose(-2, -1)).softmax(-1)
        tokens = tokens + self.merge((weights @ value).transpose(1, 2).reshape(batch, count, width))
        return tokens + self.mlp(self.between(tokens))


class VisionTransformer(nn.Module):
    """16x16 patches of 224x224 and a class token, 12 blocks of width 192 with 3 heads, 1000 classes."""

    def __init__(self, width: int = 192, blocks: int = 12, heads: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, 197, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, 1000)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        patches = self.patches(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(patches.shape[0], -1, -1), patches], 1) + self.position
        return self.head(self.norm(self.blocks(tokens))[:, 0])


def mobilenet_v3() -> nn.Module:
    """Input [1, 3, 224, 224]."""
    return _seeded(MobileNetV3)


def yolo() -> nn.Module:
    """Input [1, 3, 320, 320]."""
    return _seeded(Yolo)


def vit_tiny() -> nn.Module:
    """Input [1, 3, 224, 224]."""
    return _seeded(VisionTransformer)


def _seeded(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind().eval()
