"""Drawn signs: the 24 still letters of the American manual alphabet, drawn from a small hand.

No file is read: a hand of capsules (forearm, palm, thumb, four fingers of three bones each) takes
the pose of a letter in `HANDS`, is turned in space, seen from the front, lit like a grey
photograph, and reduced to 28x28. Palm towards the viewer, thumb on the viewer's right, as in
Sign-Language MNIST. J and Z are movements and are left out. These are drawings, not photographs.

    HANDS[letter] -> _joints -> _capsules (turned, on the canvas) -> _surface (depth) -> _photograph

Each image has its own random generator, so it does not depend on the batch it is made in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLASS_NAMES: tuple[str, ...] = tuple("ABCDEFGHIKLMNOPQRSTUVWXY")
IMAGE_SIZE = 28
CHANNELS = 1
VERSION = 1
COUNTS: dict[str, int] = {"train": 250, "test": 50}
"""Images per class."""

Floats = NDArray[np.float32]
Point = tuple[float, float, float]
"""x to the viewer's right, y up, z towards the viewer; the palm is 1 high, the wrist is at 0."""


@dataclass(frozen=True)
class Finger:
    """Degrees: `base` bends at the knuckle, `bend` at the middle joint, `spread` to the thumb."""

    base: float
    bend: float
    spread: float = 0.0


@dataclass(frozen=True)
class Hand:
    """One letter: index to little finger, the thumb's knuckle and tip, how the hand is turned.

    `rotation` is (yaw, pitch, roll) in degrees: about the upright axis, nodding towards the viewer,
    and counter-clockwise on the picture. `arm` is where the forearm goes on the picture.
    """

    fingers: tuple[Finger, Finger, Finger, Finger]
    thumb: tuple[Point, Point]
    rotation: Point = (0.0, 0.0, 0.0)
    arm: tuple[float, float] = (0.0, -1.0)


UP = Finger(4, 6)
FIST = Finger(82, 100)
DRAPED = Finger(92, 72)
"""Folded over the thumb: the tip hangs lower than in a fist."""
CLAW = Finger(38, 118)
ROUND = Finger(42, 42)
PINCH = Finger(58, 52)


def _up(spread: float) -> Finger:
    return Finger(UP.base, UP.bend, spread)


BESIDE: tuple[Point, Point] = ((0.56, 0.55, 0.22), (0.55, 1.02, 0.34))
"""The thumb upright at the side of a fist."""
ACROSS: tuple[Point, Point] = ((0.40, 0.50, 0.30), (-0.10, 0.66, 0.34))
OVER: tuple[Point, Point] = ((0.46, 0.58, 0.48), (-0.08, 0.80, 0.66))
OUT: tuple[Point, Point] = ((0.72, 0.52, 0.10), (1.15, 0.66, 0.10))
SIDEWAYS: Point = (142.0, 0.0, -84.0)
FROM_LEFT = (-1.0, -0.25)

