"""Drawn cats and dogs: colour pictures for learning offline, drawn with soft curves.

A scene (background, coat, pose, thing in front, light) is chosen without knowing the class, so that
colour, brightness and size do not give it away; then the animal is drawn in it. What differs is
shape: a cat has a short muzzle, whiskers, a thin tail and nearly always pointed ears; a dog has a
long snout with a big nose, a thick tail and mostly hanging ears. These are drawings, not
photographs.

    _scene -> paint_background -> _body -> _head -> paint_in_front -> photograph (uint8)

Lengths on the animal are in head radii, from the middle of the head, y down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab.data.drawn.coats import INK, PINK, Coat, furred, random_coat
from lab.data.drawn.pen import (
    Colour,
    Pen,
    Shape,
    ellipse,
    limb,
    mixed,
    near,
    polygon,
    smooth,
    symmetric,
)
from lab.data.drawn.scenery import (
    BACKGROUNDS,
    IN_FRONT,
    Rng,
    paint_background,
    paint_in_front,
    photograph,
)

CLASS_NAMES: tuple[str, ...] = ("cat", "dog")
IMAGE_SIZE = 96
CHANNELS = 3
VERSION = 1
COUNTS: dict[str, int] = {"train": 1000, "test": 250}
"""Images per class."""

CANVAS = 2 * IMAGE_SIZE
"""Everything is drawn twice as large; `photograph` halves it."""

EARS = {
    "pointed": (0.94, 0.07),
    "folded": (0.06, 0.20),
    "round": (0.0, 0.15),
    "floppy": (0.0, 0.58),
}
"""How many of the cats and of the dogs have such ears: they alone do not decide the class."""
HEAD = (1.25, 1.4)
"""Half of the head's width with its ears, and its height above the middle; below it reaches 1."""
_SPLIT_CODES = {"train": 0, "test": 2}


@dataclass(frozen=True)
class Scene:
    """The random choices of a picture that do not depend on its class."""

    coat: Coat
    view: str
    turn: float  # radians the head is turned to the right, before `mirrored`
    tilt: float  # radians the head leans
    mirrored: bool
    x: float  # off the middle, as a part of the picture
    y: float
    size: float
    collar: Colour | None
    tongue: bool
    mood: float  # under 0.1 asleep, under 0.3 with button eyes
    background: str
    in_front: str


@dataclass(frozen=True)
class View:
    """How much of the animal is in the picture. Points are (x, y), or (x, y, radius) for limbs."""

    share: float
    unit: float  # canvas pixels for one head radius
    middle: tuple[float, float]  # of the animal
    turn: tuple[float, float]
    trunk: Shape
    cat_tail: tuple[tuple[float, float], ...] = ()
    dog_tail: tuple[tuple[float, float], ...] = ()


VIEWS: dict[str, View] = {
    "portrait": View(
        share=0.60, unit=54, middle=(0.0, 0.12), turn=(-0.6, 0.6),
        trunk=symmetric((0, 0.3), (0.6, 0.6), (1.15, 1.5), (1.4, 2.8), (0, 3)),
    ),
    "sitting": View(
        share=0.18, unit=37, middle=(0.0, 0.95), turn=(-0.5, 0.7),
        trunk=symmetric((0, 0.4), (0.5, 0.7), (0.78, 1.4), (1.15, 2.4), (1.1, 3.1), (0, 3.2)),
        cat_tail=((0.9, 3.0), (1.7, 2.9), (1.9, 2.1), (1.5, 1.5), (1.8, 1.1)),
        dog_tail=((0.9, 2.9), (1.5, 2.6), (1.9, 1.9)),
    ),
    "standing": View(
        share=0.11, unit=32, middle=(-1.1, 0.8), turn=(0.3, 0.9),
        trunk=smooth(
            (-0.5, 0.3), (0.3, 0.6), (0.3, 1.4), (-0.4, 1.85), (-1.6, 1.7),
            (-2.9, 1.75), (-3.1, 1.1), (-2.6, 0.7), (-1.4, 0.75),
        ),
        cat_tail=((-2.9, 1.1), (-3.5, 0.7), (-3.6, -0.1), (-3.3, -0.7), (-3.6, -1.1)),
        dog_tail=((-2.9, 1.0), (-3.3, 0.6), (-3.6, 0.0)),
    ),
    "lying": View(
        share=0.11, unit=35, middle=(-0.9, 0.45), turn=(0.0, 0.8),
        trunk=smooth(
            (-0.3, 0.4), (0.5, 0.8), (0.6, 1.7), (-0.6, 2.0),
            (-2.2, 2.0), (-2.75, 1.5), (-2.2, 0.75), (-1.1, 0.65),
        ),
        cat_tail=((-2.4, 1.8), (-3.1, 1.6), (-3.3, 1.0), (-2.9, 0.5)),
        dog_tail=((-2.5, 1.6), (-3.1, 1.4), (-3.5, 0.9)),
    ),
}  # fmt: skip


