"""Photographs that a class takes with its phones, until they become a data set.

LAB_HOME/collections/<id>/
├── collection.json                      title, classes, when it was opened, whether it is closed
├── names/<person>                       what the person is called
└── pictures/<class number>/<person>/<milliseconds>-<digest>.jpg
                                         ...-<digest>.out.jpg is left out

A picture's path is all that is known of it: what is written once is there whole, and a restart
loses nothing. Pictures are kept at most SIDE pixels large and without the camera's notes, in which
phones write the place; when it was taken stays, in the name.

A burst are the pictures of one person that follow one another within BURST_SECONDS, and near-copies
whoever took them: they go to one side of a split.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import time
import uuid
from collections.abc import Collection as Several
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from lab.data.class_needs import class_problem
from lab.data.decode import decode, taken_at, to_square
from lab.data.groups import Groups, connected, group_sizes, joined
from lab.data.person_quota import count_use, require_person_quota
from lab.data.sources.photographs import BURST
from lab.errors import ConfigError, DataError, NotFoundError, StateError, cut
from lab.home import (
    atomic_file,
    home_folder,
    move_away,
    recount,
    require_free_space,
    used_bytes,
    writing,
)
from lab.limits import COLLECTED_MEGABYTES, COLLECTED_PICTURES, limit
from lab.names import typed_name
from lab.people import OPERATOR, current_person, require_admin, require_owner
from lab.progress import Progress, Report, silent

SIDE = 1024
"""Longer side at which pictures are kept: twice the largest of a network."""
SMALL = 128
BURST_SECONDS = 5.0
MOST_CLASSES = 100
LONGEST_TITLE = 80
Together = Literal["burst", "person"]
"""What no split cuts: bursts, or of each class all pictures of one person."""

_FOLDER = "collections"
_ID = re.compile(r"c-[0-9a-f]{8}")
_OUT = ".out.jpg"
_NAME = re.compile(r"(-?\d+)-([0-9a-f]{16})(\.out)?\.jpg")


@dataclass(frozen=True)
class PhotoCollection:
    """What is collected, and whether pictures are still taken."""

    id: str
    title: str
    classes: tuple[str, ...]
    created_at: float
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Photo:
    """One picture as it was handed in."""

    path: Path
    class_name: str
    person: str
    """The id of who took it; "" is the operator."""
    taken: float
    """Seconds, by the camera's clock, else when it came."""
    digest: str
    left_out: bool


# --- the teacher's part ---------------------------------------------------------------------------
def open_collection(title: str, classes: Iterable[str]) -> PhotoCollection:
    """Begins a collection, for an admin. Raises ConfigError for a title or class that cannot be."""
    require_admin("Opening a collection")
    title = typed_name(title, "A title", LONGEST_TITLE)
    names = tuple(dict.fromkeys(" ".join(name.split()) for name in classes if name.strip()))
    if not 2 <= len(names) <= MOST_CLASSES:
        raise ConfigError(
            f"{len(names)} classes are named; a data set has 2 to {MOST_CLASSES} here. Write them "
            "with commas between, such as cat, dog."
        )
    for name in names:
        if problem := class_problem(name):
            raise ConfigError(problem)
    if len({name.casefold() for name in names}) < len(names):
        raise ConfigError("Two classes differ in capitals alone; name them apart.")
    new = PhotoCollection(f"c-{secrets.token_hex(4)}", title, names, time.time())
    _save(new)
    return new


def close_collection(collection_id: str, *, closed: bool = True) -> None:
    """A closed one takes no more pictures; it can be opened again."""
    require_admin("Closing a collection")
    _save(dataclasses.replace(collection(collection_id), closed=closed))


def delete_collection(collection_id: str) -> None:
    """Deletes the collection with its pictures; a data set that was made of it stays."""
    require_admin("Deleting a collection")
    folder = _folder(collection(collection_id).id)
    shutil.rmtree(move_away(folder), ignore_errors=True)
    recount()


def leave_out(photos: Iterable[Photo], *, left_out: bool = True) -> None:
    """Leaves pictures out of the data set to be made, or takes them in again, for an admin."""
    require_admin("Leaving pictures out")
    for photo in photos:
        stem = photo.path.name.partition(".")[0]
        new = photo.path.with_name(stem + (_OUT if left_out else ".jpg"))
        if new != photo.path and photo.path.exists():  # its owner may have taken it back
            os.replace(photo.path, new)


