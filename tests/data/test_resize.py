"""Packs at other sizes: made once, from the original, and gone with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.pack import Pack, PackMeta, PackWriter, load_pack
from lab.data.resize import resized
from lab.errors import ConfigError, DataError
from lab.home import home_folder
from lab.progress import Cancelled, Progress
from tests.data.pictures import photo

COUNT = 300


def make(*, channels: int = 3, seed: int = 0, name: str = "set") -> Pack:
    """COUNT images of 40 x 40."""
    pictures = [np.asarray(photo(seed * COUNT + i, (40, 40))) for i in range(COUNT)]
    images = np.stack(pictures)[:, :, :, :channels]
    labels = np.arange(COUNT, dtype=np.int64) % 2
    meta = PackMeta(
        dataset=name,
        title="Set",
        story="",
        class_names=("a", "b"),
        drawn=False,
        channels=channels,
        image_size=40,
        fit="stretch",
        source="tests",
        licence="none",
        created="2026-01-01T00:00:00+00:00",
        notes=("A note.",),
    )
    folder = home_folder("packs") / name
    with PackWriter(folder, image_size=40, channels=channels) as writer:
        writer.add(images, [f"{i}.png" for i in range(COUNT)])
        writer.finish(meta, labels, (labels * 2).astype(np.uint8))
    return load_pack(folder)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [16, 64])
def test_all_but_the_size_stays(channels: int, side: int) -> None:
    pack = make(channels=channels)
    other = resized(pack, side)
    assert other.images.shape == (COUNT, side, side, channels)
    assert (other.labels == pack.labels).all()
    assert (other.split == pack.split).all()
    assert other.names == pack.names
    assert other.meta.image_size == side
    assert other.meta.content_hash == pack.meta.content_hash
    assert other.meta.counts == pack.meta.counts
    assert other.meta.notes == pack.meta.notes
    for i in (0, 127, 128, COUNT - 1):
        pixels = pack.images[i] if channels == 3 else pack.images[i, :, :, 0]
        wanted = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        assert (other.images[i] == np.asarray(wanted).reshape(side, side, channels)).all()


def test_its_own_size_costs_nothing() -> None:
    pack = make()
    assert resized(pack, 40) is pack


def test_it_is_made_once_and_reported() -> None:
    pack = make()
    reports: list[Progress] = []
    resized(pack, 20, reports.append)
    assert (reports[-1].done, reports[-1].total, reports[-1].unit) == (COUNT, COUNT, "images")
    again: list[Progress] = []
    resized(pack, 20, again.append)
    assert again == []


def test_from_a_resized_pack_it_goes_back_to_the_original() -> None:
    pack = make()
    small = resized(pack, 16)
    assert (resized(small, 40).images == pack.images).all()
    assert (resized(small, 32).images == resized(pack, 32).images).all()


def test_replacing_the_pack_replaces_its_sizes() -> None:
    small = resized(make(seed=0), 20)
    replaced = make(seed=1)
    assert not (home_folder("packs") / "set" / "size-20").exists()
    assert (resized(replaced, 20).images != small.images).any()


def test_a_damaged_or_foreign_size_is_made_anew() -> None:
    pack = make()
    wanted = resized(pack, 20).images.copy()
    folder = home_folder("packs") / "set" / "size-20"
    (folder / "labels.npy").write_bytes(b"x")
    assert (resized(pack, 20).images == wanted).all()
    meta = (folder / "meta.json").read_text().replace(pack.meta.content_hash, "0" * 32)
    (folder / "meta.json").write_text(meta)
    assert resized(pack, 20).meta.content_hash == pack.meta.content_hash


def test_cancel_leaves_nothing() -> None:
    pack = make()
    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        resized(pack, 20, cancel=lambda: next(answers))
    assert sorted(path.name for path in (home_folder("packs") / "set").iterdir()) == [
        "checksums.json",
        "digests.npy",
        "images.npy",
        "labels.npy",
        "meta.json",
        "names.json",
        "split.npy",
    ]


@pytest.mark.parametrize("side", [0, -1, 7, 513, 10**6])
def test_sizes_out_of_range_are_refused(side: int) -> None:
    with pytest.raises(ConfigError, match=f"image_size is {side}; allowed is .* 8 to 512"):
        resized(make(), side)


def test_a_removed_pack_cannot_be_resized(tmp_path: Path) -> None:
    pack = make()
    (home_folder("packs") / "set").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="There is no data set at"):
        resized(pack, 20)
