"""Does a map lie in the right place? Halves of the picture shown, and the map beside shifted copies
of itself.

Half of the picture is shown and the other half hidden, then the other way round: a pair. A map
that marks what the answer hangs on tells which half of a pair keeps the class. The same pairs serve
every map of one picture, of any layer by any method, and copies of a map that are shifted about the
picture are its rivals: blobs of the very same shape in other places. (Scattered cells are too easy
a rival: they hide a little of everything.)

Weighing random masks by what a network answers is Petsiuk et al. 2018 (RISE), arXiv:1806.07421;
comparing what a map says is hidden with what the answer loses, Bhatt et al. 2020,
arXiv:2005.00631. The p-value is that of a randomisation test over the shifts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lab.explain.hiding import PIXELS_AT_ONCE, neutral_picture
from lab.models.staged import StagedNet

Floats = npt.NDArray[np.float64]

PAIRS = 48
"""Of halves of one picture."""

BLOBS = (3, 4, 5, 7)
"""Waves a side in the random fields that the halves are cut by: large pieces and small ones."""

SHIFTS = 5
"""Places a side that a map is shifted to, its own among them: 25 in all, so that the map itself
must beat every copy for p = 0.04."""

GRID = 20
"""Cells a side on which maps and halves are compared; whole shifts of it are exact."""

CHANCE = 0.05
"""The p-value up to which a map's place is no luck."""

MIN_GAIN = 0.1
"""Of probability that the half with more of the map must keep over the other half: less is no
effect to speak of."""


@dataclass(frozen=True, eq=False)
class Placement:
    """What the pairs say about one map; plain values."""

    shown: float
    """The class's average probability in the half of each pair that shows more of the map. Pairs
    that the map divides clearly count more."""
    hidden: float
    """The same in the other halves, which hide more of it."""
    gains: Floats
    """(SHIFTS, SHIFTS) shown - hidden, of copies shifted down and to the right; [0, 0] is the map
    where it lies."""
    reaction: float
    """By how much of probability the two halves of a pair differ, on average."""

    @property
    def gain(self) -> float:
        return float(self.gains[0, 0])

    @property
    def as_good(self) -> int:
        """How many shifted copies do as well as the map in its own place."""
        return int(np.count_nonzero(self.gains >= self.gain - 1e-9)) - 1

    @property
    def p_value(self) -> float:
        """Share of all places, the map's own among them, that do as well as its own."""
        return (self.as_good + 1) / self.gains.size

    @property
    def is_right(self) -> bool:
        return self.p_value <= CHANCE and self.gain >= MIN_GAIN

    @property
    def is_wrong(self) -> bool:
        """Whether the answer does hang on places, and others do better than the marked ones: most
        copies. Between this and `is_right` the picture cannot tell."""
        return self.reaction >= MIN_GAIN and self.p_value > 0.5


class Halves:
    """What a network answers to halves of one picture; asked once for all maps of it."""

    def __init__(
        self, network: StagedNet, image: Tensor, target: int, tick: Callable[[], None]
    ) -> None:
        """`image` (1, C, H, W) normalised; `network` in eval mode. `tick` is called after each of
        `half_batches(image)` batches."""
        masks = _masks(image.shape[2], image.shape[3])
        self._kept = nn.functional.adaptive_avg_pool2d(masks[:, None].float(), GRID)[:, 0].double()
        shown = torch.cat([masks, ~masks]).to(image.device)
        neutral = neutral_picture(image)
        answers = []
        for part in shown.split(_at_once(image)):
            with torch.inference_mode():
                logits = network(torch.where(part[:, None], image, neutral))
            answers.append(logits.double().softmax(1)[:, target].cpu())
            tick()
        probabilities = torch.cat(answers).numpy()
        self._one, self._other = probabilities[:PAIRS], probabilities[PAIRS:]

    def placement(self, values: Tensor) -> Placement:
        """Of a map (h, w), not negative and not all zero."""
        # First divided by its top: a map of 1e-30 would add up to nothing.
        mass = nn.functional.interpolate(
            (values.double() / values.max())[None, None], (GRID, GRID), mode="bilinear"
        )[0, 0]
        mass = mass / mass.sum()
        step = GRID // SHIFTS
        copies = torch.stack(
            [
                torch.roll(mass, (step * down, step * across), (0, 1))
                for down in range(SHIFTS)
                for across in range(SHIFTS)
            ]
        )
        # (copies, pairs) in [-1, 1]: how much more of the map the one half shows than the other.
        lead = (torch.einsum("sij,pij->sp", copies, self._kept) * 2 - 1).numpy()
        weight = np.abs(lead).sum(1)
        difference = self._one - self._other
        gains = lead @ difference / np.maximum(weight, 1e-12)
        more = np.where(lead[0] > 0, self._one, self._other)
        shown = float(np.abs(lead[0]) @ more / max(float(weight[0]), 1e-12))
        return Placement(
            shown=shown,
            hidden=shown - float(gains[0]),
            gains=gains.reshape(SHIFTS, SHIFTS),
            reaction=float(np.abs(difference).mean()),
        )


def half_batches(image: Tensor) -> int:
    """How many batches the halves of `image` (1, C, H, W) are."""
    return -(-2 * PAIRS // _at_once(image))


def _at_once(image: Tensor) -> int:
    return max(1, PIXELS_AT_ONCE // (image.shape[2] * image.shape[3]))


def _masks(height: int, width: int) -> Tensor:
    """(PAIRS, H, W) bool: which half of the pixels is shown; the same for every picture."""
    chance = torch.Generator().manual_seed(0)
    masks = []
    for pair in range(PAIRS):
        side = BLOBS[pair % len(BLOBS)] + 1
        field = nn.functional.interpolate(
            torch.randn(1, 1, side, side, generator=chance),
            (height, width),
            mode="bicubic",
            align_corners=True,
        )[0, 0]
        masks.append(field > field.median())
    return torch.stack(masks)
