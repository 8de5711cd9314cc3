"""From stored pixels to the network's input, and back.

Each run has one Preprocess, made from its training images only and stored in the run's folder;
every later picture (the test, the Classify page, an export) goes through the same one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.config import RunConfig
from lab.data.splits import Splits, Stream, random_keys
from lab.errors import DataError

if TYPE_CHECKING:
    from lab.data.pack import Pack

LUMA = (0.299, 0.587, 0.114)
"""ITU-R 601: how much red, green and blue add to brightness."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

STATISTICS_BYTES = 256_000_000
"""Bytes of pixels from which mean and deviation are computed: about 1,700 photographs of
224x224x3 (0.6 s), or any small set whole. Their mean is within about a hundredth of a deviation of
that of all."""
_CHUNK_BYTES = 1_000_000


@dataclass(frozen=True)
class Preprocess:
    """Pixels to network input: grey or colour as the network wants, / 255, - `mean`, / `std`."""

    channels: int
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """One number a channel each, of pixels in [0, 1]."""

    def __post_init__(self) -> None:
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels!r}; allowed are 1 and 3")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"mean {self.mean} and std {self.std} do not fit {self.channels} channels"
            )
        if not all(math.isfinite(v) for v in self.mean + self.std) or min(self.std) <= 0:
            raise ValueError(f"mean {self.mean} and std {self.std} must be finite, std above 0")

    def to_float(self, images: Tensor) -> Tensor:
        """(N, H, W, C) uint8 -> (N, channels, H, W) float32 in [0, 1], new, on the same device.

        H and W must be image_size. Grey becomes colour by repetition, colour becomes grey by ITU-R
        601 in whole numbers, as Pillow does. The memory stays in channels-last order: nothing to
        transpose, and convolutions train up to 1.6 times as fast on it (MobileNetV2, 2 cores).
        """
        size = (self.image_size, self.image_size)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:3] != size:
            raise ValueError(
                f"expected (N, {self.image_size}, {self.image_size}, C) uint8, "
                f"got {tuple(images.shape)} {images.dtype}"
            )
        if images.shape[3] not in (1, 3):
            raise ValueError(f"expected 1 or 3 channels, got {images.shape[3]}")
        if images.shape[3] == 3 and self.channels == 1:
            images = _luma(images)
        # A true division, as in torchvision's to_tensor: the nearest float for each of 256 values.
        x = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
        if x.shape[1] != self.channels:
            x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        return x

    def normalise(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) in [0, 1] -> the same shape, minus mean, over std.

        The result is channels-last in memory; it is `x` itself when there is nothing to do.
        """
        return self._normalised(x.contiguous(memory_format=torch.channels_last), in_place=False)

    def _normalised(self, x: Tensor, *, in_place: bool) -> Tensor:
        # x is channels-last in memory.
        if not any(self.mean) and all(s == 1 for s in self.std):
            return x
        n, c, h, w = x.shape
        # One multiply-add over whole rows of W * C numbers: 4 times as fast as broadcasting over C,
        # because the inner loop is then long enough for vector instructions.
        scale = _row(tuple(1 / s for s in self.std), w, x.device)
        offset = _row(tuple(-m / s for m, s in zip(self.mean, self.std, strict=True)), w, x.device)
        rows = x.permute(0, 2, 3, 1).view(n, h, w * c)
        rows = torch.addcmul(offset, rows, scale, out=rows if in_place else None)
        return rows.view(n, h, w, c).permute(0, 3, 1, 2)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, H, W, C) uint8 -> (N, channels, H, W) float32, ready for the network."""
        x = self.to_float(images).contiguous(memory_format=torch.channels_last)
        return self._normalised(x, in_place=True)  # x is ours: no second large allocation

    def undo(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) normalised -> (N, H, W, channels) uint8, to be shown.

        Gives back exactly the pixels that `self` was called with (if the channels are the same).
        """
        column = (1, self.channels, 1, 1)
        mean = torch.tensor(self.mean, device=x.device).view(column)
        std = torch.tensor(self.std, device=x.device).view(column)
        return to_pixels(x.detach().float() * std + mean)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `from_dict` gives back an equal Preprocess."""
        return {
            "channels": self.channels,
            "image_size": self.image_size,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocess:
        """Raises DataError when the values are not those of a Preprocess."""
        try:
            return cls(
                channels=int(values["channels"]),
                image_size=int(values["image_size"]),
                mean=tuple(float(v) for v in values["mean"]),
                std=tuple(float(v) for v in values["std"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"The stored preprocessing cannot be used ({error!r}). "
                "Train the run again to make it anew."
            ) from error


@dataclass(frozen=True, eq=False)
class PixelStatistics:
    """How often each pixel value occurs; mean and standard deviation."""

    counts: npt.NDArray[np.int64]
    """(C, 256) occurrences of each value in each channel."""
    images: int
    """How many images were counted."""

    @property
    def mean(self) -> tuple[float, ...]:
        """One number a channel, of pixels in [0, 1]."""
        return tuple(total / n / 255 for n, total, _ in self._sums())

    @property
    def std(self) -> tuple[float, ...]:
        """One number a channel, of pixels in [0, 1]: the population's, not a sample's."""
        return tuple(math.sqrt(n * sq - total * total) / n / 255 for n, total, sq in self._sums())

    def _sums(self) -> list[tuple[int, int, int]]:
        # Python's whole numbers: exact, whatever the size of the set.
        values = np.arange(256)
        return [
            (int(c.sum()), int((c * values).sum()), int((c * values**2).sum())) for c in self.counts
        ]


def statistics(
    pack: Pack, indices: npt.NDArray[np.int64], *, channels: int | None = None
) -> PixelStatistics:
    """Pixel statistics of these images of the pack, in the pack's channels or as grey
    (`channels=1`).

    Uses all images up to STATISTICS_BYTES, above that a random part that is always the same. Reads
    1 MB at a time, so a set may be larger than the memory.
    """
    if not len(indices):
        raise ValueError("statistics of no images")
    bytes_per_image = math.prod(pack.images.shape[1:])
    max_images = max(1, STATISTICS_BYTES // bytes_per_image)
    if len(indices) > max_images:
        keys = random_keys(len(indices), 0, Stream.STATISTICS)
        indices = np.sort(indices[np.argsort(keys, kind="stable")[:max_images]])
    grey = channels == 1 and pack.images.shape[3] == 3
    counts = np.zeros((1 if grey else pack.images.shape[3], 256), dtype=np.int64)
    for rows in np.array_split(indices, -(-len(indices) * bytes_per_image // _CHUNK_BYTES)):
        pixels = pack.take(rows)
        if grey:
            pixels = _luma(torch.from_numpy(pixels)).numpy()
        for c, row in enumerate(counts):
            # bincount: 4 times as fast as sums of squares in float64, and it keeps the histogram.
            row += np.bincount(pixels[..., c].reshape(-1), minlength=256)
    return PixelStatistics(counts=counts, images=len(indices))


def make_preprocess(config: RunConfig, pack: Pack, splits: Splits, *, channels: int) -> Preprocess:
    """The Preprocess of a run whose network takes `channels` (1 or 3).

    Mean and deviation for "standard" are those of the training images alone. A channel that never
    changes keeps its scale (deviation 1), for there is nothing to divide by. "imagenet" on a
    grey network takes the brightness-weighted mean of the three.
    """
    kind = config.normalisation
    if kind == "auto":
        kind = "imagenet" if config.pretrained else "standard"
    mean: tuple[float, ...] = (0.0,) * channels
    std: tuple[float, ...] = (1.0,) * channels
    if kind == "imagenet":
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        if channels == 1:
            mean = (math.fsum(w * m for w, m in zip(LUMA, mean, strict=True)),)
            std = (math.fsum(w * s for w, s in zip(LUMA, std, strict=True)),)
    elif kind == "standard":
        measured = statistics(pack, splits.train, channels=channels)
        mean, std = measured.mean, tuple(s or 1.0 for s in measured.std)
        if len(mean) < channels:
            mean, std = mean * channels, std * channels
    return Preprocess(channels=channels, image_size=pack.meta.image_size, mean=mean, std=std)


def to_pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) floats in [0, 1] -> (N, H, W, C) uint8, rounded; what lies outside is
    clipped."""
    return x.mul(255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _luma(images: Tensor) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, H, W, 1) uint8, the very numbers of Pillow's convert("L")."""
    red, green, blue = images.to(torch.int32).unbind(3)
    grey = (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16
    return grey.to(torch.uint8).unsqueeze(3)


@functools.lru_cache(maxsize=64)
def _row(values: tuple[float, ...], width: int, device: torch.device) -> Tensor:
    """(width * C,): the values repeated along a row of pixels.

    Cached, because making it anew would stop a GPU's queue at every batch. Not an inference tensor
    even when first made in inference mode: Grad-CAM differentiates through the same one.
    """
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device).repeat(width)