# --- everybody's part -----------------------------------------------------------------------------
def collection(collection_id: str) -> PhotoCollection:
    """Raises NotFoundError, DataError for a damaged one."""
    file = _folder(collection_id) / "collection.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return PhotoCollection(
            collection_id,
            str(values["title"]),
            tuple(map(str, values["classes"])),
            float(values["created_at"]),
            bool(values["closed"]),
        )
    except FileNotFoundError:
        raise _not_here(collection_id) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is damaged ({error}); delete its folder by hand.") from error


def collections() -> list[PhotoCollection]:
    """Returns all, the newest first; damaged ones are left out."""
    found = []
    for file in home_folder(_FOLDER).glob("c-*/collection.json"):
        try:
            found.append(collection(file.parent.name))
        except (DataError, NotFoundError):
            continue
    return sorted(found, key=lambda each: -each.created_at)


def photos(given: PhotoCollection) -> list[Photo]:
    """Returns all pictures, by class, person and time."""
    root = _folder(given.id) / "pictures"
    found = []
    for number, class_name in enumerate(given.classes):
        for path in (root / str(number)).glob("*/*.jpg"):
            if match := _NAME.fullmatch(path.name):
                whose = "" if path.parent.name == OPERATOR.role else path.parent.name
                moment = int(match[1]) / 1000
                found.append(Photo(path, class_name, whose, moment, match[2], bool(match[3])))
    place = {name: number for number, name in enumerate(given.classes)}
    return sorted(found, key=lambda p: (place[p.class_name], p.person, p.taken, p.digest))


def names(given: PhotoCollection) -> dict[str, str]:
    """Returns what the people are called who took pictures: id -> name."""
    found = {"": OPERATOR.name}
    for file in (_folder(given.id) / "names").glob("[!.]*"):
        found[file.name] = file.read_text(encoding="utf-8")
    return found


def add_photo(collection_id: str, class_name: str, name: str, data: bytes) -> Photo:
    """Takes a picture of the current person in.

    `name` is what they call the file. Raises UnreadableFile, StateError for a closed collection,
    ConfigError for a picture that is there already and for one too many, ResourceError.
    """
    given = collection(collection_id)
    if given.closed:
        raise StateError(f"“{given.title}” is closed; it takes no more pictures.")
    if class_name not in given.classes:
        listing = ", ".join(given.classes)
        raise ConfigError(f"{cut(class_name)} is none of the classes: {listing}.")
    digest = hashlib.blake2b(data, digest_size=8).digest().hex()
    person, there = current_person(), photos(given)
    if twin := next((photo for photo in there if photo.digest == digest), None):
        raise ConfigError(f"{name} is there already, as {twin.class_name}.")
    mine = [photo.path.stat().st_size for photo in there if photo.person == person.id]
    most, most_bytes = limit(COLLECTED_PICTURES), limit(COLLECTED_MEGABYTES) * 1_000_000
    too_many = ConfigError(
        f"{name}: you have handed in {len(mine):,} pictures, and {most:,} or "
        f"{most_bytes / 1e6:,.0f} MB are the most for one person; take some back first."
    )
    if len(mine) >= most:
        raise too_many
    image = decode(data, name=name, at_least=SIDE).image
    moment = taken_at(data, name=name)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    folder = _folder(given.id) / "pictures" / str(given.classes.index(class_name))
    folder /= person.id or OPERATOR.role
    milliseconds = round((time.time() if moment is None else moment) * 1000)
    target = folder / f"{milliseconds}-{digest}.jpg"
    require_free_space(home_folder(_FOLDER), 1_000_000)
    require_person_quota(1_000_000)
    with writing(target):
        folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(target) as file:
        image.save(file, "JPEG", quality=90)  # without the camera's notes: they name the place
        if sum(mine) + file.stat().st_size > most_bytes:
            raise too_many
    if person.id:
        _note_name(given, person.id, person.name)
    return Photo(target, class_name, person.id, milliseconds / 1000, digest, False)


def take_back(given: PhotoCollection, chosen: Iterable[Photo]) -> None:
    """Deletes pictures for good: one's own, an admin anybody's. Raises NotAllowedError; then none
    is deleted."""
    chosen, called = list(chosen), names(given)
    for photo in chosen:
        require_owner(photo.person, called.get(photo.person, "somebody"), "This picture")
    for photo in chosen:
        photo.path.unlink(missing_ok=True)
    recount()


