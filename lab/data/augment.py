"""Random changes to training images: the whole batch at once, with parameters for each image.

    draw: generator -> AugmentationParameters (what happens to each image; plain small tensors)
    apply: images, parameters -> images       (no chance in it)

Flip, shear, zoom, rotation and shift of an image are composed into one affine map about its centre,
so the pixels are interpolated once and not five times. Brightness and contrast follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import RunConfig
from lab.data.preprocess import to_pixels


@dataclass(frozen=True, eq=False)
class AugmentationParameters:
    """The changes to each of N images, in this order; every field is (N,), on the CPU."""

    flip: Tensor
    """bool: mirrored left to right."""
    shear: Tensor
    """Degrees; positive moves the top to the right and the bottom to the left."""
    zoom: Tensor
    """Factor; above 1 the content grows."""
    rotation: Tensor
    """Degrees, counter-clockwise as seen."""
    shift_x: Tensor
    """Share of the width; positive moves the content to the right."""
    shift_y: Tensor
    """Share of the height; positive moves the content down."""
    brightness: Tensor
    """Factor on every pixel."""
    contrast: Tensor
    """Factor on every pixel's distance from the image's mean."""


class Augmentation:
    """The augmentation knobs of a RunConfig, ready for use. Holds no state that changes."""

    def __init__(self, config: RunConfig) -> None:
        # In the order of the fields of AugmentationParameters after `flip`.
        self._reach = torch.tensor(
            [
                config.shear_degrees,
                config.zoom,
                config.rotation_degrees,
                config.width_shift,
                config.height_shift,
                config.brightness,
                config.contrast,
            ]
        )
        self._centre = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0])
        self.flips = config.horizontal_flip
        self.warps = bool(self._reach[:5].any())
        self.brightens = config.brightness > 0
        self.contrasts = config.contrast > 0

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return self.flips or self.warps or self.brightens or self.contrasts

    def draw(self, n: int, generator: torch.Generator) -> AugmentationParameters:
        """Parameters for `n` images, uniform within the knobs' ranges; a flip has probability 1/2.

        `generator` is a CPU one. Eight numbers are drawn for each image whatever the knobs say, so
        one knob more or less, or another n, leaves everything else about an image as it was.
        """
        chance = torch.rand(n, 8, generator=generator)
        values = self._centre + self._reach * (2 * chance[:, 1:] - 1)
        flip = chance[:, 0] < 0.5 if self.flips else torch.zeros(n, dtype=torch.bool)
        return AugmentationParameters(flip, *values.unbind(1))

    def apply(self, images: Tensor, parameters: AugmentationParameters) -> Tensor:
        """(N, C, S, S) float32 in [0, 1] -> the same shape, device and range.

        `images` is left as it is. Stages whose knobs are zero are skipped; with all of them zero
        the result is `images` itself.
        """
        x = images
        if self.warps:
            x = _warp(x, _inverse_maps(parameters))
        elif self.flips:  # without interpolation: exact, and cheaper
            x = torch.where(_per_image(parameters.flip, x), x.flip(3), x)
        if self.brightens:
            x = (x * _per_image(parameters.brightness, x)).clamp_(0, 1)
        if self.contrasts:
            factor, mean = _per_image(parameters.contrast, x), x.mean(dim=(1, 2, 3), keepdim=True)
            x = (x * factor).add_((1 - factor) * mean).clamp_(0, 1)
        return x

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """`apply` with freshly drawn parameters."""
        return self.apply(images, self.draw(len(images), generator)) if self.active else images


def preview(
    image: npt.NDArray[np.uint8], config: RunConfig, *, draws: int = 8, seed: int
) -> npt.NDArray[np.uint8]:
    """Random augmentations of one image, as in training: (S, S, C) uint8 -> (draws, S, S, C) uint8.

    The same seed turns every knob by the same share, so previews of single knobs can be compared.
    """
    one = torch.from_numpy(np.array(image)).permute(2, 0, 1).to(torch.float32).div_(255)
    batch = one.unsqueeze(0).repeat(draws, 1, 1, 1)
    changed = Augmentation(config)(batch, torch.Generator().manual_seed(seed))
    return to_pixels(changed).numpy()


def _per_image(values: Tensor, x: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1) on the device of x."""
    return values.to(x.device, non_blocking=True).view(-1, 1, 1, 1)


def _inverse_maps(p: AugmentationParameters) -> Tensor:
    """(N, 2, 3): where in the old image, from -1 to 1, each place of the new one comes from.

    With x to the right and y down, the content moves by  new = R H Z F old + t:  R turns, H slants,
    Z zooms, F mirrors, t shifts. This is its inverse, old = (F Z)^-1 H^-1 R^-1 (new - t).
    """
    angle, slant = torch.deg2rad(p.rotation), torch.tan(torch.deg2rad(p.shear))
    cos, sin = angle.cos(), angle.sin()
    mirror = 1 - 2 * p.flip.to(torch.float32)
    xx, xy = mirror * (cos + slant * sin) / p.zoom, mirror * (slant * cos - sin) / p.zoom
    yx, yy = sin / p.zoom, cos / p.zoom
    tx, ty = 2 * p.shift_x, 2 * p.shift_y  # the whole width is 2
    x0, y0 = -(xx * tx + xy * ty), -(yx * tx + yy * ty)
    return torch.stack([xx, xy, x0, yx, yy, y0], dim=1).view(-1, 2, 3)


def _warp(x: Tensor, maps: Tensor) -> Tensor:
    """(N, C, S, S) resampled by one map an image, bilinear; the border's pixels go on beyond it."""
    n, _, h, w = x.shape
    if h != w:
        raise ValueError(f"expected square images, got {h}x{w}")
    maps = maps.to(x.device, non_blocking=True)
    centres = (torch.arange(w, device=x.device, dtype=torch.float32) * 2 + 1) / w - 1
    # A sum of a row part and a column part, coordinates apart: 4 to 10 times as fast as
    # F.affine_grid, and no matrix product, which a GPU may be told to round to 10 bits (a tenth of
    # a pixel at 224).
    along_x = maps[:, :, 0:1] * centres  # (N, 2, W)
    along_y = maps[:, :, 1:2] * centres + maps[:, :, 2:3]  # (N, 2, H)
    grid = along_x.view(n, 2, 1, w) + along_y.view(n, 2, h, 1)
    # "border" is Keras's "nearest", which documents 001 and 003 used; on the sign letters
    # "reflection" learns no differently and on photographs it shows things twice.
    return F.grid_sample(
        x,
        grid.permute(0, 2, 3, 1),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