# --- the scene -----------------------------------------------------------------------------------


def _scene(rng: Rng) -> Scene:
    view = str(rng.choice(list(VIEWS), p=[v.share for v in VIEWS.values()]))
    return Scene(
        coat=random_coat(rng),
        view=view,
        turn=rng.uniform(*VIEWS[view].turn),
        tilt=rng.normal(0, 0.15),
        mirrored=bool(rng.random() < 0.5),
        x=rng.uniform(-0.07, 0.07),
        y=rng.uniform(-0.06, 0.06),
        size=rng.uniform(0.78, 1.1),
        collar=near((190, 70, 80), rng, 55) if rng.random() < 0.3 else None,
        tongue=bool(rng.random() < 0.35),
        mood=rng.random(),
        background=str(rng.choice(BACKGROUNDS)),
        in_front=str(rng.choice(IN_FRONT)),
    )


# --- the body ------------------------------------------------------------------------------------


def _body(pen: Pen, scene: Scene, rng: Rng, *, dog: bool) -> None:
    """Everything below the head; a body from the side faces right."""
    coat, view = scene.coat, VIEWS[scene.view]

    def part(shape: Shape, colour: Colour = coat.base) -> None:
        pen.fill(shape, colour, coat.outline)

    tail = view.dog_tail if dog else view.cat_tail
    if tail:
        thick = np.linspace(0.26, 0.13, len(tail)) if dog else np.linspace(0.18, 0.14, len(tail))
        wag = np.linspace(0, rng.uniform(-0.3, 0.3), len(tail))
        part(limb(*((x + w, y + w, t) for (x, y), w, t in zip(tail, wag, thick, strict=True))))
    step = rng.uniform(-0.3, 0.3)
    if scene.view == "standing":
        for x in (-0.55 + step, -2.3 - step):  # the legs on the far side
            far = mixed(coat.base, INK, 0.25)
            part(limb((x, 1.4, 0.27), (x, 2.2, 0.2), (x, 2.8, 0.18)), far)
        for x in (-0.15 - step, -2.7 + step):
            part(limb((x, 1.3, 0.33), (x, 2.2, 0.22), (x, 2.9, 0.2)))
    furred(pen, view.trunk, coat, rng)
    if scene.view == "portrait":
        pen.inside(view.trunk, [ellipse(0, 1.7, 0.5, 0.9)], coat.pale)
    elif scene.view == "sitting":
        pen.fill(ellipse(0, 1.4, 0.42, 0.6), coat.pale)
        for x in (-0.36, 0.36):
            part(limb((x, 1.7, 0.22), (x, 2.4, 0.22), (x, 3.05, 0.2)))
            part(ellipse(x * 1.1, 3.12, 0.3, 0.18), coat.pale)
    elif scene.view == "lying":
        part(ellipse(-1.9, 1.6, 0.65, 0.45))
        for x in (0.3, -0.15):
            part(limb((x - 0.5, 1.75, 0.24), (x, 1.9, 0.22), (x + 0.7, 1.95, 0.2)))
    if scene.collar:
        part(limb((-0.6, 0.85, 0.14), (0.0, 1.05, 0.14), (0.6, 0.85, 0.14)), scene.collar)


# --- the head: features sit on a ball that is turned, the muzzle stands out from it ---------------


def _ear(kind: str, wide: float, high: float) -> tuple[Shape, Shape | None]:
    """The right ear and its lining."""
    if kind == "pointed":
        tip = (0.82 * wide, -1.42 * high)
        outer = polygon((1.0, -0.1), (0.98 * wide, -0.7), tip, (0.5, -1.0), (0.12, -0.7))
        return outer, polygon((0.85, -0.5), (0.82 * wide, -1.22 * high), (0.38, -0.78))
    if kind == "round":
        crown = ((0.4, -1.1 * high), (0.75 * wide, -1.28 * high), (1.02 * wide, -1.0))
        outer = smooth((0.2, -0.7), *crown, (0.85, -0.3))
        return outer, ellipse(0.66 * wide, -0.93, 0.16, 0.24, 0.3)
    if kind == "folded":
        crease = ((0.6, -1.2 * high), (1.15 * wide, -0.95))
        outer = polygon((0.25, -0.75), *crease, (1.1 * wide, -0.45), (0.8, -0.3))
        return outer, polygon(*crease, (1.12 * wide, -0.4), (0.62, -0.7))
    flap = ((1.2 * wide, -0.2), (1.15 * wide, 0.55 * high), (0.85, 0.6 * high))
    return smooth((0.35, -0.85), (0.85, -0.85), *flap, (0.75, -0.1)), None


