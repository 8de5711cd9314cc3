"""The scenery of the drawn animals: background, foreground objects and light.

None of it depends on whether a cat or a dog is in the picture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lab.data.drawn.pen import CIRCLE, Colour, Pen, ellipse, mixed, near, polygon, smooth

Rng = np.random.Generator

BACKGROUNDS = ("plain", "gradient", "meadow", "room", "clutter")
IN_FRONT = ("nothing", "nothing", "nothing", "ball", "leaf", "post", "grass")

# Mostly pale: an animal should stand out a little, as in a picture book.
WALLS: tuple[Colour, ...] = (
    (236, 226, 206), (206, 222, 232), (220, 208, 226), (204, 220, 196), (236, 206, 194),
    (190, 198, 212), (176, 190, 172), (244, 234, 190), (150, 152, 168), (206, 186, 170),
)  # fmt: skip


def paint_background(image: Image.Image, kind: str, rng: Rng) -> None:
    """Cover the square `image` with one of BACKGROUNDS."""
    size = image.width
    draw = ImageDraw.Draw(image)
    wall, other = (near(WALLS[rng.integers(len(WALLS))], rng, 9) for _ in range(2))
    image.paste(wall, (0, 0, size, size))
    horizon = int(size * rng.uniform(0.5, 0.8))
    if kind == "gradient":
        ramp = Image.linear_gradient("L").resize((size, size), Image.Resampling.NEAREST)
        image.paste(other, mask=ramp.rotate(90 * int(rng.integers(4))))
    elif kind == "meadow":
        image.paste(near((178, 212, 236), rng, 12), (0, 0, size, horizon))
        for _ in range(3):
            x, y, r = size * rng.uniform(0, 1), horizon * rng.uniform(0, 0.6), rng.uniform(8, 22)
            cloud = (x - 2 * r, y - r * 0.6, x + 2 * r, y + r * 0.6)
            draw.ellipse(cloud, near((240, 244, 248), rng, 5))
        image.paste(near((142, 184, 108), rng, 14), (0, horizon, size, size))
    elif kind == "room":
        image.paste(near((186, 150, 116), rng, 18), (0, horizon, size, size))
        draw.line((0, horizon, size, horizon), mixed(wall, (255, 255, 255), 0.6), 5)
        x, y = (v * size for v in rng.uniform((0.0, 0.0), (0.7, 0.35)))
        frame = mixed(other, (30, 20, 20), 0.5)
        draw.rectangle((x, y, x + 0.27 * size, y + 0.23 * size), other, frame, 4)
    elif kind == "clutter":
        pen = Pen(image, np.eye(2) * size, np.zeros(2))
        for _ in range(int(rng.integers(6, 14))):
            x, y, r = rng.uniform((0, 0, 0.04), (1, 1, 0.13))
            corners = CIRCLE[:: int(rng.choice([1, 1, 7, 9]))]  # circles, squares, triangles
            colour = near(WALLS[rng.integers(len(WALLS))], rng, 20)
            pen.at(x, y, angle=rng.uniform(0, 6.3), scale=r).fill(corners, colour)


def paint_in_front(image: Image.Image, kind: str, rng: Rng) -> None:
    """One of IN_FRONT before the animal, low or at the side, so that a face can still be seen."""
    side = rng.uniform(0.0, 0.22) if rng.random() < 0.5 else rng.uniform(0.78, 1.0)
    pen = Pen(image, np.eye(2) * image.width, np.zeros(2))
    if kind == "ball":
        at = pen.at(side, rng.uniform(0.78, 0.95), scale=rng.uniform(0.09, 0.15))
        at.fill(CIRCLE, near((200, 90, 90), rng, 50))
        at.inside(CIRCLE, [ellipse(0, 0, 1.2, 0.22, rng.uniform(0, 3))], (240, 236, 226))
        at.shade(CIRCLE, (0.2, 0.3))
    elif kind == "leaf":
        green = near((96, 150, 80), rng)
        for _ in range(2):
            at = pen.at(side, rng.uniform(0.3, 1.0), angle=rng.uniform(0, 6.3), scale=0.2)
            at.fill(smooth((-1, 0), (-0.3, -0.36), (1, 0), (-0.3, 0.36)), green)
            at.line(polygon((-1.0, 0.0), (0.9, 0.0)), mixed(green, (230, 240, 200), 0.4), 0.06)
    elif kind == "post":
        w, top = rng.uniform((0.04, 0.1), (0.07, 0.5))
        roof = ((side - w, top), (side, top - w), (side + w, top))
        post = polygon((side - w, 1.1), *roof, (side + w, 1.1))
        pen.fill(post, near((160, 126, 94), rng))
        pen.shade(post, (0.02, 0.0))
    elif kind == "grass":
        green = near((102, 158, 80), rng)
        for x, lean, y in rng.uniform((0, -0.06, 0.74), (1, 0.06, 0.92), (26, 3)).tolist():
            blade = polygon((x - 0.02, 1.02), (x + lean, y), (x + 0.02, 1.02))
            pen.fill(blade, near(green, rng, 10))


def photograph(image: Image.Image, rng: Rng) -> NDArray[np.uint8]:
    """Halve the size, blur, light from one side, tint, add noise: (h / 2, w / 2, 3) uint8."""
    small = image.reduce(2)
    if rng.random() < 0.4:
        small = small.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    down, right = np.linspace(-1, 1, small.height), np.linspace(-1, 1, small.width)
    light = 1 + rng.uniform(-0.13, 0.13) * down[:, None] + rng.uniform(-0.13, 0.13) * right
    tint = rng.uniform(0.86, 1.08) * rng.uniform(0.95, 1.05, 3)
    contrast, noise = rng.uniform((0.72, 1.0), (1.08, 8.0)).astype(np.float32)
    # Channels first while computing: numpy is slow over an innermost axis of three.
    lit = np.asarray(small, np.float32).transpose(2, 0, 1).copy()
    lit -= 128
    lit *= contrast
    lit += 128
    lit *= (light * tint[:, None, None]).astype(np.float32)
    lit += rng.standard_normal(lit.shape, np.float32) * noise
    return np.ascontiguousarray(np.clip(lit, 0, 255).astype(np.uint8).transpose(1, 2, 0))
