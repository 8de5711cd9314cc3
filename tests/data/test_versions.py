"""Versions of a data set: edits, diffs, restoring, replaced sets, and writers that die."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from lab.data import catalog, probes, version_files, versions
from lab.data.pack import EXCLUDED, NO_CLASS, SPLITS, image_digests, load_pack
from lab.data.versions import Edits
from lab.errors import ConfigError, DataError, NotFoundError
from lab.home import home_folder
from tests.data.pictures import pets, write_folder
from tests.tiny_data import make_tiny_pack

NAME = "tiny"


@pytest.fixture(autouse=True)
def tiny() -> str:
    """Rows 0, 3, ... are "top", 1, 4, ... "middle", 2, 5, ... "bottom"; 90 train, 30 test."""
    return make_tiny_pack(NAME)


def hashes() -> list[str]:
    return [version.content_hash for version in versions.versions(NAME)]


def rows_of(class_name: str) -> list[int]:
    pack = catalog.open_pack(NAME)
    label = pack.meta.class_names.index(class_name)
    return np.flatnonzero((pack.labels == label) & (pack.split != EXCLUDED)).tolist()


# --- what an edit does ----------------------------------------------------------------------------
def test_an_import_is_version_1() -> None:
    (only,) = versions.versions(NAME)
    assert (only.number, only.parent, only.newest, only.total) == (1, None, True, 120)
    assert only.content_hash == catalog.describe(NAME).content_hash
    with pytest.raises(NotFoundError):
        versions.versions("nothing-here")


def test_pictures_left_out_relabelled_and_moved_are_a_new_version() -> None:
    before = catalog.open_pack(NAME)
    saved = versions.apply(
        NAME,
        Edits(
            exclude=frozenset([0, 3, 119]), relabel={1: "top", 4: "top"}, move={2: "val", 90: "val"}
        ),
        reason=" blurred ",
    )
    assert (saved.number, saved.parent, saved.newest, saved.reason) == (2, 1, True, "blurred")
    assert saved.changes == (
        "3 left out, 2 relabelled middle → top, 1 moved training → validation, "
        "1 moved test → validation"
    )
    after = catalog.open_pack(NAME)
    assert len(after) == len(before) == 120
    assert after.split[[0, 3, 119]].tolist() == [EXCLUDED] * 3
    assert [SPLITS[code] for code in after.split[[1, 2, 90]]] == ["train", "val", "val"]
    assert after.meta.class_names == before.meta.class_names
    assert after.labels[[1, 4]].tolist() == [0, 0]
    untouched = np.setdiff1d(np.arange(120), [1, 4])
    assert (after.labels[untouched] == before.labels[untouched]).all()
    assert after.meta.images_hash == before.meta.images_hash
    assert after.meta.content_hash != before.meta.content_hash
    assert catalog.describe(NAME).split_totals == {"train": 87, "val": 2, "test": 28}
    assert (before.split != EXCLUDED).all(), "the version that somebody has open changed"


def test_versions_share_their_images_and_copies() -> None:
    small = catalog.open_pack(NAME, image_size=20)
    versions.apply(NAME, Edits(exclude=frozenset([0])))
    files = [version.folder for version in versions.versions(NAME)]
    for name in ("images.npy", "size-20/images.npy"):
        assert len({(folder / name).stat().st_ino for folder in files}) == 1
    again = catalog.open_pack(NAME, image_size=20)
    assert again.split[0] == EXCLUDED
    assert again.meta.content_hash == catalog.describe(NAME).content_hash
    assert (again.images == small.images).all()
    images = sum((files[0] / name).stat().st_size for name in ("images.npy", "size-20/images.npy"))
    assert catalog.describe(NAME).bytes_on_disk < 1.5 * images + 60_000


def test_images_are_copied_where_the_disk_knows_no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    saved = versions.apply(NAME, Edits(exclude=frozenset([0])))
    old = versions.versions(NAME)[1]
    assert (load_pack(saved.folder).images == load_pack(old.folder).images).all()


def test_classes_are_renamed_and_merged() -> None:
    saved = versions.apply(NAME, Edits(rename={"top": "Öben"}))
    assert saved.changes == "class 'top' renamed to 'Öben'"
    # The order was not natural (top, middle, bottom), so each class keeps its place.
    assert saved.meta.class_names == ("Öben", "middle", "bottom")
    saved = versions.apply(NAME, Edits(merge={"middle": "bottom"}))
    assert saved.changes == "class 'middle' merged into 'bottom'"
    assert saved.meta.class_names == ("Öben", "bottom")
    assert len(rows_of("bottom")) == 80
    assert catalog.open_pack(NAME).labels.max() == 1


def test_classes_in_natural_order_stay_so() -> None:
    versions.apply(NAME, Edits(rename={"top": "a10", "middle": "a2", "bottom": "a1"}))
    versions.apply(NAME, Edits(rename={"a10": "a11"}))
    assert catalog.describe(NAME).class_names == ("a11", "a2", "a1")  # it began unnatural
    versions.apply(NAME, Edits(rename={"a11": "a0"}, relabel={0: "a3", 6: "a3"}))
    names = catalog.describe(NAME).class_names
    assert names == ("a0", "a2", "a1", "a3")
    make_natural = Edits(merge={"a0": "a2", "a3": "a2"}, rename={"a1": "b"})
    assert versions.apply(NAME, make_natural).meta.class_names == ("a2", "b")
    some = Edits(relabel=dict.fromkeys(rows_of("b")[:5], "a10"))
    assert versions.apply(NAME, some).meta.class_names == ("a2", "a10", "b")


def test_a_class_whose_pictures_are_all_left_out_goes() -> None:
    gone = rows_of("middle")
    saved = versions.apply(NAME, Edits(exclude=frozenset(gone)))
    assert saved.meta.class_names == ("top", "bottom")
    assert saved.changes == "40 left out, class 'middle' is gone"
    pack = catalog.open_pack(NAME)
    assert set(pack.labels[gone].tolist()) == {NO_CLASS}
    assert [pack.meta.class_names[label] for label in pack.labels[[0, 2]]] == ["top", "bottom"]
    with pytest.raises(ConfigError, match="no longer there"):
        versions.apply(NAME, Edits(move={gone[0]: "train"}))
    back = Edits(move=dict.fromkeys(gone, "train"), relabel=dict.fromkeys(gone, "middle"))
    saved = versions.apply(NAME, back)
    assert saved.changes == "40 brought back, class 'middle' is new"
    assert saved.meta.class_names == ("top", "bottom", "middle")


@pytest.mark.parametrize(
    ("edits", "error", "words"),
    [
        (Edits(exclude=frozenset([120])), ConfigError, "numbered 0 to 119"),
        (Edits(exclude=frozenset([-1])), ConfigError, "numbered 0 to 119"),
        (Edits(exclude=frozenset([1]), move={1: "test"}), ConfigError, "at once"),
        (Edits(move={1: "training"}), ConfigError, "allowed is train, val, test"),
        (Edits(rename={"topp": "x"}), ConfigError, "'top'"),
        (Edits(rename={"top": "middle"}), ConfigError, "merge the two"),
        (Edits(rename={"top": "x", "middle": "x"}), ConfigError, "Two classes"),
        (Edits(rename={"top": "  "}), ConfigError, "1 to 100"),
        (Edits(merge={"top": "nowhere"}), ConfigError, "nowhere"),
        (Edits(merge={"top": "middle", "middle": "top"}), ConfigError, "into itself"),
        (Edits(merge={"top": "bottom", "middle": "bottom"}), DataError, "two or more"),
        (Edits(relabel={1: "new"}), DataError, "only 1 picture"),
        (Edits(move={row: "test" for row in range(0, 90, 3)}), DataError, "no training picture"),
        (Edits(), ConfigError, "change nothing"),
        (Edits(relabel={0: "top"}), ConfigError, "change nothing"),
        (Edits(exclude=frozenset([1]), images_hash="other"), DataError, "imported anew"),
    ],
)
def test_edits_that_do_not_fit_are_refused(
    edits: Edits, error: type[Exception], words: str
) -> None:
    before = hashes()
    with pytest.raises(error, match=words):
        versions.apply(NAME, edits)
    assert hashes() == before


def test_a_group_moves_together() -> None:
    pack = catalog.open_pack(NAME)
    groups = np.arange(120)
    groups[[0, 3, 93]] = 0
    folder = home_folder("packs") / NAME
    np.save(folder / "groups.npy", groups)
    saved = versions.apply(NAME, Edits(move={0: "val"}, exclude=frozenset([93])))
    after = catalog.open_pack(NAME)
    assert [after.split[row] for row in (0, 3, 93)] == [1, 1, EXCLUDED]
    assert saved.changes == "1 left out, 2 moved training → validation"
    assert after.groups is not None
    assert (after.groups == groups).all()
    assert after.meta.images_hash == pack.meta.images_hash


def test_the_hash_is_that_of_an_import_with_this_content() -> None:
    """Also for a pack of older code, which has no digests and no checksums."""
    for name in ("digests.npy", "checksums.json"):
        (home_folder("packs") / NAME / name).unlink()
    first = hashes()[0]
    versions.apply(NAME, Edits(relabel={1: "top"}))
    back = versions.apply(NAME, Edits(relabel={1: "middle"}))
    assert back.content_hash == first
    assert image_digests(catalog.open_pack(NAME)).shape == (120, 16)


def test_a_warning_that_is_mended_goes(tmp_path: Path) -> None:
    pictures = pets(6)
    some = next(iter(pictures))
    other = next(p for p in pictures if p.split("/")[0] != some.split("/")[0])
    pictures[f"{other.split('/')[0]}/again.jpg"] = pictures[some]
    catalog.add_dataset("mixed", write_folder(tmp_path / "mixed", pictures))
    (warning,) = catalog.describe("mixed").warnings
    assert "in more than one class" in warning
    pack = catalog.open_pack("mixed")
    row = next(i for i, name in enumerate(pack.names) if name.endswith("again.jpg"))
    versions.apply("mixed", Edits(exclude=frozenset([row])))
    assert catalog.describe("mixed").warnings == ()


def test_the_warning_of_test_pictures_in_training_is_judged_anew(tmp_path: Path) -> None:
    pictures = {f"train/{name}": data for name, data in pets(6).items()}
    some = next(iter(pictures))
    pictures |= {f"test/{name}": data for name, data in pets(1, first=70).items()}
    pictures[some.replace("train/", "test/")] = pictures[some]
    catalog.add_dataset("leaky", write_folder(tmp_path / "leaky", pictures))
    (warning,) = catalog.describe("leaky").warnings
    assert "1 of 3 test images is also training images" in warning
    pack = catalog.open_pack("leaky")
    row = next(i for i, name in enumerate(pack.names) if name.endswith(some))
    versions.apply("leaky", Edits(exclude=frozenset([row])))
    assert catalog.describe("leaky").warnings == ()
    versions.apply("leaky", Edits(move={row: "train"}))
    assert catalog.describe("leaky").warnings == (warning,)


# --- older versions -------------------------------------------------------------------------------
def test_an_old_version_opens_by_its_hash_and_can_be_restored() -> None:
    first = catalog.open_pack(NAME)
    old = hashes()[0]
    new = versions.apply(NAME, Edits(exclude=frozenset([0]))).content_hash
    assert (catalog.open_pack(NAME, version=old).split == first.split).all()
    assert catalog.open_pack(NAME, version=old, image_size=20).meta.content_hash == old
    assert catalog.describe(NAME, old).split_totals["train"] == 90
    assert catalog.describe(NAME).split_totals["train"] == 89
    restored = versions.restore(NAME, old)
    assert (restored.number, restored.parent, restored.changes) == (3, 2, "Version 1 restored")
    assert hashes() == [old, new, old]
    assert catalog.open_pack(NAME).split[0] == first.split[0]
    assert [v.number for v in versions.versions(NAME) if v.newest] == [3]
    with pytest.raises(ConfigError, match="already"):
        versions.restore(NAME, old)
    with pytest.raises(NotFoundError, match="has no version 'abc'"):
        catalog.open_pack(NAME, version="abc")
    with pytest.raises(NotFoundError, match="has no version 'abc'"):
        versions.restore(NAME, "abc")


def test_a_version_never_changes() -> None:
    """Files are shared by links: nobody may write into one of them."""
    folder = home_folder("packs") / NAME
    versions.apply(NAME, Edits(exclude=frozenset([0])))
    archived = home_folder("packs", version_files.VERSIONS, NAME, "1")
    before = {f.name: f.read_bytes() for f in archived.iterdir() if f.is_file()}
    versions.restore(NAME, versions.versions(NAME)[1].content_hash)
    versions.apply(NAME, Edits(exclude=frozenset([1, 2]), rename={"top": "x"}))
    shutil.rmtree(folder)
    assert {f.name: f.read_bytes() for f in archived.iterdir() if f.is_file()} == before
    assert json.loads(before["version.json"])["number"] == 1


def test_diff_goes_both_ways() -> None:
    old = hashes()[0]
    edits = Edits(exclude=frozenset([0]), relabel={1: "top"}, rename={"bottom": "low"})
    new = versions.apply(NAME, edits).content_hash
    there = versions.diff(NAME, old, new)
    assert [c.row for c in there.left_out] == [0]
    assert there.words == "1 left out, 1 relabelled middle → top, class 'bottom' renamed to 'low'"
    back = versions.diff(NAME, new, old)
    assert (
        back.words == "1 brought back, 1 relabelled top → middle, class 'low' renamed to 'bottom'"
    )
    assert versions.diff(NAME, old, old).words == "nothing changed"


def test_pins_stay_on_their_pictures() -> None:
    probes.pin(NAME, 5)
    versions.apply(NAME, Edits(exclude=frozenset([0])))
    assert probes.probes(NAME) == (5,)
    make_tiny_pack(NAME, seed=9)
    assert probes.pins(NAME) == probes.Pins((), 1)


# --- replaced and removed -------------------------------------------------------------------------
def trained_on(content_hash: str) -> None:
    folder = home_folder("runs", "r-1")
    (folder / "network.json").write_text(json.dumps({"dataset_hash": content_hash}))


def add(tmp_path: Path, count: int) -> str:
    folder = write_folder(tmp_path / f"pets{count}", pets(count))
    return catalog.add_dataset("pets", folder, replace=True).meta.content_hash


def test_a_replaced_set_keeps_the_version_that_a_run_was_trained_on(tmp_path: Path) -> None:
    first = add(tmp_path, 6)
    trained_on(first)
    second = add(tmp_path, 7)
    there = versions.versions("pets")
    assert [(v.number, v.content_hash) for v in there] == [(2, second), (1, first)]
    assert there[0].changes == "Imported anew, in place of the version before"
    assert catalog.open_pack("pets", version=first).meta.content_hash == first
    assert versions.diff("pets", first, second).other_pictures
    third = add(tmp_path, 8)  # no run was trained on the second, and nobody edited it...
    assert [v.content_hash for v in versions.versions("pets")][1:] != [second]
    assert catalog.describe("pets").content_hash == third
    restored = versions.restore("pets", first)
    assert restored.total == len(catalog.open_pack("pets", version=first))


def test_a_replaced_set_that_nobody_used_goes(tmp_path: Path) -> None:
    first = add(tmp_path, 6)
    add(tmp_path, 7)
    assert [v.number for v in versions.versions("pets")] == [1]
    with pytest.raises(NotFoundError):
        catalog.open_pack("pets", version=first)


def test_what_a_person_edited_outlives_a_replacement(tmp_path: Path) -> None:
    add(tmp_path, 6)
    edited = versions.apply("pets", Edits(exclude=frozenset([0]))).content_hash
    add(tmp_path, 7)
    assert edited in [v.content_hash for v in versions.versions("pets")]


def test_a_removed_set_leaves_nothing() -> None:
    folder = write_folder(home_folder("in"), pets(6))
    catalog.add_dataset("pets", folder)
    versions.apply("pets", Edits(exclude=frozenset([0])))
    catalog.remove_dataset("pets")
    assert not [p for p in home_folder("packs").rglob("*") if "pets" in p.name]


def test_versions_that_no_run_uses_are_cleared_away() -> None:
    old = hashes()[0]
    middle = versions.apply(NAME, Edits(exclude=frozenset([0]))).content_hash
    versions.apply(NAME, Edits(exclude=frozenset([1])))
    assert [v.number for v in versions.unused(NAME, {old})] == [2]
    assert 0 < version_files.freed_by(NAME, {2}) < 60_000, "images are shared, and stay"
    versions.remove(NAME, [2])
    assert middle not in hashes()
    assert old in hashes()
    with pytest.raises(ConfigError, match="newest"):
        versions.remove(NAME, [3])


# --- writers that die, and several at once --------------------------------------------------------
@pytest.mark.parametrize("step", ["keep_newest", "link_relabelled", "write"])
def test_a_writer_that_dies_leaves_the_version_before(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = hashes()
    target = version_files.VersionFacts if step == "write" else version_files
    original = getattr(target, step)

    def die(*arguments: object) -> None:
        original(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(target, step, die)
        with pytest.raises(KeyboardInterrupt):
            versions.apply(NAME, Edits(exclude=frozenset([0])))
    assert hashes() == before
    assert catalog.open_pack(NAME).split[0] != EXCLUDED
    saved = versions.apply(NAME, Edits(exclude=frozenset([1])))
    assert (saved.number, saved.total) == (2, 119)
    assert hashes()[1:] == before


def test_a_process_killed_between_the_two_renames_is_repaired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The moment in which no pack lies at its place."""
    before = hashes()
    replace, folder = os.replace, home_folder("packs") / NAME

    class Killed(BaseException):
        pass

    def replace_once(source: Path, target: Path) -> None:
        if Path(target) == folder:
            raise Killed
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace_once)
        patch.setattr(shutil, "rmtree", lambda *a, **k: None)  # a killed process clears nothing
        with pytest.raises(Killed):
            versions.apply(NAME, Edits(exclude=frozenset([0])))
    assert not folder.exists()
    assert hashes() == before
    assert catalog.open_pack(NAME).split[0] != EXCLUDED
    assert versions.apply(NAME, Edits(exclude=frozenset([1]))).number == 2


def test_two_who_save_at_once_both_are_saved() -> None:
    threads = [
        threading.Thread(target=versions.apply, args=(NAME, Edits(exclude=frozenset([row]))))
        for row in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [v.number for v in versions.versions(NAME)] == [5, 4, 3, 2, 1]
    assert (catalog.open_pack(NAME).split[:4] == EXCLUDED).all()


def test_a_drawn_set_can_be_edited_and_restored() -> None:
    first = catalog.open_pack("drawn-signs").meta.content_hash
    versions.apply("drawn-signs", Edits(exclude=frozenset([0])))
    assert catalog.open_pack("drawn-signs").split[0] == EXCLUDED
    assert versions.restore("drawn-signs", first).content_hash == first
