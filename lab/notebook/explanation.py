"""Where a network looks in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from lab.evaluate.classify import Answer
from lab.explain.overlay import Mode, drawn

SIDE = 448
"""Of the pictures, in pixels."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The map of one layer for one picture and one class."""

    answer: Answer
    """The network's answer to the picture: probabilities, what it saw."""

    @property
    def map(self) -> npt.NDArray[np.float32]:
        """(h, w) raw, never negative: how much each place of the layer speaks for the class."""
        assert self.answer.cam is not None
        return self.answer.cam

    @property
    def target(self) -> str:
        """The class that the map speaks for."""
        return self.answer.class_names[self.answer.target]

    @property
    def is_meaningful(self) -> bool:
        """Whether the class score depends on the layer at all; if not, the map says nothing.

        Whether to believe a map that does is what the trust test of the Inspect page answers.
        """
        return self.answer.meaningful

    @property
    def picture(self) -> Image.Image:
        """The map in colours over the picture in black and white, as Inspect shows it."""
        return self.drawn()

    def drawn(self, mode: Mode = "overlay", *, side: int = SIDE) -> Image.Image:
        """Returns the map as a picture of `side` pixels: "overlay", "contour" or "map"."""
        return Image.fromarray(drawn(self.answer.seen, self.map, mode, side=side))

    def _repr_png_(self) -> bytes | None:
        return self.picture._repr_png_()
