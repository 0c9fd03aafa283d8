"""The Inception networks as graphs: see ``published_models``."""

from __future__ import annotations

from published_models import Net, Same, Valid

from edgekit.graph import Graph

Kernel = int | tuple[int, int]


def _chain(net: Net, x: int, *layers: tuple[int, Kernel]) -> int:
    """Convolutions of stride 1, one after the other: (channels, kernel)."""
    for channels, kernel in layers:
        x = net.conv(x, channels, kernel)
    return x


def _pooled(net: Net, x: int, channels: int) -> int:
    return net.conv(net.pool(x, 3, 1, average=True), channels, 1)


def inception_v1(side: int = 224) -> Graph:
    net = Net(side)
    x = net.pool(net.conv(0, 64, 7, 2), 3, 2)
    x = net.pool(_chain(net, x, (64, 1), (192, 3)), 3, 2)
    rows = [
        (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None, (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128), None, (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
    ]  # fmt: skip
    for row in rows:
        if row is None:
            x = net.pool(x, 3, 2)
            continue
        one, small3, three, small5, five, pooled = row
        x = net.concat(
            net.conv(x, one, 1),
            _chain(net, x, (small3, 1), (three, 3)),
            _chain(net, x, (small5, 1), (five, 3)),  # the published code has 3x3 where the paper has 5x5
            net.conv(net.pool(x, 3, 1), pooled, 1),
        )
    return net.classify(x)


def inception_v3(side: int = 299) -> Graph:
    net = Net(side)
    x = net.conv(net.conv(net.conv(0, 32, 3, 2, Valid), 32, 3, 1, Valid), 64, 3)
    x = net.conv(net.conv(net.pool(x, 3, 2, Valid), 80, 1), 192, 3, 1, Valid)
    x = net.pool(x, 3, 2, Valid)
    for pooled in (32, 64, 64):
        x = net.concat(
            net.conv(x, 64, 1),
            _chain(net, x, (48, 1), (64, 5)),
            _chain(net, x, (64, 1), (96, 3), (96, 3)),
            _pooled(net, x, pooled),
        )
    branch = net.conv(_chain(net, x, (64, 1), (96, 3)), 96, 3, 2, Valid)
    x = net.concat(net.conv(x, 384, 3, 2, Valid), branch, net.pool(x, 3, 2, Valid))
    for width in (128, 160, 160, 192):
        x = net.concat(
            net.conv(x, 192, 1),
            _chain(net, x, (width, 1), (width, (1, 7)), (192, (7, 1))),
            _chain(net, x, (width, 1), (width, (7, 1)), (width, (1, 7)), (width, (7, 1)), (192, (1, 7))),
            _pooled(net, x, 192),
        )
    first = net.conv(net.conv(x, 192, 1), 320, 3, 2, Valid)
    second = net.conv(_chain(net, x, (192, 1), (192, (1, 7)), (192, (7, 1))), 192, 3, 2, Valid)
    x = net.concat(first, second, net.pool(x, 3, 2, Valid))
    for _ in range(2):
        short, long = net.conv(x, 384, 1), _chain(net, x, (448, 1), (384, 3))
        sides = [net.conv(branch, 384, kernel) for branch in (short, long) for kernel in ((1, 3), (3, 1))]
        x = net.concat(net.conv(x, 320, 1), *sides, _pooled(net, x, 192))
    return net.classify(x)


def inception_v4(side: int = 299) -> Graph:
    net = Net(side)
    x = net.conv(net.conv(net.conv(0, 32, 3, 2, Valid), 32, 3, 1, Valid), 64, 3)
    x = net.concat(net.pool(x, 3, 2, Valid), net.conv(x, 96, 3, 2, Valid))
    x = net.concat(
        net.conv(net.conv(x, 64, 1), 96, 3, 1, Valid),
        net.conv(_chain(net, x, (64, 1), (64, (1, 7)), (64, (7, 1))), 96, 3, 1, Valid),
    )
    x = net.concat(net.conv(x, 192, 3, 2, Valid), net.pool(x, 3, 2, Valid))
    for _ in range(4):
        x = net.concat(
            net.conv(x, 96, 1),
            _chain(net, x, (64, 1), (96, 3)),
            _chain(net, x, (64, 1), (96, 3), (96, 3)),
            _pooled(net, x, 96),
        )
    branch = net.conv(_chain(net, x, (192, 1), (224, 3)), 256, 3, 2, Valid)
    x = net.concat(net.conv(x, 384, 3, 2, Valid), branch, net.pool(x, 3, 2, Valid))
    for _ in range(7):
        x = net.concat(
            net.conv(x, 384, 1),
            _chain(net, x, (192, 1), (224, (1, 7)), (256, (7, 1))),
            _chain(net, x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
            _pooled(net, x, 128),
        )
    first = net.conv(net.conv(x, 192, 1), 192, 3, 2, Valid)
    second = net.conv(_chain(net, x, (256, 1), (256, (1, 7)), (320, (7, 1))), 320, 3, 2, Valid)
    x = net.concat(first, second, net.pool(x, 3, 2, Valid))
    for _ in range(3):
        short = net.conv(x, 384, 1)
        long = _chain(net, x, (384, 1), (448, (3, 1)), (512, (1, 3)))
        sides = [net.conv(branch, 256, kernel) for branch in (short, long) for kernel in ((1, 3), (3, 1))]
        x = net.concat(net.conv(x, 256, 1), *sides, _pooled(net, x, 256))
    return net.classify(x)


def inception_resnet_v2(side: int = 299) -> Graph:
    net = Net(side)
    x = net.conv(net.conv(net.conv(0, 32, 3, 2, Valid), 32, 3, 1, Valid), 64, 3)
    x = net.conv(net.conv(net.pool(x, 3, 2, Valid), 80, 1), 192, 3, 1, Valid)
    x = net.pool(x, 3, 2, Valid)
    x = net.concat(
        net.conv(x, 96, 1),
        _chain(net, x, (48, 1), (64, 5)),
        _chain(net, x, (64, 1), (96, 3), (96, 3)),
        _pooled(net, x, 64),
    )
    for _ in range(10):
        branches = (
            net.conv(x, 32, 1),
            _chain(net, x, (32, 1), (32, 3)),
            _chain(net, x, (32, 1), (48, 3), (64, 3)),
        )
        x = net.sum(x, net.conv(net.concat(*branches), net.channels(x), 1))
    branch = net.conv(_chain(net, x, (256, 1), (256, 3)), 384, 3, 2, Valid)
    x = net.concat(net.conv(x, 384, 3, 2, Valid), branch, net.pool(x, 3, 2, Valid))
    for _ in range(20):
        branches = (net.conv(x, 192, 1), _chain(net, x, (128, 1), (160, (1, 7)), (192, (7, 1))))
        x = net.sum(x, net.conv(net.concat(*branches), net.channels(x), 1))
    x = net.concat(
        net.conv(net.conv(x, 256, 1), 384, 3, 2, Valid),
        net.conv(net.conv(x, 256, 1), 288, 3, 2, Valid),
        net.conv(_chain(net, x, (256, 1), (288, 3)), 320, 3, 2, Valid),
        net.pool(x, 3, 2, Valid),
    )
    for _ in range(10):
        branches = (net.conv(x, 192, 1), _chain(net, x, (192, 1), (224, (1, 3)), (256, (3, 1))))
        x = net.sum(x, net.conv(net.concat(*branches), net.channels(x), 1))
    return net.classify(net.conv(x, 1536, 1, 1, Same))
