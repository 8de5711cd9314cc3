"""The fur of the drawn animals: colours and markings, the same for cats and dogs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.data.drawn.pen import Colour, Pen, Shape, ellipse, limb, mixed, near
from lab.data.drawn.scenery import Rng

FURS: tuple[Colour, ...] = (
    (206, 134, 68), (140, 140, 146), (62, 58, 60), (226, 218, 206), (200, 168, 122),
    (128, 90, 60), (96, 72, 54), (180, 140, 96), (106, 114, 130), (168, 90, 54),
)  # fmt: skip
EYES: tuple[Colour, ...] = ((120, 170, 70), (214, 160, 50), (90, 150, 200), (120, 80, 45))
PINK: Colour = (226, 140, 140)
INK: Colour = (32, 25, 28)


@dataclass(frozen=True)
class Coat:
    """Colours and pattern of one animal's fur."""

    base: Colour
    pale: Colour  # muzzle, chest, paws
    mark: Colour
    ears: Colour
    pattern: str  # plain, stripes, spots, patches
    blaze: bool
    eye: Colour
    nose: Colour
    outline: Colour


def random_coat(rng: Rng) -> Coat:
    """A random coat, from the same distribution for cats and dogs."""
    lightness = rng.uniform(0.85, 1.12)
    red, green, blue = near(FURS[rng.integers(len(FURS))], rng, 6)
    base = mixed((0, 0, 0), (red, green, blue), lightness)
    base = (min(base[0], 255), min(base[1], 255), min(base[2], 255))
    mark = mixed(base, INK if sum(base) > 330 else (235, 215, 190), rng.uniform(0.3, 0.6))
    pale = mixed(base, (250, 244, 232), rng.uniform(0.55, 0.95) if rng.random() < 0.6 else 0.25)
    return Coat(
        base=base,
        pale=pale,
        mark=mark,
        ears=mark if rng.random() < 0.3 else base,
        pattern=str(rng.choice(["plain", "plain", "stripes", "spots", "patches"])),
        blaze=bool(rng.random() < 0.25),
        eye=near(EYES[rng.integers(len(EYES))], rng, 10),
        nose=near((48, 38, 42) if rng.random() < 0.7 else (178, 96, 96), rng, 8),
        outline=mixed(base, INK, rng.uniform(0.6, 0.9)),
    )


def _marks(pattern: str, shape: Shape, rng: Rng) -> list[Shape]:
    """Stripes, spots or patches scattered over a shape."""
    low, high = shape.min(axis=0), shape.max(axis=0)
    wide, tall = (high - low).tolist()
    top = float(low[1])
    if pattern == "stripes":
        count = max(4, round(wide / 0.36))
        xs = np.linspace(low[0], high[0], count) + rng.uniform(-0.05, 0.05, count)
        ends = top + tall * rng.uniform(0.25, 0.55, count)
        return [
            limb((x, top - 0.1, 0.09), (x + 0.06, (top + end) / 2, 0.09), (x - 0.04, end, 0.02))
            for x, end in zip(xs.tolist(), ends.tolist(), strict=True)
        ]
    sizes = {"spots": (0.08, 0.19, int(4 * wide * tall)), "patches": (0.4, 0.75, 1 + int(wide))}
    small, large, count = sizes.get(pattern, (0.0, 0.0, 0))
    places = rng.uniform((*low, small, small), (*high, large, large), (count, 4))
    return [ellipse(*place) for place in places.tolist()]


def furred(pen: Pen, shape: Shape, coat: Coat, rng: Rng) -> None:
    """A large part of the animal: colour, markings, shade below, outline."""
    pen.fill(shape, coat.base)
    marks = _marks(coat.pattern, shape, rng)
    if marks:
        pen.inside(shape, marks, coat.mark)
    pen.shade(shape)
    pen.line(np.concatenate([shape, shape[:1]]), coat.outline, 0.05)
