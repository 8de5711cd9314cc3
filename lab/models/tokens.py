"""Tokens: what attention networks compute with in place of maps.

A stage of such a network puts out tokens (N, T, C): the ones without a place first (the class
token, registers), then one for each patch of the square picture, row by row. Whoever looks at
places (Grad-CAM, feature maps, the drawing) gets the patches as maps (N, C, h, w), as the grad-cam
library's `reshape_transform` makes them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class TokenStage(nn.Sequential):
    """A stage that puts out tokens (N, T, C), the first `placeless` of them without a place."""

    def __init__(self, modules: Mapping[str, nn.Module], *, placeless: int) -> None:
        super().__init__(OrderedDict(modules))
        self.placeless = placeless

    def maps(self, tokens: Tensor) -> Tensor:
        """(N, T, C) -> (N, C, h, w), a view: the patches where they are in the picture."""
        patches = tokens[:, self.placeless :]
        side = math.isqrt(patches.shape[1])
        return patches.transpose(1, 2).reshape(len(tokens), -1, side, side)

    def with_maps(self, tokens: Tensor, maps: Tensor) -> Tensor:
        """(N, T, C), (N, C, h, w) -> (N, T, C) `tokens` with the patches of `maps`."""
        patches = maps.flatten(2).transpose(1, 2)
        return torch.cat([tokens[:, : self.placeless], patches], dim=1)


class ToMaps(nn.Module):
    """The maps of what `stage` puts out, as a layer."""

    def __init__(self, stage: TokenStage) -> None:
        super().__init__()
        self._stage = (stage,)  # in a tuple: it is no part of this layer

    def forward(self, tokens: Tensor) -> Tensor:
        return self._stage[0].maps(tokens)


def maps_of(module: nn.Module, output: Tensor) -> Tensor:
    """What `module` put out, (N, C, h, w) if it has places."""
    return module.maps(output) if isinstance(module, TokenStage) else output


def with_maps(module: nn.Module, output: Tensor, maps: Tensor) -> Tensor:
    """What `module` put out, with other `maps`: the inverse of `maps_of`."""
    return module.with_maps(output, maps) if isinstance(module, TokenStage) else maps
