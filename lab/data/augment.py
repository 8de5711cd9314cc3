"""Random changes to training images: the whole batch at once, with parameters for each image.

    draw: generator -> AugmentationParameters (what happens to each image; plain small tensors)
    apply: images, parameters -> images       (no chance in it)

Crop, flip, shear, zoom, rotation and shift of an image are composed into one affine map, with those
of the automatic augmentation, so the pixels are interpolated once and not five times. Brightness,
contrast and the automatic augmentation's colours follow, and then erasing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lab.config import RunConfig
from lab.data.auto_augment import AutoAugment
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
    crop: Tensor | None = field(default=None, kw_only=True)
    """(N, 4): left, top, width and height of the part to show, as shares of the side."""
    automatic: tuple[Tensor, Tensor] | None = field(default=None, kw_only=True)
    """Operations and levels, as `AutoAugment.draw` returns them."""
    erased: Tensor | None = field(default=None, kw_only=True)
    """(N, 4), as `crop`: the rectangle to paint over; of no width where there is none."""


TRIES = 10
"""Rectangles that are drawn before one is taken that fits, as in torchvision."""


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
        self._crop_scale = config.crop_scale
        self._erasing = config.random_erasing
        self._automatic = None if config.auto_augment == "off" else AutoAugment(config)

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return self.flips or self.warps or self.brightens or self.contrasts or self._draws_more

    @property
    def _draws_more(self) -> bool:
        return bool(self._crop_scale or self._erasing or self._automatic)

    def draw(self, n: int, generator: torch.Generator) -> AugmentationParameters:
        """Parameters for `n` images, uniform within the knobs' ranges; a flip has probability 1/2.

        `generator` is a CPU one. As many numbers are drawn for each image whatever the knobs say,
        so one knob more or less, or another n, leaves everything else about an image as it was.
        """
        # A stream of its own for the rest, so that with it the eight are the same as without.
        later = generator.clone_state()
        later.manual_seed(int(torch.randint(2**62, (), generator=later)))
        chance = torch.rand(n, 8, generator=generator)
        values = self._centre + self._reach * (2 * chance[:, 1:] - 1)
        flip = chance[:, 0] < 0.5 if self.flips else torch.zeros(n, dtype=torch.bool)
        if not self._draws_more:
            return AugmentationParameters(flip, *values.unbind(1))
        chance = torch.rand(n, 2 * TRIES + 2 + 6 + 2 * TRIES + 3, generator=later)
        cropped, automatic, erased = torch.split(chance, [2 * TRIES + 2, 6, 2 * TRIES + 3], dim=1)
        crop = erase = None
        if self._crop_scale:
            crop = _rectangles(cropped, (self._crop_scale, 1.0), (3 / 4, 4 / 3), whole=1.0)
        if self._erasing:
            erase = _rectangles(erased, (0.02, 0.33), (0.3, 3.3), whole=0.0)
            erase[erased[:, -1] >= self._erasing] = 0
        drawn = self._automatic.draw(automatic) if self._automatic else None
        return AugmentationParameters(
            flip, *values.unbind(1), crop=crop, automatic=drawn, erased=erase
        )

    def apply(self, images: Tensor, parameters: AugmentationParameters) -> Tensor:
        """(N, C, S, S) float32 in [0, 1] -> the same shape, device and range.

        `images` is left as it is. Stages whose knobs are zero are skipped; with all of them zero
        the result is `images` itself.
        """
        x = images
        if self.warps or self._crop_scale or self._automatic:
            x = _warp(x, self._maps(parameters, x.shape[-1]))
        elif self.flips:  # without interpolation: exact, and cheaper
            x = torch.where(_per_image(parameters.flip, x), x.flip(3), x)
        if self.brightens:
            x = (x * _per_image(parameters.brightness, x)).clamp_(0, 1)
        if self.contrasts:
            factor, mean = _per_image(parameters.contrast, x), x.mean(dim=(1, 2, 3), keepdim=True)
            x = (x * factor).add_((1 - factor) * mean).clamp_(0, 1)
        if self._automatic and parameters.automatic is not None:
            x = self._automatic.colours(x, *parameters.automatic)
        if parameters.erased is not None:
            x = torch.where(_inside(parameters.erased, x), x.mean(dim=(2, 3), keepdim=True), x)
        return x

    def _maps(self, parameters: AugmentationParameters, side: int) -> Tensor:
        """(N, 2, 3), of everything that moves pixels: see `_inverse_maps`."""
        maps = _inverse_maps(parameters)
        if parameters.automatic is not None:
            assert self._automatic is not None
            bottom = torch.tensor([0.0, 0.0, 1.0]).expand(len(maps), 1, 3)
            later = self._automatic.inverse_maps(*parameters.automatic, side)
            maps = torch.cat([maps, bottom], dim=1)[:, :2] @ later
        if parameters.crop is not None:  # comes first, so it is undone last
            corner, size = parameters.crop[:, :2, None], parameters.crop[:, 2:, None]
            maps = size * maps
            maps[:, :, 2:] += 2 * corner + size - 1
        return maps

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


def _rectangles(
    chance: Tensor, area: tuple[float, float], ratio: tuple[float, float], *, whole: float
) -> Tensor:
    """(N, 4): left, top, width and height, as shares of a square's side.

    As torchvision draws them for RandomResizedCrop and RandomErasing: share of the area uniform,
    logarithm of width over height uniform, the first of TRIES that fits, any place; where none
    fits, a square of the side `whole`. `chance` (N, at least 2 * TRIES + 2) is uniform.
    """
    areas = area[0] + (area[1] - area[0]) * chance[:, :TRIES]
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = torch.exp(low + (high - low) * chance[:, TRIES : 2 * TRIES])
    sizes = torch.stack([(areas * ratios).sqrt(), (areas / ratios).sqrt()], dim=2)  # (N, TRIES, 2)
    fits = (sizes <= 1).all(dim=2)
    first = fits.long().argmax(dim=1)
    size = sizes[torch.arange(len(chance)), first]
    size = torch.where(fits.any(dim=1, keepdim=True), size, whole)
    corner = (1 - size) * chance[:, 2 * TRIES : 2 * TRIES + 2]
    return torch.cat([corner, size], dim=1)


def _inside(rectangles: Tensor, x: Tensor) -> Tensor:
    """(N, 1, S, S) bool: whether a pixel's centre lies in its image's rectangle."""
    side = x.shape[-1]
    places = ((torch.arange(side, dtype=torch.float32) + 0.5) / side).view(1, 1, side)
    start, size = rectangles[:, :2, None], rectangles[:, 2:, None]
    within = ((places >= start) & (places < start + size)).to(x.device)  # (N, 2, S): x, y
    return (within[:, 1, :, None] & within[:, 0, None, :]).unsqueeze(1)


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
