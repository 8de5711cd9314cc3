"""Single pictures that join a data set, as a new version or as a new set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lab.data import catalog, versions
from lab.data.additions import NewPicture, add_pictures, new_dataset
from lab.data.pack import EXCLUDED
from lab.data.versions import Edits
from lab.errors import ConfigError, DataError
from lab.home import home_folder
from tests.data.pictures import jpeg, pets, write_folder
from tests.tiny_data import make_tiny_pack


@pytest.fixture(autouse=True)
def pets_set(tmp_path: Path) -> None:
    catalog.add_dataset("pets", write_folder(tmp_path / "pets", pets(6)), image_size=32)


def test_pictures_join_the_training_part_as_a_new_version() -> None:
    before = catalog.open_pack("pets")
    catalog.open_pack("pets", image_size=16)
    versions.apply("pets", Edits(exclude=frozenset([0])))
    middle = catalog.describe("pets").content_hash
    added = add_pictures(
        "pets",
        [NewPicture("a.jpg", "cats", jpeg(50)), NewPicture("b.jpg", "dogs", jpeg(51, (90, 20)))],
        reason="seen outside",
    )
    assert (added.count, added.known) == (2, ())
    assert added.version.changes == "1 added to cats, 1 added to dogs"
    assert "2 pictures added to the training part: Pets, version 3." in added.sentence
    after = catalog.open_pack("pets")
    n = len(before)
    assert len(after) == n + 2
    assert (after.images[:n] == before.images).all()
    assert after.split[0] == EXCLUDED
    assert after.split[n:].tolist() == [0, 0]
    assert [after.meta.class_names[label] for label in after.labels[n:]] == ["cats", "dogs"]
    assert after.names[n:] == ("a.jpg", "b.jpg")
    assert after.meta.images_hash != before.meta.images_hash
    assert len(catalog.open_pack("pets", image_size=16)) == n + 2
    # Rows of all versions are the same pictures, as far as both have them.
    assert versions.aligned("pets", middle, after.meta.content_hash) == n
    assert versions.diff("pets", middle, after.meta.content_hash).words == "2 added"
    assert versions.diff("pets", after.meta.content_hash, middle).words == "2 left out"
    versions.apply("pets", Edits(exclude=frozenset([n])))
    last = catalog.describe("pets").content_hash
    assert versions.aligned("pets", before.meta.content_hash, last) == n
    assert len(catalog.open_pack("pets", version=middle)) == n


def test_the_sizes_of_the_files_stay_with_their_pictures(tmp_path: Path) -> None:
    files = {**pets(4), "cats/bad.jpg": b"none", "cats/wide.jpg": jpeg(60, (90, 20))}
    catalog.add_dataset("shapes", write_folder(tmp_path / "shapes", files), image_size=32)
    pack = catalog.open_pack("shapes")
    assert pack.sizes is not None
    assert pack.sizes.dtype == np.int32
    wide = pack.names.index("cats/wide.jpg")
    assert pack.sizes[wide].tolist() == [90, 20]
    assert {tuple(size) for row, size in enumerate(pack.sizes.tolist()) if row != wide} == {
        tuple(map(int, size.split("x"))) for size in pack.meta.original_sizes if size != "90x20"
    }
    versions.apply("shapes", Edits(exclude=frozenset([0])))
    add_pictures("shapes", [NewPicture("a.jpg", "cats", jpeg(50, (70, 30)))])
    for after in (catalog.open_pack("shapes"), catalog.open_pack("shapes", image_size=16)):
        assert after.sizes is not None
        assert (after.sizes[:-1] == pack.sizes).all()
        assert after.sizes[-1].tolist() == [70, 30]
    # A pack of older code has no such column, and stays without; nor has it checksums.
    for name in ("sizes.npy", "checksums.json"):
        (home_folder("packs") / "shapes" / name).unlink()
    assert catalog.open_pack("shapes").sizes is None
    add_pictures("shapes", [NewPicture("b.jpg", "cats", jpeg(51))])
    assert catalog.open_pack("shapes").sizes is None


def test_what_is_there_already_is_not_added_again(tmp_path: Path) -> None:
    same = next(iter(pets(6).values()))
    added = add_pictures(
        "pets", [NewPicture("same.jpg", "dogs", same), NewPicture("new.jpg", "dogs", jpeg(60))]
    )
    assert (added.count, added.known) == (1, ("same.jpg",))
    assert "1 picture in the set already" in added.sentence
    with pytest.raises(ConfigError, match="None of these pictures is new"):
        add_pictures("pets", [NewPicture("same.jpg", "dogs", same)])
    with pytest.raises(ConfigError, match="no picture to add"):
        add_pictures("pets", [])


def test_what_cannot_join_changes_nothing() -> None:
    before = catalog.describe("pets")
    with pytest.raises(DataError, match="only 1 picture"):
        add_pictures("pets", [NewPicture("a.jpg", "fox", jpeg(50))])
    with pytest.raises(DataError, match="holds text"):
        add_pictures("pets", [NewPicture("a.jpg", "cats", b"This is not a picture.\n" * 20)])
    make_tiny_pack()
    with pytest.raises(DataError, match="drawn by this program"):
        add_pictures("tiny", [NewPicture("a.jpg", "top", jpeg(50))])
    assert catalog.describe("pets") == before
    foxes = [NewPicture(f"{i}.jpg", "fox", jpeg(50 + i)) for i in range(2)]
    assert add_pictures("pets", foxes).version.meta.class_names == ("cats", "dogs", "fox")


def test_a_picture_added_is_a_group_of_its_own() -> None:
    pack = catalog.open_pack("pets")
    np.save(home_folder("packs") / "pets" / "groups.npy", np.arange(len(pack)) // 2)
    add_pictures("pets", [NewPicture(f"{i}.jpg", "cats", jpeg(50 + i)) for i in range(2)])
    groups = catalog.open_pack("pets").groups
    assert groups is not None
    assert groups.tolist() == [*(np.arange(len(pack)) // 2), len(pack) // 2, len(pack) // 2 + 1]


def test_a_new_set_is_made_of_them() -> None:
    pictures = [
        NewPicture("../../x.jpg", kind, jpeg(100 * k + i))
        for k, kind in enumerate(("고양이", "dog"))
        for i in range(3)
    ]
    name = new_dataset("My finds", pictures)
    info = catalog.describe(name)
    assert (name, info.class_names) == ("my-finds", ("dog", "고양이"))
    assert info.split_totals == {"train": 4, "test": 2}
    assert not list(home_folder("downloads").iterdir())
    with pytest.raises(DataError, match="already a data set"):
        new_dataset("My finds", pictures)
    with pytest.raises(ConfigError, match="cannot be a class"):
        new_dataset("Other", [NewPicture("a", "../up", jpeg(1))])
    assert not list(home_folder("downloads").iterdir())


def test_a_run_keeps_the_version_before(tmp_path: Path) -> None:
    first = catalog.describe("pets").content_hash
    (home_folder("runs", "r-1") / "network.json").write_text(json.dumps({"dataset_hash": first}))
    add_pictures("pets", [NewPicture("a.jpg", "cats", jpeg(50))])
    assert catalog.open_pack("pets", version=first).meta.content_hash == first
