"""What the first layer looks for: its weights as pictures.

Only the first layer's weights belong to pixels, so only they can be looked at like this. The
filters of a convolution are small patterns; a dense unit's weights are as large as the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lab.explain.overlay import Pixels, signed
from lab.models.staged import StagedNet

MOST = 64
"""Filters or units shown: those with the largest weights (L2 norm)."""
TILE_SIDE = 64
"""Pixels of a dense unit's picture at most; larger ones are averaged down."""


@dataclass(frozen=True, eq=False)
class Filters:
    """The first layer's weights."""

    layer: str
    kind: str
    """ "convolution" or "dense"."""
    shape: tuple[int, ...]
    """Of the weights: (filters, C, kh, kw) or (units, inputs)."""
    channels: int
    """1: white is 0, orange counts for, blue against. 3: grey is 0, and each colour counts for what
    it brightens."""
    units: npt.NDArray[np.int64]
    """(n,) the filters or units shown, in ascending order."""
    pictures: Pixels
    """(n, h, w, 3) uint8."""
    limit: float | None
    """The weight that shows as full colour; None where each picture has its own largest weight as
    full colour."""

    @property
    def total(self) -> int:
        return self.shape[0]

    @property
    def sentence(self) -> str:
        """What the colours mean, and what was left out."""
        if self.channels == 1:
            colours = "White is zero; orange pixels count for, blue ones against."
        else:
            colours = (
                "Grey is zero; each one answers to the colours that it shows, and against their "
                "opposites."
            )
        scale = (
            "Each picture has a scale of its own: its largest weight is full colour."
            if self.limit is None
            else f"One scale for all: full colour is a weight of {self.limit:.3g}."
        )
        what = "filters" if self.kind == "convolution" else "units"
        left_out = (
            f" Shown are the {len(self.units)} of {self.total:,} {what} with the largest weights."
            if len(self.units) < self.total
            else ""
        )
        return f"{colours} {scale}{left_out}"


def first_filters(network: StagedNet, *, channels: int, image_size: int) -> Filters | None:
    """The weights of the network's first convolution, or first dense layer where there is none
    before it, as pictures. None when the first layer with weights does not see the image itself.

    Grey convolutions and all dense units share one scale, symmetric about zero, so that weak ones
    look weak. Colour filters have one each: their strength differs so much that most would be grey.
    """
    for path, module in network.stages.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.shape[1] == channels:
            return _pictures(path, "convolution", module.weight, module.weight, own=True)
        if isinstance(module, nn.Linear):
            if module.in_features != channels * image_size**2:
                return None
            images = module.weight.view(-1, channels, image_size, image_size)
            return _pictures(path, "dense", module.weight, images, own=False)
        if isinstance(module, nn.Conv2d):
            return None
    return None


def _pictures(path: str, kind: str, weight: Tensor, images: Tensor, *, own: bool) -> Filters:
    norms = weight.detach().flatten(1).norm(dim=1)
    units = torch.argsort(norms, descending=True, stable=True)[:MOST].sort().values
    shown = images.detach()[units].float().cpu()  # (n, C, h, w)
    if kind == "dense" and shown.shape[-1] > TILE_SIDE:
        shown = torch.nn.functional.adaptive_avg_pool2d(shown, TILE_SIDE)
    channels = shown.shape[1]
    limits = shown.abs().amax((1, 2, 3))
    limit: float | None = float(limits.max())
    if channels == 1:
        pictures = signed(shown[:, 0].numpy(), float(limits.max()))
    else:
        if own:
            limit = None
        else:
            limits = limits.max().expand_as(limits)
        share = shown / limits.clamp(min=1e-12).view(-1, 1, 1, 1)
        pictures = ((share + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return Filters(
        layer=path,
        kind=kind,
        shape=tuple(weight.shape),
        channels=channels,
        units=units.cpu().numpy(),
        pictures=np.ascontiguousarray(pictures),
        limit=limit,
    )
