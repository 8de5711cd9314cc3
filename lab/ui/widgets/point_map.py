"""A map of pictures: one mark a picture, to zoom, to look at and to choose from (point_map.js).

Positions, groups and rows go to the browser as bytes; the pictures themselves it fetches from the
API when they come into view. What a person chooses comes back as rows of the pack.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lab.charts.style import PALETTE, QUIET
from lab.ui.live.component import live_component, triggered

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

SHAPES = ("circle", "triangle", "square", "diamond", "cross")
COLOURS = PALETTE[:-1]
"""All but grey, which is for what there is nothing to say about."""
SPLIT_NAMES = ("Training", "Validation", "Test", "Left out")
"""By the codes of `Pack.split`."""


@dataclass(frozen=True)
class Group:
    """Pictures that look alike on the map, and a line of the legend."""

    title: str
    colour: str
    shape: str
    behind: bool = False
    """Whether it is drawn below the others."""


@dataclass(frozen=True, eq=False)
class Colouring:
    """Which picture is of which group."""

    title: str
    """What the groups are, such as "Class"."""
    groups: tuple[Group, ...]
    codes: Ints
    """(N,) places in `groups`."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the pictures are at one moment."""

    title: str
    points: Floats
    """(N, 2)"""
    note: str = ""
    """A sentence below the map."""
    answers: Ints | None = None
    """(N,) what the network takes them for."""
    codes: Ints | None = None
    """(N,) places in the colouring's groups, where they change from moment to moment."""


@dataclass(frozen=True, eq=False)
class MapPictures:
    """The N pictures on a map."""

    dataset: str
    images_hash: str
    class_names: tuple[str, ...]
    rows: Ints
    """(N,) of the pack."""
    labels: Ints
    """(N,) their classes."""
    splits: npt.NDArray[np.uint8] | None = None
    """(N,) codes as in `Pack.split`."""


def quiet_group(title: str) -> Group:
    """Returns the group of pictures of which there is nothing to say."""
    return Group(title, QUIET, "circle", behind=True)


def numbered_groups(titles: Sequence[str]) -> tuple[Group, ...]:
    """Returns groups that differ in colour, and from the fifth on in shape too.

    There are 20 looks without grey, 25 with it; for more groups they come round again.
    """
    colours = COLOURS if len(titles) <= len(COLOURS) * len(SHAPES) else PALETTE
    return tuple(
        Group(title, colours[i % len(colours)], SHAPES[i // len(colours) % len(SHAPES)])
        for i, title in enumerate(titles)
    )


def by_class(labels: Ints, class_names: Sequence[str]) -> Colouring:
    """Returns the colouring by class."""
    return Colouring("Class", numbered_groups(class_names), labels)


def draw_point_map(
    pictures: MapPictures,
    frames: Sequence[Frame],
    colouring: Colouring,
    *,
    key: str,
    alt: str,
    chosen: Sequence[int] = (),
    on_choose: Callable[[list[int]], None] | None = None,
) -> None:
    """Draws the map, the last of `frames` first; with several, a slider goes through them.

    `alt` describes it for those who do not see it. `chosen` are rows that stand out. `on_choose` is
    called with the rows that a person chose (none to choose nothing) before the page runs again;
    without it nothing can be chosen.
    """

    def report() -> None:
        act = triggered(key, "act")
        if act is not None and on_choose is not None:
            there = set(pictures.rows.tolist())
            on_choose([int(row) for row in act["rows"] if int(row) in there])

    sent = [_frame_values(frame) for frame in frames]
    rows = _bytes(pictures.rows, "<i4")
    digest = hashlib.blake2b(digest_size=8)
    for text in (pictures.dataset, pictures.images_hash, rows, *(str(f["points"]) for f in sent)):
        digest.update(text.encode() + b"\0")
    live_component(
        "point_map",
        {
            "map": digest.hexdigest(),
            "alt": alt,
            "pictures": {"dataset": pictures.dataset, "images": pictures.images_hash},
            "class_names": list(pictures.class_names),
            "split_names": list(SPLIT_NAMES),
            "rows": rows,
            "labels": _bytes(pictures.labels, "<u2"),
            "splits": None if pictures.splits is None else _bytes(pictures.splits, "u1"),
            "legend": colouring.title,
            "groups": [
                {
                    "title": group.title,
                    "colour": group.colour,
                    "shape": group.shape,
                    "behind": group.behind,
                }
                for group in colouring.groups
            ],
            "codes": _bytes(colouring.codes, "<u2"),
            "frames": sent,
            "chosen": [int(row) for row in chosen],
            "selectable": on_choose is not None,
        },
        key=key,
        on_act=report,
    )


def _frame_values(frame: Frame) -> dict[str, Any]:
    return {
        "title": frame.title,
        "note": frame.note,
        "points": _bytes(frame.points, "<f4"),
        "answers": None if frame.answers is None else _bytes(frame.answers, "<u2"),
        "codes": None if frame.codes is None else _bytes(frame.codes, "<u2"),
    }


def _bytes(values: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode("ascii")
