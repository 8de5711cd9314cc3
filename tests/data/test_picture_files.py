"""Picture files of every kind as data sets: formats, bit depth, cut files, bursts, and uploads."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lab.data.catalog import add_dataset, look, open_pack
from lab.data.decode import CUT_OFF, Fit, decode
from lab.data.importer import choose_classes, group_numbers
from lab.data.pack import SPLITS, Rejections, read_meta
from lab.data.sources.photographs import burst_of
from tests.data.pictures import encoded, jpeg, pets, photo, write_folder, write_zip

TRAIN, TEST = SPLITS.index("train"), SPLITS.index("test")


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "AVIF", "PPM"])
def test_a_set_of_another_format_is_read(kind: str, tmp_path: Path) -> None:
    files = {
        f"{name}/{i}.{kind.lower()}": encoded(photo(10 * k + i), kind)
        for k, name in enumerate(("cat", "dog"))
        for i in range(4)
    }
    report = add_dataset("mine", write_zip(tmp_path / "set.zip", files), image_size=16)
    assert report.total == 8
    assert not report.rejected
    assert report.meta.value_range is None


def depth_file(high: int, seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, high + 1, (20, 20)).astype(np.uint16)
    values[0, 0] = high
    return encoded(Image.fromarray(values), "PNG")


def test_twelve_bits_are_spread_by_what_the_whole_set_uses(tmp_path: Path) -> None:
    highs = {"cat/0": 4000, "cat/1": 2000, "cat/2": 900, "dog/0": 1000, "dog/1": 100, "dog/2": 3000}
    files = {f"{name}.png": depth_file(high, i) for i, (name, high) in enumerate(highs.items())}
    files["dog/eight.png"] = encoded(photo(5).convert("L"), "PNG")
    report = add_dataset("depth", write_folder(tmp_path / "depth", files), image_size=20)
    assert report.meta.value_range == (0, 4095)
    assert "0 is black and 4,095 is white" in report.sentence
    pack = open_pack("depth")
    for row, name in enumerate(pack.names):
        if high := highs.get(name.removesuffix(".png")):
            assert pack.images[row].max() == round(high * 255 / 4095), name
    assert pack.folder is not None
    assert read_meta(pack.folder) == pack.meta


def test_the_range_is_that_of_the_set_for_an_upload_too(tmp_path: Path) -> None:
    data = depth_file(1000, 3)
    files = {f"{c}/{i}.png": depth_file(4000, 10 * i + ord(c)) for c in "ab" for i in range(3)}
    folder = write_folder(tmp_path / "x", files | {"a/mine.png": data})
    report = add_dataset("xray", folder, image_size=20)
    pack = open_pack("xray")
    row = pack.names.index("a/mine.png")
    upload = decode(data, name="mine.png", value_range=report.meta.value_range)
    assert (np.asarray(upload.image) == pack.images[row]).all()


def test_a_cut_jpeg_is_used_and_named(tmp_path: Path) -> None:
    files = pets(5)
    files["cats/cat.1.jpg"] = jpeg(77, (300, 300))[:-50]
    report = add_dataset("mine", write_zip(tmp_path / "set.zip", files), image_size=16)
    assert report.total == 10
    assert f"{CUT_OFF}: cats/cat.1.jpg." in report.notes


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_every_fit_is_the_upload_s_too(fit: Fit, tmp_path: Path) -> None:
    from lab.data.decode import to_square

    files = pets(4)
    folder = write_folder(tmp_path / "x", files)
    report = add_dataset("mine", folder, fit=fit, image_size=24)
    assert report.meta.fit == fit
    pack = open_pack("mine")
    for row, name in enumerate(pack.names):
        image = decode(files[name], name=name, at_least=48).image
        same = np.asarray(to_square(image, image_size=24, fit=fit))
        assert (same == pack.images[row]).all()
    bars = pack.images[0][[0, 1, -1]]
    assert bool((bars == 0).all()) == (fit == "pad")  # 40 x 30 photographs


# --- bursts ---------------------------------------------------------------------------------------
def test_a_burst_is_the_folder_that_is_called_so() -> None:
    assert burst_of("cat/burst-3/0001.jpg") == "cat/burst-3"
    assert burst_of("train/cat/Burst-a/deeper/1.jpg") == "train/cat/Burst-a"
    assert burst_of("cat/bursting/1.jpg") == ""
    assert burst_of("burst-1.jpg") == ""
    assert group_numbers(["", ""]) is None
    numbers = group_numbers(["a", "", "a", "b", ""])
    assert numbers is not None
    assert numbers.tolist() == [0, 1, 0, 2, 3]


def test_no_burst_is_cut_between_training_and_test(tmp_path: Path) -> None:
    files = {
        f"{name}/burst-{burst}/{i}.jpg": jpeg(1000 * k + 100 * burst + i)
        for k, name in enumerate(("cat", "dog"))
        for burst in range(6)
        for i in range(10)
    } | {f"cat/single{i}.jpg": jpeg(5000 + i) for i in range(3)}
    report = add_dataset("bursts", write_folder(tmp_path / "set", files), image_size=16)
    pack = open_pack("bursts")
    assert pack.groups is not None
    groups: dict[str, set[int]] = {}
    numbers: dict[str, set[int]] = {}
    for row, name in enumerate(pack.names):
        folder = burst_of(name) or name
        groups.setdefault(folder, set()).add(int(pack.split[row]))
        numbers.setdefault(folder, set()).add(int(pack.groups[row]))
    assert all(len(splits) == 1 for splits in groups.values())
    assert all(len(number) == 1 for number in numbers.values())
    assert len(set().union(*numbers.values())) == 15
    for name in ("cat", "dog"):
        assert 9 <= report.accepted["test"][name] <= 20
        assert report.accepted["train"][name] >= 40
    assert open_pack("bursts", image_size=20).groups is not None


def test_a_class_of_one_burst_stays_whole_and_is_named() -> None:
    labels = np.array([0] * 5 + [1] * 5)
    groups = np.array([0] * 5 + [1, 2, 3, 4, 5])
    included = choose_classes(
        labels,
        np.full(10, TRAIN, dtype=np.uint8),
        [bytes([i]) for i in range(10)],
        ("cat", "dog"),
        Rejections(),
        groups,
    )
    assert (included.split[:5] == TRAIN).all()
    assert (included.split[5:] == TEST).sum() == 1
    assert any("'cat'" in note and "single burst" in note for note in included.notes)


def test_a_picture_that_is_copied_all_over_stays_in_training_and_is_told(tmp_path: Path) -> None:
    files = {f"{name}/{i}.jpg": jpeg(k) for k, name in enumerate(("cat", "dog")) for i in range(40)}
    files |= {f"{name}/one.jpg": jpeg(9 + k) for k, name in enumerate(("cat", "dog"))}
    seen = look(write_zip(tmp_path / "set.zip", files))
    assert seen.counts["train"] == {"cat": 40, "dog": 40}
    assert seen.notes[-1].startswith("Of 82 pictures only 4 are different")
    report = add_dataset("copies", write_folder(tmp_path / "set", files), image_size=16)
    assert report.accepted["train"] == {"cat": 40, "dog": 40}
    assert report.accepted["test"] == {"cat": 1, "dog": 1}
    assert report.warnings[0].startswith("Of 82 pictures only 4 are different")


# --- what others handed in ------------------------------------------------------------------------
def test_a_picture_of_many_bands_says_what_it_is() -> None:
    from lab.data.decode import UnreadableFile

    stack = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stack, "TIFF")
    data = bytearray(stack.getvalue())
    place = data.find(bytes([21, 1, 3, 0]))  # the tag of the number of bands, 277
    data[place + 8] = 13
    with pytest.raises(UnreadableFile, match="TIFF of a kind that is not read"):
        decode(bytes(data), name="bands.tif")
