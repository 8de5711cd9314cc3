"""Packs appear whole or not at all, and say so when they are damaged."""

from __future__ import annotations

import dataclasses
import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest

from lab.data import pack as pack_module
from lab.data.pack import (
    EXCLUDED,
    SPLITS,
    PackMeta,
    PackWriter,
    Rejected,
    load_pack,
    read_meta,
    verify_images,
)
from lab.data.resize import resized
from lab.errors import DataError, LabError, ResourceError
from lab.home import home_folder
from tests.tiny_data import make_tiny_pack

META = PackMeta(
    dataset="tiny",
    title="Tiny",
    story="For tests.",
    class_names=("a", "b"),
    drawn=True,
    channels=1,
    image_size=4,
    fit="stretch",
    source="tests",
    licence="none",
    created="2026-01-01T00:00:00+00:00",
    rejected=(Rejected("a/x.jpg", "is empty (0 bytes)"),),
    rejected_count=1,
    original_sizes={"40x30": 6},
    notes=("A note.",),
)
IMAGES = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4, 1)
LABELS = np.array([0, 1, 0, 1, 0, 1])
SPLIT = np.array([0, 0, 0, 0, 2, 2], dtype=np.uint8)


def write(
    folder: Path,
    *,
    images: np.ndarray = IMAGES,
    labels: np.ndarray = LABELS,
    split: np.ndarray = SPLIT,
    meta: PackMeta = META,
    keep: np.ndarray | None = None,
) -> PackMeta:
    with PackWriter(folder, image_size=4, channels=1) as writer:
        for i in range(0, len(images), 4):  # in pieces of 4 and 2
            part = images[i : i + 4]
            writer.add(part, [f"{i + j}.png" for j in range(len(part))])
        return writer.finish(meta, labels, split, keep=keep)


def break_off(folder: Path, error: BaseException | type[BaseException]) -> None:
    with PackWriter(folder, image_size=4, channels=1) as writer:
        writer.add(IMAGES, list("abcdef"))
        raise error


def test_what_is_written_is_read(tmp_path: Path) -> None:
    meta = write(tmp_path / "tiny")
    pack = load_pack(tmp_path / "tiny")
    assert pack.meta == meta == read_meta(tmp_path / "tiny")
    assert dataclasses.replace(meta, content_hash="", images_hash="", counts={}) == META
    assert meta.counts == {
        "train": {"a": 2, "b": 2},
        "val": {"a": 0, "b": 0},
        "test": {"a": 1, "b": 1},
    }
    assert (pack.images == IMAGES).all()
    assert (pack.labels == LABELS).all()
    assert (pack.split == SPLIT).all()
    assert pack.names == tuple(f"{i}.png" for i in range(6))
    assert (pack.images.dtype, pack.labels.dtype, pack.split.dtype) == ("uint8", "int64", "uint8")
    assert [pack.indices(split).tolist() for split in SPLITS] == [[0, 1, 2, 3], [], [4, 5]]
    assert pack.indices("train").dtype == np.int64
    assert len(pack) == 6


def test_images_are_mapped_and_read_only(tmp_path: Path) -> None:
    write(tmp_path / "tiny")
    pack = load_pack(tmp_path / "tiny")
    assert type(pack.images) is np.ndarray
    for array in (pack.images, pack.labels, pack.split):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_hash_is_of_pixels_labels_split_and_class_names(tmp_path: Path) -> None:
    other_images = IMAGES.copy()
    other_images[5, 3, 3] += 1
    base = write(tmp_path / "p").content_hash
    assert base == write(tmp_path / "q", meta=dataclasses.replace(META, title="x")).content_hash
    others = [
        write(tmp_path / "p", images=other_images),
        write(tmp_path / "p", labels=1 - LABELS),
        write(tmp_path / "p", split=SPLIT[::-1]),
        write(tmp_path / "p", meta=dataclasses.replace(META, class_names=("a", "c"))),
    ]
    assert len({base, *(meta.content_hash for meta in others)}) == 5


def test_images_can_be_taken_out_again(tmp_path: Path) -> None:
    keep = np.array([True, False, True, True, False, True])
    taken_out = write(tmp_path / "p", keep=keep)
    pack = load_pack(tmp_path / "p")
    assert (pack.images == IMAGES[keep]).all()
    assert pack.names == ("0.png", "2.png", "3.png", "5.png")
    assert taken_out.counts["train"] == {"a": 2, "b": 1}
    with PackWriter(tmp_path / "q", image_size=4, channels=1) as writer:
        writer.add(IMAGES[keep], pack.names)
        never_there = writer.finish(META, LABELS[keep], SPLIT[keep])
    assert taken_out.content_hash == never_there.content_hash


