"""Networks for the tests of explanations: a small one that has learned, and random ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import RunConfig
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network
from lab.models.staged import StagedNet

SIZE = 32
CLASSES = 3


def random_images(count: int, *, channels: int = 1, size: int = SIZE, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def bars(count: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(N, 1, 32, 32) noise with a bright bar, whose height on the image is the class (N,)."""
    images = random_images(count, seed=seed) / 2
    labels = torch.arange(count) % CLASSES
    for image, label in zip(images[:, 0], labels.tolist(), strict=True):
        image[4 + 10 * label : 9 + 10 * label, 4:28] += 1.5
    return images, labels


def random_network(
    architecture: str,
    *,
    channels: int = 3,
    size: int | None = None,
    classes: int = CLASSES,
    seed: int = 0,
    **knobs: object,
) -> StagedNet:
    """In eval mode, at the smallest size that goes through unless another is given."""
    spec = ARCHITECTURES.get(architecture)
    network = build_network(
        RunConfig(architecture=architecture, seed=seed).changed(**knobs),
        channels=channels,
        image_size=size or max(spec.min_image_size, 16),
        classes=classes,
    )
    return network.eval()


def trained_network() -> StagedNet:
    """A simple CNN that tells the bars apart; half a second of training."""
    network = random_network("simple-cnn", channels=1, size=SIZE).train()
    images, labels = bars(96)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for start in range(0, 30 * 32, 32):
        rows = torch.arange(start, start + 32) % len(images)
        optimizer.zero_grad()
        F.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimizer.step()
    optimizer.zero_grad()
    return network.eval()
