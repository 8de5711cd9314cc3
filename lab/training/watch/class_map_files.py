"""What a run keeps of how its classes come apart, and how it is read again. Imports no torch.

<run folder>/class-map/
└── epoch-0003.npz      one file a sampled epoch, about 40 kB
"""

from __future__ import annotations

import functools
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lab.data.array_file import BROKEN, check_format
from lab.home import atomic_file, writing
from lab.seal import FILE_FORMAT

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

logger = logging.getLogger(__name__)

FOLDER = "class-map"
DIMENSIONS = 16
"""Directions that are kept of each epoch: two are seen, the others let epochs be turned onto each
other."""

_EPOCH = re.compile(r"epoch-(\d{4,})\.npz")
_ARRAYS = ("rows", "labels", "predicted", "probability", "features", "answers")


@dataclass(frozen=True, eq=False)
class ClassSnapshot:
    """The same N validation pictures in the network after one epoch."""

    epoch: int
    rows: Ints
    """(N,) into the pack."""
    labels: Ints
    """(N,) the true classes."""
    predicted: Ints
    """(N,) the most probable classes."""
    probability: Floats
    """(N,) of the most probable class."""
    features: Floats
    """(N, DIMENSIONS): what goes into the last layer, along its directions of largest spread."""
    answers: Floats
    """(N, DIMENSIONS): the logits, likewise."""
    kept_share: float
    """How much of the features' variance the kept directions hold, in [0, 1]."""


def write_snapshot(folder: Path, snapshot: ClassSnapshot) -> None:
    """Writes a snapshot of the run in `folder`; raises ResourceError when that cannot be done."""
    place = folder / FOLDER
    file = _file(folder, snapshot.epoch)
    with writing(place):
        place.mkdir(exist_ok=True)
    arrays = {name: getattr(snapshot, name) for name in _ARRAYS}
    arrays |= {"epoch": snapshot.epoch, "kept_share": snapshot.kept_share}
    # A snapshot that a crash loses costs one frame, and waiting for disks costs training.
    with atomic_file(file, durable=False) as temporary, temporary.open("wb") as target:
        np.savez(target, file_format=FILE_FORMAT, **arrays)


def snapshot_epochs(folder: Path) -> tuple[int, ...]:
    """The epochs of which there is a snapshot, ascending."""
    try:
        matches = [_EPOCH.fullmatch(file.name) for file in (folder / FOLDER).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(int(match[1]) for match in matches if match))


def read_snapshots(folder: Path) -> list[ClassSnapshot]:
    """All snapshots of the same pictures as the newest one, by epoch; damaged ones are left out."""
    read = [_read(_file(folder, epoch)) for epoch in snapshot_epochs(folder)]
    snapshots = [snapshot for snapshot in read if snapshot is not None]
    return [s for s in snapshots if np.array_equal(s.rows, snapshots[-1].rows)]


def remove_from(folder: Path, epoch: int) -> None:
    """Removes the snapshots of `epoch` and later ones."""
    for known in snapshot_epochs(folder):
        if known >= epoch:
            _file(folder, known).unlink(missing_ok=True)


def _read(file: Path) -> ClassSnapshot | None:
    try:
        return _read_version(file, file.stat().st_mtime_ns)
    except BROKEN as error:
        logger.warning("%s cannot be read: %s", file, error)
        return None


@functools.lru_cache(maxsize=512)
def _read_version(file: Path, mtime_ns: int) -> ClassSnapshot:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        check_format(arrays)
        return ClassSnapshot(
            epoch=int(arrays["epoch"]),
            kept_share=float(arrays["kept_share"]),
            **{name: arrays[name] for name in _ARRAYS},
        )


def _file(folder: Path, epoch: int) -> Path:
    return folder / FOLDER / f"epoch-{epoch:04d}.npz"
