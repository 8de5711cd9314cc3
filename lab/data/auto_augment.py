"""TrivialAugment and RandAugment on a whole batch: each image its own changes and strengths.

    TrivialAugment (Müller & Hutter, ICCV 2021)    one change an image, of any strength
    RandAugment (Cubuk et al., NeurIPS 2020)       two changes an image, of one strength

The changes, their strengths and what they do to pixels are torchvision's (`TrivialAugmentWide`,
`RandAugment`), but for the border, which goes on outside a picture that is moved instead of black,
and bilinear instead of nearest pixels: turning, slanting and shifting become part of the one affine
map of `lab.data.augment`. Changes of colour follow, in the order drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import RunConfig

LEVELS = 31
"""Of strength, from none to the strongest."""

# Their numbers are their places in OPERATIONS.
OPERATIONS = (
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
)  # fmt: skip
SIGNED = torch.tensor([1 <= number <= 9 for number in range(len(OPERATIONS))])


@dataclass(frozen=True)
class Policy:
    """How many changes an image gets, and how strong the strongest ones are."""

    rounds: int
    shear: float
    rotation: float
    """Degrees."""
    colour: float
    """Share by which brightness, colour, contrast and sharpness change."""
    fewest_bits: int
    """Of a posterized pixel."""


POLICIES = {"trivial": Policy(1, 0.99, 135, 0.99, 2), "rand": Policy(2, 0.3, 30, 0.9, 4)}


class AutoAugment:
    """The automatic augmentation of a config in which it is not "off"."""

    def __init__(self, config: RunConfig) -> None:
        self._name = config.auto_augment
        self._policy = POLICIES[config.auto_augment]
        self._level = config.rand_magnitude if config.auto_augment == "rand" else None

    def draw(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        """From uniform numbers (N, 6) to operations and signed levels, both (N, rounds) int64."""
        rounds = self._policy.rounds
        operations = (chance[:, :rounds] * len(OPERATIONS)).long()
        levels = (chance[:, 2 : 2 + rounds] * LEVELS).long()
        if self._level is not None:
            levels.fill_(self._level)
        negative = SIGNED[operations] & (chance[:, 4 : 4 + rounds] < 0.5)
        return operations, torch.where(negative, -levels, levels)

    def inverse_maps(self, operations: Tensor, levels: Tensor, side: int) -> Tensor:
        """(N, 3, 3): where each place of the changed image, from -1 to 1, comes from."""
        policy = self._policy
        # As torchvision has them: 32 pixels whatever the size, and whole pixels only.
        farthest = 32.0 if self._name == "trivial" else 150 / 331 * side
        maps = torch.eye(3).repeat(len(operations), 1, 1)
        for number, level in zip(operations.unbind(1), levels.unbind(1), strict=True):
            share = level / (LEVELS - 1)
            slant, moved = share * policy.shear, torch.trunc(share * farthest) * 2 / side
            angle = torch.deg2rad(share * torch.where(number == 5, policy.rotation, 0.0))
            one = torch.zeros(len(operations), 3, 3)
            one[:, 0, 0] = one[:, 1, 1] = angle.cos()
            one[:, 1, 0] = angle.sin()
            one[:, 0, 1] = -one[:, 1, 0]
            # Slanted about the upper left corner, which is (-1, -1).
            for row, column, shear, move in ((0, 1, 1, 3), (1, 0, 2, 4)):
                slanted = torch.where(number == shear, slant, 0.0)
                one[:, row, column] += slanted
                one[:, row, 2] = slanted - torch.where(number == move, moved, 0.0)
            one[:, 2, 2] = 1
            maps = maps @ one
        return maps

    def colours(self, images: Tensor, operations: Tensor, levels: Tensor) -> Tensor:
        """(N, C, S, S) in [0, 1] with brightness, contrast and so on changed; `images` itself stays
        as it is."""
        policy, x = self._policy, images.clone()
        for numbers, level in zip(operations.unbind(1), levels.unbind(1), strict=True):
            for number in set(numbers.tolist()) - set(range(6)):
                mask = (numbers == number).nonzero().flatten().to(x.device)
                share = (level[numbers == number] / (LEVELS - 1)).to(x.device).view(-1, 1, 1, 1)
                strength = share * policy.colour
                if OPERATIONS[number] == "posterize":
                    strength = 2.0 ** (8 - share * (8 - policy.fewest_bits)).round()
                elif OPERATIONS[number] == "solarize":
                    strength = 1 - share
                x[mask] = _CHANGES[OPERATIONS[number]](x[mask], strength)
        return x


Change = Callable[[Tensor, Tensor], Tensor]
"""Images (n, C, S, S) and strengths (n, 1, 1, 1) -> images."""


def _grey(x: Tensor) -> Tensor:
    """(n, 1, S, S) by torchvision's weights."""
    if x.shape[1] == 1:
        return x
    return (x * x.new_tensor([0.2989, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _away_from(other: Tensor, x: Tensor, strength: Tensor) -> Tensor:
    """x moved away from `other` by that share; towards it where it is negative."""
    return (x + strength * (x - other)).clamp_(0, 1)


def _sharpened(x: Tensor, strength: Tensor) -> Tensor:
    if x.shape[2] <= 2:
        return x
    kernel = x.new_ones(3, 3)
    kernel[1, 1] = 5
    channels = x.shape[1]
    smooth = x.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(x, (kernel / 13).expand(channels, 1, 3, 3), groups=channels)
    return _away_from(smooth, x, strength)


def _posterized(x: Tensor, steps: Tensor) -> Tensor:
    return (x * steps).floor().clamp(min=0).minimum(steps - 1) / steps


def _autocontrast(x: Tensor, _: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional  # late: importing it takes a second

    changed: Tensor = functional.autocontrast(x)
    return changed


def _equalized(x: Tensor, _: Tensor) -> Tensor:
    from torchvision.transforms.v2 import functional  # late: importing it takes a second

    changed: Tensor = functional.equalize(x)
    return changed


_CHANGES: dict[str, Change] = {
    "brightness": lambda x, strength: _away_from(x.new_zeros(()), x, strength),
    "color": lambda x, strength: _away_from(_grey(x), x, strength),
    "contrast": lambda x, strength: _away_from(
        _grey(x).mean(dim=(1, 2, 3), keepdim=True), x, strength
    ),
    "sharpness": _sharpened,
    "posterize": _posterized,
    "solarize": lambda x, threshold: torch.where(x >= threshold, 1 - x, x),
    "autocontrast": _autocontrast,
    "equalize": _equalized,
}
