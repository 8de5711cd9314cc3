"""Maps as pictures: nothing shows nothing, much shows much, zero is white between the signs."""

from __future__ import annotations

import numpy as np
import pytest

from lab.explain.overlay import (
    BRIGHTEST,
    COLOURS,
    DARKEST,
    MODES,
    SIGNED_COLOURS,
    STRENGTH,
    Mode,
    backdrop,
    coloured,
    contour,
    drawn,
    map_only,
    overlay,
    scaled,
    signed,
    square,
    strip,
)


def brightness(table: np.ndarray) -> np.ndarray:
    return table.astype(float) @ (0.2126, 0.7152, 0.0722)


def test_brightness_tells_the_amount_without_the_colour() -> None:
    assert COLOURS.shape == (256, 3)
    assert (np.diff(brightness(COLOURS)) >= -0.6).all()
    signed_ = brightness(SIGNED_COLOURS)
    assert (np.diff(signed_[:128]) >= -0.6).all()
    assert (np.diff(signed_[128:]) <= 0.6).all()
    assert abs(signed_[0] - signed_[-1]) < 40  # both ends equally strong


def test_scaled_by_its_own_maximum_or_by_a_given_one() -> None:
    values = np.array([[0.0, 1.0], [2.0, 4.0]], dtype=np.float32)
    assert scaled(values).tolist() == [[0, 0.25], [0.5, 1]]
    assert scaled(values, 2.0).tolist() == [[0, 0.5], [1, 1]]
    for nothing in (np.zeros((2, 2), dtype=np.float32), np.full((2, 2), np.nan, dtype=np.float32)):
        assert (coloured(scaled(nothing)) == COLOURS[0]).all()
    assert not scaled(values, 0.0).any()


def test_signed_numbers_meet_at_white() -> None:
    values = np.array([[-2.0, 0.0, 2.0, 9.0, np.nan]], dtype=np.float32)
    blue, zero, orange, clipped, nothing = signed(values, 2.0)[0]
    assert blue[2] > blue[0]
    assert orange[0] > orange[2]
    assert (clipped == orange).all()
    assert (nothing == zero).all()
    assert zero.min() >= 240
    assert (signed(values * 0, 0.0) == zero).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_where_the_map_is_zero_only_the_picture_shows(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, channels), dtype=np.uint8)
    values = np.zeros((4, 4), dtype=np.float32)
    grey = backdrop(square(pixels, 224))
    assert (overlay(pixels, values, side=224) == grey).all()
    values[:, 2:] = 3.0
    shown = overlay(pixels, values, strength=1.0, side=224)
    assert (shown[:, :80] == grey[:, :80]).all()
    assert (shown[:, 150:] == COLOURS[255]).all()
    assert (overlay(pixels, values, strength=0.0) == grey).all()
    faint = overlay(pixels, values, scale=300.0, strength=1.0)
    assert np.abs(faint.astype(int) - grey).max() < 8


def test_the_picture_below_is_grey_darker_than_the_colours_and_never_black() -> None:
    night = np.random.default_rng(1).integers(0, 40, (32, 32, 3), dtype=np.uint8)
    for pixels in (night, 255 - night, np.full((32, 32, 3), 99, np.uint8)):
        shown = backdrop(pixels)
        assert (shown[..., 0] == shown[..., 2]).all()
        assert shown.min() >= DARKEST
        assert shown.max() <= BRIGHTEST
    # A night picture is stretched, but not to noise.
    assert np.ptp(backdrop(night).astype(int)) > 40
    assert np.ptp(backdrop(np.full((32, 32, 3), 99, np.uint8))) == 0


def cielab(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) sRGB in 0..255 -> CIELAB (D65)."""
    c = np.asarray(rgb, float) / 255
    c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]]
    )
    xyz = c @ matrix.T / np.array([0.95047, 1, 1.08883])
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )


def test_evidence_stands_out_from_every_grey() -> None:
    """White cats and night pictures: half and full evidence are far from any grey below."""
    half, full = np.full((2, 2), 0.5, np.float32), np.ones((2, 2), np.float32)
    for grey in range(DARKEST, BRIGHTEST + 1, 8):
        base = np.full(3, grey)
        distances = [
            np.linalg.norm(cielab(base * (1 - STRENGTH) + COLOURS[at] * STRENGTH) - cielab(base))
            for at in (128, 255)
        ]
        assert distances[0] > 35
        assert distances[1] > 75
    # In a picture of one grey, too.
    pixels = np.full((8, 8, 3), 255, np.uint8)
    for values, least in ((half, 35), (full, 75)):
        shown = overlay(pixels, values, scale=1.0, side=8)[0, 0]
        assert np.linalg.norm(cielab(shown) - cielab(backdrop(pixels)[0, 0])) > least


def test_lines_go_around_half_and_four_fifths_of_the_peak() -> None:
    values = np.zeros((7, 7), np.float32)
    values[3, 3] = 2.0
    pixels = np.full((56, 56, 3), (230, 130, 40), np.uint8)  # an orange dog
    shown = contour(pixels, values, side=448)
    changed = (shown != square(pixels, 448)).any(-1)
    assert not changed[:120].any()  # nothing outside
    assert not changed[224 - 4 : 224 + 4, 224 - 4 : 224 + 4].any()  # nor at the peak itself
    row = shown[224, :224].astype(int)
    assert (np.abs(row - 255).max(1) < 30).any()  # white
    assert (np.abs(row - (253, 231, 37)).max(1) < 30).any()  # yellow
    assert (row.max(1) < 30).any()  # and black rims
    assert (contour(pixels, values * 0, side=448) == square(pixels, 448)).all()


def test_a_map_alone_shows_each_place() -> None:
    values = np.array([[0.0, 1.0], [2.0, 4.0]], dtype=np.float32)
    shown = map_only(values, side=8)
    assert (shown[:4, :4] == COLOURS[0]).all()
    assert (shown[4:, 4:] == COLOURS[255]).all()


@pytest.mark.parametrize("mode", list(MODES))
def test_every_way_gives_a_picture_of_the_side(mode: Mode) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    for values in (np.random.default_rng(0).random((5, 5)), np.zeros((5, 5)), np.ones((1, 1))):
        shown = drawn(pixels, values.astype(np.float32), mode, side=100)
        assert shown.shape == (100, 100, 3)
        assert shown.dtype == np.uint8


def test_small_pictures_grow_in_blocks_and_large_ones_are_averaged() -> None:
    small = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 16
    assert (square(small, 8)[::2, ::2] == small).all()
    assert (square(small, 8)[1::2, 1::2] == small).all()
    assert square(small, 7).shape == (7, 7, 3)
    stripes = np.zeros((100, 100, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(square(stripes, 50).astype(int) - 100).max() <= 1  # and no moiré


def test_the_legends_strip_runs_from_nothing_to_full() -> None:
    shown = strip(width=100, height=5)
    assert shown.shape == (5, 100, 3)
    assert (shown[:, 0] == COLOURS[0]).all()
    assert np.abs(shown[:, -1].astype(int) - COLOURS[255]).max() < 12