def _head(pen: Pen, scene: Scene, rng: Rng, *, dog: bool) -> None:
    coat, turn = scene.coat, scene.turn
    cos, sin = math.cos(turn), math.sin(turn)
    kind = str(rng.choice(list(EARS), p=[share[dog] for share in EARS.values()]))
    outer, lining = _ear(kind, *rng.uniform(0.9, 1.12, 2))

    def ear(side: int) -> None:  # the far one looks narrower
        squeeze = np.array([side * (cos**1.5 if side * turn > 0 else cos), 1.0])
        shift = np.array([-0.12 * sin, 0.0])
        pen.fill(outer * squeeze + shift, coat.ears, coat.outline)
        if lining is not None:
            pen.fill(lining * squeeze + shift, mixed(PINK, coat.ears, 0.45))

    far = 1 if turn >= 0 else -1
    behind: tuple[int, ...] = (-1, 1)
    if kind == "floppy":  # they hang before the face, but for the far one of a turned head
        behind = (far,) if abs(turn) > 0.35 else ()
    for side in behind:
        ear(side)
    if dog:
        crown = ((0.5, -0.82), (0.84, -0.35), (0.82, 0.15), (0.58, 0.6))
        face = symmetric((0, -0.9), *crown, (0, 0.9))
    else:
        crown = ((0.6, -0.72), (0.98, -0.1), (1.0, 0.25), (0.6, 0.68))
        face = symmetric((0, -0.8), *crown, (0, 0.82))
    furred(pen, face, coat, rng)
    if coat.blaze:
        pen.inside(face, [ellipse(0.7 * sin, -0.4, 0.14 * cos + 0.03, 0.7)], coat.pale)
    _eyes(pen, scene, rng, dog=dog)
    if dog:
        _dog_muzzle(pen, scene, rng.uniform(0.75, 1.15))
    else:
        _cat_muzzle(pen, scene, rng.uniform(-0.1, 0.15))
    for side in (-1, 1):
        if side not in behind:
            ear(side)


def _eyes(pen: Pen, scene: Scene, rng: Rng, *, dog: bool) -> None:
    size = rng.uniform(0.15, 0.19) if dog else rng.uniform(0.18, 0.23)
    slit = not dog and rng.random() < 0.5
    for side in (-1, 1):
        azimuth = side * 0.46 + scene.turn
        narrow = math.cos(azimuth)
        if narrow < 0.25:
            continue  # round the corner
        at = pen.at(0.92 * math.sin(azimuth), -0.12, angle=0.0 if dog else -0.2 * side)
        if scene.mood < 0.1:
            lid = polygon((-1, 0), (-0.5, 0.4), (0.5, 0.4), (1, 0))
            at.line(lid * (size * narrow, size), INK, 0.07)
            continue
        button = scene.mood < 0.3
        at.fill(ellipse(0, 0, size * narrow, size), INK if button else scene.coat.eye, INK)
        if not button:
            wide, high = (0.28, 0.85) if slit else (0.6, 0.6)
            at.fill(ellipse(0, 0, wide * size * narrow, high * size), INK)
        at.fill(ellipse(-0.3 * size, -0.35 * size, 0.25 * size, 0.25 * size), (250, 250, 250))


def _cat_muzzle(pen: Pen, scene: Scene, droop: float) -> None:
    """Two small whisker pads, a small nose, whiskers that `droop`."""
    coat, narrow = scene.coat, math.cos(scene.turn)
    at = pen.at(0.95 * math.sin(scene.turn), 0.0)
    if scene.tongue:
        at.fill(ellipse(0, 0.62, 0.09, 0.13), PINK, coat.outline)
    for side in (-1, 1):
        at.fill(ellipse(side * 0.19 * narrow, 0.43, 0.24 * narrow + 0.02, 0.19), coat.pale)
    at.fill(polygon((-0.14 * narrow, 0.2), (0.14 * narrow, 0.2), (0, 0.34)), coat.nose)
    hair = mixed(coat.base, (255, 255, 255) if sum(coat.base) < 480 else INK, 0.85)
    for side in (-1, 1):
        cheek = side * 0.25 * narrow
        at.line(
            polygon((0, 0.34), (0, 0.46), (side * 0.13, 0.55), (cheek, 0.5)), coat.outline, 0.045
        )
        for i in (-1, 0, 1):
            tip = (cheek + side * 0.95, 0.40 + droop + 0.2 * i)
            at.line(polygon((cheek, 0.42 + 0.06 * i), tip), hair, 0.04)


