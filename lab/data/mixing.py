"""Mixup and CutMix: each picture of a batch mixed with the one before it, and their labels too.

Mixup (Zhang et al., ICLR 2018) lays the other picture over it, CutMix (Yun et al., ICCV 2019)
pastes a rectangle of it. As in torchvision's v2 transforms there is one share, and one rectangle,
for a batch; as in timm, with both knobs on each batch gets one of the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lab.config import RunConfig


@dataclass(frozen=True, eq=False)
class Mix:
    """What a batch's labels are mixed with."""

    share: float
    """Of the batch's own labels; the others' is what is left to 1."""
    others: Tensor
    """(N,) int64, on the device."""

    def larger(self, labels: Tensor) -> Tensor:
        """(N,) the label of the larger share."""
        return labels if self.share >= 0.5 else self.others


@dataclass(frozen=True)
class MixDraw:
    """How a batch is mixed: the own pictures' share, and for CutMix the rectangle's pixels."""

    share: float
    box: tuple[int, int, int, int] | None = None
    """Left, top, right, bottom, the last two not included."""


def draw_mix(config: RunConfig, side: int, seed: int) -> MixDraw:
    """For one batch of images of `side` pixels; a pure function."""
    chance = np.random.Generator(np.random.Philox(seed))
    cuts = config.cutmix > 0 and (config.mixup == 0 or chance.random() < 0.5)
    alpha = config.cutmix if cuts else config.mixup
    share = float(chance.beta(alpha, alpha))
    if not cuts:
        return MixDraw(share)
    x, y = (int(place) for place in chance.integers(0, side, size=2))
    half = int(0.5 * math.sqrt(1 - share) * side)
    box = (max(x - half, 0), max(y - half, 0), min(x + half, side), min(y + half, side))
    area = (box[2] - box[0]) * (box[3] - box[1])
    return MixDraw(1 - area / side**2, box)  # the picture's edge may have cut the rectangle


def mix_batch(images: Tensor, labels: Tensor, draw: MixDraw) -> tuple[Tensor, Mix]:
    """(N, C, S, S) and (N,) -> the mixed images, and what their labels are mixed with.

    Images may be normalised or not: mixing and normalising can change places.
    """
    others = images.roll(1, 0)
    if draw.box is None:
        mixed = torch.lerp(others, images, draw.share)
    else:
        left, top, right, bottom = draw.box
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return mixed, Mix(draw.share, labels.roll(1, 0))
