"""Maps and channels as pictures: one colour scale everywhere, dark for nothing, bright for much."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from lab.explain.grad_cam import enlarge

Pixels = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]

# Nine colours of matplotlib's "inferno" (public domain): lightness grows evenly, so the order also
# shows in grey and to colour-blind eyes.
_ANCHORS = (
    (0, 0, 4),
    (28, 16, 68),
    (79, 18, 123),
    (129, 37, 129),
    (181, 54, 122),
    (229, 80, 100),
    (251, 135, 97),
    (254, 194, 135),
    (252, 253, 191),
)


def _colour_table() -> Pixels:
    places = np.linspace(0, 255, len(_ANCHORS))
    channels = np.array(_ANCHORS, dtype=np.float64).T
    table = np.stack([np.interp(np.arange(256), places, c) for c in channels], axis=1)
    return table.round().astype(np.uint8)


COLOURS: Pixels = _colour_table()
"""(256, 3) uint8, from nothing to full scale."""


def scaled(values: Map, scale: float | None = None) -> Map:
    """Values as shares of `scale`, cut to [0, 1]; of their own maximum without one. All zeros where
    there is nothing to scale by."""
    top = float(values.max()) if scale is None else scale
    if not top > 0:
        return np.zeros_like(values)
    share: Map = np.clip(values / top, 0, 1).astype(np.float32)
    return share


def coloured(share: Map) -> Pixels:
    """(..., H, W) shares in [0, 1] -> (..., H, W, 3) uint8."""
    return COLOURS[np.clip(np.nan_to_num(share) * 255, 0, 255).round().astype(np.uint8)]


def overlay(
    pixels: Pixels,
    values: Map,
    *,
    scale: float | None = None,
    strength: float = 0.6,
    side: int = 224,
) -> Pixels:
    """The picture with the map on it, (side, side, 3) uint8.

    pixels (H, W, C) uint8 as the network saw them; values (h, w) raw, of one layer. `scale` is the
    value that shows as full colour (the same for pictures that are to be compared); without it the
    map's own maximum. `strength` in [0, 1] is how much of the picture full colour hides: places
    where the map is zero always show the picture itself.
    """
    picture = square(pixels, side).astype(np.float32)
    share = scaled(enlarge(torch.from_numpy(values)[None], (side, side))[0].numpy(), scale)
    alpha = strength * share[..., None]
    return (picture * (1 - alpha) + coloured(share) * alpha).round().astype(np.uint8)


def square(pixels: Pixels, side: int) -> Pixels:
    """(H, W, C) uint8 -> (side, side, 3) uint8; small images in blocks without blur, so that the
    eye sees the pixels that the network saw."""
    rows = (np.arange(side) * pixels.shape[0]) // side
    columns = (np.arange(side) * pixels.shape[1]) // side
    shown = np.asarray(pixels)[rows][:, columns]
    return np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown
