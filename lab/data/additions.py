"""Single pictures that join a data set: as a new version of one that is here, or as a new set.

They are training pictures, because somebody chose them by looking at a network's answers: in the
test set they would make the figure of that network a lie. Each is a group of its own.
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lab.data import catalog, version_files, versions
from lab.data.access import require_dataset
from lab.data.decode import decode, to_square
from lab.data.pack import (
    EXCLUDED,
    SPLITS,
    Pack,
    PackMeta,
    PackWriter,
    image_digest,
    image_digests,
    load_pack,
    verify_images,
)
from lab.data.pack_lock import pack_lock
from lab.data.person_quota import require_person_quota
from lab.data.version_files import VersionFacts
from lab.data.versions import Version
from lab.errors import ConfigError, DataError, cut
from lab.home import home_folder, require_free_space
from lab.names import FOLDER_WORDS, fits_a_folder
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent

_CHUNK = 256


@dataclass(frozen=True)
class NewPicture:
    """A picture file and the class that it is of."""

    name: str
    class_name: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Added:
    """What became of the pictures."""

    version: Version
    count: int
    known: tuple[str, ...]
    """Names of those that were in the set already, and so were not added again."""

    @property
    def sentence(self) -> str:
        text = f"{_pictures(self.count)} added to the training part: {self.version.meta.title}, "
        text += f"version {self.version.number}."
        if self.known:
            text += f" {_pictures(len(self.known))} in the set already."
        return text


def add_pictures(
    name: str,
    pictures: Sequence[NewPicture],
    *,
    reason: str = "",
    progress: Report = silent,
    cancel: Cancel = never,
) -> Added:
    """Adds pictures to the training part of a data set, as a new version.

    They become squares the way the set's own did. A picture that the set has already, pixel by
    pixel, is not added again. Raises ConfigError without pictures, DataError for a drawn or unknown
    set, a file that is no picture, or a class that would have one picture; then nothing has
    changed.
    """
    if catalog.describe(name).drawn:
        raise DataError(
            f"{name!r} is drawn by this program; pictures can be added only to a set of your own."
        )
    require_dataset(name)
    with pack_lock(name, progress=progress, cancel=cancel):
        current = versions.newest_stored(name)
        pack = load_pack(current.folder)
        verify_images(pack)
        squares, chosen, new_sizes, known = _new_squares(pack, pictures)
        if not chosen:
            raise ConfigError(
                "None of these pictures is new to the set: it has each of them already."
                if pictures
                else "There is no picture to add. Choose a class for one at least."
            )
        meta, labels = _labels(pack, chosen)
        train = np.full(len(chosen), SPLITS.index("train"), dtype=np.uint8)
        split = np.append(pack.split, train)
        groups = None
        if pack.groups is not None:
            first = int(pack.groups.max()) + 1
            groups = np.append(pack.groups, np.arange(first, first + len(chosen)))
        sizes = None
        if pack.sizes is not None:
            sizes = np.concatenate([pack.sizes, np.array(new_sizes, dtype=np.int32)])
        words = ", ".join(
            f"{count} added to {class_name}"
            for class_name, count in Counter(p.class_name for p in chosen).most_common(4)
        )
        facts = VersionFacts(
            current.facts.number + 1,
            reason.strip(),
            version_files.now(),
            current.facts.number,
            words,
            extends=pack.meta.images_hash,
        )
        needed = pack.images.nbytes + squares.nbytes
        require_free_space(current.folder.parent, needed)
        require_person_quota(needed)
        version_files.keep_newest(name)
        with PackWriter(
            current.folder, image_size=pack.meta.image_size, channels=pack.meta.channels
        ) as writer:
            for start in range(0, len(pack), _CHUNK):
                check_cancel(cancel, "Adding pictures")
                rows = np.arange(start, min(start + _CHUNK, len(pack)))
                writer.add(pack.take(rows), [pack.names[row] for row in rows])
                progress(Progress(int(rows[-1]) + 1, len(pack), "Adding pictures", "images"))
            writer.add(squares, [picture.name for picture in chosen])
            writer.finish(meta, labels, split, groups=groups, sizes=sizes, facts=facts.to_json())
    return Added(versions.versions(name)[0], len(chosen), known)


def new_dataset(
    title: str,
    pictures: Sequence[NewPicture],
    *,
    progress: Report = silent,
    cancel: Cancel = never,
) -> str:
    """Makes a data set of one's own of these pictures; returns its name.

    Raises what `catalog.add_dataset` raises: two classes are needed, and two pictures of each.
    """
    name = catalog.dataset_name(title)
    catalog.check_free(name)
    root = home_folder("downloads") / f"chosen-{uuid.uuid4().hex}"
    try:
        for number, picture in enumerate(pictures, 1):
            if not fits_a_folder(picture.class_name):
                raise ConfigError(
                    f"{cut(picture.class_name)} cannot be a class of a new set: {FOLDER_WORDS}."
                )
            folder = root / picture.class_name
            folder.mkdir(parents=True, exist_ok=True)
            # The browser's file name never reaches the disk.
            image = decode(picture.data, name=picture.name).image
            image.save(folder / f"{number}.png")
        return catalog.add_dataset(
            name, root, title=title, progress=progress, cancel=cancel
        ).dataset
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _new_squares(
    pack: Pack, pictures: Sequence[NewPicture]
) -> tuple[NDArray[np.uint8], list[NewPicture], list[tuple[int, int]], tuple[str, ...]]:
    """Returns (n, H, W, C) of the pictures that the set has not, these pictures, the width and
    height of each, and the others' names."""
    side, channels = pack.meta.image_size, pack.meta.channels
    there = {row.tobytes() for row in image_digests(pack)[pack.split != EXCLUDED]}
    squares, chosen, sizes, known = [], [], [], []
    for picture in pictures:
        decoded = decode(picture.data, name=picture.name, at_least=side)
        square = to_square(decoded.image, image_size=side, fit=pack.meta.fit)
        pixels = np.asarray(square.convert("L") if channels == 1 else square)
        pixels = pixels.reshape(side, side, channels)
        digest = image_digest(pixels)
        if digest in there:
            known.append(picture.name)
            continue
        there.add(digest)
        squares.append(pixels)
        chosen.append(picture)
        sizes.append(decoded.size)
    stacked = np.stack(squares) if squares else np.empty(0, np.uint8)
    return stacked, chosen, sizes, tuple(known)


def _labels(pack: Pack, chosen: Sequence[NewPicture]) -> tuple[PackMeta, NDArray[np.int64]]:
    class_of: list[str] = [
        pack.meta.class_names[label] if label >= 0 else "" for label in pack.labels.tolist()
    ]
    class_of += [versions.checked_name(picture.class_name) for picture in chosen]
    split = np.append(pack.split, np.full(len(chosen), SPLITS.index("train"), dtype=np.uint8))
    names, labels = versions.labelled(pack.meta, np.array(class_of, dtype=object), split)
    return dataclasses.replace(pack.meta, class_names=names), labels


def _pictures(count: int) -> str:
    return f"{count:,} picture{'s' * (count != 1)}"
