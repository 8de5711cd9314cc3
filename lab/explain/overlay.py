"""Maps, channels and weights as pictures, on two colour scales that are the same everywhere.

Amounts: dark for nothing, bright for much. Signed numbers: white for zero, blue below it, orange
above.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

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


# Blue, white, orange: also apart for red- and green-blind eyes, and equally dark at both ends.
_SIGNED_ANCHORS = ((0, 62, 130), (94, 150, 208), (247, 247, 247), (238, 146, 66), (140, 62, 0))


def _colour_table(anchors: tuple[tuple[int, int, int], ...]) -> Pixels:
    places = np.linspace(0, 255, len(anchors))
    channels = np.array(anchors, dtype=np.float64).T
    table = np.stack([np.interp(np.arange(256), places, c) for c in channels], axis=1)
    return table.round().astype(np.uint8)


COLOURS: Pixels = _colour_table(_ANCHORS)
"""(256, 3) uint8, from nothing to full scale."""
SIGNED_COLOURS: Pixels = _colour_table(_SIGNED_ANCHORS)
"""(256, 3) uint8, from full scale below zero over zero to full scale above."""


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


def signed(values: Map, limit: float) -> Pixels:
    """(..., H, W) numbers -> (..., H, W, 3) uint8; `limit` is what shows as the full colour."""
    share = values / limit if limit > 0 else np.zeros_like(values)
    places = np.clip(np.nan_to_num(share) * 127.5 + 127.5, 0, 255).round().astype(np.uint8)
    pixels: Pixels = SIGNED_COLOURS[places]
    return pixels


def strip(table: Pixels = COLOURS, *, width: int = 256, height: int = 14) -> Pixels:
    """The colour scale as a picture, (height, width, 3) uint8, for the legend."""
    return np.repeat(table[(np.arange(width) * 256) // width][None], height, axis=0)


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
    """(H, W, C) uint8 -> (side, side, 3) uint8. Small images grow in blocks without blur, so that
    the eye sees the pixels that the network saw; large ones shrink to averages."""
    shown = np.asarray(pixels)
    if shown.shape[2] == 1:
        shown = np.repeat(shown, 3, axis=2)
    if shown.shape[0] > side:
        return np.asarray(Image.fromarray(shown).resize((side, side), Image.Resampling.BOX))
    rows = (np.arange(side) * shown.shape[0]) // side
    columns = (np.arange(side) * shown.shape[1]) // side
    grown: Pixels = shown[rows][:, columns]
    return grown
