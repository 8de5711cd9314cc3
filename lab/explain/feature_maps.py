"""What a layer puts out for one picture, channel by channel.

A channel is the answer of one filter at every place. Everything here is plain numpy in the end, and
small: tiles of at most TILE_SIDE pixels, some channels at a time. One channel at full size is a
question of its own (`channel_map`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.errors import NotFoundError
from lab.explain.layers import captured
from lab.models.staged import StagedNet

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

TILE_SIDE = 64
"""Pixels; larger maps are averaged down to it."""
TILES = 48
"""Channels in one answer."""


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """One layer's output for one picture. "Channel" also means a unit of a flat layer."""

    layer: str
    shape: tuple[int, ...]
    """(C, h, w), or (C,) of a flat layer."""
    means: Floats
    """(C,) average over the places; for a flat layer the values themselves."""
    minima: Floats
    maxima: Floats
    """(C,) each."""
    dead: int
    """Channels that say nothing about this picture: the same number at every place. Of a flat
    layer: units that are exactly 0. (With another picture they may well answer.)"""
    order: Ints
    """(C,) the channels, the most active one (largest mean) first, or by their number."""
    start: int
    tiles: Floats
    """(n, h', w') the channels order[start : start + n]; (0, 0, 0) for a flat layer."""

    @property
    def flat(self) -> bool:
        return len(self.shape) == 1

    @property
    def channels(self) -> int:
        return self.shape[0]

    @property
    def minimum(self) -> float:
        return float(self.minima.min())

    @property
    def maximum(self) -> float:
        return float(self.maxima.max())

    @property
    def limit(self) -> float:
        """The largest distance from zero in the whole layer: one scale for all its channels."""
        return max(abs(self.minimum), abs(self.maximum))

    @property
    def shown(self) -> Ints:
        """(n,) the numbers of the channels that have a tile here."""
        return self.order[self.start : self.start + len(self.tiles)]


@dataclass(frozen=True, eq=False)
class StageView:
    """One stage in the row of all stages."""

    layer: str
    shape: tuple[int, ...]
    mean: Floats
    """(h', w') average over the channels; of a flat stage its (C,) values."""
    strongest: Floats
    """(h', w') the most active channel; the same as `mean` for a flat stage."""
    channel: int
    """Which one that is."""


def feature_maps(
    network: StagedNet,
    image: Tensor,
    layer: str,
    *,
    start: int = 0,
    count: int = TILES,
    tile_side: int = TILE_SIDE,
    by_number: bool = False,
) -> FeatureMaps:
    """The channels of `layer` for `image` (1, C, H, W) normalised: figures of all of them, tiles of
    those that come at `start` and after in the order of activation, or `by_number`. Raises
    NotFoundError."""
    output = _outputs(network, image, [layer])[layer]
    flat = output.reshape(len(output), -1)  # (C, places)
    means, minima, maxima = flat.mean(1), flat.amin(1), flat.amax(1)
    order = torch.arange(len(means))
    if not by_number:
        order = torch.argsort(means, descending=True, stable=True)
    tiles = torch.zeros(0, 0, 0)
    if _has_places(output):
        dead = int((minima == maxima).sum())
        tiles = _shrunk(output[order[start : start + count]], tile_side)
    else:
        dead = int((means == 0).sum())
    return FeatureMaps(
        layer=layer,
        shape=tuple(output.shape) if _has_places(output) else (len(output),),
        means=means.numpy(),
        minima=minima.numpy(),
        maxima=maxima.numpy(),
        dead=dead,
        order=order.numpy(),
        start=start,
        tiles=tiles.numpy(),
    )


def channel_map(network: StagedNet, image: Tensor, layer: str, channel: int) -> Floats:
    """(h, w) float32: one channel of `layer` for `image` (1, C, H, W), at the layer's resolution.

    A unit of a flat layer is (1, 1). Raises NotFoundError when there is no such layer or channel.
    """
    output = _outputs(network, image, [layer])[layer]
    if not 0 <= channel < len(output):
        raise NotFoundError(
            f"Layer {layer!r} has no channel {channel}; they are numbered 0 to {len(output) - 1}."
        )
    found: Floats = output[channel].reshape(output.shape[1:] or (1, 1)).numpy()
    return found


def stage_row(network: StagedNet, image: Tensor, stages: Sequence[str]) -> tuple[StageView, ...]:
    """`image` (1, C, H, W) on its way through `stages`, one view each, from one forward pass."""
    views = []
    for name, output in _outputs(network, image, stages).items():
        means = output.reshape(len(output), -1).mean(1)
        channel = int(means.argmax())
        if _has_places(output):
            pair = _shrunk(torch.stack([output.mean(0), output[channel]]), 2 * TILE_SIDE)
            mean, strongest = pair[0], pair[1]
        else:
            mean = strongest = means
        views.append(
            StageView(
                layer=name,
                shape=tuple(output.shape) if _has_places(output) else (len(output),),
                mean=mean.numpy(),
                strongest=strongest.numpy(),
                channel=channel,
            )
        )
    return tuple(views)


def _outputs(network: StagedNet, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Of the one image, without its batch dimension: (C, h, w) or (C,), float32 on the CPU."""
    if image.ndim != 4 or len(image) != 1:
        raise ValueError(f"expected one image (1, C, H, W), got {tuple(image.shape)}")
    with torch.inference_mode(), captured(network, names) as outputs:
        network(image)
    found = {}
    for name in dict.fromkeys(names):
        if name not in outputs:
            raise NotFoundError(f"Layer {name!r} is not used in the forward pass.")
        found[name] = outputs[name][0].float().cpu()
    return found


def _has_places(output: Tensor) -> bool:
    return output.ndim == 3 and output.shape[1] * output.shape[2] > 1


def _shrunk(maps: Tensor, side: int) -> Tensor:
    """(n, h, w) -> (n, h', w') with sides of at most `side`: averages, so that nothing is lost
    between the pixels."""
    h, w = maps.shape[1:]
    if max(h, w) <= side:
        return maps
    smaller = (max(1, round(h * side / max(h, w))), max(1, round(w * side / max(h, w))))
    return torch.nn.functional.adaptive_avg_pool2d(maps.unsqueeze(1), smaller).squeeze(1)
