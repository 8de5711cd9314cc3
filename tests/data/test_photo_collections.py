"""Photographs that a class hands in: whose they are, what is a burst, the data set they become."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab import people
from lab.data import photo_collections
from lab.data.catalog import add_dataset, open_pack
from lab.data.decode import UnreadableFile, taken_at
from lab.data.groups import group_sizes
from lab.data.photo_collections import (
    PhotoCollection,
    add_photo,
    bursts,
    class_sizes,
    close_collection,
    collection,
    collections,
    delete_collection,
    leave_out,
    names,
    open_collection,
    photos,
    take_back,
    write_folder,
)
from lab.errors import ConfigError, NotAllowedError, NotFoundError, StateError
from lab.people import Person, acting_as
from tests.data.pictures import BAD_PICTURES, encoded, jpeg, photo

MINA, TOM = Person("p-1", "Mina", "member"), Person("p-2", "Tom", "member")


def shot(seed: int, second: float | None = None, size: tuple[int, int] = (80, 60)) -> bytes:
    """A phone's picture, taken at that second of a day, with the place in its notes."""
    notes = Image.Exif()
    if second is not None:
        hour, minute = divmod(int(second) // 60, 60)
        camera = notes.get_ifd(0x8769)
        camera[0x9003] = f"2026:05:04 {hour:02d}:{minute:02d}:{int(second) % 60:02d}"
        notes.get_ifd(0x8825)[1] = "N"
    return encoded(photo(seed, size), quality=90, exif=notes)


@pytest.fixture
def leaves() -> PhotoCollection:
    return open_collection("Our leaves", ["oak", "maple"])


def hand_in(given: PhotoCollection, who: Person, name: str, *data: bytes) -> None:
    with acting_as(who):
        for number, each in enumerate(data):
            add_photo(given.id, name, f"{number}.jpg", each)


def test_the_time_of_a_picture_is_the_cameras() -> None:
    first, second = (taken_at(shot(1, at), name="x") for at in (60, 64))
    assert first is not None
    assert second == first + 4
    assert taken_at(jpeg(1), name="x") is None


def test_pictures_stay_their_owners_and_lose_the_place(leaves: PhotoCollection) -> None:
    hand_in(leaves, MINA, "oak", shot(1, 0, (3000, 2000)))
    hand_in(leaves, TOM, "maple", shot(2, 0))
    first, second = photos(collection(leaves.id))  # read anew, as after a restart
    assert (first.class_name, first.person, second.person) == ("oak", "p-1", "p-2")
    assert names(leaves)["p-1"] == "Mina"
    with Image.open(first.path) as stored:
        assert max(stored.size) == photo_collections.SIDE
        assert not dict(stored.getexif())
    with acting_as(TOM), pytest.raises(NotAllowedError, match="belongs to 'Mina'"):
        take_back(leaves, [second, first])
    assert len(photos(leaves)) == 2  # neither is gone
    with acting_as(TOM):
        take_back(leaves, [second])
    take_back(leaves, [first])  # the teacher may
    assert photos(leaves) == []


def test_what_is_no_picture_or_there_already_is_refused(leaves: PhotoCollection) -> None:
    for name, (data, reason) in BAD_PICTURES.items():
        with pytest.raises(UnreadableFile) as error:
            add_photo(leaves.id, "oak", name, data)
        assert reason in str(error.value)
    hand_in(leaves, MINA, "oak", jpeg(1))
    with pytest.raises(ConfigError, match="is there already, as oak"):
        add_photo(leaves.id, "maple", "again.jpg", jpeg(1))
    with pytest.raises(ConfigError, match="none of the classes: oak, maple"):
        add_photo(leaves.id, "../..", "x.jpg", jpeg(2))
    close_collection(leaves.id)
    with pytest.raises(StateError, match="is closed"):
        add_photo(leaves.id, "oak", "late.jpg", jpeg(3))
    assert len(photos(leaves)) == 1
    close_collection(leaves.id, closed=False)
    hand_in(leaves, MINA, "oak", jpeg(3))


def test_one_person_may_hand_in_so_many_and_so_much(
    leaves: PhotoCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_MAX_COLLECTED", "2")
    hand_in(leaves, MINA, "oak", jpeg(1), jpeg(2))
    with pytest.raises(ConfigError, match="2 or 60 MB are the most"):
        hand_in(leaves, MINA, "maple", jpeg(3))
    hand_in(leaves, TOM, "maple", jpeg(4))  # the limit is each one's own
    monkeypatch.setenv("LAB_MAX_COLLECTED_MB", "1")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8))
    hand_in(leaves, TOM, "oak", encoded(noise, "PNG"))
    with pytest.raises(ConfigError, match="1 MB are the most"):
        hand_in(leaves, TOM, "oak", encoded(noise.rotate(90), "PNG"))
    assert len(photos(leaves)) == 4
    assert not [path for path in leaves_folder(leaves).rglob("*") if path.name[0] == "."]


