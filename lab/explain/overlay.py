"""Maps, channels and weights as pictures, on two colour scales that are the same everywhere.

Amounts: dark for nothing, bright for much. Signed numbers: white for zero, blue below it, orange
above.

A map is drawn in one of three ways (`drawn`): colours over the picture in black and white, lines
over the picture in its own colours, or the map alone, place by place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from lab.explain.grad_cam import enlarge

Pixels = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]
Mode = Literal["overlay", "contour", "map"]

MODES: dict[Mode, str] = {"overlay": "Overlay", "contour": "Contour", "map": "Map only"}
"""The ways to draw a map, by name, with their titles."""

# Almost black, then matplotlib's "plasma" from 0.35 on (public domain). Lightness grows evenly, so
# the order also shows in grey and to colour-blind eyes. Of plasma, inferno, magma, viridis, hot,
# turbo and jet it is the one that stays farthest from the black-and-white picture below: at full
# scale, mixed in at STRENGTH, at least 82 in CIELAB from every grey of it, 77 for green-blind eyes.
# (Inferno at 0.6 over a picture that is not dimmed comes to 27 and 25.)
_ANCHORS = (
    (8, 4, 30),
    (161, 27, 155),
    (186, 51, 136),
    (206, 75, 117),
    (224, 99, 99),
    (238, 123, 81),
    (249, 151, 63),
    (253, 181, 46),
    (251, 215, 36),
    (240, 249, 33),
)
_PLACES = (0.0, *np.linspace(0.15, 1.0, len(_ANCHORS) - 1))


# Blue, white, orange: also apart for red- and green-blind eyes, and equally dark at both ends.
_SIGNED_ANCHORS = ((0, 62, 130), (94, 150, 208), (247, 247, 247), (238, 146, 66), (140, 62, 0))


def _colour_table(
    anchors: Sequence[tuple[int, int, int]], places: Sequence[float] | None = None
) -> Pixels:
    """(256, 3) uint8 through `anchors` at `places` in [0, 1], by default evenly spaced."""
    at = np.linspace(0, 1, len(anchors)) if places is None else np.asarray(places)
    channels = np.array(anchors, dtype=np.float64).T
    table = np.stack([np.interp(np.linspace(0, 1, 256), at, c) for c in channels], axis=1)
    return table.round().astype(np.uint8)


COLOURS: Pixels = _colour_table(_ANCHORS, _PLACES)
"""(256, 3) uint8, from nothing to full scale."""
SIGNED_COLOURS: Pixels = _colour_table(_SIGNED_ANCHORS)
"""(256, 3) uint8, from full scale below zero over zero to full scale above."""

STRENGTH = 0.75
"""How much of the picture full colour hides."""
ONSET = 0.5
"""Share of the scale from which the colours are at that strength; below, the picture shows more."""
DARKEST, BRIGHTEST = 16, 125
"""Greys of the black-and-white picture under the colours: all darker than the colours of much."""
MOST_GAIN = 3.0
"""How often a picture of little contrast is stretched at most; more would only show its noise."""

LEVELS = (0.5, 0.8)
"""Shares of the scale at which lines are drawn."""
LINE_COLOURS = ((255, 255, 255), (253, 231, 37))
"""Of those lines: white and yellow, both with a black rim, so that they show on any picture."""
LINE_WIDTH, RIM = 2.4, 1.6
"""Pixels."""


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


def drawn(
    pixels: Pixels, values: Map, mode: Mode, *, scale: float | None = None, side: int = 224
) -> Pixels:
    """The map in one of the ways of MODES, (side, side, 3) uint8.

    pixels (H, W, C) uint8 as the network saw them; values (h, w) raw, of one layer. `scale` is the
    value at the top of the scale (the same for pictures that are to be compared); without it the
    map's own maximum.
    """
    if mode == "overlay":
        return overlay(pixels, values, scale=scale, side=side)
    if mode == "contour":
        return contour(pixels, values, scale=scale, side=side)
    return map_only(values, scale=scale, side=side)


def overlay(
    pixels: Pixels,
    values: Map,
    *,
    scale: float | None = None,
    strength: float | None = None,
    side: int = 224,
) -> Pixels:
    """The map in colours over the picture, (side, side, 3) uint8; arguments as of `drawn`.

    Places where the map is zero show only the picture, in a dimmed black and white (`backdrop`), so
    that colour means the map and nothing else. `strength` in [0, 1] is how much of the picture full
    colour hides.
    """
    share = _share(values, scale, side)
    picture = backdrop(square(pixels, side)).astype(np.float32)
    most = STRENGTH if strength is None else strength
    alpha = most * np.minimum(share / ONSET, 1)[..., None]
    mixed: Pixels = (picture * (1 - alpha) + coloured(share) * alpha).round().astype(np.uint8)
    return mixed


def contour(pixels: Pixels, values: Map, *, scale: float | None = None, side: int = 224) -> Pixels:
    """The picture in its own colours with lines around the places above each of LEVELS,
    (side, side, 3) uint8; arguments as of `drawn`."""
    share = _share(values, scale, side)
    shown = square(pixels, side).astype(np.float32)
    if not share.any():
        return square(pixels, side)
    down, across = np.gradient(share)
    slope = np.maximum(np.hypot(down, across), 1e-6)
    # The thickness follows the picture, so that small ones are not all line.
    half = LINE_WIDTH / 2 * max(0.6, side / 448)
    rim = RIM * max(0.6, side / 448)
    for level, colour in zip(LEVELS, LINE_COLOURS, strict=True):
        distance = np.abs(share - level) / slope  # to the line, in pixels, near it
        for reach, paint in ((half + rim, (0, 0, 0)), (half, colour)):
            cover = np.clip(reach + 0.5 - distance, 0, 1)[..., None]
            shown += (np.array(paint, np.float32) - shown) * cover
    return shown.round().astype(np.uint8)


def map_only(values: Map, *, scale: float | None = None, side: int = 224) -> Pixels:
    """(h, w) raw -> (side, side, 3) uint8: a block of colour for each place, without the picture;
    black where there is nothing."""
    return square(coloured(scaled(values, scale)), side)


def backdrop(picture: Pixels) -> Pixels:
    """(H, W, 3) uint8 -> the same in black and white between DARKEST and BRIGHTEST.

    Dark and pale pictures are stretched, so that a night picture can be made out; at most
    MOST_GAIN times.
    """
    grey = picture.astype(np.float32) @ np.array((0.299, 0.587, 0.114), np.float32)
    low, high = np.percentile(grey, (1, 99))
    middle, half = (low + high) / 2, max(float(high - low), 255 / MOST_GAIN) / 2
    bottom = min(max(middle - half, 0.0), 255 - 2 * half)
    share = np.clip((grey - bottom) / (2 * half), 0, 1)
    dimmed = (DARKEST + (BRIGHTEST - DARKEST) * share).round().astype(np.uint8)
    return np.repeat(dimmed[..., None], 3, axis=2)


def _share(values: Map, scale: float | None, side: int) -> Map:
    """(h, w) raw -> (side, side) in [0, 1], enlarged without steps."""
    return scaled(enlarge(torch.from_numpy(values)[None], (side, side))[0].numpy(), scale)


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
