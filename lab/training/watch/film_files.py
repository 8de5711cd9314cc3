"""What a run keeps of its probe images, and how it is read again. Imports no torch: pages read it.

<run folder>/probes/
├── epoch-0000.npz      before the first step; then one file a sampled epoch
├── epoch-0003.npz      figures of all probes, and their raw maps in every stage with places
└── image-000017.png    image 17 of the data set, as the network was given it

A map is written as shares of its largest value in half precision, and that value beside it: half
the room, and an error below a thousandth of the map's own maximum.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from lab.data.array_file import BROKEN, check_format
from lab.home import atomic_file, writing
from lab.seal import FILE_FORMAT

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]

logger = logging.getLogger(__name__)

FOLDER = "probes"
_EPOCH = re.compile(r"epoch-(\d{4,})\.npz")
_FIGURES = ("indices", "labels", "targets", "probabilities", "influence", "peaks", "meaningful")


@dataclass(frozen=True, eq=False)
class ProbeSnapshot:
    """The figures of P probes after one epoch, in S stages, for K classes."""

    epoch: int
    """0 is before the first step."""
    step: int
    every: int
    """A snapshot came after every n-th epoch when this one was taken."""
    seconds: float
    """What the snapshot cost, without the writing of this file."""
    stages: tuple[str, ...]
    """The stages with places, in the order of the forward pass; none in a perceptron."""
    default_stage: str | None
    """The one where Grad-CAM of this architecture looks first."""
    names: tuple[str, ...]
    """P texts: where each image came from."""
    parts: tuple[str, ...]
    """P of "train", "val", "test" or "unused": what each image is to this run."""
    indices: Ints
    """(P,) into the pack."""
    labels: Ints
    """(P,) the true classes."""
    targets: Ints
    """(P,) the classes that the maps speak for."""
    probabilities: Floats
    """(P, K), each row adds up to 1."""
    influence: Floats
    """(S, P): sum of |activation x gradient| over the stage."""
    peaks: Floats
    """(S, P): the largest value of each raw map."""
    meaningful: npt.NDArray[np.bool_]
    """(S, P): whether the class score depends on that stage and the map is not empty."""

    @property
    def predicted(self) -> Ints:
        """(P,) the class with the highest probability."""
        best: Ints = self.probabilities.argmax(axis=1).astype(np.int64)
        return best


def write_snapshot(folder: Path, snapshot: ProbeSnapshot, maps: Sequence[Floats]) -> None:
    """Write a snapshot of the run in `folder` with one raw array (P, h, w) a stage, atomically.

    Raises ResourceError when the disk is full or the folder cannot be written.
    """
    place = folder / FOLDER
    with writing(place):
        place.mkdir(exist_ok=True)
    arrays: dict[str, Any] = {name: getattr(snapshot, name) for name in _FIGURES}
    for name in ("epoch", "step", "every", "seconds", "stages", "names", "parts"):
        arrays[name] = np.array(getattr(snapshot, name))
    arrays["default_stage"] = np.array(snapshot.default_stage or "")
    arrays["file_format"] = np.array(FILE_FORMAT)
    for number, raw in enumerate(maps):
        top = snapshot.peaks[number][:, None, None]
        share = np.divide(raw, top, out=np.zeros_like(raw), where=top > 0)
        arrays[f"map_{number}"] = share.astype(np.float16)
    file = _file(folder, snapshot.epoch)
    with atomic_file(file) as temporary, temporary.open("wb") as f:
        np.savez_compressed(f, **arrays)


def snapshot_epochs(folder: Path) -> tuple[int, ...]:
    """The epochs of which there is a snapshot, ascending."""
    try:
        found = [_EPOCH.fullmatch(file.name) for file in (folder / FOLDER).iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(int(match[1]) for match in found if match))


def read_snapshot(folder: Path, epoch: int) -> ProbeSnapshot | None:
    """One snapshot, without its maps; None when it is not there or cannot be read (logged)."""
    file = _file(folder, epoch)
    stamp = _stamp(file)
    return None if stamp is None else _read(file, stamp)


def read_maps(folder: Path, epoch: int, stage: str) -> Floats | None:
    """(P, h, w) raw maps of one stage after one epoch; None as in `read_snapshot`, or when the
    snapshot has no such stage."""
    file = _file(folder, epoch)
    stamp = _stamp(file)
    snapshot = None if stamp is None else _read(file, stamp)
    if stamp is None or snapshot is None or stage not in snapshot.stages:
        return None
    return _read_maps(file, stamp, snapshot.stages.index(stage), snapshot)


def write_picture(folder: Path, index: int, pixels: Pixels) -> None:
    """Keep image `index` (H, W, C) uint8 beside the snapshots; one that is there already stays."""
    file = _picture(folder, index)
    if file.exists():
        return
    with writing(file.parent):
        file.parent.mkdir(exist_ok=True)
    shown = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    with atomic_file(file) as temporary:
        Image.fromarray(np.ascontiguousarray(shown)).save(temporary, format="PNG")


def read_picture(folder: Path, index: int) -> Pixels | None:
    """(H, W, C) uint8; None when it is not there or cannot be read, which is logged."""
    try:
        with Image.open(_picture(folder, index), formats=["PNG"]) as image:
            pixels = np.asarray(image)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for broken PNGs
        logger.warning("%s cannot be read: %s", _picture(folder, index), error)
        return None
    return pixels[..., None] if pixels.ndim == 2 else pixels


def picture_bytes(folder: Path, index: int) -> bytes | None:
    """Returns the PNG file of image `index` as it is; None when there is none."""
    try:
        return _picture(folder, index).read_bytes()
    except OSError:
        return None


def remove_from(folder: Path, epoch: int) -> None:
    """Remove the snapshots of `epoch` and later: the run goes on, or begins anew, before it."""
    for there in snapshot_epochs(folder):
        if there >= epoch:
            try:
                _file(folder, there).unlink(missing_ok=True)
            except OSError as error:  # it will be written over when the run gets there
                logger.warning("%s cannot be removed: %s", _file(folder, there), error)


def _file(folder: Path, epoch: int) -> Path:
    return folder / FOLDER / f"epoch-{epoch:04d}.npz"


def _picture(folder: Path, index: int) -> Path:
    return folder / FOLDER / f"image-{index:06d}.png"


def _stamp(file: Path) -> tuple[int, int] | None:
    """Changes when the file is written anew."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


@functools.lru_cache(maxsize=1024)
def _read(file: Path, stamp: tuple[int, int]) -> ProbeSnapshot | None:
    """Cached: a strip that grows reads only its newest file at each tick."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            check_format(kept)
            return ProbeSnapshot(
                epoch=int(kept["epoch"]),
                step=int(kept["step"]),
                every=int(kept["every"]),
                seconds=float(kept["seconds"]),
                stages=tuple(kept["stages"].tolist()),
                default_stage=str(kept["default_stage"]) or None,
                names=tuple(kept["names"].tolist()),
                parts=tuple(kept["parts"].tolist()),
                **{name: kept[name] for name in _FIGURES},
            )
    except BROKEN as error:
        logger.warning("%s is left out of the film strip: %s", file, error)
        return None


@functools.lru_cache(maxsize=64)
def _read_maps(
    file: Path, stamp: tuple[int, int], number: int, snapshot: ProbeSnapshot
) -> Floats | None:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
            share: Floats = kept[f"map_{number}"].astype(np.float32)
        raw: Floats = share * snapshot.peaks[number][:, None, None]
        return raw
    except BROKEN as error:
        logger.warning("%s is left out of the film strip: %s", file, error)
        return None