def leaves_folder(given: PhotoCollection) -> Path:
    return photo_collections.home_folder("collections") / given.id


def test_what_a_collection_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    for classes, reason in (
        (["oak"], "1 classes are named"),
        (["oak", "a/b"], "cannot be a class"),
        (["oak", "test"], "part of a data set"),
        (["oak", "Oak"], "capitals alone"),
    ):
        with pytest.raises(ConfigError, match=reason):
            open_collection("x", classes)
    with acting_as(MINA), pytest.raises(NotAllowedError, match="teacher alone"):
        open_collection("x", ["a", "b"])
    for wrong in ("c-00000000", "../../etc", ""):
        with pytest.raises(NotFoundError):
            collection(wrong)


def test_a_deleted_collection_is_gone(leaves: PhotoCollection) -> None:
    hand_in(leaves, MINA, "oak", jpeg(1))
    with acting_as(MINA), pytest.raises(NotAllowedError):
        delete_collection(leaves.id)
    delete_collection(leaves.id)
    assert collections() == []
    assert list(leaves_folder(leaves).parent.iterdir()) == []


def test_a_burst_is_one_persons_within_seconds(leaves: PhotoCollection) -> None:
    hand_in(leaves, MINA, "oak", *(shot(i, at) for i, at in enumerate((0, 4, 8, 20))))
    hand_in(leaves, TOM, "oak", shot(10, 4))
    taken = photos(leaves)
    assert sorted(group_sizes(bursts(taken)).tolist()) == [1, 1, 3, 3, 3]
    leave_out([p for p in taken if p.person == "p-2"])
    assert class_sizes(leaves, photos(leaves)) == {"oak": (4, 2), "maple": (0, 0)}


@pytest.mark.parametrize("together", ["burst", "person"])
def test_the_data_set_cuts_no_group(leaves: PhotoCollection, together: str) -> None:
    for k, name in enumerate(leaves.classes):
        for j, who in enumerate((MINA, TOM, people.OPERATOR)):
            seed = 100 * k + 10 * j
            burst = [shot(seed + i, 1000 * k + 2 * i) for i in range(3)]
            later = [shot(seed + 5 + i, 5000 + 1000 * k + 60 * i) for i in range(2)]
            hand_in(leaves, who, name, *burst, *later)
    # Of one of Mina's, much later: the same picture at lower quality. Nobody's clock joins them.
    copy = io.BytesIO()
    photo(5, (80, 60)).save(copy, "JPEG", quality=60)
    hand_in(leaves, TOM, "oak", copy.getvalue())
    out = next(p for p in photos(leaves) if p.person == "" and p.class_name == "maple")
    leave_out([out])
    folder = write_folder(leaves, together)  # type: ignore[arg-type]
    add_dataset("leaves", folder, image_size=32)
    pack = open_pack("leaves")
    assert pack.groups is not None
    assert len(pack) == 30
    digests = [name.rpartition("/")[2].partition(".")[0] for name in pack.names]
    assert out.digest not in digests
    whose = {p.digest: (p.person, p.class_name) for p in photos(leaves)}
    for group in np.unique(pack.groups):
        assert len(set(pack.split[pack.groups == group].tolist())) == 1
    of_class = [whose[digest] for digest in digests]
    if together == "person":  # Mina and Tom are one in oak: they took the same picture
        assert len(np.unique(pack.groups)) == 5
        for one in set(of_class):
            rows = [i for i, each in enumerate(of_class) if each == one]
            assert len(np.unique(pack.groups[rows])) == 1
    else:
        sizes = np.bincount(np.unique(pack.groups, return_counts=True)[1])
        assert sizes.tolist() == [0, 11, 2, 5]