HANDS: dict[str, Hand] = {
    "A": Hand((FIST, FIST, FIST, FIST), BESIDE),
    "B": Hand((_up(2), _up(0), _up(-1), _up(-3)), ACROSS),
    "C": Hand((ROUND,) * 4, ((0.30, 0.32, 0.42), (0.24, 0.52, 0.86)), (62, 0, -6)),
    "D": Hand((UP, PINCH, PINCH, Finger(66, 62)),
              ((0.42, 0.62, 0.42), (0.20, 0.98, 0.70)), (14, 0, 0)),
    "E": Hand((CLAW,) * 4, ((0.42, 0.40, 0.36), (-0.16, 0.62, 0.48))),
    "F": Hand((Finger(62, 50, 8), _up(-2), _up(-10), _up(-20)),
              ((0.66, 0.62, 0.34), (0.50, 1.02, 0.66)), (8, 0, 0)),
    "G": Hand((UP, FIST, FIST, FIST),
              ((0.56, 0.66, 0.20), (0.60, 1.20, 0.24)), SIDEWAYS, FROM_LEFT),
    "H": Hand((UP, UP, FIST, FIST), ACROSS, SIDEWAYS, FROM_LEFT),
    "I": Hand((FIST, FIST, FIST, _up(-6)), OVER),
    "K": Hand((_up(6), Finger(44, 6, -18), FIST, FIST),
              ((0.50, 0.66, 0.40), (0.22, 1.18, 0.62)), (6, 0, 0)),
    "L": Hand((_up(2), FIST, FIST, FIST), OUT),
    "M": Hand((DRAPED, DRAPED, DRAPED, FIST), ((0.40, 0.48, 0.34), (-0.26, 0.62, 0.46))),
    "N": Hand((DRAPED, DRAPED, FIST, FIST), ((0.42, 0.50, 0.36), (-0.02, 0.74, 0.56))),
    "O": Hand((PINCH,) * 4, ((0.34, 0.40, 0.46), (0.24, 0.82, 0.80)), (62, 0, -6)),
    "P": Hand((_up(8), Finger(62, 8, -6), FIST, FIST),
              ((0.50, 0.62, 0.40), (0.34, 1.06, 0.52)), (-110, 0, 98), (1.0, -0.1)),
    "Q": Hand((Finger(12, 8, 4), FIST, FIST, FIST),
              ((0.62, 0.62, 0.24), (0.62, 1.20, 0.30)), (165, 0, 170), (0.9, -0.4)),
    "R": Hand((Finger(12, 6, -20), Finger(2, 6, 16), FIST, FIST), OVER, (0, 0, -4)),
    "S": Hand((FIST, FIST, FIST, FIST), OVER),
    "T": Hand((Finger(80, 96, 6), FIST, FIST, FIST), ((0.52, 0.66, 0.46), (0.19, 1.22, 0.72))),
    "U": Hand((_up(-1), _up(1), FIST, FIST), OVER),
    "V": Hand((_up(13), _up(-11), FIST, FIST), OVER),
    "W": Hand((_up(15), _up(0), _up(-15), Finger(76, 80)),
              ((0.38, 0.52, 0.36), (-0.14, 0.72, 0.50))),
    "X": Hand((Finger(14, 92), FIST, FIST, FIST), OVER, (22, 0, 0)),
    "Y": Hand((FIST, FIST, FIST, _up(-24)), OUT),
}  # fmt: skip

KNUCKLES = np.array(
    [(0.33, 1.00, 0.0), (0.11, 1.05, 0.02), (-0.11, 1.01, 0.0), (-0.32, 0.90, -0.03)]
)
BONES = np.array([(0.50, 0.31, 0.23), (0.55, 0.35, 0.24), (0.51, 0.32, 0.24), (0.40, 0.24, 0.21)])
FINGER_RADII = (0.135, 0.140, 0.132, 0.112)
THUMB_BASE = (0.24, 0.22, 0.10)
THUMB, WRIST = 16, 19
"""Joints in one array: four of each finger, three of the thumb, the wrist, two of the forearm."""

SUPERSAMPLING = 2
CANVAS = IMAGE_SIZE * SUPERSAMPLING
FAR = np.float32(-0.9)
"""Depth of the wall behind the hand, in canvas widths."""
BLOCK = 25
"""Images of one letter that are drawn together: small enough for the processor's cache."""

_SPLIT_CODES = {"train": 0, "test": 2}


@dataclass(frozen=True)
class Jitter:
    """Half widths of what varies from image to image."""

    yaw: float = 10.0
    pitch: float = 8.0
    roll: float = 9.0
    joint: float = 6.0  # degrees, every joint
    spread: float = 3.0
    thumb: float = 0.06
    shift: float = 0.05  # of the image
    scale: float = 0.09
    thickness: float = 0.10


JITTER = Jitter()


