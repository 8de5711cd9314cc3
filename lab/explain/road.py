"""ROAD: hiding places so that the hole itself tells nothing.

Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods",
arXiv:2202.00449 (remove and debias). Hidden pixels are filled from what surrounds them, by the
linear equations of the grad-cam library, so a network cannot read the shape of the hole off a
uniform patch. Two orders are compared: the most marked places hidden first, and the least marked.

In cells and beside random orders of them, as `lab.explain.hiding`: a map's zeros have no order, and
a number alone does not say what luck would give. The noise comes from a generator of its own: the
library's draws from torch's global one, which a training run in another thread may be using.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.explain.hiding import Cells, Order, hidden_pixels
from lab.models.staged import StagedNet

FRACTIONS = (0.2, 0.4, 0.6, 0.8)
"""Shares of the cells that are hidden."""
RANDOM_ORDERS = 4
PASSES = (2 + RANDOM_ORDERS) * len(FRACTIONS)
LUCK = 1.64
"""Standard deviations of the random orders that a score must reach: 19 of 20 stay below."""
NOISE = 0.01
"""Standard deviation, in normalised pixels: the paper's."""


@dataclass(frozen=True)
class Road:
    """The score of one map; plain values."""

    score: float
    """In [-0.5, 0.5]: half of what the class's probability is higher with the least marked places
    hidden than with the most marked ones, averaged over the shares that are hidden."""
    spread: float
    """Standard deviation of that number for random orders, whose mean is 0."""

    @property
    def beats_chance(self) -> bool:
        return self.score > LUCK * self.spread


def road(
    network: StagedNet, image: Tensor, target: int, cells: Cells, tick: Callable[[], None]
) -> Road:
    """Of the map whose order `cells` has, for `image` (1, C, H, W) and class `target`.

    `network` is in eval mode. `tick` is called after each of PASSES passes.
    """
    chance = np.random.Generator(np.random.Philox(0))

    def probability(order: Order) -> float:
        """Of the class, averaged over the shares that are hidden in this order."""
        chances = []
        for fraction in FRACTIONS:
            hidden = hidden_pixels(order[: round(fraction * order.size)], cells.shape, image)
            with torch.inference_mode():
                logits = network(_filled(image, hidden, chance))
            chances.append(float(logits.softmax(1)[0, target]))
            tick()
        return float(np.mean(chances))

    most, least = probability(cells.by_map), probability(cells.by_map[::-1])
    random = [probability(order) for order in cells.at_random[:RANDOM_ORDERS]]
    # Of a difference of two independent random orders, halved.
    return Road((least - most) / 2, float(np.std(random, ddof=1)) / 2**0.5)


def _filled(image: Tensor, hidden: npt.NDArray[np.bool_], chance: np.random.Generator) -> Tensor:
    """`image` (1, C, H, W) with the `hidden` (H, W) pixels filled from their neighbours."""
    from pytorch_grad_cam.metrics.road import NoisyLinearImputer, neighbors_weights
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import spsolve

    pixels = image[0].cpu().numpy()
    keep = (~hidden).astype(np.float32)
    matrix, right = NoisyLinearImputer.setup_sparse_system(keep, pixels, neighbors_weights)
    values = spsolve(csc_matrix(matrix), right).reshape(right.shape)  # (hidden pixels, C)
    filled = pixels.copy()
    filled[:, hidden] = (values + chance.normal(0, NOISE, values.shape)).T
    return torch.from_numpy(filled)[None].to(image.device)
