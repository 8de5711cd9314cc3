"""The pen of the drawn animals: soft shapes, drawn turned, scaled and mirrored on a Pillow image.

Shapes are float arrays (k, 2) of points in the pen's own units, y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

Colour = tuple[int, int, int]
Shape = NDArray[np.float64]

SHADE: Colour = (20, 16, 40)
SHADE_OPACITY = 56  # of 255


class Pen:
    """Draws shapes on an image after `point @ matrix.T + origin`."""

    def __init__(
        self,
        image: Image.Image,
        matrix: Shape,
        origin: Shape,
        draw: ImageDraw.ImageDraw | None = None,
    ) -> None:
        self.image = image
        self.matrix = matrix  # (2, 2), may mirror
        self.origin = origin  # (2,)
        self.unit = math.sqrt(abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]))
        """Canvas pixels for one unit."""
        self._draw = draw or ImageDraw.Draw(image)

    def at(self, x: float, y: float, *, angle: float = 0.0, scale: float = 1.0) -> Pen:
        """A pen whose origin is at (x, y) of this one."""
        c, s = math.cos(angle) * scale, math.sin(angle) * scale
        turned = self.matrix @ np.array([[c, -s], [s, c]])
        origin = self.origin + self.matrix @ np.array([x, y])
        return Pen(self.image, turned, origin, self._draw)

    def fill(self, shape: Shape, colour: Colour, outline: Colour | None = None) -> None:
        xy = self._placed(shape).ravel().tolist()
        self._draw.polygon(xy, fill=colour)
        if outline is not None:
            self._draw.line(xy + xy[:4], outline, max(1, round(self.unit * 0.05)))

    def line(self, shape: Shape, colour: Colour, width: float) -> None:
        """An open line, `width` in units."""
        xy = self._placed(shape).ravel().tolist()
        self._draw.line(xy, colour, max(1, round(self.unit * width)), joint="curve")

    def inside(self, shape: Shape, marks: Sequence[Shape], colour: Colour) -> None:
        """Fill the marks, but only where they lie inside the shape."""
        box = self._box(shape)
        if box:
            mask = self._mask([shape], box, 255)
            self.image.paste(colour, box, ImageChops.darker(mask, self._mask(marks, box, 255)))

    def shade(self, shape: Shape, offset: tuple[float, float] = (0.10, 0.16)) -> None:
        """Darken the right lower edge of a shape: it looks round."""
        box = self._box(shape)
        if box:
            mask = self._mask([shape], box, SHADE_OPACITY)
            lit = self._placed(shape - np.array(offset)) - box[:2]
            ImageDraw.Draw(mask).polygon(lit.ravel().tolist(), fill=0)
            self.image.paste(SHADE, box, mask)

    def _placed(self, shape: Shape) -> Shape:
        placed: Shape = shape @ self.matrix.T + self.origin
        return placed

    def _box(self, shape: Shape) -> tuple[int, int, int, int] | None:
        """The part of the image that the shape can touch: masks need not be larger."""
        placed = self._placed(shape)
        left, top = (int(v) for v in np.maximum(np.floor(placed.min(axis=0)), 0))
        size = np.array(self.image.size)
        right, bottom = (int(v) for v in np.minimum(np.ceil(placed.max(axis=0)) + 1, size))
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _mask(
        self, shapes: Sequence[Shape], box: tuple[int, int, int, int], opacity: int
    ) -> Image.Image:
        layer = Image.new("L", (box[2] - box[0], box[3] - box[1]), 0)
        draw = ImageDraw.Draw(layer)
        for shape in shapes:
            draw.polygon((self._placed(shape) - box[:2]).ravel().tolist(), fill=opacity)
        return layer


_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
CIRCLE: Shape = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_T = np.linspace(0, 1, 5, endpoint=False)[:, None]
_CATMULL_ROM = 0.5 * np.hstack(
    [-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, _T**3 - _T**2]
)
"""Weights (5, 4) of four neighbouring points for the curve between the middle two."""


def polygon(*points: tuple[float, float]) -> Shape:
    """Straight edges through the points."""
    return np.array(points, dtype=np.float64)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> Shape:
    c, s = math.cos(angle), math.sin(angle)
    placed: Shape = (CIRCLE * (rx, ry)) @ np.array([[c, s], [-s, c]]) + (x, y)
    return placed


def smooth(*points: tuple[float, float]) -> Shape:
    """A closed soft curve through the points."""
    return _curve(np.array(points, dtype=np.float64))


def symmetric(*points: tuple[float, float]) -> Shape:
    """A closed soft curve through the points, top to bottom, and their mirror images (x -> -x)."""
    return smooth(*points, *[(-x, y) for x, y in reversed(points) if x > 0])


def limb(*points: tuple[float, float, float]) -> Shape:
    """A soft tube through (x, y, radius): leg, tail, snout."""
    p = np.array(points, dtype=np.float64)
    middle, radius = p[:, :2], p[:, 2:]
    along = np.empty_like(middle)
    along[1:-1] = middle[2:] - middle[:-2]
    along[0], along[-1] = middle[1] - middle[0], middle[-1] - middle[-2]
    along /= np.sqrt((along**2).sum(axis=1, keepdims=True)) + 1e-9
    across = radius * along[:, ::-1] * (-1, 1)
    end = middle[-1:] + along[-1:] * radius[-1:]
    return _curve(np.concatenate([middle + across, end, (middle - across)[::-1]]))


def _curve(points: Shape) -> Shape:
    n = len(points)
    around = points[(np.arange(n)[:, None] + (-1, 0, 1, 2)) % n]  # (n, 4 neighbours, 2)
    curve: Shape = (_CATMULL_ROM @ around).reshape(-1, 2)
    return curve


def mixed(a: Colour, b: Colour, share: float) -> Colour:
    """`a` with a `share` in [0, 1] of `b`."""
    red, green, blue = (round(u + (v - u) * share) for u, v in zip(a, b, strict=True))
    return red, green, blue


def near(colour: Colour, rng: np.random.Generator, by: float = 14) -> Colour:
    """A colour close to this one: `by` is the standard deviation of each channel."""
    red, green, blue = (
        min(255, max(0, round(v + d)))
        for v, d in zip(colour, rng.normal(0, by, 3).tolist(), strict=True)
    )
    return red, green, blue
