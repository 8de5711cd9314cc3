"""Pictures as a network receives them, from a data set or an upload."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from lab.data.decode import to_square
from lab.data.pack import Pack
from lab.data.preprocess import Preprocess
from lab.errors import NotFoundError
from lab.training.checkpoint import CheckpointMetadata


@dataclass(frozen=True)
class Crop:
    """A square cut out of a picture: its centre as shares of width and height, and its side as a
    share of the shorter side. What would lie outside is moved inside."""

    x: float = 0.5
    y: float = 0.5
    side: float = 1.0

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Returns left, top, right, bottom in pixels; always a square inside the picture."""
        side = max(1, min(round(self.side * min(width, height)), width, height))
        left = min(max(0, round(self.x * width - side / 2)), width - side)
        top = min(max(0, round(self.y * height - side / 2)), height - side)
        return left, top, left + side, top + side


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture at the network's size, before its pixels are normalised."""

    pixels: npt.NDArray[np.uint8]
    """(H, W, C) uint8 at the network's image size, in the data set's channels."""
    name: str
    label: int | None = None
    """The true class, where it is known."""
    index: int | None = None
    """Its index in the pack; None for an upload."""

    @property
    def key(self) -> str:
        """Tells it apart from other pictures at its size: its index, or a digest of its pixels."""
        if self.index is not None:
            return str(self.index)
        return hashlib.blake2b(self.pixels.tobytes(), digest_size=8).hexdigest()

    def tensor(self, preprocess: Preprocess) -> Tensor:
        """(1, channels, H, W) float32 normalised."""
        return preprocess(torch.from_numpy(np.array(self.pixels)[None]))


def pack_picture(pack: Pack, index: int) -> Picture:
    """Returns image `index` of the pack; raises NotFoundError when there is none."""
    if not 0 <= index < len(pack):
        raise NotFoundError(
            f"{pack.meta.title} has no image {index:,}; its images are numbered 0 to "
            f"{len(pack) - 1:,}."
        )
    return Picture(np.array(pack.images[index]), pack.names[index], int(pack.labels[index]), index)


def upload_picture(
    image: Image.Image, card: CheckpointMetadata, *, name: str, crop: Crop | None = None
) -> Picture:
    """Returns a decoded picture (RGB, upright) in the form of the run's data set.

    Cut to `crop` if there is one, then the way of the training images: square at the data set's own
    size, grey where they are, and from there to the network's size.
    """
    if crop is not None:
        image = image.crop(crop.box(*image.size))
    size = card.preprocess.image_size
    squared = to_square(image, image_size=card.data_image_size or size, fit=card.fit)
    squared = squared.convert("L" if card.data_channels == 1 else "RGB")
    pixels = np.array(to_square(squared, image_size=size, fit="stretch"))
    return Picture(pixels.reshape(*pixels.shape[:2], card.data_channels), name)