def _dog_muzzle(pen: Pen, scene: Scene, length: float) -> None:
    """A long muzzle that stands out from the face, a big nose, sometimes the tongue."""
    coat, sin = scene.coat, math.sin(scene.turn)
    x, y = (0.95 + 0.75 * length) * sin, 0.48 + 0.08 * length
    if scene.tongue:
        root = x * 0.92
        tongue = limb((root, y + 0.2, 0.15), (root, y + 0.5, 0.17), (root, y + 0.62, 0.12))
        pen.fill(tongue, PINK, coat.outline)
    snout = ellipse(x * 0.8, y, 0.46, 0.42)
    if abs(scene.turn) > 0.45:
        snout = limb((0.35 * sin, 0.15, 0.30), (x * 0.6, y * 0.8, 0.40), (x * 0.8, y, 0.36))
    pen.fill(snout, coat.pale, coat.outline)
    pen.shade(snout, (0.0, 0.12))
    at = pen.at(x, y)
    at.fill(smooth((-0.22, -0.3), (0.22, -0.3), (0, -0.03)), coat.nose, coat.outline)
    at.fill(ellipse(-0.06, -0.26, 0.06, 0.035), (235, 235, 240))
    mouth = polygon((-0.28, 0.2), (-0.12, 0.3), (0.0, 0.22), (0.12, 0.3), (0.28, 0.2))
    at.line(mouth - (0.08 * x, 0.0), coat.outline, 0.05)


# --- the picture ---------------------------------------------------------------------------------


def _draw(label: int, rng: Rng) -> NDArray[np.uint8]:
    """One picture (96, 96, 3) uint8."""
    scene = _scene(rng)
    dog = CLASS_NAMES[label] == "dog"
    image = Image.new("RGB", (CANVAS, CANVAS))
    paint_background(image, scene.background, rng)
    pen = Pen(image, *_placed(scene))
    _body(pen, scene, rng, dog=dog)
    _head(pen.at(0, 0, angle=scene.tilt), scene, rng, dog=dog)
    paint_in_front(image, scene.in_front, rng)
    return photograph(image, rng)


def _placed(scene: Scene) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From head radii to canvas pixels: a matrix (2, 2), and the middle of the head (2,)."""
    view = VIEWS[scene.view]
    unit = view.unit * scene.size
    matrix = np.diag([-unit if scene.mirrored else unit, unit])
    centre = CANVAS * np.array([0.5 + scene.x, 0.5 + scene.y])
    return matrix, centre - matrix @ np.array(view.middle)


def subject_box(split: str, number: int, *, seed: int) -> tuple[float, float, float, float]:
    """Where the head is in image `number` of a split: left, top, right and bottom as shares of the
    picture, which may end before the head does. What tells a cat from a dog is there, mostly."""
    label, index = number % len(CLASS_NAMES), number // len(CLASS_NAMES)
    matrix, (x, y) = _placed(_scene(_generator(seed, split, label, index)))
    unit = abs(matrix[1, 1])
    left, top, right, bottom = (
        x - HEAD[0] * unit,
        y - HEAD[1] * unit,
        x + HEAD[0] * unit,
        y + unit,
    )
    box = np.clip(np.array([left, top, right, bottom]) / CANVAS, 0, 1).tolist()
    return box[0], box[1], box[2], box[3]


def _generator(seed: int, split: str, label: int, index: int) -> Rng:
    """A generator for one image alone, so that its drawing does not depend on the batch."""
    return np.random.default_rng(np.random.SeedSequence((seed, _SPLIT_CODES[split], label, index)))


def render_batches(
    split: str, *, seed: int = 0, batch: int = 256, limit: int | None = None
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Draw a split: images (n, 96, 96, 3) uint8 and labels (n,) int64, classes interleaved.

    The same seed gives the same images whatever `batch` is; "train" and "test" share none.
    `limit` draws only the first images of each class. Raises ValueError on an unknown split.
    """
    if split not in COUNTS:
        raise ValueError(f"split must be one of {', '.join(COUNTS)}, not {split!r}")
    classes = len(CLASS_NAMES)
    total = classes * (COUNTS[split] if limit is None else min(limit, COUNTS[split]))
    for start in range(0, total, batch):
        labels = np.arange(start, min(start + batch, total)) % classes
        indices = np.arange(start, min(start + batch, total)) // classes
        images = [
            _draw(label, _generator(seed, split, label, index))
            for label, index in zip(labels.tolist(), indices.tolist(), strict=True)
        ]
        yield np.stack(images), labels.astype(np.int64)
