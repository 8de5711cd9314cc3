"""Maps as pictures: nothing shows nothing, much shows much, zero is white between the signs."""

from __future__ import annotations

import numpy as np
import pytest

from lab.explain.overlay import (
    COLOURS,
    SIGNED_COLOURS,
    coloured,
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
def test_where_the_map_is_zero_the_picture_shows(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, channels), dtype=np.uint8)
    values = np.zeros((4, 4), dtype=np.float32)
    assert (overlay(pixels, values, side=224) == square(pixels, 224)).all()
    values[:, 2:] = 3.0
    shown = overlay(pixels, values, strength=1.0, side=224)
    assert (shown[:, :80] == square(pixels, 224)[:, :80]).all()
    assert (shown[:, 150:] == COLOURS[255]).all()
    assert (overlay(pixels, values, strength=0.0) == square(pixels, 224)).all()
    faint = overlay(pixels, values, scale=300.0, strength=1.0)
    assert np.abs(faint.astype(int) - square(pixels, 224)).max() < 5


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
