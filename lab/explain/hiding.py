"""Hiding places: does a class lose more when the places that a map marks are hidden?

Petsiuk et al. 2018, RISE, arXiv:1806.07421: cells are hidden one after another in the map's order
(deletion), and shown one after another on a neutral picture (insertion). Here beside random orders
of the very same cells: against single random pixels any map of coarse cells would look good, as
scattered pixels hide nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lab.models.staged import StagedNet

Floats = npt.NDArray[np.float64]
Order = npt.NDArray[np.int64]
"""Cells, numbered row by row, the first to be hidden first."""

ORDERS = 8
"""Random orders that the map's own order is measured against."""

STEPS = 10
"""Into how many parts the hiding is divided, where there are as many cells."""

CELLS_A_SIDE = 14
"""Finer maps are averaged into cells of this many a side: a hidden pixel tells nothing."""

PIXELS_AT_ONCE = 8 * 224 * 224
"""Of a batch of half-hidden pictures."""


@dataclass(frozen=True, eq=False)
class Curve:
    """The class's probability while more and more cells are hidden (or shown)."""

    fractions: Floats
    """(F,) share of the cells, from 0 to 1."""
    of_map: Floats
    """(F,) in the map's order."""
    of_random: Floats
    """(R, F) in random orders of the same cells."""

    @property
    def area(self) -> float:
        """Under the map's curve: the average probability on the way."""
        return _area(self.fractions, self.of_map)

    @property
    def random_areas(self) -> Floats:
        """(R,)"""
        return np.array([_area(self.fractions, row) for row in self.of_random])


class Cells:
    """The map as cells in an order, and random orders of the same cells."""

    def __init__(self, values: Floats) -> None:
        rows, columns = (min(side, CELLS_A_SIDE) for side in values.shape)
        pooled = nn.functional.adaptive_avg_pool2d(torch.from_numpy(values)[None], (rows, columns))
        self.shape = (rows, columns)
        flat = pooled.numpy().ravel()
        chance = np.random.Generator(np.random.Philox(0))
        # Cells of equal value, often the zeros, must not go row by row: they are shuffled first.
        shuffled = chance.permutation(flat.size)
        self.by_map: Order = shuffled[np.argsort(-flat[shuffled], kind="stable")]
        self.at_random: list[Order] = [chance.permutation(flat.size) for _ in range(ORDERS)]
        self.counts = np.unique(np.linspace(0, flat.size, STEPS + 1).round().astype(np.int64))
        """How many cells are hidden at each point of a curve, from none to all."""


class Hiding:
    """All half-hidden pictures of one test, and the probabilities that come of them.

    Showing cells in some order is hiding them in the opposite one, read backwards. So the curves of
    random orders serve both tests, and the map needs two.
    """

    def __init__(self, cells: Cells, image: Tensor) -> None:
        self._cells, self._image = cells, image
        self._orders = [cells.by_map, cells.by_map[::-1], *cells.at_random]
        self._at_once = max(1, PIXELS_AT_ONCE // (image.shape[2] * image.shape[3]))
        last = len(cells.counts) - 1
        # Nothing hidden and everything hidden are the same pictures in every order.
        self._jobs = [(0, 0), (0, last)] + [
            (row, point) for row in range(len(self._orders)) for point in range(1, last)
        ]
        self.batches = -(-len(self._jobs) // self._at_once)

    def curves(
        self, network: StagedNet, target: int, tick: Callable[[], None]
    ) -> tuple[Curve, Curve]:
        """Deletion and insertion. `tick` is called after every batch."""
        counts = self._cells.counts
        neutral = neutral_picture(self._image)
        by_order = np.zeros((len(self._orders), len(counts)))
        modes = {module: module.training for module in network.modules()}
        try:
            network.eval()
            for start in range(0, len(self._jobs), self._at_once):
                jobs = self._jobs[start : start + self._at_once]
                hidden = torch.stack([self._mask(row, point) for row, point in jobs])
                with torch.inference_mode():
                    pictures = torch.where(hidden.to(neutral.device), neutral, self._image)
                    probabilities = network(pictures).softmax(1)[:, target].cpu().numpy()
                for (row, point), probability in zip(jobs, probabilities, strict=True):
                    by_order[row, point] = probability
                tick()
        finally:
            for module, mode in modes.items():
                module.training = mode
        by_order[:, 0], by_order[:, -1] = by_order[0, 0], by_order[0, -1]
        fractions = counts / counts[-1]
        shown = (1 - fractions)[::-1]
        return (
            Curve(fractions, by_order[0], by_order[2:]),
            Curve(shown, by_order[1, ::-1], by_order[2:, ::-1]),
        )

    def _mask(self, row: int, point: int) -> Tensor:
        """(1, H, W) bool: which pixels are hidden."""
        cells = self._orders[row][: self._cells.counts[point]]
        return torch.from_numpy(hidden_pixels(cells, self._cells.shape, self._image))[None]


def hidden_pixels(cells: Order, shape: tuple[int, int], image: Tensor) -> npt.NDArray[np.bool_]:
    """(H, W) of `image` (1, C, H, W): the pixels of `cells` of a grid of `shape`."""
    rows, columns = shape
    height, width = image.shape[2:]
    hidden = np.zeros(rows * columns, dtype=bool)
    hidden[cells] = True
    down, across = (np.arange(height) * rows) // height, (np.arange(width) * columns) // width
    pixels: npt.NDArray[np.bool_] = hidden.reshape(rows, columns)[down][:, across]
    return pixels


def neutral_picture(image: Tensor) -> Tensor:
    """(1, C, H, W) -> the same shape: every pixel the picture's mean colour.

    Not blurred, as RISE shows places: of blurred photographs a network still saw the class (98 % of
    100 %, where the mean colour left 51 %), so hiding places behind a blur measures nothing.
    """
    return image.mean((2, 3), keepdim=True).expand_as(image)


def _area(fractions: Floats, values: Floats) -> float:
    return float(((values[1:] + values[:-1]) / 2 * np.diff(fractions)).sum())
