"""Odd pictures stand out by cleanvision's limits and from their own set."""

import dataclasses

import numpy as np
import pytest

from lab.data import catalog
from lab.data.pack import EXCLUDED, Pack
from lab.data.quality.findings import CHECKS, CheckResult
from lab.data.quality.odd_pictures import limit_of, measure
from lab.progress import Cancelled, never, silent
from tests.data.pictures import photo
from tests.tiny_data import make_tiny_pack


def photos(count: int = 40) -> np.ndarray:
    """Sharp pictures in colour (n, 80, 80, 3)."""
    rng = np.random.default_rng(0)
    smooth = np.stack([np.asarray(photo(i, (80, 80))) for i in range(count)]).astype(np.int64)
    texture = rng.integers(-70, 70, (count, 40, 40, 1)).repeat(2, 1).repeat(2, 2)
    return (smooth + texture).clip(0, 255).astype(np.uint8)


def check(images: np.ndarray, *, sizes: np.ndarray | None = None, **changes: object) -> CheckResult:
    pack = catalog.open_pack(make_tiny_pack(train=6, test=3))
    meta = dataclasses.replace(
        pack.meta, channels=images.shape[3], image_size=images.shape[1], **changes
    )
    count = len(images)
    made = Pack(
        meta,
        images,
        np.arange(count) % 3,
        np.where(np.arange(count) == count - 1, EXCLUDED, 0).astype(np.uint8),
        tuple(map(str, range(count))),
        sizes=sizes,
    )
    return CHECKS.get("odd_pictures").run(made, silent, never)


def rows(result: CheckResult, kind: str) -> list[int]:
    return [finding.row for finding in result.findings if finding.kind == kind]


def test_each_kind_is_found_and_ordinary_pictures_are_not() -> None:
    images = photos()
    images[3] = images[3] // 8
    images[5] = 250 + images[5] // 64
    images[7] = np.asarray(photo(7, (8, 8)).resize((80, 80))) // 2 + 60
    images[9] = images[9].mean(axis=2, keepdims=True)
    images[11] = (90, 160, 220)
    images[-1] = 0  # excluded
    result = check(images)
    assert rows(result, "dark") == [3]
    assert rows(result, "bright") == [5]
    assert 7 in rows(result, "blurred")
    assert 9 in rows(result, "grey")
    assert 11 in rows(result, "empty")
    assert {finding.row for finding in result.findings} <= {3, 5, 7, 9, 11}
    assert "1 dark" in result.notes[0]
    assert result.figures["dark"] == 1


def test_a_dark_set_is_not_all_dark() -> None:
    images = photos() // 5
    images[3] = images[3] // 5
    result = check(images)
    assert rows(result, "dark") == [3]


def test_a_grey_set_is_not_odd_but_one_in_colour_is() -> None:
    grey = photos().mean(axis=3, keepdims=True).astype(np.uint8)
    assert rows(check(grey), "grey") == []
    three = grey.repeat(3, axis=3)
    three[4] = photos()[4]
    result = check(three)
    assert rows(result, "coloured") == [4]
    assert rows(result, "grey") == []


def test_measures_by_hand() -> None:
    black, white = np.zeros((1, 32, 32, 1), np.uint8), np.full((1, 32, 32, 3), 255, np.uint8)
    dark, bright = measure(black), measure(white)
    assert dark["dark"] == 0
    assert dark["bright"] == 1
    assert bright["dark"] == pytest.approx(1, abs=1e-3)
    assert bright["bright"] == pytest.approx(0, abs=1e-3)
    assert dark["empty"] == bright["empty"] == 0
    halves = black.copy()
    halves[:, :16] = 200
    assert measure(halves)["empty"] == pytest.approx(0.1)  # one bit
    assert measure(halves)["colour"] == 0


def test_the_limit_follows_the_set_only_downwards() -> None:
    assert limit_of("dark", np.full(50, 0.9, np.float32)) == pytest.approx(0.32)
    assert limit_of("dark", np.full(50, 0.2, np.float32)) == pytest.approx(0.2)


def test_odd_shapes_and_tiny_files_are_found_by_the_sizes_of_the_files() -> None:
    sizes = np.tile(np.array([[640, 480]], np.int32), (40, 1))
    sizes[3], sizes[5], sizes[7], sizes[-1] = (900, 300), (300, 900), (32, 24), (9, 900)
    result = check(photos(), sizes=sizes)
    assert rows(result, "shape") == [3, 5]
    assert rows(result, "tiny") == [7]
    assert "2 odd shape, 1 tiny file" in result.notes[0]
    # A set of small files has none that stands out, and what is enlarged less than twice is fine.
    assert rows(check(photos(), sizes=np.full((40, 2), 28, np.int32)), "tiny") == []
    sizes[7] = 41
    assert rows(check(photos(), sizes=sizes), "tiny") == []
    wide = np.full((40, 2), (350, 1000), np.int32)  # exactly cleanvision's limit
    assert rows(check(photos(), sizes=wide), "shape") == []


def test_odd_shapes_are_counted_from_the_originals() -> None:
    result = check(photos(), original_sizes={"640x480": 30, "900x300": 3, "100x400": 2})
    assert any("At least 5 originals were oddly shaped" in note for note in result.notes)
    assert result.findings == ()


def test_a_cancel_stops_it() -> None:
    pack = catalog.open_pack(make_tiny_pack())
    with pytest.raises(Cancelled):
        CHECKS.get("odd_pictures").run(pack, silent, lambda: True)
