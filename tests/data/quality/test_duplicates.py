"""Copies are found whatever was done to them, and pictures of one motif are not called copies."""

import io
import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lab.data import catalog
from lab.data.pack import EXCLUDED, Pack, PackMeta, PackWriter, load_pack
from lab.data.quality import check as quality
from lab.data.quality import duplicates
from lab.data.quality.duplicates import (
    copy_groups,
    find_copies,
    independent_groups,
    kept_copies,
)
from lab.home import home_folder
from lab.progress import Cancelled, Progress
from tests.tiny_data import make_tiny_pack

SIDE = 96
Picture = NDArray[np.uint8]


def pictures(count: int, *, seed: int = 0, channels: int = 3) -> Picture:
    """Returns (count, SIDE, SIDE, channels): coloured shadows, each another."""
    rng = np.random.Generator(np.random.Philox(seed))
    small = rng.integers(0, 256, size=(count, 6, 6, channels), dtype=np.uint8)
    shown = np.empty((count, SIDE, SIDE, channels), dtype=np.uint8)
    for place in range(count):
        for channel in range(channels):
            plane = Image.fromarray(small[place, ..., channel]).resize(
                (SIDE, SIDE), Image.Resampling.BICUBIC
            )
            shown[place, ..., channel] = np.asarray(plane)
    return shown


def make_pack(
    images: Picture,
    *,
    labels: list[int] | None = None,
    split: list[int] | None = None,
    groups: list[int] | None = None,
    name: str = "copies",
) -> Pack:
    count, side, _, channels = images.shape
    meta = PackMeta(
        dataset=name,
        title="Copies",
        story="",
        class_names=("a", "b"),
        drawn=False,
        channels=channels,
        image_size=side,
        fit="stretch",
        source="tests",
        licence="none",
        created="2026-01-01T00:00:00Z",
    )
    folder = home_folder("packs") / name
    with PackWriter(folder, image_size=side, channels=channels) as writer:
        writer.add(images, [f"{i}.png" for i in range(count)])
        writer.finish(
            meta,
            np.array(labels or [i % 2 for i in range(count)], dtype=np.int64),
            np.array(split or [0] * count, dtype=np.uint8),
            groups=None if groups is None else np.array(groups, dtype=np.int64),
        )
    return load_pack(folder)


def recompressed(image: Picture) -> Picture:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=30)
    return np.asarray(Image.open(file))