def render_batches(
    split: str, *, seed: int = 0, batch: int = 256, limit: int | None = None
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Draw a split: images (n, 28, 28, 1) uint8 and labels (n,) int64, classes interleaved.

    The same seed gives the same images whatever `batch` is; "train" and "test" share none.
    `limit` draws only the first images of each class. Raises ValueError on an unknown split.
    """
    if split not in COUNTS:
        raise ValueError(f"split must be one of {', '.join(COUNTS)}, not {split!r}")
    count = COUNTS[split] if limit is None else min(limit, COUNTS[split])
    classes = len(CLASS_NAMES)
    images = np.empty((0, IMAGE_SIZE, IMAGE_SIZE, 1), np.uint8)
    labels = np.empty(0, np.int64)
    for start in range(0, count, BLOCK):
        indices = range(start, min(start + BLOCK, count))
        drawn = np.stack(
            [
                _draw(HANDS[letter], [_generator(seed, split, code, i) for i in indices])
                for code, letter in enumerate(CLASS_NAMES)
            ],
            axis=1,
        )  # (indices, classes, 28, 28): index first, so that the classes take turns
        images = np.concatenate([images, drawn.reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)])
        labels = np.concatenate([labels, np.tile(np.arange(classes), len(indices))])
        while len(labels) >= batch:
            yield images[:batch], labels[:batch]
            images, labels = images[batch:], labels[batch:]
    if len(labels):
        yield images, labels


def _generator(seed: int, split: str, label: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, _SPLIT_CODES[split], label, index)))


def _draw(hand: Hand, generators: list[np.random.Generator]) -> NDArray[np.uint8]:
    """One letter, one image for each generator: (n, 28, 28) uint8."""
    uniform = np.stack([g.uniform(-1, 1, 64) for g in generators])  # every choice is one column
    noise = np.stack([g.standard_normal((IMAGE_SIZE, IMAGE_SIZE), np.float32) for g in generators])
    starts, ends, radii = _capsules(hand, uniform)
    depth, sleeve = _surface(starts, ends, radii)
    return _photograph(depth, sleeve, uniform[:, 40:], noise)


# --- the hand ------------------------------------------------------------------------------------


def _joints(hand: Hand, uniform: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Finger joints (n, 4 fingers, 4 joints, 3) and thumb joints (n, 3, 3) in palm heights."""
    n = len(uniform)
    pose = np.array([(f.base, f.bend, f.spread) for f in hand.fingers])
    vary = np.array([JITTER.joint, JITTER.joint, JITTER.spread])
    # The fingers of one hand move together: half of the jitter is shared.
    jitter = 0.5 * uniform[:, None, 0:3] + 0.7 * uniform[:, 3:15].reshape(n, 4, 3)
    base, bend, spread = np.moveaxis(np.radians(pose + vary * jitter), -1, 0)
    base, bend = np.maximum(base, -0.1), np.maximum(bend, 0.0)
    angles = np.stack([base, base + bend, base + 1.65 * bend], axis=-1)  # (n, 4, 3 bones)
    reach, depth = np.cos(angles) * BONES, np.sin(angles) * BONES
    steps = np.stack(
        [reach * np.sin(spread)[..., None], reach * np.cos(spread)[..., None], depth], axis=-1
    )
    start = np.broadcast_to(KNUCKLES[:, None], (n, 4, 1, 3))
    fingers = np.concatenate([start, start + np.cumsum(steps, axis=2)], axis=2)
    thumb = np.array([THUMB_BASE, *hand.thumb]) + np.zeros((n, 1, 1))
    thumb[:, 1:] += JITTER.thumb * uniform[:, 15:21].reshape(n, 2, 3)
    return fingers, thumb


def _turned(points: NDArray[np.float64], turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points (n, p, 3) after yaw, pitch and roll (n, 3) in degrees."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(np.radians(turn)).T, np.sin(np.radians(turn)).T
    x, y, z = np.moveaxis(points, (2, 1), (0, 1))  # each (p, n): the angles line up
    x, z = x * cy + z * sy, z * cy - x * sy
    y, z = y * cp - z * sp, z * cp + y * sp
    x, y = x * cr - y * sr, x * sr + y * cr
    return np.stack([x.T, y.T, z.T], axis=-1)


def _parts() -> list[tuple[int, int, tuple[float, float]]]:
    """The capsules as (joint, joint, radii); the forearm comes first, for its sleeve."""
    parts = [(WRIST + 1, WRIST + 2, (0.28, 0.34)), (WRIST, WRIST + 1, (0.27, 0.27))]
    for f, r in enumerate(FINGER_RADII):
        parts.append((WRIST, 4 * f, (0.25, 0.19)))
        bones = ((r * 1.08, r), (r, r * 0.94), (r * 0.94, r * 0.80))
        parts += [(4 * f + i, 4 * f + i + 1, radii) for i, radii in enumerate(bones)]
    parts += [(WRIST, THUMB, (0.20, 0.24)), (THUMB, THUMB + 1, (0.21, 0.15))]
    return [*parts, (THUMB + 1, THUMB + 2, (0.15, 0.115))]


def _capsules(hand: Hand, uniform: NDArray[np.float64]) -> tuple[Floats, Floats, Floats]:
    """The hand on the canvas: starts, ends (n, p, 3) and radii (n, p, 2) in canvas pixels."""
    n = len(uniform)
    fingers, thumb = _joints(hand, uniform)
    joints = np.concatenate([fingers.reshape(n, 16, 3), thumb, np.zeros((n, 1, 3))], axis=1)
    wide = np.array([JITTER.yaw, JITTER.pitch, JITTER.roll])
    joints = _turned(joints, np.array(hand.rotation) + wide * uniform[:, 21:24])
    wrist = joints[:, WRIST, None]
    arm = np.array([*hand.arm, -0.25]) + np.zeros((n, 1, 3))
    arm[:, :, 0] += 0.25 * uniform[:, 24:25]
    joints = np.concatenate([joints, wrist + 0.35 * arm, wrist + 2.2 * arm], axis=1)
    # The camera follows the hand: its middle is put near the middle of the picture.
    low, high = joints[:, :WRIST].min(axis=1), joints[:, :WRIST].max(axis=1)
    extent = np.maximum((high - low)[:, :2].max(axis=1), 1.25) + 0.3
    scale = 0.86 * CANVAS / extent * (1 + JITTER.scale * uniform[:, 26])
    middle = (low + high) / 2
    place = (joints - middle[:, None]) * scale[:, None, None]
    centre = CANVAS * (0.5 + JITTER.shift * uniform[:, 27:29])
    place[..., 0] += centre[:, 0:1]
    place[..., 1] = centre[:, 1:2] - place[..., 1]  # rows go down
    first, last, radius = zip(*_parts(), strict=True)
    thick = scale * (1 + JITTER.thickness * uniform[:, 25])
    radii = np.array(radius) * thick[:, None, None]
    place32 = place.astype(np.float32)
    return place32[:, first], place32[:, last], radii.astype(np.float32)


# --- the picture ---------------------------------------------------------------------------------


def _surface(starts: Floats, ends: Floats, radii: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Depth map (n, canvas, canvas), FAR * canvas where nothing is, and where the sleeve shows."""
    n, parts = starts.shape[:2]
    depth = np.full((n, CANVAS, CANVAS), FAR * CANVAS, np.float32)
    arm = depth.copy()  # the first part alone, which may lie outside the picture
    axis = np.arange(CANVAS, dtype=np.float32) + np.float32(0.5)
    for p in range(parts):
        a, b, r = starts[:, p], ends[:, p], radii[:, p]
        reach = r.max(axis=1, keepdims=True)
        low = np.minimum(a, b)[:, :2] - reach
        high = np.maximum(a, b)[:, :2] + reach
        # Only the window that some image of the block needs: most capsules are small.
        x0, y0 = np.clip(np.floor(low.min(axis=0)), 0, CANVAS).astype(int)
        x1, y1 = np.clip(np.ceil(high.max(axis=0)), 0, CANVAS).astype(int)
        if x0 >= x1 or y0 >= y1:
            continue
        ab = (b - a)[:, :, None, None]
        dx = axis[None, None, x0:x1] - a[:, 0, None, None]  # (n, 1, w)
        dy = axis[None, y0:y1, None] - a[:, 1, None, None]  # (n, h, 1)
        length = np.maximum(ab[:, 0] ** 2 + ab[:, 1] ** 2, np.float32(1e-3))
        along = np.clip(dx * (ab[:, 0] / length) + dy * (ab[:, 1] / length), 0, 1)
        width = r[:, 0, None, None] + along * (r[:, 1] - r[:, 0])[:, None, None]
        rise = width**2 - (dx - along * ab[:, 0]) ** 2 - (dy - along * ab[:, 1]) ** 2
        top = a[:, 2, None, None] + along * ab[:, 2] + np.sqrt(np.maximum(rise, 0))
        window = depth[:, y0:y1, x0:x1]
        np.copyto(window, top, where=(rise > 0) & (top > window))
        if p == 0:
            arm = depth.copy()
    return depth, (depth == arm) & (arm > FAR * CANVAS)


def _blurred(x: Floats, radius: int) -> Floats:
    """Box blur of (n, h, w) with the border repeated; twice over it looks round."""
    for ax in (1, 2):
        pad = [(0, 0)] * 3
        pad[ax] = (radius + 1, radius)
        total = np.cumsum(np.pad(x, pad, mode="edge"), axis=ax, dtype=np.float32)
        upper = [slice(None)] * 3
        lower = [slice(None)] * 3
        upper[ax], lower[ax] = slice(2 * radius + 1, None), slice(None, -2 * radius - 1)
        x = (total[tuple(upper)] - total[tuple(lower)]) / np.float32(2 * radius + 1)
    return x


def _photograph(
    depth: Floats, sleeve: NDArray[np.bool_], uniform: NDArray[np.float64], noise: Floats
) -> NDArray[np.uint8]:
    """A lit grey photograph of the depth map: (n, 28, 28) uint8."""
    u = uniform.astype(np.float32)[:, :, None, None]
    hand = depth > FAR * CANVAS * 0.99
    gy, gx = np.gradient(depth, axis=(1, 2))
    gx, gy = np.clip(gx, -3, 3), np.clip(gy, -3, 3)
    norm = 1 / np.sqrt(gx**2 + gy**2 + 1)
    lx, ly = 0.25 + 0.45 * u[:, 0], -0.35 + 0.25 * u[:, 1]
    lit = np.maximum((1 - gx * lx - gy * ly) * norm / np.sqrt(1 + lx**2 + ly**2), 0)
    crease = np.clip((_blurred(depth, 3) - depth) / (0.10 * CANVAS), 0, 1)
    skin = np.where(sleeve & (u[:, 10] > 0), 0.35 + 0.25 * u[:, 11], 0.62 + 0.12 * u[:, 2])
    shade = skin * (0.22 + 0.14 * u[:, 3] + 0.95 * lit) * (1 - 0.75 * crease)

    axis = np.linspace(-1, 1, CANVAS, dtype=np.float32)
    slope = u[:, 4] * axis[None, None, :] + u[:, 5] * axis[None, :, None]
    wall = 0.76 + 0.10 * u[:, 6] + 0.09 * slope
    picture = np.where(hand, shade, wall)
    small = picture.reshape(-1, IMAGE_SIZE, SUPERSAMPLING, IMAGE_SIZE, SUPERSAMPLING)
    small = small.mean(axis=(2, 4), dtype=np.float32)
    small = 0.5 + (small - 0.5) * (1 + 0.25 * u[:, 7]) + 0.07 * u[:, 8]
    small = small + noise * (0.016 + 0.012 * u[:, 9])
    picture8: NDArray[np.uint8] = (np.clip(small, 0, 1) * 255 + 0.5).astype(np.uint8)
    return picture8
