"""Probe images: the few pictures of a data set that a person wants to follow through training.

LAB_HOME/probes/<data set>.json     {"images_hash": ..., "indices": [17, 203]}, sealed

Pins belong to the very images that were pinned: they carry the pack's images hash, so all versions
of one import share them, and a data set that is replaced has none. Where nothing is pinned, a run
follows a default choice of its own validation images. All functions are safe from several threads
and processes.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from lab.data import catalog
from lab.data.access import require_dataset
from lab.data.splits import Splits
from lab.errors import ConfigError, NotFoundError, ResourceError
from lab.home import atomic_file, home_folder
from lab.seal import read_sealed, seal

if TYPE_CHECKING:
    from lab.data.pack import Pack

logger = logging.getLogger(__name__)

MOST = 8
LOCK_SECONDS = 5.0
"""A pin takes a millisecond: a longer wait for another one means that something is broken."""


@dataclass(frozen=True)
class Pins:
    """The pinned images of a data set as it is now."""

    indices: tuple[int, ...] = ()
    """Into the pack, in the order in which they were pinned; at most MOST."""
    forgotten: int = 0
    """How many pins of an earlier version of the data set were dropped with its images."""
    problem: str = ""
    """Why the pins cannot be read, as half a sentence; the next pin replaces them."""


def probes(dataset: str) -> tuple[int, ...]:
    """Indices of the pinned images; empty when there are none, and then runs choose for themselves
    (see `chosen_probes`). Raises NotFoundError for an unknown data set."""
    return pins(dataset).indices


def pins(dataset: str, version: str = "") -> Pins:
    """As `probes`, with the number of pins lost when the data set was replaced; of the images of
    its version with the content hash `version`, if one is named."""
    return _read(dataset, catalog.describe(dataset, version).images_hash)


def is_pinned(dataset: str, index: int) -> bool:
    return index in probes(dataset)


def pin(dataset: str, index: int) -> None:
    """Follow image `index` of the data set from the next epoch of any run on it.

    Pinning a pinned image changes nothing. Raises NotFoundError when the set or the image is not
    there, NotAllowedError when the set is somebody else's, ConfigError when 8 are pinned already,
    ResourceError when it cannot be written down.
    """
    info = _ready_dataset(dataset)
    require_dataset(dataset)
    images = len(catalog.open_pack(dataset))
    if not 0 <= index < images:
        raise NotFoundError(
            f"{info.title} has no image {index:,}; its images are numbered 0 to {images - 1:,}."
        )
    with _lock(dataset):
        pinned = _read(dataset, info.images_hash).indices
        if index in pinned:
            return
        if len(pinned) >= MOST:
            raise ConfigError(
                f"{len(pinned)} images of {info.title} are pinned, and {MOST} are the most that "
                "the film strip follows. Unpin one first."
            )
        _write(dataset, info.images_hash, (*pinned, index))


def unpin(dataset: str, index: int) -> None:
    """Unpin image `index`; an image that is not pinned changes nothing. Raises NotAllowedError when
    the set is somebody else's."""
    info = _ready_dataset(dataset)
    require_dataset(dataset)
    with _lock(dataset):
        pinned = _read(dataset, info.images_hash).indices
        if index in pinned:
            _write(dataset, info.images_hash, tuple(i for i in pinned if i != index))


def chosen_probes(pack: Pack, splits: Splits) -> tuple[int, ...]:
    """The images that a run on `pack` follows: the pinned ones, or the default choice."""
    pinned = _read(pack.meta.dataset, pack.meta.images_hash).indices
    return tuple(i for i in pinned if 0 <= i < len(pack)) or default_probes(pack, splits)


def default_probes(pack: Pack, splits: Splits) -> tuple[int, ...]:
    """At most 8 validation images, class by class, spread over the classes; always the same for the
    same splits.

    The network does not train on them, and the test set stays for the end. With more than 8 classes
    8 of them are taken, evenly through their order: of 24 letters about every third.
    """
    labels = pack.labels[splits.val]
    classes = np.unique(labels)
    if len(classes) > MOST:
        classes = classes[np.linspace(0, len(classes) - 1, MOST).round().astype(int)]
    rows = [splits.val[labels == label][:MOST].tolist() for label in classes]
    # In turns: the first of each class, then the second of each, until there are enough.
    turns = [row[turn] for turn in range(MOST) for row in rows if turn < len(row)]
    return tuple(sorted(turns[:MOST], key=lambda i: (int(pack.labels[i]), i)))


def _ready_dataset(dataset: str) -> catalog.DatasetInfo:
    """The data set's facts; NotFoundError unless its images are on this machine."""
    info = catalog.describe(dataset)
    if info.state != catalog.READY:
        raise NotFoundError(
            f"{info.title} is not on this machine, so none of its images can be pinned. "
            f"{info.how_to_get}".strip()
        )
    return info


def _file(dataset: str) -> Path:
    return home_folder("probes") / f"{dataset}.json"


@contextlib.contextmanager
def _lock(dataset: str) -> Iterator[None]:
    """One change at a time, so that two tabs that pin at once lose neither pin."""
    lock = FileLock(home_folder("locks") / f"probes-{dataset}.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise ResourceError(
            "Another tab or process has been changing the pinned images for "
            f"{LOCK_SECONDS:g} seconds. Try again in a moment."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _read(dataset: str, images_hash: str) -> Pins:
    try:
        values = read_sealed(_file(dataset))
        indices = _indices(values)
    except FileNotFoundError:
        return Pins()
    except (OSError, ValueError) as error:
        # Pins only decide which pictures are shown: the default choice will do.
        logger.warning("the pinned images of %s cannot be read: %s", dataset, error)
        return Pins(problem=str(error))
    # Earlier versions of the lab wrote the content hash, an import's images hash then.
    if values.get("images_hash", values.get("content_hash")) != images_hash:
        return Pins(forgotten=len(indices))
    return Pins(indices)


def _indices(values: Mapping[str, Any]) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(i) for i in values["indices"]))[:MOST]
    except (ValueError, TypeError, KeyError):
        raise ValueError("it is damaged") from None


def _write(dataset: str, images_hash: str, indices: tuple[int, ...]) -> None:
    text = json.dumps(seal({"images_hash": images_hash, "indices": list(indices)}))
    with atomic_file(_file(dataset)) as temporary:
        temporary.write_text(text, encoding="utf-8")