def resized(image: Picture) -> Picture:
    small = Image.fromarray(image).resize((40, 40), Image.Resampling.LANCZOS)
    return np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def noisy(image: Picture) -> Picture:
    noise = np.random.Generator(np.random.Philox(5)).normal(0, 12, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


COPIES: dict[str, Callable[[Picture], Picture]] = {
    "exact": lambda image: image,
    "brighter": lambda image: np.clip(image * 0.8 + 40, 0, 255).astype(np.uint8),
    "less contrast": lambda image: (image * 0.4 + 70).astype(np.uint8),
    "recompressed": recompressed,
    "resized": resized,
    "noise": noisy,
    "mirrored": lambda image: image[:, ::-1],
    "shifted by one pixel of 96": lambda image: np.roll(image, 1, axis=1),
}


@pytest.mark.parametrize("change", COPIES)
def test_a_changed_copy_is_found(change: str) -> None:
    images = pictures(30)
    images[20] = COPIES[change](images[3])
    groups = find_copies(make_pack(images))
    assert groups.tolist() == [3 if i == 20 else i for i in range(30)]


def test_other_pictures_are_not_copies() -> None:
    images = pictures(200)
    images[7] = np.roll(images[8], 20, axis=0)  # moved by a fifth
    images[9] = 255 - images[10]  # the negative
    images[11] = images[12][..., ::-1]  # red is blue
    images[13] = np.rot90(images[14])
    assert find_copies(make_pack(images)).tolist() == list(range(200))


def test_plain_pictures_are_copies_only_where_every_pixel_is() -> None:
    rng = np.random.Generator(np.random.Philox(2))
    images = np.full((6, SIDE, SIDE, 1), 128, dtype=np.uint8)
    images[2:] += rng.integers(0, 2, size=(4, SIDE, SIDE, 1), dtype=np.uint8)
    images[5] = images[2]
    assert find_copies(make_pack(images)).tolist() == [0, 0, 2, 3, 4, 2]


@pytest.mark.parametrize("block", [7, 64])
def test_the_blocks_do_not_show(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As all pairs compared at once, mirrored too, whatever the blocks' size and wherever the
    copies lie; few directions, so that many pairs need the second look."""
    rng = np.random.Generator(np.random.Philox(4))
    source = pictures(12, channels=1)
    copied = rng.integers(0, 12, size=50)
    images = source[copied]
    images[::3] = images[::3, :, ::-1]
    shade = rng.integers(0, 30, size=(50, 1, 1, 1))
    images = np.clip(images.astype(int) // 2 + shade, 0, 255).astype(np.uint8)
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    monkeypatch.setattr(duplicates, "_ACROSS", 2 * block + 1)
    monkeypatch.setattr(duplicates, "_LOOKED_AT", block + 2)
    monkeypatch.setattr(duplicates, "_DIRECTIONS", 3)
    small = images.reshape(50, 16, 6, 16, 6).mean(axis=(2, 4))
    both = np.concatenate([small, small[..., ::-1]]).reshape(100, -1)
    alike = np.corrcoef(both)[:50] >= duplicates.LIMIT
    alike = alike[:, :50] | alike[:, 50:]
    want = [int(np.flatnonzero(row)[0]) for row in alike]  # here no chain is longer than one link
    assert len(set(want)) == len(set(copied.tolist()))
    assert find_copies(make_pack(images)).tolist() == want


def test_kept_by_the_pixels_alone() -> None:
    images = pictures(8)
    images[5] = images[1]
    pack = make_pack(images)
    assert kept_copies(pack) is None
    assert independent_groups(pack) is None
    assert copy_groups(pack).tolist() == [0, 1, 2, 3, 4, 1, 6, 7]
    relabelled = make_pack(images, labels=[1] * 4 + [0] * 4, split=[0] * 6 + [2, 2])
    assert relabelled.meta.content_hash != pack.meta.content_hash
    assert kept_copies(relabelled) is not None
    bursts = make_pack(images, groups=[0, 1, 2, 2, 4, 5, 6, 6])
    joined = independent_groups(bursts)
    assert joined is not None
    assert joined.tolist() == [0, 1, 2, 2, 4, 1, 6, 6]
    assert kept_copies(make_pack(pictures(8, seed=1))) is None
    duplicates._file(pack).write_bytes(b"half")
    assert kept_copies(pack) is None


def test_the_check_says_what_crosses_the_splits_and_what_contradicts_itself() -> None:
    images = pictures(12)
    images[8] = images[0]  # test and training
    images[3] = images[2]  # within training, one label wrong of three
    images[4] = images[2]
    images[6] = images[5]  # within training
    images[11] = images[7]  # left out: in no finding
    labels = [0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0]
    split = [0] * 8 + [2, 2, 2, EXCLUDED]
    pack = make_pack(images, labels=labels, split=split)
    found = quality.run_checks(pack, ["duplicates"])["duplicates"]
    by_kind = {finding.kind: finding for finding in found.findings}
    assert len(found.findings) == 3
    assert by_kind["across"].rows == (8, 0)
    assert (by_kind["conflict"].row, by_kind["conflict"].suggestion) == (4, "a")
    assert set(by_kind["conflict"].others) == {2, 3}
    assert by_kind["within"].rows == (5, 6)
    assert found.figures["independent"] == 7
    assert found.figures["test_with_copy_in_training"] == 1
    assert found.figures["train_with_copy_in_training"] == 5
    assert "1 of 3 test pictures (33.3%) have one among the training pictures" in found.notes[0]
    assert "Validation cut by" in found.notes[1]
    assert found.arrays["groups"].tolist() == [0, 1, 2, 2, 2, 5, 5, 7, 0, 9, 10, 7]


def test_a_tie_suggests_nothing() -> None:
    images = pictures(6)
    images[1] = images[0]
    found = quality.run_checks(make_pack(images), ["duplicates"])["duplicates"]
    assert [(f.kind, f.suggestion) for f in found.findings] == [("conflict", None)]


def test_a_set_without_copies_says_so() -> None:
    pack = catalog.open_pack(make_tiny_pack())
    found = quality.run_checks(pack, ["duplicates"])["duplicates"]
    assert found.findings == ()
    assert found.notes[0] == "None of the 120 pictures is a copy or near-copy of another."


def test_progress_and_cancel() -> None:
    pack = make_pack(pictures(40))
    seen: list[Progress] = []
    find_copies(pack, seen.append)
    assert {"Reading the pictures", "Comparing the pictures"} <= {p.text for p in seen}
    with pytest.raises(Cancelled):
        copy_groups(pack, cancel=lambda: True)
    assert kept_copies(pack) is None


@pytest.mark.skipif(not os.environ.get("LAB_REAL_DATA"), reason="LAB_REAL_DATA is not set")
def test_sign_mnist_is_of_1686_photographs(real_data: os.PathLike[str]) -> None:
    """The number that another program found by the same limit (documented are 1,704)."""
    path = os.path.join(real_data, "sign-language-mnist.zip")
    catalog.add_dataset("sign-mnist", path)
    pack = catalog.open_pack("sign-mnist")
    groups = copy_groups(pack)
    assert len(np.unique(groups)) == 1686
    classes = {(group, label) for group, label in zip(groups.tolist(), pack.labels, strict=True)}
    assert len(classes) == 1686  # no group has pictures of two letters