def test_taking_out_of_many(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2000, 4, 4, 1), dtype=np.uint8)
    labels = np.arange(2000) % 2
    keep = np.random.default_rng(1).random(2000) < 0.7
    write(tmp_path / "p", images=images, labels=labels, split=labels * 0, keep=keep)
    assert (load_pack(tmp_path / "p").images == images[keep]).all()


def test_nothing_is_left_of_an_unfinished_pack(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "p", image_size=4, channels=1) as writer:
        writer.add(IMAGES, list("abcdef"))
    with pytest.raises(KeyboardInterrupt):
        break_off(tmp_path / "p", KeyboardInterrupt)
    assert list(tmp_path.iterdir()) == []


def test_the_old_pack_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    write(tmp_path / "p")
    open_before = load_pack(tmp_path / "p")
    with pytest.raises(ZeroDivisionError):
        break_off(tmp_path / "p", ZeroDivisionError)
    assert len(load_pack(tmp_path / "p")) == 6
    write(tmp_path / "p", images=IMAGES[::-1])
    assert (load_pack(tmp_path / "p").images == IMAGES[::-1]).all()
    assert (open_before.images == IMAGES).all()  # whoever had it open keeps it
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_pack_that_is_replaced_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never the labels of one with the pixels of the other."""
    write(tmp_path / "p")
    reads = 0

    def replaced_after_the_meta(folder: Path) -> PackMeta | None:
        nonlocal reads
        reads += 1
        meta = read_meta(folder)
        if reads == 1:
            write(folder, images=IMAGES[::-1], labels=1 - LABELS)
        return meta

    monkeypatch.setattr(pack_module, "read_meta", replaced_after_the_meta)
    pack = load_pack(tmp_path / "p")
    assert (pack.images == IMAGES[::-1]).all()
    assert pack.meta == read_meta(tmp_path / "p")
    assert reads == 2


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ResourceError, match=r"disk is full.*could not be written"):
        break_off(tmp_path / "p", full)
    assert list(tmp_path.iterdir()) == []


def test_shapes_are_checked(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "p", image_size=4, channels=1) as writer:
        with pytest.raises(ValueError, match="not uint8"):
            writer.add(IMAGES[:, :3], list("abcdef"))
        with pytest.raises(ValueError, match="not uint8"):
            writer.add(IMAGES.astype(np.float32), list("abcdef"))
        writer.add(IMAGES, list("abcdef"))
        with pytest.raises(ValueError, match="each image"):
            writer.finish(META, LABELS[:5], SPLIT)


def test_no_pack_is_an_error_and_no_meta(tmp_path: Path) -> None:
    assert read_meta(tmp_path / "nothing") is None
    with pytest.raises(DataError, match="There is no data set at"):
        load_pack(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("images.npy", b""),
        ("images.npy", b"\x93NUMPY"),
        ("images.npy", None),
        ("labels.npy", None),
        ("labels.npy", b"nonsense"),
        ("split.npy", b""),
        ("names.json", b'["only one"]'),
        ("names.json", b"{"),
        ("meta.json", b"{}"),
        ("meta.json", b""),
        ("meta.json", b"[]"),
    ],
)
def test_a_damaged_pack_says_so(tmp_path: Path, file: str, content: bytes | None) -> None:
    write(tmp_path / "tiny")
    if content is None:
        (tmp_path / "tiny" / file).unlink()
    else:
        (tmp_path / "tiny" / file).write_bytes(content)
    with pytest.raises(LabError, match=r"'tiny' on disk is damaged .* Remove it and add it again"):
        load_pack(tmp_path / "tiny")


def test_a_shortened_pack_says_so(tmp_path: Path) -> None:
    write(tmp_path / "tiny")
    images = tmp_path / "tiny" / "images.npy"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(DataError, match="damaged"):
        load_pack(tmp_path / "tiny")


def test_a_pack_of_another_format_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "tiny", meta=dataclasses.replace(META, format=99))
    with pytest.raises(DataError, match="format 99"):
        load_pack(tmp_path / "tiny")


def resident_bytes(file: Path) -> int:
    """The resident bytes of all mappings of `file` in this process."""
    text = Path("/proc/self/smaps").read_text(encoding="utf-8")
    blocks = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)
    sizes = [re.search(r"(?m)^Rss:\s+(\d+) kB", b) for b in blocks if str(file) in b]
    return sum(1024 * int(size.group(1)) for size in sizes if size)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux lists resident pages")
def test_pages_that_were_read_are_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "images.npy"
    images = np.random.Generator(np.random.Philox(0)).integers(
        0, 256, size=(400, 100, 100, 1), dtype=np.uint8
    )
    np.save(file, images)
    opened = np.load(file, mmap_mode="r").view(np.ndarray)
    monkeypatch.setattr(pack_module, "MAX_RESIDENT_BYTES", 1_000_000)
    residency = pack_module._ResidencyLimit(opened)
    most = 0
    for start in range(0, len(images), 10):
        rows = np.arange(start, start + 10)
        part = np.take(opened, rows, axis=0)
        residency.count_read(part.nbytes)
        assert np.array_equal(part, images[rows])
        most = max(most, resident_bytes(file))
    # Pages around the one that is read come with it.
    assert most < 0.6 * images.nbytes
    assert np.array_equal(np.asarray(opened), images)  # all of it can be read again
    assert resident_bytes(file) > 0.9 * images.nbytes  # unless released, it stays


def test_pages_of_arrays_in_memory_or_writable_are_not_released(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros(5000, dtype=np.uint8))
    written = np.load(tmp_path / "a.npy", mmap_mode="r+")
    written[:] = 7
    for array in (np.zeros(5000, dtype=np.uint8), written):
        pack_module._ResidencyLimit(array).count_read(pack_module.MAX_RESIDENT_BYTES)
    assert written.tolist() == [7] * 5000


def test_groups_travel_with_the_pack_and_count_in_its_hash(tmp_path: Path) -> None:
    images = np.arange(4 * 16, dtype=np.uint8).reshape(4, 4, 4, 1)
    labels, split = np.array([0, 0, 1, 1]), np.array([0, 2, 0, 2], dtype=np.uint8)
    metas = {}
    for name, groups in (("alone", None), ("bursts", np.array([7, 7, 3, 3]))):
        with PackWriter(tmp_path / name, image_size=4, channels=1) as writer:
            writer.add(images, list("abcd"))
            keep = np.array([True, True, True, False])
            metas[name] = writer.finish(META, labels, split, keep=keep, groups=groups)
    assert load_pack(tmp_path / "alone").groups is None
    groups = load_pack(tmp_path / "bursts").groups
    assert groups is not None
    assert groups.tolist() == [7, 7, 3]
    assert metas["alone"].images_hash == metas["bursts"].images_hash
    assert metas["alone"].content_hash != metas["bursts"].content_hash


def test_an_excluded_image_is_in_no_split_and_in_no_count(tmp_path: Path) -> None:
    images = np.zeros((3, 4, 4, 1), dtype=np.uint8)
    with PackWriter(tmp_path / "p", image_size=4, channels=1) as writer:
        writer.add(images, list("abc"))
        meta = writer.finish(META, np.array([0, 1, 1]), np.array([0, 0, EXCLUDED], dtype=np.uint8))
    pack = load_pack(tmp_path / "p")
    assert len(pack) == 3
    assert [i for name in SPLITS for i in pack.indices(name).tolist()] == [0, 1]
    assert sum(sum(classes.values()) for classes in meta.counts.values()) == 2


@pytest.mark.parametrize(
    "name", ["labels.npy", "split.npy", "names.json", "digests.npy", "meta.json", "checksums.json"]
)
def test_a_flipped_bit_beside_the_images_is_noticed(name: str) -> None:
    folder = home_folder("packs") / make_tiny_pack()
    flip(folder / name)
    with pytest.raises(DataError, match=r"on disk is damaged .* Remove it and add it again"):
        load_pack(folder)


def test_a_flipped_bit_of_an_image_is_noticed_before_training() -> None:
    name = make_tiny_pack()
    folder = home_folder("packs") / name
    verify_images(load_pack(folder))
    flip(folder / "images.npy")
    with pytest.raises(DataError, match=r"damaged \(images.npy has another checksum\)"):
        verify_images(load_pack(folder))
    with pytest.raises(DataError, match="damaged"):
        resized(load_pack(folder), 20)  # a copy would have a good checksum


def test_a_damaged_copy_at_another_size_is_made_anew() -> None:
    pack = load_pack(home_folder("packs") / make_tiny_pack())
    small = resized(pack, 20)
    images = small.images.copy()
    assert small.folder is not None
    flip(small.folder / "images.npy")
    assert np.array_equal(resized(pack, 20).images, images)


def test_a_pack_of_older_code_has_no_checksums() -> None:
    folder = home_folder("packs") / make_tiny_pack()
    (folder / "checksums.json").unlink()
    verify_images(load_pack(folder))


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) - 9] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(1, file.stat().st_ino))
