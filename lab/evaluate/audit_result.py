"""What an explanation audit found: plain values, the words of its verdict, and the file that keeps
it, <run folder>/evaluation/<checkpoint>-audit.json. It belongs to one write of the checkpoint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from lab.errors import LabError
from lab.evaluate.metrics import GroupedShare
from lab.evaluate.opened import Opened, checkpoint_identity
from lab.evaluate.trust import Skill, knows_nothing
from lab.explain.grad_cam import METHODS
from lab.home import atomic_file, writing
from lab.seal import read_sealed, seal

FORMAT = 1
"""Raise it when files written by older code can no longer be read."""

Place = tuple[str, str]
"""A layer and a method."""
Level = Literal["mostly", "partly", "rarely", "knows_nothing"]


@dataclass(frozen=True)
class Share:
    """A share of pictures with its 95 % interval, which takes groups of near-copies for one."""

    count: int
    images: int
    low: float
    high: float

    @classmethod
    def of(cls, share: GroupedShare) -> Share:
        return cls(share.right, share.n, *share.interval)

    @property
    def share(self) -> float:
        return self.count / self.images if self.images else math.nan


@dataclass(frozen=True)
class Mean:
    """A mean over pictures with its 95 % interval (Student's, near-copies together)."""

    value: float
    low: float
    high: float
    images: int


@dataclass(frozen=True)
class MapShare:
    """How the maps of one layer by one method fared."""

    layer: str
    method: str
    right: Share
    """Of pictures that the network answers right: how many maps can be trusted."""
    wrong: Share
    """The same of those that it answers wrong."""
    refused: int
    """Maps of both that are not to be trusted; the others cannot be told from one picture."""
    gain: Mean | None
    """By how much of probability the half with more of the map beats the other half; None for
    fewer than two pictures."""
    pointing: Share | None = None
    """How often the map's highest place lies on the thing itself, where a drawn set knows."""


@dataclass(frozen=True)
class Faithful:
    """What hiding in the map's order does to the class's probability; see `lab.explain.hiding`."""

    layer: str
    method: str
    deletion: Mean
    insertion: Mean
    road: Mean


@dataclass(frozen=True)
class Audit:
    """What was found; plain values."""

    checkpoint: str
    identity: str
    """Of the write of the checkpoint: see `lab.evaluate.opened.checkpoint_identity`."""
    split: str
    seed: int
    asked: int
    asked_right: int
    pictures: int
    seconds: float
    level: Level
    sentence: str
    layer: str
    method: str
    """With which Inspect begins."""
    why: str
    cells: tuple[MapShare, ...]
    faithful: tuple[Faithful, ...]
    pointing_chance: float | None = None
    """Share of the picture that the thing itself takes: what blind pointing would hit."""
    format: int = FORMAT


def verdict(
    opened: Opened, cells: Sequence[MapShare], best: Place, habit: Place, skill: Skill
) -> tuple[Level, str, str]:
    """Returns the level, the verdict on the run's maps, and why Inspect begins where it does.

    `best` and `habit` are the place that is proposed and the usual one.
    """
    by_place = {(cell.layer, cell.method): cell for cell in cells}

    def name(place: Place) -> str:
        return f"{METHODS.get(place[1]).title} in {opened.layers.titles[place[0]]}"

    own, usual = by_place[best].right, by_place[habit].right
    if best == habit:
        why = (
            f"{name(habit)} passes on {usual.count} of {usual.images} images that are answered "
            "right; nothing else passes on more by more than chance."
        )
    else:
        why = (
            f"{name(habit)} passes on {usual.count} of {usual.images} images that are answered "
            f"right, {name(best)} on {own.count}."
        )
    if not skill.is_knowledge:
        return "knows_nothing", knows_nothing(skill), why
    interval = f"{own.count} of {own.images}, 95% interval {own.low:.0%} to {own.high:.0%}"
    if own.low >= 0.5:
        return "mostly", f"Maps by {name(best)} can mostly be trusted ({interval}).", why
    if own.high < 0.5:
        return (
            "rarely",
            f"Few maps of this run can be trusted: even by {name(best)} most pictures cannot tell, "
            f"or refuse them ({interval}).",
            why,
        )
    return (
        "partly",
        f"Some maps by {name(best)} can be trusted; whether most of them, so many images cannot "
        f"tell ({interval}).",
        why,
    )


_AUDIT = TypeAdapter(Audit)


def saved_audit(folder: Path, checkpoint: str) -> Audit | None:
    """Returns what was kept for this write of the checkpoint; None without it."""
    try:
        found = _AUDIT.validate_json(json.dumps(read_sealed(_file(folder, checkpoint))))
        current = checkpoint_identity(folder, checkpoint)
    except (OSError, ValueError, LabError):  # a ValidationError is a ValueError
        return None
    return found if (found.format, found.identity) == (FORMAT, current) else None


def keep_audit(folder: Path, found: Audit) -> None:
    """Writes it; raises ResourceError where that is not possible."""
    file = _file(folder, found.checkpoint)
    with writing(file):
        file.parent.mkdir(exist_ok=True)  # not its parents: a deleted run stays deleted
    with atomic_file(file) as temporary:
        values = json.loads(_AUDIT.dump_json(found))
        temporary.write_text(json.dumps(seal(values), indent=1), encoding="utf-8")


def audit_values(found: Audit) -> dict[str, Any]:
    """Returns the audit as plain JSON values."""
    return asdict(found)


def _file(folder: Path, checkpoint: str) -> Path:
    return folder / "evaluation" / f"{checkpoint}-audit.json"
