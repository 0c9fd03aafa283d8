"""Trains the quickstart's network and writes its weights: ``python samples/train_digits.py``, 20 s on 2 cores.

The same seed gives the same training on one machine; another processor or another torch may round differently, which
moves the accuracy by a few of the 1,200 evaluation digits.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))
import digits

WEIGHTS = Path(__file__).with_name("digits.safetensors")


def fit(epochs: int = 24, seed: int = 0, batch: int = 50) -> nn.Module:
    """A trained network in eval mode. Every epoch sees each digit once, a little turned, scaled and shifted."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = digits.build().train()
    images, labels = as_tensors(digits.train())
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = epochs * (len(labels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(labels), generator=generator).split(batch):
            logits = model(_distort(images[chosen], generator))
            loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def score(model: nn.Module, samples: list[digits.Sample]) -> float:
    """The share of samples whose digit the model names."""
    images, labels = as_tensors(samples)
    with torch.inference_mode():
        return float((model(images).argmax(1) == labels).double().mean())


def as_tensors(samples: list[digits.Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [N, 1, 28, 28] in 0..1, and labels [N]."""
    images = np.stack([picture.transpose(2, 0, 1) for picture, _ in samples]).astype(np.float32) / 255
    return torch.from_numpy(images), torch.tensor([label for _, label in samples])


def _distort(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image turned by up to 12 degrees, scaled by up to 10 % and shifted by up to 2 pixels."""
    count = len(images)
    turn, zoom, right, down = (torch.rand(4, count, generator=generator) * 2 - 1).unbind(0)
    angle, scale, shift = turn * 0.21, 1 + 0.1 * zoom, 2 * 2 / digits.SIDE
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [torch.stack([cosine, -sine, right * shift], 1), torch.stack([sine, cosine, down * shift], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def main() -> None:
    from safetensors.torch import save_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    model = fit(arguments.epochs, arguments.seed)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, arguments.out)
    sys.stdout.write(f"{score(model, digits.evaluate()):.2%} of the evaluation digits; wrote {arguments.out}\n")


if __name__ == "__main__":
    main()