def bytes_of(person_id: str) -> int:
    """Returns what the person's pictures take, in all collections."""
    found = home_folder(_FOLDER).glob(f"c-*/pictures/*/{person_id}")
    return sum(used_bytes(folder) for folder in found)


count_use("Pictures for the class", bytes_of)


# --- groups, and the way to a data set ------------------------------------------------------------
def small(photo: Photo) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """(SMALL, SMALL, 3) uint8 of the middle of a picture. Raises UnreadableFile."""
    with writing(photo.path), photo.path.open("rb") as file:
        image = decode(file, name=photo.path.name, at_least=SMALL).image
    return np.asarray(to_square(image, image_size=SMALL, fit="crop"))


def bursts(taken: Sequence[Photo]) -> Groups:
    """Returns (N,) the burst of each picture, by person and time alone."""
    order = sorted(range(len(taken)), key=lambda i: (taken[i].person, taken[i].taken))
    pairs = [
        (one, other)
        for one, other in itertools.pairwise(order)
        if taken[one].person == taken[other].person
        and taken[other].taken - taken[one].taken <= BURST_SECONDS
    ]
    return _grouped(len(taken), pairs)


def class_sizes(given: PhotoCollection, taken: Sequence[Photo]) -> dict[str, tuple[int, int]]:
    """Returns class -> its pictures that are not left out, and their bursts."""
    there = [photo for photo in taken if not photo.left_out]
    of_burst = bursts(there).tolist()
    sizes = {}
    for name in given.classes:
        mine = [burst for burst, p in zip(of_burst, there, strict=True) if p.class_name == name]
        sizes[name] = len(mine), len(set(mine))
    return sizes


def write_folder(given: PhotoCollection, together: Together, progress: Report = silent) -> Path:
    """Writes a folder for each class with the pictures that are not left out and returns it; what
    no split may cut is a folder in it (`lab.data.sources.photographs.burst_of`)."""
    from lab.data.quality.duplicates import copies_among  # brings torch, which a phone's page lacks

    taken = [photo for photo in photos(given) if not photo.left_out]
    pixels = []
    for photo in taken:
        pixels.append(small(photo))
        progress(Progress(len(pixels), len(taken), "Looking for near-copies", "pictures"))
    groups = bursts(taken)
    if pixels:
        groups = _both(groups, copies_among(np.stack(pixels)))
    if together == "person":
        first: dict[tuple[str, str], int] = {}
        whose = [first.setdefault((p.class_name, p.person), i) for i, p in enumerate(taken)]
        groups = _both(groups, np.array(whose, dtype=np.int64))
    root = home_folder("downloads") / f"collected-{uuid.uuid4().hex}"
    for photo, group, count in zip(taken, groups, group_sizes(groups), strict=True):
        folder = root / photo.class_name
        if count > 1:
            folder /= f"{BURST}{group + 1}"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo.path, folder / f"{photo.digest}.jpg")
    return root


def _both(one: Groups, other: Groups) -> Groups:
    groups = joined(one, other)
    assert groups is not None
    return groups


def _grouped(count: int, pairs: Several[tuple[int, int]]) -> Groups:
    ends = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    return connected(count, ends[:, 0], ends[:, 1])


# --- files ----------------------------------------------------------------------------------------
def _folder(collection_id: str) -> Path:
    if not _ID.fullmatch(collection_id):
        raise _not_here(collection_id)
    return home_folder(_FOLDER) / collection_id


def _not_here(collection_id: str) -> NotFoundError:
    return NotFoundError(
        f"There is no collection {collection_id!r:.60} here. Ask the teacher for the link."
    )


def _save(given: PhotoCollection) -> None:
    folder = _folder(given.id)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / "collection.json") as file:
        values = dataclasses.asdict(given)
        del values["id"]
        file.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def _note_name(given: PhotoCollection, person_id: str, name: str) -> None:
    file = _folder(given.id) / "names" / person_id
    try:
        known = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ""
    if known != name:
        with writing(file):
            file.parent.mkdir(exist_ok=True)
        with atomic_file(file) as new:
            new.write_text(name, encoding="utf-8")
